"""Copies within the server and from others, as azure-storage-blob makes them."""

import http.server
import os
import threading
import time
import unittest
import uuid

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceModifiedError
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobBlock, BlobClient, BlobSasPermissions, BlobServiceClient, ContentSettings
from azure.storage.blob import StandardBlobTier, generate_blob_sas

from blob_case import ACCOUNT, ENDPOINT, KEY, MIB, Blobs, service, soon

OTHER = os.environ["OTHER_BLOB_ENDPOINT"]


def readable(blob, **named):
    """The blob's URL with a signature that permits to read it."""
    permission = named.pop("permission", BlobSasPermissions(read=True, tag=True))
    sas = generate_blob_sas(ACCOUNT, blob.container_name, blob.blob_name, account_key=KEY,
                            permission=permission, expiry=soon(), **named)
    return f"{blob.url.split('?')[0]}?{sas}"


def wait(blob, status="success"):
    end = time.monotonic() + 30
    while (found := blob.get_blob_properties()).copy.status == "pending":
        assert time.monotonic() < end, "the copy does not end"
        time.sleep(0.02)
    assert found.copy.status == status, (found.copy.status, found.copy.status_description)
    return found


class Copies(Blobs):
    """Copy Blob within the server."""

    def test_what_is_copied(self):
        source, copy = self.blob("source ü"), self.blob("copy")
        settings = ContentSettings(content_type="text/x", content_language="de", cache_control="no-cache",
                                   content_disposition="inline", content_encoding="x")
        source.upload_blob(b"content", content_settings=settings, metadata={"a": "1"}, tags={"t": "1"})
        started = copy.start_copy_from_url(source.url)
        self.assertEqual(started["copy_status"], "success")
        found = copy.get_blob_properties()
        self.assertEqual(found.etag, started["etag"])
        self.assertEqual(found.copy.id, started["copy_id"])
        self.assertEqual(found.copy.progress, "7/7")
        self.assertTrue(found.copy.source.endswith("/source%20%C3%BC"), found.copy.source)
        self.assertEqual(found.metadata, {"a": "1"})
        self.assertIsNone(found.tag_count)
        for name in ("content_type", "content_language", "cache_control", "content_disposition", "content_md5"):
            self.assertEqual(getattr(found.content_settings, name),
                             getattr(source.get_blob_properties().content_settings, name), name)
        self.assertEqual(copy.download_blob().readall(), b"content")
        copy.start_copy_from_url(source.url, metadata={"b": "2"}, tags={"u": "2"},
                                 standard_blob_tier=StandardBlobTier.COOL)
        found = copy.get_blob_properties()
        self.assertEqual((found.metadata, found.blob_tier, copy.get_blob_tags()), ({"b": "2"}, "Cool", {"u": "2"}))
        listed = [blob for blob in self.container.list_blobs(include=["copy"]) if blob.name == "copy"]
        self.assertEqual(listed[0].copy.status, "success")
        copy.set_http_headers(ContentSettings())
        self.assertIsNone(copy.get_blob_properties().copy.id)

    def test_blocks_are_kept(self):
        source, copy = self.blob("source"), self.blob("copy")
        for name in ("a", "b", "c"):
            source.stage_block(name, name.encode() * 3 * MIB)
        source.commit_block_list([BlobBlock(name) for name in ("a", "b", "c")])
        source.stage_block("d", b"uncommitted")
        copy.start_copy_from_url(source.url)
        wait(copy)
        committed, uncommitted = copy.get_block_list("all")
        self.assertEqual([(block.id, block.size) for block in committed],
                         [(name, 3 * MIB) for name in ("a", "b", "c")])
        self.assertEqual(uncommitted, [])
        self.assertEqual(copy.download_blob().readall(), source.download_blob().readall())

    def test_append_blobs(self):
        source, copy = self.blob("source"), self.blob("copy")
        source.create_append_blob()
        for text in (b"one", b"two", b"x" * 100_000):
            source.append_block(text)
        source.seal_append_blob()
        copy.start_copy_from_url(source.url, seal_destination_blob=False)
        found = wait(copy)
        self.assertEqual((found.blob_type, found.append_blob_committed_block_count), ("AppendBlob", 3))
        self.assertEqual(copy.download_blob().readall(), b"onetwo" + b"x" * 100_000)
        copy.append_block(b"more")
        sealed = self.blob("sealed")
        sealed.start_copy_from_url(source.url)
        wait(sealed)
        self.fails(ResourceExistsError, "BlobIsSealed", sealed.append_block, b"more")

    def test_page_blobs(self):
        source, copy = self.blob("source"), self.blob("copy")
        source.create_page_blob(64 * MIB, sequence_number=7)
        for offset in (0, 5 * MIB, 64 * MIB - 512):
            source.upload_page(bytes([offset % 251 + 1]) * 512, offset, 512)
        snapshot = source.create_snapshot()
        source.clear_page(0, 512)
        copy.start_copy_from_url(f"{source.url}?snapshot={snapshot['snapshot']}")
        found = wait(copy)
        self.assertEqual((found.size, found.page_blob_sequence_number), (64 * MIB, 7))
        self.assertEqual([(r["start"], r["end"]) for r in copy.get_page_ranges()[0]],
                         [(at, at + 511) for at in (0, 5 * MIB, 64 * MIB - 512)])
        self.assertEqual(copy.download_blob(0, 512).readall(), b"\x01" * 512)
        self.fails(ResourceExistsError, "InvalidBlobType", self.uploaded("block").start_copy_from_url, source.url)

    def uploaded(self, name, content=b"content", **named):
        blob = self.blob(name)
        blob.upload_blob(content, **named)
        return blob

    def test_over_itself(self):
        blob = self.uploaded("blob", b"x" * MIB, metadata={"a": "1"})
        snapshot = blob.create_snapshot(metadata={"b": "2"})["snapshot"]
        self.assertEqual(blob.start_copy_from_url(blob.url, metadata={"c": "3"})["copy_status"], "success")
        self.assertEqual(blob.get_blob_properties().metadata, {"c": "3"})
        blob.upload_blob(b"other", overwrite=True)
        blob.start_copy_from_url(f"{blob.url}?snapshot={snapshot}")
        self.assertEqual(blob.get_blob_properties().metadata, {"b": "2"})
        self.assertEqual(blob.download_blob().readall(), b"x" * MIB)
        blob.delete_blob(delete_snapshots="include")

    def test_append_blob_over_itself(self):
        blob = self.blob()
        blob.create_append_blob()
        blob.append_block(b"one")
        snapshot = blob.create_snapshot()["snapshot"]
        blob.append_block(b"two")
        blob.start_copy_from_url(f"{blob.url}?snapshot={snapshot}")
        wait(blob)
        blob.append_block(b"three")
        self.assertEqual(blob.download_blob().readall(), b"onethree")
        old = self.container.get_blob_client(blob.blob_name, snapshot=snapshot)
        self.assertEqual(old.download_blob().readall(), b"one")

    def test_conditions(self):
        source, copy = self.uploaded("source", tags={"t": "1"}), self.uploaded("copy")
        etag = source.get_blob_properties().etag
        for named in ({"source_etag": "\"0x1\"", "source_match_condition": MatchConditions.IfNotModified},
                      {"source_if_modified_since": soon()}):
            self.fails(HttpResponseError, "SourceConditionNotMet", copy.start_copy_from_url, source.url, **named)
        copy.start_copy_from_url(source.url, source_etag=etag,
                                 source_match_condition=MatchConditions.IfNotModified)
        self.fails(ResourceModifiedError, "ConditionNotMet", copy.start_copy_from_url, source.url,
                   etag="\"0x1\"", match_condition=MatchConditions.IfNotModified)
        lease = copy.acquire_lease()
        self.fails(HttpResponseError, "LeaseIdMissing", copy.start_copy_from_url, source.url)
        copy.start_copy_from_url(source.url, destination_lease=lease)
        # A lease of the source does not matter.
        source.acquire_lease()
        copy.start_copy_from_url(source.url, destination_lease=lease)

    def test_sources_that_cannot_be_read(self):
        copy = self.blob("copy")
        none = self.blob("none")
        self.fails(ResourceNotFoundError, "CannotVerifyCopySource", copy.start_copy_from_url, none.url)
        self.assertFalse(copy.exists())
        self.fails(HttpResponseError, "InvalidHeaderValue", copy.start_copy_from_url, "no url")
        self.fails(HttpResponseError, "InvalidSourceBlobUrl", copy.start_copy_from_url,
                   f"{ENDPOINT}/{self.container.container_name}?restype=container")
        archived = self.uploaded("archived")
        archived.set_standard_blob_tier(StandardBlobTier.ARCHIVE)
        self.fails(ResourceExistsError, "BlobArchived", copy.start_copy_from_url, archived.url)

    def test_archived_source_with_a_tier(self):
        archived, copy = self.uploaded("archived"), self.blob("copy")
        archived.set_standard_blob_tier(StandardBlobTier.ARCHIVE)
        copy.start_copy_from_url(archived.url, standard_blob_tier=StandardBlobTier.HOT)
        self.assertEqual(wait(copy).blob_tier, "Hot")
        self.assertEqual(copy.download_blob().readall(), b"content")

    def test_authorization_of_the_source(self):
        source = self.uploaded("source")
        sas = generate_blob_sas(ACCOUNT, self.container.container_name, "copy", account_key=KEY,
                                permission=BlobSasPermissions(write=True, create=True), expiry=soon())
        copy = BlobClient.from_blob_url(f"{self.blob('copy').url}?{sas}", retry_total=0)
        # A signature for HTTPS alone is not for what comes by HTTP, whatever scheme the URL has.
        secure = readable(source, protocol="https").replace("http://", "https://", 1)
        self.fails(HttpResponseError, "CannotVerifyCopySource", copy.start_copy_from_url, secure)
        # Who writes by a signature needs one for the source, or a public source.
        self.fails(ResourceNotFoundError, "CannotVerifyCopySource", copy.start_copy_from_url, source.url)
        self.fails(HttpResponseError, "CannotVerifyCopySource", copy.start_copy_from_url,
                   readable(source, permission=BlobSasPermissions(write=True)))
        copy.start_copy_from_url(readable(source))
        found = self.blob("copy").get_blob_properties()
        self.assertNotIn("sig", found.copy.source)
        self.container.set_container_access_policy({}, public_access="blob")
        copy.start_copy_from_url(source.url)

    def test_with_versions_off_the_last_is_gone(self):
        source, copy = self.uploaded("source", b"new"), self.uploaded("copy", b"old")
        copy.start_copy_from_url(source.url)
        self.assertEqual(copy.download_blob().readall(), b"new")
        self.assertEqual(len(list(self.container.list_blobs())), 2)


class Synchronous(Blobs):
    """Copy Blob From URL, Put Blob From URL, and parts from a URL."""

    def setUp(self):
        super().setUp()
        self.content = os.urandom(3 * MIB)
        self.source = self.blob("source")
        settings = ContentSettings(content_type="text/x", content_language="de")
        self.source.upload_blob(self.content, content_settings=settings, metadata={"a": "1"}, tags={"t": "1"})
        self.md5 = self.source.get_blob_properties().content_settings.content_md5

    def test_copy_from_url(self):
        copy = self.blob("copy")
        copied = copy.start_copy_from_url(self.source.url, requires_sync=True)
        self.assertEqual(copied["copy_status"], "success")
        found = copy.get_blob_properties()
        self.assertEqual((found.metadata, found.content_settings.content_type), ({"a": "1"}, "text/x"))
        self.assertEqual((found.copy.status, found.copy.progress), ("success", f"{3 * MIB}/{3 * MIB}"))
        self.assertEqual(copy.download_blob().readall(), self.content)
        copy.start_copy_from_url(self.source.url, requires_sync=True, tags="COPY")
        self.assertEqual(copy.get_blob_tags(), {"t": "1"})
        pages = self.blob("pages")
        pages.create_page_blob(512)
        self.fails(ResourceExistsError, "InvalidSourceBlobType", copy.start_copy_from_url, pages.url,
                   requires_sync=True)

    def test_put_blob_from_url(self):
        copy = self.blob("copy")
        copy.upload_blob_from_url(self.source.url)
        found = copy.get_blob_properties()
        self.assertEqual(found.content_settings.content_language, "de")
        self.assertEqual(bytes(found.content_settings.content_md5), bytes(self.md5))
        self.assertEqual(copy.download_blob().readall(), self.content)
        self.fails(ResourceExistsError, "BlobAlreadyExists", copy.upload_blob_from_url, self.source.url)
        copy.upload_blob_from_url(self.source.url, overwrite=True, include_source_blob_properties=False,
                                  metadata={"b": "2"}, content_settings=ContentSettings(content_type="text/y"),
                                  source_content_md5=self.md5)
        found = copy.get_blob_properties()
        self.assertEqual((found.metadata, found.content_settings.content_type,
                          found.content_settings.content_language), ({"b": "2"}, "text/y", None))
        self.fails(HttpResponseError, "Md5Mismatch", copy.upload_blob_from_url, self.source.url, overwrite=True,
                   source_content_md5=b"x" * 16)
        self.assertEqual(copy.download_blob().readall(), self.content)

    def test_blocks_from_url(self):
        copy = self.blob("copy")
        copy.stage_block_from_url("1", self.source.url, source_offset=MIB, source_length=MIB)
        copy.stage_block_from_url("2", self.source.url)
        copy.commit_block_list([BlobBlock("1"), BlobBlock("2")])
        self.assertEqual(copy.download_blob().readall(), self.content[MIB:2 * MIB] + self.content)
        self.fails(HttpResponseError, "Md5Mismatch", copy.stage_block_from_url, "3", self.source.url,
                   source_content_md5=b"x" * 16)
        self.fails(HttpResponseError, "InvalidRange", copy.stage_block_from_url, "3", self.source.url,
                   source_offset=4 * MIB, source_length=MIB)

    def test_appended_from_url(self):
        copy = self.blob("copy")
        copy.create_append_blob()
        copy.append_block_from_url(self.source.url, source_offset=5, source_length=10)
        copy.append_block_from_url(self.source.url, appendpos_condition=10)
        self.fails(HttpResponseError, "AppendPositionConditionNotMet", copy.append_block_from_url,
                   self.source.url, appendpos_condition=10)
        self.assertEqual(copy.download_blob().readall(), self.content[5:15] + self.content)

    def test_pages_from_url(self):
        copy = self.blob("copy")
        copy.create_page_blob(4 * MIB)
        copy.upload_pages_from_url(self.source.url, offset=512, length=1024, source_offset=2048)
        self.assertEqual(copy.download_blob(512, 1024).readall(), self.content[2048:3072])
        self.fails(HttpResponseError, "InvalidHeaderValue", copy.upload_pages_from_url, self.source.url,
                   offset=0, length=1024, source_offset=3 * MIB - 512)

    def test_conditions_on_the_source(self):
        copy = self.blob("copy")
        wrong = {"source_etag": "\"0x1\"", "source_match_condition": MatchConditions.IfNotModified}
        self.fails(HttpResponseError, "SourceConditionNotMet", copy.upload_blob_from_url, self.source.url, **wrong)
        copy.create_append_blob()
        self.fails(HttpResponseError, "SourceConditionNotMet", copy.append_block_from_url, self.source.url, **wrong)


class Incremental(Blobs):
    def test_snapshot_by_snapshot(self):
        source, copy = self.blob("source"), self.blob("copy")
        source.create_page_blob(8 * MIB)
        source.upload_page(b"a" * 1024, 0, 1024)
        source.upload_page(b"b" * 512, 5 * MIB, 512)
        first = source.create_snapshot()["snapshot"]
        copy.start_copy_from_url(f"{source.url}?snapshot={first}", incremental_copy=True)
        found = wait(copy)
        self.assertTrue(found.copy.incremental_copy)
        snapshots = [found.copy.destination_snapshot]
        source.clear_page(512, 512)
        source.upload_page(b"c" * 512, 7 * MIB, 512)
        second = source.create_snapshot()["snapshot"]
        source.upload_page(b"d" * 512, 0, 512)
        copy.start_copy_from_url(f"{source.url}?snapshot={second}", incremental_copy=True)
        snapshots.append(wait(copy).copy.destination_snapshot)
        for theirs, ours in zip((first, second), snapshots):
            theirs = self.container.get_blob_client("source", snapshot=theirs)
            ours = self.container.get_blob_client("copy", snapshot=ours)
            self.assertEqual(ours.download_blob().readall(), theirs.download_blob().readall())
        ours = self.container.get_blob_client("copy", snapshot=snapshots[1])
        written, cleared = ours.get_page_ranges(previous_snapshot_diff=snapshots[0])
        self.assertEqual([r["start"] for r in written], [7 * MIB])
        self.assertEqual([r["start"] for r in cleared], [512])
        # The blob itself takes nothing else, and cannot be read.
        refused = "OperationNotAllowedOnIncrementalCopyBlob"
        self.fails(ResourceExistsError, refused, copy.create_snapshot)
        self.fails(ResourceExistsError, refused, copy.upload_page, b"x" * 512, 0, 512)
        self.fails(ResourceExistsError, refused, copy.download_blob)
        self.fails(ResourceExistsError, "IncrementalCopyOfEralierVersionSnapshotNotAllowed", copy.start_copy_from_url,
                   f"{source.url}?snapshot={first}", incremental_copy=True)
        self.fails(ResourceExistsError, "IncrementalCopySourceMustBeSnapshot", copy.start_copy_from_url,
                   source.url, incremental_copy=True)
        other = self.blob("other")
        other.create_page_blob(8 * MIB)
        other = f"{other.url}?snapshot={other.create_snapshot()['snapshot']}"
        self.fails(ResourceExistsError, "IncrementalCopyBlobMismatch", copy.start_copy_from_url, other,
                   incremental_copy=True)
        # A snapshot of it can be made a blob like any other.
        whole = self.blob("whole")
        whole.start_copy_from_url(ours.url)
        wait(whole)
        self.assertEqual(whole.download_blob(7 * MIB, 512).readall(), b"c" * 512)
        copy.delete_blob(delete_snapshots="include")

    def test_source_without_the_last_snapshot(self):
        source, copy = self.blob("source"), self.blob("copy")
        source.create_page_blob(2 * MIB)
        source.upload_page(b"a" * 512, 0, 512)
        first = source.create_snapshot()["snapshot"]
        copy.start_copy_from_url(f"{source.url}?snapshot={first}", incremental_copy=True)
        wait(copy)
        source.clear_page(0, 512)
        source.upload_page(b"b" * 512, 1024, 512)
        source.resize_blob(MIB)
        second = source.create_snapshot()["snapshot"]
        self.container.get_blob_client("source", snapshot=first).delete_blob()
        copy.start_copy_from_url(f"{source.url}?snapshot={second}", incremental_copy=True)
        found = wait(copy)
        ours = self.container.get_blob_client("copy", snapshot=found.copy.destination_snapshot)
        self.assertEqual(ours.get_blob_properties().size, MIB)
        self.assertEqual(ours.download_blob().readall(), source.download_blob().readall())


class Source(http.server.BaseHTTPRequestHandler):
    """Another server, which is no storage service."""
    protocol_version = "HTTP/1.1"
    release = threading.Event()
    content = bytes(range(256)) * 8192

    def do_GET(self):
        if self.path == "/redirect":
            self.send_response(302)
            self.send_header("Location", f"{ENDPOINT}/secret/blob")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if self.path.startswith("/forbidden"):
            return self.send_error(403)
        if self.path == "/wrong-range":
            self.send_response(206)
            self.send_header("Content-Range", f"bytes 5-14/{len(self.content)}")
            self.send_header("Content-Length", "10")
            self.end_headers()
            return self.wfile.write(self.content[5:15])
        self.send_response(200)
        self.send_header("Content-Type", "text/z")
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content[:MIB])
        if self.path == "/slow":
            self.release.wait(30)
        if self.path == "/short":
            self.close_connection = True
            return
        try:
            self.wfile.write(self.content[MIB:])
        except OSError:
            self.close_connection = True

    def log_message(self, *_):
        pass


class Foreign(Blobs):
    """Sources on other servers."""

    @classmethod
    def setUpClass(cls):
        cls.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Source)
        cls.url = f"http://127.0.0.1:{cls.server.server_port}"
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()

    @classmethod
    def tearDownClass(cls):
        cls.server.shutdown()
        cls.server.server_close()

    def setUp(self):
        super().setUp()
        Source.release.clear()
        self.copy = self.blob("copy")

    def test_another_storage_service(self):
        container = BlobServiceClient(OTHER, credential=KEY).create_container(f"o{uuid.uuid4().hex}")
        source = container.get_blob_client("source")
        source.upload_blob(b"x" * 5 * MIB, metadata={"a": "1"})
        self.fails(ResourceNotFoundError, "CannotVerifyCopySource", self.copy.start_copy_from_url, source.url)
        self.copy.start_copy_from_url(readable(source))
        found = wait(self.copy)
        self.assertEqual((found.metadata, found.size), ({"a": "1"}, 5 * MIB))
        self.assertEqual(self.copy.download_blob().readall(), b"x" * 5 * MIB)
        self.copy.upload_blob_from_url(readable(source), overwrite=True)
        self.copy.stage_block_from_url("1", readable(source), source_offset=1, source_length=10)
        pages, appended = container.get_blob_client("pages"), container.get_blob_client("appended")
        pages.create_page_blob(16 * MIB)
        pages.upload_page(b"p" * 512, 9 * MIB, 512)
        appended.create_append_blob()
        appended.append_block(b"appended")
        for source in (pages, appended):
            copy = self.blob(source.blob_name)
            copy.start_copy_from_url(readable(source))
            self.assertEqual(wait(copy).blob_type, source.get_blob_properties().blob_type)
            self.assertEqual(copy.download_blob().readall(), source.download_blob().readall())
        self.assertEqual(len(self.blob("pages").get_page_ranges()[0]), 1)
        container.delete_container()

    def test_plain_server(self):
        self.copy.start_copy_from_url(f"{self.url}/fine?token=secret")
        found = wait(self.copy)
        self.assertEqual(found.content_settings.content_type, "text/z")
        self.assertEqual(found.copy.source, f"{self.url}/fine")
        self.assertEqual(self.copy.download_blob().readall(), Source.content)
        self.copy.upload_blob_from_url(f"{self.url}/fine", overwrite=True)
        self.assertEqual(self.copy.download_blob().readall(), Source.content)

    def test_bad_answers(self):
        for path, code in (("redirect", "CannotVerifyCopySource"), ("forbidden", "CannotVerifyCopySource"),
                           ("short", "CannotVerifyCopySource")):
            self.fails(HttpResponseError, code, self.copy.upload_blob_from_url, f"{self.url}/{path}")
        # It does not serve ranges, or others than it is asked for.
        for path in ("fine", "wrong-range"):
            self.fails(HttpResponseError, "CannotVerifyCopySource", self.copy.stage_block_from_url, "1",
                       f"{self.url}/{path}", source_offset=1, source_length=10)
        self.fails(HttpResponseError, "CannotVerifyCopySource", self.copy.upload_blob_from_url,
                   f"{self.url}/wrong-range")
        self.assertFalse(self.copy.exists())
        self.copy.start_copy_from_url(f"{self.url}/short")
        found = wait(self.copy, "failed")
        self.assertEqual(found.size, 0)
        self.assertIn("source", found.copy.status_description)

    def test_addresses_that_may_not_be_asked(self):
        port = self.server.server_port
        for url in (f"http://127.0.0.2:{port}/fine", f"http://[::1]:{port}/fine", f"http://0.0.0.0:{port}/fine",
                    "http://169.254.169.254/latest/meta-data", f"http://0x7f000002:{port}/fine"):
            self.fails(HttpResponseError, "CannotVerifyCopySource", self.copy.upload_blob_from_url, url)

    def test_pending(self):
        started = self.copy.start_copy_from_url(f"{self.url}/slow", metadata={"a": "1"})
        self.assertEqual(started["copy_status"], "pending")
        found = self.copy.get_blob_properties()
        self.assertEqual((found.size, found.metadata, found.copy.status), (0, {"a": "1"}, "pending"))
        pending = "PendingCopyOperation"
        self.fails(ResourceExistsError, pending, self.copy.upload_blob, b"x", overwrite=True)
        self.fails(ResourceExistsError, pending, self.copy.set_blob_metadata, {})
        self.fails(ResourceExistsError, pending, self.copy.stage_block, "1", b"x")
        self.fails(ResourceExistsError, pending, self.copy.delete_blob)
        self.fails(ResourceExistsError, pending, self.copy.start_copy_from_url, f"{self.url}/fine")
        self.fails(ResourceExistsError, pending, self.blob("next").start_copy_from_url, self.copy.url)
        Source.release.set()
        wait(self.copy)
        self.assertEqual(self.copy.download_blob().readall(), Source.content)
        self.copy.upload_blob(b"x", overwrite=True)

    def test_abort(self):
        started = self.copy.start_copy_from_url(f"{self.url}/slow", metadata={"a": "1"})
        self.fails(ResourceExistsError, "CopyIdMismatch", self.copy.abort_copy, str(uuid.uuid4()))
        lease = self.copy.acquire_lease()
        self.fails(HttpResponseError, "LeaseIdMissing", self.copy.abort_copy, started["copy_id"])
        self.copy.abort_copy(started["copy_id"], lease=lease)
        found = wait(self.copy, "aborted")
        self.assertEqual((found.size, found.metadata), (0, {"a": "1"}))
        self.assertIsNotNone(found.copy.completion_time)
        self.fails(ResourceExistsError, "NoPendingCopyOperation", self.copy.abort_copy, started["copy_id"],
                   lease=lease)
        Source.release.set()
        self.copy.upload_blob(b"x", overwrite=True, lease=lease)
        self.assertEqual(self.copy.download_blob().readall(), b"x")

    def test_servers_that_may_not_be_asked(self):
        """The other service asks no one."""
        container = BlobServiceClient(OTHER, credential=KEY).create_container(f"o{uuid.uuid4().hex}")
        copy = container.get_blob_client("copy")
        self.fails(HttpResponseError, "CannotVerifyCopySource", copy.start_copy_from_url, f"{self.url}/fine")
        container.delete_container()


if __name__ == "__main__":
    unittest.main(verbosity=2)
