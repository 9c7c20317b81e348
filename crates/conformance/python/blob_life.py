"""Leases, snapshots, deletion and listings as azure-storage-blob, unmodified, sees them."""

import time
import unittest
import uuid

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import (
    AccessPolicy, AccountSasPermissions, BlobClient, BlobLeaseClient, ContainerSasPermissions, ResourceTypes,
    RetentionPolicy, generate_account_sas, generate_container_sas,
)

from blob_case import ACCOUNT, ENDPOINT, KEY, Blobs, service, soon


def lease_id():
    return str(uuid.uuid4())


class Leases(Blobs):
    def things(self):
        self.blob().upload_blob(b"x", overwrite=True)
        return [self.blob(), self.container]

    def state(self, thing):
        read = getattr(thing, "get_blob_properties", None) or thing.get_container_properties
        lease = read().lease
        return lease.status, lease.state, lease.duration

    def test_life(self):
        for thing in self.things():
            self.assertEqual(self.state(thing), ("unlocked", "available", None))
            first, second = lease_id(), lease_id()
            lease = thing.acquire_lease(lease_duration=15, lease_id=first)
            self.assertEqual((lease.id, self.state(thing)), (first, ("locked", "leased", "fixed")))
            self.fails(HttpResponseError, "LeaseAlreadyPresent", thing.acquire_lease)
            self.fails(HttpResponseError, "InvalidHeaderValue", BlobLeaseClient(thing).acquire, 14)
            lease.renew()
            lease.change(second)
            self.assertEqual(lease.id, second)
            other = BlobLeaseClient(thing, lease_id=first)
            self.fails(HttpResponseError, "LeaseIdMismatchWithLeaseOperation", other.renew)
            self.fails(HttpResponseError, "LeaseIdMismatchWithLeaseOperation", other.release)
            lease.release()
            self.assertEqual(self.state(thing), ("unlocked", "available", None))
            # The client forgets the id with the release.
            gone = BlobLeaseClient(thing, lease_id=second)
            self.fails(HttpResponseError, "LeaseIdMismatchWithLeaseOperation", gone.renew)
            self.fails(HttpResponseError, "LeaseNotPresentWithLeaseOperation", gone.change, first)
            self.fails(HttpResponseError, "LeaseNotPresentWithLeaseOperation", gone.break_lease)

    def test_break(self):
        for thing in self.things():
            lease = thing.acquire_lease()
            self.assertEqual(self.state(thing), ("locked", "leased", "infinite"))
            self.assertEqual(lease.break_lease(30), 30)
            self.assertEqual(self.state(thing), ("locked", "breaking", None))
            self.fails(HttpResponseError, "LeaseIsBrokenAndCannotBeRenewed", lease.renew)
            self.fails(HttpResponseError, "LeaseIsBreakingAndCannotBeChanged", lease.change, lease_id())
            own = BlobLeaseClient(thing, lease_id=lease.id)
            self.fails(HttpResponseError, "LeaseIsBreakingAndCannotBeAcquired", own.acquire)
            self.assertLessEqual(lease.break_lease(60), 30)
            self.assertEqual(lease.break_lease(0), 0)
            self.assertEqual(self.state(thing), ("unlocked", "broken", None))
            lease.release()

    def test_expiry(self):
        leases = [(thing, thing.acquire_lease(lease_duration=15)) for thing in self.things()]
        spoiled = self.blob("spoiled")
        spoiled.upload_blob(b"x")
        lost = spoiled.acquire_lease(lease_duration=15)
        until = time.monotonic() + 30
        while any(self.state(thing)[1] != "expired" for thing in [leases[0][0], leases[1][0], spoiled]):
            self.assertLess(time.monotonic(), until)
            time.sleep(0.5)
        spoiled.upload_blob(b"y", overwrite=True)
        self.fails(HttpResponseError, "LeaseIdMismatchWithLeaseOperation", lost.renew)
        for thing, lease in leases:
            lease.renew()
            self.assertEqual(self.state(thing), ("locked", "leased", "fixed"))
            lease.release()

    def test_writes_need_the_lease(self):
        blob = self.blob()
        blob.upload_blob(b"x")
        self.fails(HttpResponseError, "LeaseNotPresentWithBlobOperation", blob.delete_blob, lease=lease_id())
        lease = blob.acquire_lease()
        for call, arguments in (
            (blob.upload_blob, (b"y",)),
            (blob.set_blob_metadata, ({"a": "1"},)),
            (blob.set_http_headers, ()),
            (blob.stage_block, ("0001", b"y")),
            (blob.delete_blob, ()),
            (blob.set_blob_tags, ({"a": "1"},)),
        ):
            more = {"overwrite": True} if call == blob.upload_blob else {}
            self.fails(HttpResponseError, "LeaseIdMissing", call, *arguments, **more)
            self.fails(HttpResponseError, "LeaseIdMismatchWithBlobOperation", call, *arguments, lease=lease_id(), **more)
        self.assertEqual(blob.download_blob().readall(), b"x")
        self.fails(HttpResponseError, "LeaseIdMismatchWithBlobOperation", blob.download_blob, lease=lease_id())
        self.assertEqual(blob.download_blob(lease=lease).readall(), b"x")
        blob.create_snapshot()
        blob.upload_blob(b"y", overwrite=True, lease=lease)
        self.assertEqual(self.state(blob), ("locked", "leased", "infinite"))
        blob.delete_blob(delete_snapshots="include", lease=lease)

    def test_a_container_lease_protects_its_deletion_only(self):
        lease = self.container.acquire_lease()
        self.blob().upload_blob(b"x")
        self.container.set_container_metadata({"a": "1"})
        self.container.set_container_access_policy({})
        self.fails(
            HttpResponseError, "LeaseIdMismatchWithContainerOperation",
            self.container.set_container_metadata, {"a": "1"}, lease=lease_id(),
        )
        self.fails(
            HttpResponseError, "ConditionHeadersNotSupported",
            self.container.delete_container, headers={"If-Match": "*"}, lease=lease,
        )
        self.fails(HttpResponseError, "LeaseIdMissing", self.container.delete_container)
        self.fails(
            HttpResponseError, "LeaseIdMismatchWithContainerOperation",
            self.container.delete_container, lease=lease_id(),
        )
        self.container.delete_container(lease=lease)


class Renames(Blobs):
    def test_a_container_keeps_all_but_its_name(self):
        old, new = self.container.container_name, f"r{uuid.uuid4().hex}"
        blob = self.blob("a/b")
        blob.upload_blob(b"content", metadata={"of": "blob"})
        snapshot = blob.create_snapshot()["snapshot"]
        lease = blob.acquire_lease()
        self.container.set_container_metadata({"of": "container"})
        policy = AccessPolicy(ContainerSasPermissions(read=True), expiry=soon())
        self.container.set_container_access_policy({"reader": policy}, public_access="blob")
        before = self.container.get_container_properties()
        self.container = self.container._rename_container(new)
        after = self.container.get_container_properties()
        self.assertEqual((after.name, after.metadata, after.public_access), (new, {"of": "container"}, "blob"))
        self.assertNotEqual(after.etag, before.etag)
        self.assertGreaterEqual(after.last_modified, before.last_modified)
        policies = self.container.get_container_access_policy()["signed_identifiers"]
        self.assertEqual([policy.id for policy in policies], ["reader"])
        blob = self.blob("a/b")
        self.assertEqual(blob.download_blob().readall(), b"content")
        properties = blob.get_blob_properties()
        self.assertEqual((properties.metadata, properties.lease.state), ({"of": "blob"}, "leased"))
        blob.upload_blob(b"more", overwrite=True, lease=lease.id)
        then = BlobClient(ENDPOINT, new, "a/b", snapshot=snapshot, credential=KEY, retry_total=0)
        self.assertEqual(then.download_blob().readall(), b"content")
        names = [container.name for container in service().list_containers()]
        self.assertIn(new, names)
        self.assertNotIn(old, names)
        self.fails(ResourceNotFoundError, "ContainerNotFound", blob_of(old, "a/b").download_blob)
        # The old name is free, and the new one is a name like any other.
        other = service().create_container(old)
        self.assertEqual(list(other.list_blobs()), [])
        other.delete_container()
        self.container = service()._rename_container(new, old)
        self.assertEqual(self.blob("a/b").download_blob().readall(), b"more")
        self.blob("a/b").delete_blob(delete_snapshots="include", lease=lease.id)

    def test_what_it_needs(self):
        own, new = self.container.container_name, f"r{uuid.uuid4().hex}"
        rename = service()._rename_container
        self.fails(ResourceNotFoundError, "ContainerNotFound", rename, f"x{uuid.uuid4().hex}", new)
        other = service().create_container(new)
        self.addCleanup(other.delete_container)
        for taken in (new, own):
            self.fails(ResourceExistsError, "ContainerAlreadyExists", rename, own, taken)
        free = f"r{uuid.uuid4().hex}"
        for code, names in (
            ("InvalidResourceName", (own, "Not-A-Name")),
            ("InvalidResourceName", (own, "$web")),
            ("InvalidHeaderValue", ("$logs", free)),
            ("InvalidHeaderValue", ("NOT", free)),
            ("OutOfRangeInput", (own, "ab")),
        ):
            self.fails(HttpResponseError, code, rename, *names)
        self.fails(HttpResponseError, "ConditionHeadersNotSupported", rename, own, free, headers={"If-Match": "*"})
        wrong = "LeaseNotPresentWithContainerOperation"
        self.fails(HttpResponseError, wrong, rename, own, free, lease=lease_id())
        lease = self.container.acquire_lease()
        self.fails(HttpResponseError, "LeaseIdMissing", rename, own, free)
        wrong = "LeaseIdMismatchWithContainerOperation"
        self.fails(HttpResponseError, wrong, rename, own, free, lease=lease_id())
        self.container = rename(own, free, lease=lease)
        self.assertEqual(self.container.get_container_properties().lease.state, "leased")
        BlobLeaseClient(self.container, lease_id=lease.id).release()

    def test_who_may(self):
        own, new = self.container.container_name, f"r{uuid.uuid4().hex}"
        of_both = generate_container_sas(
            ACCOUNT, new, account_key=KEY, permission=ContainerSasPermissions(read=True, write=True, delete=True),
            expiry=soon(),
        )
        by_container = service(credential=of_both)._rename_container
        self.fails(HttpResponseError, "AuthorizationPermissionMismatch", by_container, own, new)
        for permission, may in (("rdlac", False), ("w", True)):
            token = generate_account_sas(
                ACCOUNT, KEY, ResourceTypes(container=True), AccountSasPermissions.from_string(permission), soon()
            )
            rename = service(credential=token)._rename_container
            if may:
                rename(own, new)
                self.container = service().get_container_client(new)
            else:
                self.fails(HttpResponseError, "AuthorizationPermissionMismatch", rename, own, new)


def blob_of(container, name):
    return BlobClient(ENDPOINT, container, name, credential=KEY, retry_total=0)


class Snapshots(Blobs):
    def snapshot(self, at, name="blob"):
        return BlobClient(ENDPOINT, self.container.container_name, name, snapshot=at, credential=KEY, retry_total=0)

    def test_snapshots_stay(self):
        blob = self.blob()
        blob.upload_blob(b"one", metadata={"n": "1"})
        before = blob.get_blob_properties()
        first = blob.create_snapshot()
        second = blob.create_snapshot(metadata={"own": "yes"})
        self.assertLess(first["snapshot"], second["snapshot"])
        blob.upload_blob(b"two", overwrite=True)
        for made, metadata in ((first, {"n": "1"}), (second, {"own": "yes"})):
            client = self.snapshot(made["snapshot"])
            self.assertEqual(client.download_blob().readall(), b"one")
            self.assertEqual(client.get_blob_properties().metadata, metadata)
        self.assertEqual(self.snapshot(first["snapshot"]).get_blob_properties().etag, before.etag)
        self.fails(HttpResponseError, "SnapshotOperationNotSupported", self.snapshot(first["snapshot"]).upload_blob, b"x")
        self.fails(ResourceNotFoundError, "BlobNotFound", self.snapshot("2020-01-01T00:00:00.0000000Z").download_blob)

    def test_deletion(self):
        blob = self.blob()
        blob.upload_blob(b"x")
        kept, gone = blob.create_snapshot()["snapshot"], blob.create_snapshot()["snapshot"]
        self.fails(ResourceExistsError, "SnapshotsPresent", blob.delete_blob)
        self.fails(ResourceExistsError, "SnapshotsPresent", blob.create_append_blob)
        self.snapshot(gone).delete_blob()
        self.fails(ResourceNotFoundError, "BlobNotFound", self.snapshot(gone).get_blob_properties)
        self.assertEqual(self.snapshot(kept).download_blob().readall(), b"x")
        blob.delete_blob(delete_snapshots="only")
        self.assertEqual(blob.download_blob().readall(), b"x")
        blob.create_snapshot()
        blob.delete_blob(delete_snapshots="include")
        self.assertEqual(list(self.container.list_blobs(include=["snapshots"])), [])

    def test_blocks_are_shared(self):
        blob = self.blob()
        for n in range(3):
            blob.stage_block(f"{n:04}", b"%d" % n * 30_000)
        blob.commit_block_list(["0000", "0001"])
        at = blob.create_snapshot()["snapshot"]
        blob.commit_block_list(["0001"])
        self.assertEqual(self.snapshot(at).download_blob().readall(), b"0" * 30_000 + b"1" * 30_000)
        self.assertEqual([b.id for b in self.snapshot(at).get_block_list("committed")[0]], ["0000", "0001"])
        self.assertEqual(blob.download_blob().readall(), b"1" * 30_000)


class Lists(Blobs):
    def test_snapshots_in_pages(self):
        expected = []
        for name in ("a", "b"):
            self.blob(name).upload_blob(b"x")
            expected += [(name, self.blob(name).create_snapshot()["snapshot"]) for _ in range(5)] + [(name, None)]
        found = self.container.list_blobs(include=["snapshots", "metadata", "tags", "copy"], results_per_page=2)
        self.assertEqual([(b.name, b.snapshot) for b in found], expected)
        self.assertEqual([b.name for b in self.container.list_blobs()], ["a", "b"])

    def test_uncommitted_and_tags(self):
        self.blob("staged").stage_block("0001", b"x")
        self.blob("tagged").upload_blob(b"x", tags={"color": "blue"})
        found = list(self.container.list_blobs(include=["uncommittedblobs", "tags"]))
        self.assertEqual([b.name for b in found], ["staged", "tagged"])
        self.assertEqual(found[1].tags, {"color": "blue"})
        self.assertEqual([b.name for b in self.container.list_blobs()], ["tagged"])

    def test_names_that_xml_cannot_hold(self):
        names = ["a\u0001b", "a\ufffeb/c"]
        for name in names:
            self.blob(name).upload_blob(b"x")
        self.assertEqual([b.name for b in self.container.list_blobs()], names)
        walked = {b.name for b in self.container.walk_blobs()}
        self.assertEqual(walked, {"a\u0001b", "a\ufffeb/"})

    def test_leases_are_told(self):
        self.blob().upload_blob(b"x")
        lease = self.blob().acquire_lease()
        found = next(iter(self.container.list_blobs())).lease
        self.assertEqual((found.status, found.state, found.duration), ("locked", "leased", "infinite"))
        lease.release()


class Kept(Blobs):
    """Deleted blobs are kept for a day."""

    def setUp(self):
        super().setUp()
        service().set_service_properties(delete_retention_policy=RetentionPolicy(enabled=True, days=1))

    def tearDown(self):
        service().set_service_properties(delete_retention_policy=RetentionPolicy(enabled=False))
        super().tearDown()

    def test_undelete(self):
        blob = self.blob()
        blob.upload_blob(b"one")
        blob.upload_blob(b"two", overwrite=True)
        snapshot = blob.create_snapshot()["snapshot"]
        blob.delete_blob(delete_snapshots="include")
        self.fails(ResourceNotFoundError, "BlobNotFound", blob.download_blob)
        self.assertEqual(list(self.container.list_blobs()), [])
        found = list(self.container.list_blobs(include=["deleted", "snapshots"]))
        self.assertEqual([b.deleted for b in found], [True] * 3)
        self.assertEqual([b.remaining_retention_days for b in found], [1] * 3)
        blob.undelete_blob()
        self.assertEqual(blob.download_blob().readall(), b"two")
        found = list(self.container.list_blobs(include=["snapshots"]))
        self.assertEqual(len(found), 3)
        self.assertIn(snapshot, [b.snapshot for b in found])
        blob.undelete_blob()
        self.fails(ResourceNotFoundError, "BlobNotFound", self.blob("never").undelete_blob)


if __name__ == "__main__":
    unittest.main(verbosity=2)
