"""The blob service as azure-storage-blob, unmodified, sees it. Endpoint and key come from the environment."""

import base64
import concurrent.futures
import hashlib
import http.client
import os
import unittest
import urllib.parse
import uuid

from azure.core import MatchConditions
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.blob import (
    AccessPolicy,
    BlobBlock,
    BlobClient,
    BlobServiceClient,
    ContainerClient,
    ContainerSasPermissions,
    ContentSettings,
    PublicAccess,
    generate_account_sas,
    generate_blob_sas,
    generate_container_sas,
)

from blob_case import ACCOUNT, ENDPOINT, KEY, MIB, Blobs, raw, service, soon


class Containers(Blobs):
    def test_create_again(self):
        self.fails(ResourceExistsError, "ContainerAlreadyExists", self.container.create_container)

    def test_bad_name(self):
        self.fails(HttpResponseError, "InvalidResourceName", service().create_container, "Bad_Name")

    def test_metadata_and_etag(self):
        before = self.container.get_container_properties()
        self.container.set_container_metadata({"color": "blue", "n": "1"})
        after = self.container.get_container_properties()
        self.assertEqual(after.metadata, {"color": "blue", "n": "1"})
        self.assertNotEqual(before.etag, after.etag)

    def test_delete_is_at_once(self):
        self.blob().upload_blob(b"x")
        self.container.delete_container()
        self.fails(ResourceNotFoundError, "ContainerNotFound", self.container.get_container_properties)
        self.fails(ResourceNotFoundError, "ContainerNotFound", self.blob().download_blob)
        self.container.create_container()
        self.assertEqual(list(self.container.list_blobs()), [])

    def test_list(self):
        names = sorted(f"l{self.container.container_name[:20]}{n:02}" for n in range(7))
        for name in names:
            service().create_container(name, metadata={"of": name})
        found = list(service().list_containers(name_starts_with=names[0][:-2], results_per_page=3, include_metadata=True))
        self.assertEqual([c.name for c in found], names)
        self.assertEqual(found[3].metadata, {"of": names[3]})
        for name in names:
            service().delete_container(name)

    def test_access_policies(self):
        policy = AccessPolicy(permission=ContainerSasPermissions(read=True, list=True), expiry=soon())
        self.container.set_container_access_policy({"readers": policy}, public_access=PublicAccess.BLOB)
        read = self.container.get_container_access_policy()
        self.assertEqual(read["public_access"], "blob")
        self.assertEqual([p.id for p in read["signed_identifiers"]], ["readers"])
        many = {str(n): policy for n in range(6)}
        with self.assertRaises((ValueError, HttpResponseError)):
            self.container.set_container_access_policy(many)


class Content(Blobs):
    def test_sizes(self):
        for size in (0, 1, 16 * 1024, 16 * 1024 + 1, MIB, 5 * MIB + 3):
            data = os.urandom(size)
            self.blob(f"b{size}").upload_blob(data, overwrite=True)
            read = self.blob(f"b{size}").download_blob()
            self.assertEqual(read.readall(), data, size)
            self.assertEqual(read.properties.size, size)
            stored = self.blob(f"b{size}").get_blob_properties().content_settings.content_md5
            self.assertEqual(bytes(stored), hashlib.md5(data).digest())

    def test_names(self):
        for name in ("a b", "é/ü/漢字", "a%20b", "a?b#c&d", "a+b", "deep/er/and/deeper", "'q'", "x" * 1024):
            self.blob(name).upload_blob(name.encode())
            self.assertEqual(self.blob(name).download_blob().readall(), name.encode(), name)
        self.assertEqual(len(list(self.container.list_blobs())), 8)
        self.fails(HttpResponseError, "InvalidResourceName", self.blob("x" * 1025).upload_blob, b"")

    def test_ranges(self):
        data = os.urandom(100_000)
        for put in (lambda b: b.upload_blob(data), self.put_in_blocks(data)):
            blob = self.blob(uuid.uuid4().hex)
            put(blob)
            for offset, length in ((0, 1), (0, 100_000), (10, 50_000), (99_999, 1), (99_999, 50), (33_333, 33_334)):
                read = blob.download_blob(offset=offset, length=length).readall()
                self.assertEqual(read, data[offset : offset + length], (offset, length))
            self.fails(HttpResponseError, "InvalidRange", blob.download_blob, offset=100_000, length=1)
            self.assertEqual(blob.download_blob(offset=7).readall(), data[7:])
            checked = blob.download_blob(offset=7, length=9000, validate_content=True)
            self.assertEqual(checked.readall(), data[7:9007])

    def put_in_blocks(self, data):
        def put(blob):
            ids = [f"{n:08}" for n in range(0, len(data), 30_000)]
            for block_id in ids:
                blob.stage_block(block_id, data[int(block_id) : int(block_id) + 30_000])
            blob.commit_block_list([BlobBlock(block_id) for block_id in ids])

        return put

    def test_nine_mebibytes_in_blocks(self):
        client = BlobClient(
            ENDPOINT, self.container.container_name, "big", credential=KEY, max_single_put_size=MIB, max_block_size=MIB
        )
        data = os.urandom(9 * MIB + 17)
        client.upload_blob(data, max_concurrency=4)
        self.assertEqual(len(client.get_block_list("committed")[0]), 10)
        self.assertEqual(client.download_blob(max_concurrency=4).readall(), data)

    def test_properties_and_metadata(self):
        settings = ContentSettings(
            content_type="text/x", content_encoding="gzip", content_language="de", cache_control="no-store",
            content_disposition="inline",
        )
        blob = self.blob()
        blob.upload_blob(b"abc", content_settings=settings, metadata={"a": "1"})
        read = blob.get_blob_properties()
        for name in ("content_type", "content_encoding", "content_language", "cache_control", "content_disposition"):
            self.assertEqual(read.content_settings[name], settings[name])
        self.assertEqual((read.size, read.metadata, str(read.blob_type)), (3, {"a": "1"}, "BlobType.BLOCKBLOB"))
        blob.set_blob_metadata({"b": "2"})
        blob.set_http_headers(ContentSettings(content_type="text/y"))
        read = blob.get_blob_properties()
        self.assertEqual((read.metadata, read.content_settings.content_type), ({"b": "2"}, "text/y"))
        self.assertIsNone(read.content_settings.content_encoding)
        self.assertEqual(blob.download_blob().readall(), b"abc")

    def test_wrong_md5_keeps_nothing(self):
        wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
        for headers in ({"Content-MD5": wrong}, {"x-ms-blob-content-md5": wrong}):
            self.fails(HttpResponseError, "Md5Mismatch", self.blob().upload_blob, b"data", headers=headers)
        self.assertFalse(self.blob().exists())
        self.blob().upload_blob(b"data", validate_content=True)

    def test_delete(self):
        self.blob().upload_blob(b"x")
        self.blob().delete_blob()
        self.fails(ResourceNotFoundError, "BlobNotFound", self.blob().delete_blob)
        self.assertFalse(self.blob().exists())

    def test_overwrite_while_reading(self):
        data = os.urandom(8 * MIB)
        blob = self.blob()
        blob.upload_blob(data)
        target = f"/{self.container.container_name}/blob?" + generate_blob_sas(
            ACCOUNT, self.container.container_name, "blob", account_key=KEY, permission="r", expiry=soon()
        )
        url = urllib.parse.urlsplit(ENDPOINT)
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
        connection.request("GET", url.path + target)
        response = connection.getresponse()
        first = response.read(1000)
        blob.upload_blob(os.urandom(8 * MIB), overwrite=True)
        self.assertEqual(first + response.read(), data)


class Blocks(Blobs):
    def test_lists(self):
        blob = self.blob()
        for block_id, data in (("aa", b"1"), ("bb", b"22"), ("cc", b"333")):
            blob.stage_block(block_id, data)
        self.assertFalse(blob.exists())
        committed, uncommitted = blob.get_block_list("all")
        self.assertEqual(([b.id for b in committed], [(b.id, b.size) for b in uncommitted]),
                         ([], [("aa", 1), ("bb", 2), ("cc", 3)]))
        blob.commit_block_list([BlobBlock("cc"), BlobBlock("aa"), BlobBlock("cc")])
        self.assertEqual(blob.download_blob().readall(), b"3331333")
        committed, uncommitted = blob.get_block_list("all")
        self.assertEqual(([b.id for b in committed], uncommitted), (["cc", "aa", "cc"], []))
        blob.stage_block("bb", b"new")
        blob.commit_block_list([BlobBlock("aa"), BlobBlock("bb"), BlobBlock("cc")])
        self.assertEqual(blob.download_blob().readall(), b"1new333")

    def test_unknown_block(self):
        self.blob().stage_block("aa", b"1")
        self.fails(HttpResponseError, "InvalidBlockList", self.blob().commit_block_list, [BlobBlock("zz")])

    def test_ids_of_one_length(self):
        self.blob().stage_block("aa", b"1")
        self.fails(HttpResponseError, "InvalidBlobOrBlock", self.blob().stage_block, "aaa", b"1")

    def test_put_blob_drops_uncommitted_blocks(self):
        self.blob().stage_block("aa", b"1")
        self.blob().upload_blob(b"whole")
        self.assertEqual(self.blob().get_block_list("all"), ([], []))

    def test_uncommitted_blobs_are_listed_on_demand(self):
        self.blob("staged").stage_block("aa", b"1")
        self.blob("whole").upload_blob(b"1")
        self.assertEqual([b.name for b in self.container.list_blobs()], ["whole"])
        self.assertEqual([b.name for b in self.container.list_blobs(include=["uncommittedblobs"])], ["staged", "whole"])

    def test_many_blocks(self):
        blob, count = self.blob(), 2500
        ids = [f"{n:06}" for n in range(count)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda block_id: blob.stage_block(block_id, block_id.encode()), ids))
        blob.commit_block_list([BlobBlock(block_id) for block_id in ids])
        self.assertEqual(blob.download_blob().readall(), "".join(ids).encode())
        self.assertEqual(len(blob.get_block_list("committed")[0]), count)


class Conditions(Blobs):
    def test_etags(self):
        blob = self.blob()
        first = blob.upload_blob(b"1")["etag"]
        second = blob.upload_blob(b"2", overwrite=True, etag=first, match_condition=MatchConditions.IfNotModified)["etag"]
        self.assertNotEqual(first, second)
        self.fails(ResourceModifiedError, "ConditionNotMet", blob.upload_blob, b"3", overwrite=True, etag=first,
                   match_condition=MatchConditions.IfNotModified)
        self.fails(ResourceModifiedError, "ConditionNotMet", blob.delete_blob, etag=first,
                   match_condition=MatchConditions.IfNotModified)
        self.assertEqual(blob.download_blob(etag=second, match_condition=MatchConditions.IfNotModified).readall(), b"2")
        with self.assertRaises(HttpResponseError) as caught:
            blob.download_blob(etag=second, match_condition=MatchConditions.IfModified)
        self.assertEqual(caught.exception.status_code, 304)
        self.fails(ResourceExistsError, "BlobAlreadyExists", blob.upload_blob, b"4")

    def test_dates(self):
        blob = self.blob()
        blob.upload_blob(b"1")
        blob.get_blob_properties(if_modified_since=soon(-60))
        with self.assertRaises(HttpResponseError) as caught:
            blob.get_blob_properties(if_modified_since=soon(60))
        self.assertEqual(caught.exception.status_code, 304)
        with self.assertRaises(HttpResponseError) as caught:
            blob.set_blob_metadata({"a": "1"}, if_unmodified_since=soon(-60))
        self.assertEqual((caught.exception.status_code, caught.exception.error_code), (412, "ConditionNotMet"))

    def test_one_winner(self):
        def create(name):
            try:
                self.blob(name).upload_blob(b"mine")
                return 1
            except ResourceExistsError:
                return 0

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for round_number in range(10):
                wins = sum(pool.map(create, [f"race{round_number}"] * 8))
                self.assertEqual(wins, 1)


class Lists(Blobs):
    def setUp(self):
        super().setUp()
        self.names = sorted(["a", "b/1", "b/2", "b/c/3", "b0", "d/1", "e"], key=lambda name: name.encode())
        for name in self.names:
            self.blob(name).upload_blob(name.encode(), metadata={"n": name[0]})

    def test_all_and_prefix(self):
        found = list(self.container.list_blobs(include=["metadata"]))
        self.assertEqual([b.name for b in found], self.names)
        self.assertEqual((found[0].metadata, found[1].size), ({"n": "a"}, 3))
        self.assertEqual(found[0].etag, self.blob("a").get_blob_properties().etag.strip('"'))
        self.assertEqual([b.name for b in self.container.list_blobs(name_starts_with="b/")], ["b/1", "b/2", "b/c/3"])
        self.assertEqual(list(self.container.list_blobs(name_starts_with="zz")), [])

    def test_delimiter(self):
        # This client shows the prefixes of a page before its blobs.
        walk = sorted(item.name for item in self.container.walk_blobs(delimiter="/"))
        self.assertEqual(walk, ["a", "b/", "b0", "d/", "e"])
        walk = sorted(item.name for item in self.container.walk_blobs(name_starts_with="b/", delimiter="/"))
        self.assertEqual(walk, ["b/1", "b/2", "b/c/"])

    def test_continuation(self):
        for size in (1, 2, 3, 7, 8):
            pages = [list(page) for page in self.container.list_blobs(results_per_page=size).by_page()]
            self.assertTrue(all(len(page) <= size for page in pages))
            self.assertEqual([b.name for page in pages for b in page], self.names, size)
            walk = sorted(item.name for item in self.container.walk_blobs(delimiter="/", results_per_page=size))
            self.assertEqual(walk, ["a", "b/", "b0", "d/", "e"], size)
        pages = self.container.list_blobs(results_per_page=4).by_page()
        next(pages)
        rest = self.container.list_blobs(results_per_page=4).by_page(continuation_token=pages.continuation_token)
        self.assertEqual([b.name for page in rest for b in page], self.names[4:])

    def test_large_list(self):
        names = [f"many/{n:04}" for n in range(1200)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda name: self.blob(name).upload_blob(b""), names))
        self.assertEqual([b.name for b in self.container.list_blobs(name_starts_with="many/")], names)
        walk = sorted(item.name for item in self.container.walk_blobs(delimiter="/"))
        self.assertEqual(walk, ["a", "b/", "b0", "d/", "e", "many/"])


class Access(Blobs):
    def sas_client(self, token):
        return BlobClient(ENDPOINT, self.container.container_name, "blob", credential=token, retry_total=0)

    def test_wrong_key(self):
        wrong = base64.b64encode(b"0" * 64).decode()
        with self.assertRaises(ClientAuthenticationError) as caught:
            list(service(wrong).list_containers())
        self.assertEqual((caught.exception.status_code, caught.exception.error_code), (403, "AuthenticationFailed"))

    def test_unknown_account(self):
        other = BlobServiceClient(ENDPOINT.replace(ACCOUNT, "nobody"), credential={"account_name": "nobody", "account_key": KEY},
                                  retry_total=0)
        self.fails(ClientAuthenticationError, "AuthenticationFailed", other.get_account_information)

    def test_account_sas(self):
        self.blob().upload_blob(b"x")
        token = generate_account_sas(ACCOUNT, KEY, resource_types="co", permission="rl", expiry=soon())
        client = self.sas_client(token)
        self.assertEqual(client.download_blob().readall(), b"x")
        self.fails(HttpResponseError, "AuthorizationPermissionMismatch", client.delete_blob)
        self.fails(HttpResponseError, "AuthorizationResourceTypeMismatch", service(token).get_account_information)
        old = generate_account_sas(ACCOUNT, KEY, resource_types="co", permission="r", expiry=soon(-1))
        self.fails(ClientAuthenticationError, "AuthenticationFailed", self.sas_client(old).download_blob)
        early = generate_account_sas(ACCOUNT, KEY, resource_types="co", permission="r", expiry=soon(), start=soon(5))
        self.fails(ClientAuthenticationError, "AuthenticationFailed", self.sas_client(early).download_blob)
        secure = generate_account_sas(ACCOUNT, KEY, resource_types="co", permission="r", expiry=soon(), protocol="https")
        self.fails(HttpResponseError, "AuthorizationProtocolMismatch", self.sas_client(secure).download_blob)
        elsewhere = generate_account_sas(ACCOUNT, KEY, resource_types="co", permission="r", expiry=soon(), ip="10.1.1.1")
        self.fails(HttpResponseError, "AuthorizationSourceIPMismatch", self.sas_client(elsewhere).download_blob)

    def test_blob_sas(self):
        name = self.container.container_name
        self.blob().upload_blob(b"x")
        token = generate_blob_sas(ACCOUNT, name, "blob", account_key=KEY, permission="r", expiry=soon(), content_type="a/b")
        read = self.sas_client(token).download_blob()
        self.assertEqual((read.readall(), read.properties.content_settings.content_type), (b"x", "a/b"))
        self.fails(HttpResponseError, "AuthorizationPermissionMismatch", self.sas_client(token).upload_blob, b"y", overwrite=True)
        other = BlobClient(ENDPOINT, name, "other", credential=token, retry_total=0)
        self.fails(ClientAuthenticationError, "AuthenticationFailed", other.download_blob)
        create = generate_blob_sas(ACCOUNT, name, "blob", account_key=KEY, permission="c", expiry=soon())
        self.fails(HttpResponseError, "UnauthorizedBlobOverwrite", self.sas_client(create).upload_blob, b"y", overwrite=True)

    def test_container_sas_and_policy(self):
        name = self.container.container_name
        self.blob().upload_blob(b"x")
        token = generate_container_sas(ACCOUNT, name, account_key=KEY, permission="rl", expiry=soon())
        listed = ContainerClient(ENDPOINT, name, credential=token, retry_total=0)
        self.assertEqual([b.name for b in listed.list_blobs()], ["blob"])
        self.fails(HttpResponseError, "AuthorizationPermissionMismatch", listed.delete_container)
        token = generate_container_sas(ACCOUNT, name, account_key=KEY, policy_id="p")
        self.fails(ClientAuthenticationError, "AuthenticationFailed", self.sas_client(token).download_blob)
        self.container.set_container_access_policy({"p": AccessPolicy(permission="r", expiry=soon())})
        self.assertEqual(self.sas_client(token).download_blob().readall(), b"x")
        self.container.set_container_access_policy({})
        self.fails(ClientAuthenticationError, "AuthenticationFailed", self.sas_client(token).download_blob)

    def test_anonymous(self):
        self.blob().upload_blob(b"x")
        anonymous = self.sas_client(None)
        listed = ContainerClient(ENDPOINT, self.container.container_name, retry_total=0)
        self.fails(ResourceNotFoundError, "ResourceNotFound", anonymous.download_blob)
        self.container.set_container_access_policy({}, public_access=PublicAccess.BLOB)
        self.assertEqual(anonymous.download_blob().readall(), b"x")
        self.fails(ResourceNotFoundError, "ResourceNotFound", lambda: list(listed.list_blobs()))
        self.container.set_container_access_policy({}, public_access=PublicAccess.CONTAINER)
        self.assertEqual([b.name for b in listed.list_blobs()], ["blob"])
        self.fails(ClientAuthenticationError, "NoAuthenticationInformation", anonymous.upload_blob, b"y")


class Wire(Blobs):
    def test_errors_have_a_code_and_ids(self):
        response, body = raw("GET", "/?comp=list", {"x-ms-client-request-id": "mine", "x-ms-version": "2031-01-01"})
        self.assertEqual(response.status, 401)
        self.assertEqual(response.getheader("x-ms-error-code"), "NoAuthenticationInformation")
        self.assertEqual(response.getheader("x-ms-client-request-id"), "mine")
        self.assertEqual(response.getheader("x-ms-version"), "2031-01-01")
        self.assertIn(response.getheader("x-ms-request-id").encode(), body)
        response, body = raw("HEAD", "/nothing/here")
        self.assertEqual((response.status, body, response.getheader("x-ms-error-code")), (404, b"", "ResourceNotFound"))

    def test_bad_requests(self):
        date = "Mon, 01 Jan 2001 00:00:00 GMT"
        signed = {"Authorization": f"SharedKey {ACCOUNT}:AAAA", "x-ms-version": "2021-10-04"}
        for method, target, headers, status, code in (
            ("GET", "/?comp=list", {**signed, "x-ms-date": date}, 403, "AuthenticationFailed"),
            ("GET", "/?comp=list", signed, 403, "AuthenticationFailed"),
            ("GET", "/?comp=list", {"Authorization": "nonsense"}, 400, "InvalidAuthenticationInfo"),
            ("GET", "/?comp=list", {"x-ms-version": "newest"}, 400, "InvalidHeaderValue"),
            ("GET", "/%ff/x", {}, 400, "InvalidUri"),
            ("GET", "/c?restype=container&comp=nonsense", {}, 400, "InvalidQueryParameterValue"),
            ("PATCH", "/c?restype=container", {}, 405, "UnsupportedHttpVerb"),
            ("PUT", "/c/b", {}, 400, "MissingRequiredHeader"),
            ("GET", "/c/b?sig=x&sr=b&sp=r&se=2001-01-01", {}, 403, "AuthenticationFailed"),
        ):
            response, _ = raw(method, target, headers)
            told = (response.status, response.getheader("x-ms-error-code"))
            self.assertEqual(told, (status, code), (method, target, headers))

    def test_malformed_bodies(self):
        name = self.container.container_name
        token = generate_container_sas(ACCOUNT, name, account_key=KEY, permission="rwc", expiry=soon())
        for body, code in (
            (b"<BlockList", "InvalidXmlDocument"),
            (b"<BlockList><Latest>!</Latest></BlockList>", "InvalidBlockList"),
            (b"<!DOCTYPE a [<!ENTITY b 'c'>]><BlockList/>", "InvalidXmlDocument"),
            (b"\xff\xfe", "InvalidXmlDocument"),
        ):
            response, _ = raw("PUT", f"/{name}/b?comp=blocklist&{token}", body=body)
            self.assertEqual((response.status, response.getheader("x-ms-error-code")), (400, code), body)

    def test_malformed_range_is_no_range(self):
        name = self.container.container_name
        self.blob().upload_blob(b"0123456789")
        token = generate_blob_sas(ACCOUNT, name, "blob", account_key=KEY, permission="r", expiry=soon())
        for text, status, expected in (
            ("bytes=2-4", 206, b"234"),
            ("bytes=-3", 200, b"0123456789"),
            ("bytes=4-2", 200, b"0123456789"),
            ("nonsense", 200, b"0123456789"),
        ):
            response, body = raw("GET", f"/{name}/blob?{token}", {"Range": text})
            self.assertEqual((response.status, body), (status, expected), text)
        response, _ = raw("GET", f"/{name}/blob?{token}", {"Range": "bytes=10-"})
        self.assertEqual((response.status, response.getheader("Content-Range")), (416, "bytes */10"))

    def test_chunked_body_and_keep_alive(self):
        name = self.container.container_name
        token = generate_container_sas(ACCOUNT, name, account_key=KEY, permission="rwc", expiry=soon())
        url = urllib.parse.urlsplit(ENDPOINT)
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
        pieces = [os.urandom(70_000) for _ in range(5)]
        connection.request("PUT", f"{url.path}/{name}/chunked?{token}", body=iter(pieces),
                           headers={"x-ms-blob-type": "BlockBlob"}, encode_chunked=True)
        response = connection.getresponse()
        self.assertEqual((response.status, response.read()), (201, b""))
        connection.request("GET", f"{url.path}/{name}/chunked?{token}")
        self.assertEqual(connection.getresponse().read(), b"".join(pieces))


if __name__ == "__main__":
    unittest.main(verbosity=1)
