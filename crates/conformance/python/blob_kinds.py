"""Append and page blobs, CRC-64 and hashes of ranges, keys that clients bring and encryption scopes, as
azure-storage-blob sees them."""

import base64
import concurrent.futures
import hashlib
import os
import unittest
import urllib.parse

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceExistsError
from azure.core.exceptions import ResourceModifiedError
from azure.storage.blob import BlobServiceClient, BlobType, ContainerEncryptionScope, CustomerProvidedEncryptionKey
from azure.storage.blob import generate_container_sas

from blob_case import ACCOUNT, KEY, MIB, Blobs, raw, service, soon

PAGE = 512
# The check value of CRC-64/NVME, the least significant byte first.
CRC64_OF_DIGITS = base64.b64encode(0xAE8B14860A799888.to_bytes(8, "little")).decode()


class Kinds(Blobs):
    """Beside the client, plain requests under a signature of the container."""

    def ask(self, method, target, headers=None, body=None, version="2025-11-05"):
        name = self.container.container_name
        token = generate_container_sas(ACCOUNT, name, account_key=KEY, permission="racwdxltmeop", expiry=soon())
        mark = "&" if "?" in target else "?"
        response, answer = raw(method, f"/{name}/{target}{mark}{token}",
                               {"x-ms-version": version} | (headers or {}), body)
        return response, answer

    def refused(self, code, *arguments, **named):
        response, answer = self.ask(*arguments, **named)
        self.assertEqual(response.getheader("x-ms-error-code"), code, answer)


class Append(Kinds):
    def test_blocks(self):
        blob = self.blob()
        blob.create_append_blob(metadata={"a": "b"})
        first = blob.append_block(b"abc", validate_content=True)
        self.assertEqual((first["blob_append_offset"], first["blob_committed_block_count"]), ("0", 1))
        second = blob.append_block(os.urandom(100_000))
        self.assertEqual((second["blob_append_offset"], second["blob_committed_block_count"]), ("3", 2))
        properties = blob.get_blob_properties()
        self.assertEqual((properties.size, properties.blob_type), (100_003, BlobType.APPENDBLOB))
        self.assertEqual(properties.append_blob_committed_block_count, 2)
        self.assertNotEqual(first["etag"], second["etag"])
        self.assertEqual(blob.download_blob(offset=1, length=2).readall(), b"bc")
        blob.upload_blob(b"end", blob_type=BlobType.APPENDBLOB)
        self.assertEqual(blob.download_blob(offset=100_003).readall(), b"end")
        self.assertEqual(next(self.container.list_blobs()).blob_type, BlobType.APPENDBLOB)

    def test_conditions(self):
        blob = self.blob()
        blob.create_append_blob()
        blob.append_block(b"12345", appendpos_condition=0, maxsize_condition=5)
        self.fails(HttpResponseError, "AppendPositionConditionNotMet", blob.append_block, b"x",
                   appendpos_condition=4)
        self.fails(HttpResponseError, "MaxBlobSizeConditionNotMet", blob.append_block, b"x",
                   maxsize_condition=5)
        self.fails(ResourceModifiedError, "ConditionNotMet", blob.append_block, b"x",
                   etag="\"0x1\"", match_condition=MatchConditions.IfNotModified)
        self.fails(ResourceExistsError, "BlobAlreadyExists", blob.create_append_blob,
                   match_condition=MatchConditions.IfMissing)
        self.refused("InvalidHeaderValue", "PUT", "blob?comp=appendblock",
                     {"x-ms-blob-condition-appendpos": "five"}, b"x")
        self.refused("InvalidHeaderValue", "PUT", "blob?comp=appendblock", {}, b"")
        self.assertEqual(blob.download_blob().readall(), b"12345")

    def test_limits_follow_the_version(self):
        blob = self.blob()
        blob.create_append_blob()
        block = bytes(4 * MIB + 1)
        self.refused("RequestBodyTooLarge", "PUT", "blob?comp=appendblock", {}, block, version="2020-10-02")
        response, _ = self.ask("PUT", "blob?comp=appendblock", {}, block[1:], version="2020-10-02")
        self.assertEqual(response.status, 201)
        response, _ = self.ask("PUT", "blob?comp=appendblock", {}, block, version="2022-11-02")
        self.assertEqual(response.status, 201)
        self.refused("RequestBodyTooLarge", "PUT", "block?comp=block&blockid=YQ==", {}, block, version="2015-02-21")

    def test_seal_and_snapshot(self):
        blob = self.blob()
        blob.create_append_blob()
        blob.append_block(b"one")
        snapshot = blob.create_snapshot()["snapshot"]
        blob.append_block(b"two")
        self.fails(HttpResponseError, "AppendPositionConditionNotMet", blob.seal_append_blob,
                   appendpos_condition=3)
        blob.seal_append_blob()
        self.assertTrue(blob.get_blob_properties().is_append_blob_sealed)
        self.fails(ResourceExistsError, "BlobIsSealed", blob.append_block, b"three")
        blob.set_blob_metadata({"still": "possible"})
        old = self.container.get_blob_client("blob", snapshot=snapshot)
        self.assertEqual(old.download_blob().readall(), b"one")
        self.assertEqual(blob.download_blob().readall(), b"onetwo")

    def test_appenders_at_once(self):
        blob = self.blob()
        blob.create_append_blob()

        def append(who):
            return [(int(blob.append_block(bytes([who]) * (n + 1))["blob_append_offset"]), n + 1, who)
                    for n in range(10)]

        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            told = sorted(entry for entries in pool.map(append, range(1, 7)) for entry in entries)
        content = blob.download_blob().readall()
        self.assertEqual(b"".join(bytes([who]) * length for _, length, who in told), content)
        self.assertEqual([offset for offset, _, _ in told],
                         [sum(length for _, length, _ in told[:n]) for n in range(60)])

    def test_other_types(self):
        blob = self.blob()
        blob.upload_blob(b"block blob")
        self.fails(ResourceExistsError, "InvalidBlobType", blob.append_block, b"x")
        self.fails(ResourceExistsError, "InvalidBlobType", blob.seal_append_blob)
        self.fails(ResourceExistsError, "InvalidBlobType", blob.upload_page, bytes(512), 0, 512)
        self.fails(ResourceExistsError, "InvalidBlobType", blob.resize_blob, 512)
        self.fails(ResourceExistsError, "InvalidBlobType", blob.get_page_ranges)
        blob.create_append_blob()
        self.fails(ResourceExistsError, "InvalidBlobType", blob.stage_block, "YQ==", b"x")
        self.fails(ResourceExistsError, "InvalidBlobType", blob.get_block_list)
        self.fails(ResourceExistsError, "InvalidBlobType", blob.commit_block_list, [])


class Pages(Kinds):
    def ranges(self, blob, **named):
        return [(found.start, found.end, found.cleared) for found in blob.list_page_ranges(**named)]

    def test_update_and_clear(self):
        blob = self.blob()
        blob.create_page_blob(10 * MIB, sequence_number=3)
        self.assertEqual(blob.get_blob_properties().page_blob_sequence_number, 3)
        across = os.urandom(4 * MIB)
        start = 2 * MIB
        answer = blob.upload_page(across, start, len(across), validate_content=True)
        self.assertEqual(answer["blob_sequence_number"], 3)
        self.assertEqual(blob.download_blob().readall(), bytes(start) + across + bytes(4 * MIB))
        blob.clear_page(4 * MIB - PAGE, 2 * PAGE)
        self.assertEqual(self.ranges(blob), [
            (start, 4 * MIB - PAGE - 1, False), (4 * MIB + PAGE, 6 * MIB - 1, False)])
        self.assertEqual(blob.download_blob(offset=4 * MIB - PAGE - 1, length=3).readall(),
                         across[2 * MIB - PAGE - 1:2 * MIB - PAGE] + bytes(2))
        blob.upload_blob(across, blob_type=BlobType.PAGEBLOB, overwrite=True)
        self.assertEqual(blob.download_blob().readall(), across)
        properties = blob.get_blob_properties()
        self.assertEqual((properties.size, properties.blob_type), (4 * MIB, BlobType.PAGEBLOB))

    def test_what_is_refused(self):
        blob = self.blob()
        self.fails(HttpResponseError, "InvalidHeaderValue", blob.create_page_blob, 513)
        self.fails(HttpResponseError, "InvalidHeaderValue", blob.create_page_blob, (8 << 40) + 512)
        blob.create_page_blob(8 << 40)
        self.assertEqual(blob.get_blob_properties().size, 8 << 40)
        blob.create_page_blob(1024)
        self.fails(HttpResponseError, "InvalidPageRange", blob.upload_page, bytes(512), 1024, 512)
        update = {"x-ms-page-write": "update"}
        for code, range_text, headers, body in (
            ("InvalidPageRange", "bytes=0-510", update, bytes(511)),
            ("InvalidPageRange", "bytes=1-512", update, bytes(512)),
            ("InvalidPageRange", "bytes=0-", update, bytes(512)),
            ("InvalidPageRange", "bytes=a-b", update, bytes(512)),
            ("InvalidHeaderValue", "bytes=0-511", update, bytes(1024)),
            ("InvalidHeaderValue", "bytes=0-511", {"x-ms-page-write": "erase"}, b""),
            ("InvalidHeaderValue", "bytes=0-511", {"x-ms-page-write": "clear"}, b"x"),
            ("MissingRequiredHeader", "bytes=0-511", {}, bytes(512)),
            ("RequestBodyTooLarge", f"bytes=0-{4 * MIB + 511}", update, bytes(4 * MIB + 512)),
            ("Md5Mismatch", "bytes=0-511", update | {"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}, bytes(512)),
        ):
            self.refused(code, "PUT", "blob?comp=page", headers | {"x-ms-range": range_text}, body)
        self.refused("MissingRequiredHeader", "PUT", "blob?comp=page", update, bytes(512))
        self.assertEqual(self.ranges(blob), [])

    def test_sequence_numbers(self):
        blob = self.blob()
        blob.create_page_blob(1024, sequence_number=5)
        page = bytes(512)
        for good, bad in (
            ({"if_sequence_number_lte": 5}, {"if_sequence_number_lte": 4}),
            ({"if_sequence_number_lt": 6}, {"if_sequence_number_lt": 5}),
            ({"if_sequence_number_eq": 5}, {"if_sequence_number_eq": 6}),
        ):
            blob.upload_page(page, 0, 512, **good)
            self.fails(HttpResponseError, "SequenceNumberConditionNotMet", blob.upload_page, page, 0, 512, **bad)
        for action, number, expected in (("max", 4, 5), ("max", 9, 9), ("update", 2, 2), ("increment", None, 3)):
            answer = blob.set_sequence_number(action, number)
            self.assertEqual(answer["blob_sequence_number"], expected, action)
        self.assertEqual(blob.get_blob_properties().page_blob_sequence_number, 3)

    def test_resize(self):
        blob = self.blob()
        blob.create_page_blob(1024)
        blob.set_http_headers(None)
        blob.upload_page(b"x" * 1024, 0, 1024)
        blob.resize_blob(512)
        blob.resize_blob(2048)
        self.assertEqual(blob.download_blob().readall(), b"x" * 512 + bytes(1536))
        self.assertEqual(self.ranges(blob), [(0, 511, False)])
        self.fails(HttpResponseError, "InvalidHeaderValue", blob.resize_blob, 100)

    def test_differences(self):
        blob = self.blob()
        blob.create_page_blob(16 * PAGE)
        blob.upload_page(b"a" * PAGE * 4, 0, PAGE * 4)
        first = blob.create_snapshot()
        blob.upload_page(b"b" * PAGE, PAGE * 8, PAGE)
        blob.clear_page(PAGE, PAGE)
        second = blob.create_snapshot()
        blob.upload_page(b"c" * PAGE, 0, PAGE)
        lines = lambda *pages: [(page * PAGE, page * PAGE + PAGE - 1, cleared) for page, cleared in pages]
        self.assertEqual(self.ranges(blob, previous_snapshot=first),
                         lines((0, False), (1, True), (8, False)))
        self.assertEqual(self.ranges(blob, previous_snapshot=second), lines((0, False)))
        old = self.container.get_blob_client("blob", snapshot=second["snapshot"])
        self.assertEqual(self.ranges(old, previous_snapshot=first), lines((1, True), (8, False)))
        self.assertEqual(old.download_blob().readall()[:PAGE * 2], b"a" * PAGE + bytes(PAGE))
        pages = list(blob.list_page_ranges(previous_snapshot=first, results_per_page=1).by_page())
        self.assertEqual([len(list(page)) for page in pages], [1, 1, 1])
        self.assertEqual(self.ranges(blob, previous_snapshot=first, offset=PAGE, length=PAGE), lines((1, True)))
        url = f"{blob.url}?snapshot={urllib.parse.quote(first['snapshot'])}"
        response, answer = self.ask("GET", "blob?comp=pagelist", {"x-ms-previous-snapshot-url": url})
        self.assertIn(b"<ClearRange><Start>512</Start><End>1023</End></ClearRange>", answer)
        self.assertEqual(response.getheader("x-ms-blob-content-length"), str(16 * PAGE))
        with self.assertRaises(HttpResponseError) as caught:
            self.ranges(old, previous_snapshot=blob.create_snapshot())
        self.assertEqual(caught.exception.error_code, "PreviousSnapshotCannotBeNewer")
        self.refused("PreviousSnapshotNotFound", "GET",
                     "blob?comp=pagelist&prevsnapshot=2020-01-01T00:00:00.0000000Z")
        blob.create_page_blob(16 * PAGE)
        with self.assertRaises(HttpResponseError) as caught:
            self.ranges(blob, previous_snapshot=first)
        self.assertEqual(caught.exception.error_code, "BlobOverwritten")


class Hashes(Kinds):
    def test_crc64_of_what_is_sent(self):
        digits, good = b"123456789", {"x-ms-content-crc64": CRC64_OF_DIGITS}
        page = digits * 512
        page_crc = self.page_crc(page)
        self.blob("append").create_append_blob()
        self.blob("page").create_page_blob(len(page))
        blocks = b"<BlockList><Latest>YQ==</Latest></BlockList>"
        for target, headers, body, crc in (
            ("block", {"x-ms-blob-type": "BlockBlob"}, digits, CRC64_OF_DIGITS),
            ("staged?comp=block&blockid=YQ==", {}, digits, CRC64_OF_DIGITS),
            ("append?comp=appendblock", {}, digits, CRC64_OF_DIGITS),
            ("page?comp=page", {"x-ms-page-write": "update", "x-ms-range": f"bytes=0-{len(page) - 1}"},
             page, page_crc),
        ):
            response, answer = self.ask("PUT", target, headers | {"x-ms-content-crc64": crc}, body)
            self.assertEqual((response.status, response.getheader("x-ms-content-crc64")), (201, crc), answer)
            self.refused("Crc64Mismatch", "PUT", target, headers | {"x-ms-content-crc64": "AAAAAAAAAAA="}, body)
            self.refused("InvalidHeaderValue", "PUT", target, headers | {"x-ms-content-crc64": "AAA="}, body)
            md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
            self.refused("InvalidInput", "PUT", target, headers | {"x-ms-content-crc64": crc, "Content-MD5": md5}, body)
        self.refused("Crc64Mismatch", "PUT", "staged?comp=blocklist", good, blocks)
        response, _ = self.ask("PUT", "staged?comp=block&blockid=YQ==", {}, digits)
        self.assertEqual(response.getheader("x-ms-content-crc64"), CRC64_OF_DIGITS)
        response, _ = self.ask("PUT", "staged?comp=blocklist", {}, blocks)
        self.assertEqual(response.status, 201)
        self.refused("UnsupportedHeader", "PUT", "framed", {
            "x-ms-blob-type": "BlockBlob", "x-ms-structured-body": "XSM/1.0; properties=crc64",
            "x-ms-structured-content-length": "9"}, digits)

    def page_crc(self, page):
        """What the server says of the same bytes where it was not told."""
        response, _ = self.ask("PUT", "other?comp=block&blockid=YQ==", {}, page)
        return response.getheader("x-ms-content-crc64")

    def test_hashes_of_ranges(self):
        blob = self.blob()
        blob.upload_blob(b"__123456789__" + bytes(5 * MIB))
        crc, md5 = "x-ms-range-get-content-crc64", "x-ms-range-get-content-md5"
        response, answer = self.ask("GET", "blob", {"x-ms-range": "bytes=2-10", crc: "true"})
        self.assertEqual((response.status, answer), (206, b"123456789"))
        self.assertEqual(response.getheader("x-ms-content-crc64"), CRC64_OF_DIGITS)
        self.assertIsNotNone(response.getheader("x-ms-blob-content-md5"))
        response, answer = self.ask("GET", "blob", {"x-ms-range": "bytes=2-10", md5: "true"})
        self.assertEqual(response.getheader("Content-MD5"),
                         base64.b64encode(hashlib.md5(answer).digest()).decode())
        for name in (crc, md5):
            self.refused("InvalidHeaderValue", "GET", "blob", {name: "true"})
            self.refused("InvalidHeaderValue", "GET", "blob", {name: "true", "x-ms-range": f"bytes=0-{4 * MIB}"})
            response, _ = self.ask("GET", "blob", {name: "true", "x-ms-range": f"bytes=0-{4 * MIB - 1}"})
            self.assertEqual(response.status, 206)
        self.refused("InvalidInput", "GET", "blob", {crc: "true", md5: "true", "x-ms-range": "bytes=0-1"})
        response, answer = self.ask("GET", "blob", {"x-ms-range": "bytes=-5"})
        self.assertEqual((response.status, len(answer)), (200, 5 * MIB + 13))


class Keys(Kinds):
    """Over HTTP, keys are refused; over HTTPS, where there is such an endpoint, they work."""

    def key(self, byte=7):
        key = bytes([byte]) * 32
        return CustomerProvidedEncryptionKey(base64.b64encode(key).decode(),
                                             base64.b64encode(hashlib.sha256(key).digest()).decode())

    def test_refused_over_http(self):
        key = self.key()
        headers = {"x-ms-blob-type": "BlockBlob", "x-ms-encryption-key": key.key_value,
                   "x-ms-encryption-key-sha256": key.key_hash, "x-ms-encryption-algorithm": "AES256"}
        response, answer = self.ask("PUT", "blob", headers, b"x")
        self.assertEqual(response.status, 400)
        self.assertNotIn(key.key_value.encode(), answer)
        del headers["x-ms-encryption-algorithm"]
        self.refused("MissingRequiredHeader", "PUT", "blob", headers, b"x")

    @unittest.skipUnless("BLOB_HTTPS_ENDPOINT" in os.environ, "no HTTPS endpoint")
    def test_over_https(self):
        client = BlobServiceClient(os.environ["BLOB_HTTPS_ENDPOINT"], credential=KEY, retry_total=0,
                                   connection_verify=os.environ["BLOB_HTTPS_CA"])
        container = client.get_container_client(self.container.container_name)
        key, other = self.key(), self.key(8)
        content = os.urandom(300_000)
        block, append, page = (container.get_blob_client(name) for name in ("block", "append", "page"))
        answer = block.upload_blob(content, cpk=key)
        self.assertTrue(answer["request_server_encrypted"])
        self.assertEqual(answer["encryption_key_sha256"], key.key_hash)
        append.create_append_blob(cpk=key)
        append.append_block(content, cpk=key)
        page.create_page_blob(300_032, cpk=key)
        page.upload_page(content + bytes(32), 0, 300_032, cpk=key)
        listed = container.get_blob_client("listed")
        listed.stage_block("YQ==", content, cpk=key)
        listed.commit_block_list(["YQ=="], cpk=key)
        for blob in (block, append, page, listed):
            self.assertEqual(blob.download_blob(cpk=key).readall()[:300_000], content)
            part = blob.download_blob(offset=65_000, length=70_000, cpk=key).readall()
            self.assertEqual(part, content[65_000:135_000])
            properties = blob.get_blob_properties(cpk=key)
            self.assertTrue(properties.server_encrypted)
            self.assertEqual(properties.encryption_key_sha256, key.key_hash)
            with self.assertRaises(HttpResponseError) as caught:
                blob.download_blob()
            self.assertEqual(caught.exception.error_code, "BlobUsesCustomerSpecifiedEncryption")
            with self.assertRaises(HttpResponseError) as caught:
                blob.download_blob(cpk=other)
            self.assertEqual(caught.exception.status_code, 409)
            with self.assertRaises(HttpResponseError):
                blob.set_blob_metadata({"a": "b"})
            blob.set_blob_metadata({"a": "b"}, cpk=key)
        with self.assertRaises(HttpResponseError):
            append.append_block(b"x")

    def test_unknown_scope(self):
        self.refused("InvalidHeaderValue", "PUT", "blob",
                     {"x-ms-blob-type": "BlockBlob", "x-ms-encryption-scope": "nowhere"}, b"x")
        self.assertFalse(self.blob().exists())

    def test_scopes(self):
        a, b = ContainerEncryptionScope("scope-a"), "scope-b"
        blob = self.blob()
        blob.upload_blob(b"x", encryption_scope=b)
        self.assertEqual(blob.get_blob_properties().encryption_scope, b)
        self.assertFalse(blob.get_blob_properties().server_encrypted)
        name = f"{self.container.container_name}-s"
        container = service().create_container(name, container_encryption_scope=a)
        container.upload_blob("blob", b"x")
        container.upload_blob("other", b"x", encryption_scope=b)
        scope = lambda name: container.get_blob_client(name).get_blob_properties().encryption_scope
        self.assertEqual((scope("blob"), scope("other")), ("scope-a", b))
        container.delete_container()
        strict = ContainerEncryptionScope("scope-a", prevent_encryption_scope_override=True)
        container = service().create_container(name + "t", container_encryption_scope=strict)
        container.upload_blob("blob", b"x", encryption_scope="scope-a")
        self.fails(HttpResponseError, "RequestForbiddenByContainerEncryptionPolicy",
                   container.upload_blob, "other", b"x", encryption_scope=b)
        self.fails(HttpResponseError, "RequestForbiddenByContainerEncryptionPolicy",
                   container.get_blob_client("page").create_page_blob, 512, encryption_scope=b)
        container.delete_container()

    def test_without_a_key_nothing_is_encrypted(self):
        blob = self.blob()
        self.assertFalse(blob.upload_blob(b"x")["request_server_encrypted"])
        self.assertFalse(blob.get_blob_properties().server_encrypted)


if __name__ == "__main__":
    unittest.main(verbosity=1)
