"""Tags, searches over them, tiers, immutability, legal holds and expiry, as azure-storage-blob sees them."""

import datetime
import unittest
import uuid

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceModifiedError
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import ImmutabilityPolicy, StandardBlobTier

from blob_case import ACCOUNT, KEY, Blobs, raw, service, soon
from azure.storage.blob import generate_container_sas


class Tags(Blobs):
    def test_set_and_get(self):
        blob = self.blob()
        blob.upload_blob(b"x", tags={"color": "red", "size": "+1"})
        self.assertEqual(blob.get_blob_tags(), {"color": "red", "size": "+1"})
        before = blob.get_blob_properties()
        self.assertEqual(before.tag_count, 2)
        blob.set_blob_tags({"color": "blue"})
        self.assertEqual(blob.get_blob_tags(), {"color": "blue"})
        after = blob.get_blob_properties()
        self.assertEqual((after.etag, after.last_modified), (before.etag, before.last_modified))
        blob.set_blob_tags({})
        self.assertEqual(blob.get_blob_tags(), {})
        self.assertIsNone(blob.get_blob_properties().tag_count)

    def test_limits(self):
        blob = self.blob()
        blob.upload_blob(b"x")
        blob.set_blob_tags({f"k{n}": "v" for n in range(10)})
        blob.set_blob_tags({"k" * 128: "v" * 256})
        for tags, code in (
            ({f"k{n}": "v" for n in range(11)}, "TagsTooLarge"),
            ({"k" * 129: "v"}, "TagsTooLarge"),
            ({"k": "v" * 257}, "TagsTooLarge"),
            ({"": "v"}, "EmptyTagName"),
            ({"k": "v!"}, "InvalidTag"),
        ):
            self.fails(HttpResponseError, code, blob.set_blob_tags, tags)
        self.fails(ResourceNotFoundError, "BlobNotFound", self.blob("none").get_blob_tags)

    def test_conditions(self):
        blob = self.blob()
        blob.upload_blob(b"x", tags={"state": "new"})
        blob.set_blob_metadata({"a": "1"}, if_tags_match_condition="state = 'new'")
        self.fails(ResourceModifiedError, "ConditionNotMet", blob.set_blob_metadata, {},
                   if_tags_match_condition="state <> 'new'")
        self.assertEqual(
            blob.download_blob(if_tags_match_condition="\"state\"='old' OR \"state\"='new'").readall(), b"x")
        self.fails(ResourceModifiedError, "ConditionNotMet", blob.download_blob,
                   if_tags_match_condition="state = 'old'")
        self.fails(HttpResponseError, "InvalidHeaderValue", blob.get_blob_tags, if_tags_match_condition="state")

    def test_find(self):
        tag = f"t{uuid.uuid4().hex[:8]}"
        other = service().create_container(f"o{uuid.uuid4().hex}")
        for n in range(12):
            self.blob(f"b{n:02}").upload_blob(b"", tags={tag: str(n % 3), "n": f"{n:02}"})
        other.upload_blob("elsewhere", b"", tags={tag: "1", "n": "99"})
        self.blob("plain").upload_blob(b"")
        names = lambda found: [blob.name for blob in found]
        self.assertEqual(names(self.container.find_blobs_by_tags(f"\"{tag}\"='1'")), ["b01", "b04", "b07", "b10"])
        self.assertEqual(names(self.container.find_blobs_by_tags(f"\"{tag}\">='1' AND \"n\">'06' AND \"n\"<='08'")),
                         ["b07", "b08"])
        everywhere = list(service().find_blobs_by_tags(f"\"{tag}\"='1'"))
        self.assertEqual(sorted(names(everywhere)), ["b01", "b04", "b07", "b10", "elsewhere"])
        self.assertEqual({blob.name: blob.tags for blob in everywhere}["b01"], {tag: "1"})
        one = service().find_blobs_by_tags(f"@container='{other.container_name}' AND \"{tag}\"='1'")
        self.assertEqual(names(one), ["elsewhere"])
        pages = list(service().find_blobs_by_tags(f"\"{tag}\">='0'", results_per_page=2).by_page())
        found = [blob.name for page in pages for blob in page]
        self.assertEqual((len(found), len(set(found))), (13, 13))
        self.blob("b01").set_blob_tags({})
        self.assertEqual(names(self.container.find_blobs_by_tags(f"\"{tag}\"='1'")), ["b04", "b07", "b10"])
        for expression in ("", f"{tag}", f"\"{tag}\" <> '1'", "a = 1"):
            with self.assertRaises(HttpResponseError) as caught:
                list(service().find_blobs_by_tags(expression))
            self.assertEqual(caught.exception.status_code, 400, expression)
        other.delete_container()


class Tiers(Blobs):
    def test_block_blob(self):
        blob = self.blob()
        blob.upload_blob(b"x")
        properties = blob.get_blob_properties()
        self.assertEqual((properties.blob_tier, properties.blob_tier_inferred), ("Hot", True))
        for tier in (StandardBlobTier.COOL, StandardBlobTier.COLD, StandardBlobTier.HOT):
            blob.set_standard_blob_tier(tier)
            properties = blob.get_blob_properties()
            self.assertEqual(properties.blob_tier, tier.value)
            self.assertIsNotNone(properties.blob_tier_change_time)
            self.assertFalse(properties.blob_tier_inferred)
        self.assertEqual(next(self.container.list_blobs()).blob_tier, "Hot")
        self.fails(HttpResponseError, "InvalidHeaderValue", blob.set_standard_blob_tier, "Warm")
        self.fails(ResourceExistsError, "InvalidBlobTier", blob.set_standard_blob_tier, "P10")

    def test_archive(self):
        blob = self.blob()
        blob.upload_blob(b"x", standard_blob_tier=StandardBlobTier.ARCHIVE)
        self.fails(ResourceExistsError, "BlobArchived", blob.download_blob)
        self.assertEqual(blob.get_blob_properties().blob_tier, "Archive")
        blob.set_standard_blob_tier(StandardBlobTier.HOT, rehydrate_priority="High")
        self.assertEqual(blob.download_blob().readall(), b"x")


class Protection(Blobs):
    def tearDown(self):
        """A container with a protected blob cannot be deleted."""

    def protected(self, blob):
        for call, arguments in (
            (blob.delete_blob, ()),
            (blob.set_blob_metadata, ({"a": "b"},)),
            (blob.set_http_headers, ()),
        ):
            self.fails(ResourceExistsError, "BlobImmutableDueToPolicy", call, *arguments)
        self.fails(ResourceExistsError, "BlobImmutableDueToPolicy", blob.upload_blob, b"y", overwrite=True)
        self.assertEqual(blob.download_blob().readall(), b"x")

    def test_policy(self):
        blob = self.blob()
        blob.upload_blob(b"x")
        blob.set_immutability_policy(ImmutabilityPolicy(expiry_time=soon(5), policy_mode="Unlocked"))
        self.protected(blob)
        blob.set_blob_tags({"still": "possible"})
        self.assertEqual(blob.get_blob_properties().immutability_policy.policy_mode, "unlocked")
        blob.delete_immutability_policy()
        blob.set_blob_metadata({})
        past = ImmutabilityPolicy(expiry_time=soon(-5), policy_mode="Unlocked")
        self.fails(HttpResponseError, "InvalidHeaderValue", blob.set_immutability_policy, past)

    def test_locked_policy_only_grows(self):
        blob = self.blob()
        blob.upload_blob(b"x")
        end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=3)
        blob.set_immutability_policy(ImmutabilityPolicy(expiry_time=end, policy_mode="Locked"))
        self.protected(blob)
        self.fails(ResourceExistsError, "BlobImmutableDueToPolicy", blob.delete_immutability_policy)
        later = ImmutabilityPolicy(expiry_time=end + datetime.timedelta(seconds=1), policy_mode="Locked")
        blob.set_immutability_policy(later)
        shorter = ImmutabilityPolicy(expiry_time=end, policy_mode="Locked")
        self.fails(ResourceExistsError, "BlobImmutableDueToPolicy", blob.set_immutability_policy, shorter)

    def test_legal_hold(self):
        blob = self.blob()
        blob.upload_blob(b"x", legal_hold=True)
        self.assertTrue(blob.get_blob_properties().has_legal_hold)
        self.protected(blob)
        self.assertFalse(blob.set_legal_hold(False)["legal_hold"])
        blob.delete_blob()


    def test_container_with_a_protected_blob_stays(self):
        blob = self.blob()
        blob.upload_blob(b"x", legal_hold=True)
        self.blob("other").upload_blob(b"y")
        self.fails(ResourceExistsError, "BlobImmutableDueToPolicy", self.container.delete_container)
        self.assertEqual(blob.download_blob().readall(), b"x")
        blob.set_legal_hold(False)
        blob.set_immutability_policy(ImmutabilityPolicy(expiry_time=soon(5), policy_mode="Unlocked"))
        self.fails(ResourceExistsError, "BlobImmutableDueToPolicy", self.container.delete_container)
        blob.delete_immutability_policy()
        self.container.delete_container()


class Expiry(Blobs):
    def test_protection_outlasts_expiry(self):
        name = self.container.container_name
        blob = self.blob()
        blob.upload_blob(b"x")
        token = generate_container_sas(ACCOUNT, name, account_key=KEY, permission="rw", expiry=soon())
        headers = {"x-ms-expiry-option": "RelativeToNow", "x-ms-expiry-time": "500"}
        response, _ = raw("PUT", f"/{name}/blob?comp=expiry&{token}", headers)
        self.assertEqual(response.status, 200)
        blob.set_legal_hold(True)
        other = self.blob("other")
        other.upload_blob(b"y")
        response, _ = raw("PUT", f"/{name}/other?comp=expiry&{token}", headers)
        while other.exists():
            pass
        self.assertEqual(blob.download_blob().readall(), b"x")
        blob.set_legal_hold(False)
        self.assertFalse(blob.exists())

    def test_options(self):
        name = self.container.container_name
        blob = self.blob()
        blob.upload_blob(b"x")
        token = generate_container_sas(ACCOUNT, name, account_key=KEY, permission="rw", expiry=soon())

        def expire(option, time=None):
            headers = {"x-ms-expiry-option": option} | ({"x-ms-expiry-time": time} if time else {})
            response, _ = raw("PUT", f"/{name}/blob?comp=expiry&{token}", headers)
            return response.status

        self.assertEqual(expire("RelativeToNow", "3600000"), 200)
        response, _ = raw("GET", f"/{name}/blob?{token}")
        self.assertIsNotNone(response.getheader("x-ms-expiry-time"))
        self.assertEqual(expire("NeverExpire"), 200)
        for option, time in (("Soon", None), ("RelativeToNow", "x"), ("RelativeToNow", None), ("Absolute", "x")):
            self.assertEqual(expire(option, time), 400, option)
        self.assertEqual(expire("RelativeToNow", "1"), 200)
        while blob.exists():
            pass
        self.assertEqual(list(self.container.list_blobs()), [])


if __name__ == "__main__":
    unittest.main(verbosity=1)
