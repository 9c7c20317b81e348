"""Properties and statistics of the three services, CORS and the website, as the official clients and browsers see them.
Endpoints and key come from the environment."""

import http.client
import os
import time
import unittest
import urllib.parse
import uuid
import xml.etree.ElementTree as ElementTree

from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import HttpResponseError
from azure.data.tables import TableAnalyticsLogging, TableCorsRule, TableMetrics, TableRetentionPolicy, TableServiceClient
from azure.storage import blob, queue
from azure.storage.blob import BlobServiceClient, ContentSettings
from azure.storage.queue import QueueServiceClient

ACCOUNT = os.environ["STORAGE_ACCOUNT"]
KEY = os.environ["STORAGE_KEY"]
SHARED_KEY = {"account_name": ACCOUNT, "account_key": KEY}
BLOB, QUEUE, TABLE = (os.environ[f"{service}_ENDPOINT"] for service in ("BLOB", "QUEUE", "TABLE"))


def blobs(endpoint=BLOB, **options):
    return BlobServiceClient(endpoint, credential=SHARED_KEY, retry_total=0, **options)


def queues(endpoint=QUEUE, **options):
    return QueueServiceClient(endpoint, credential=SHARED_KEY, retry_total=0, **options)


def tables(endpoint=TABLE, **options):
    return TableServiceClient(endpoint, credential=AzureNamedKeyCredential(ACCOUNT, KEY), retry_total=0, **options)


def raw(method, endpoint, target, headers=None):
    """A request that nobody signed, as browsers send it."""
    url = urllib.parse.urlsplit(endpoint)
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
    connection.request(method, f"{url.path}{target}", headers=headers or {})
    response = connection.getresponse()
    text = response.read()
    connection.close()
    return response.status, response.headers, text


def cors(kind, origins, methods, headers="", exposed=""):
    split = lambda text: [part for part in text.split(",") if part]
    return kind(
        split(origins), split(methods), allowed_headers=split(headers), exposed_headers=split(exposed), max_age_in_seconds=9
    )


class Properties(unittest.TestCase):
    def test_blob(self):
        client = blobs()
        client.set_service_properties(
            analytics_logging=blob.BlobAnalyticsLogging(
                read=True, retention_policy=blob.RetentionPolicy(enabled=True, days=5)
            ),
            hour_metrics=blob.Metrics(enabled=True, include_apis=True),
            cors=[cors(blob.CorsRule, "http://a,http://b", "GET,PUT", "x-ms-*", "etag")],
            target_version="2021-08-06",
            delete_retention_policy=blob.RetentionPolicy(enabled=True, days=7),
            static_website=blob.StaticWebsite(enabled=True, index_document="index.html"),
        )
        client.set_service_properties(minute_metrics=blob.Metrics(enabled=True, include_apis=False))
        found = client.get_service_properties()
        self.assertEqual((found["analytics_logging"].read, found["analytics_logging"].write), (True, False))
        self.assertEqual(found["analytics_logging"].retention_policy.days, 5)
        self.assertEqual((found["hour_metrics"].enabled, found["hour_metrics"].include_apis), (True, True))
        self.assertEqual((found["minute_metrics"].enabled, found["minute_metrics"].include_apis), (True, False))
        self.assertEqual(found["cors"][0].allowed_origins, "http://a,http://b")
        self.assertEqual(found["target_version"], "2021-08-06")
        self.assertEqual((found["delete_retention_policy"].enabled, found["delete_retention_policy"].days), (True, 7))
        self.assertEqual((found["static_website"].enabled, found["static_website"].index_document), (True, "index.html"))
        for days in (0, 366):
            with self.assertRaises((HttpResponseError, ValueError)):
                client.set_service_properties(delete_retention_policy=blob.RetentionPolicy(enabled=True, days=days))
        client.set_service_properties(
            cors=[], delete_retention_policy=blob.RetentionPolicy(), static_website=blob.StaticWebsite(enabled=False)
        )
        found = client.get_service_properties()
        self.assertEqual((found["cors"], found["delete_retention_policy"].enabled), ([], False))
        self.assertEqual(found["hour_metrics"].enabled, True)

    def test_queue(self):
        client = queues()
        client.set_service_properties(
            analytics_logging=queue.QueueAnalyticsLogging(delete=True),
            hour_metrics=queue.Metrics(enabled=True, include_apis=True),
            cors=[cors(queue.CorsRule, "*", "GET")] * 5,
        )
        found = client.get_service_properties()
        self.assertEqual((found["analytics_logging"].delete, len(found["cors"])), (True, 5))
        with self.assertRaises(HttpResponseError) as raised:
            client.set_service_properties(cors=[cors(queue.CorsRule, "*", "GET")] * 6)
        self.assertEqual((raised.exception.status_code, raised.exception.error_code), (400, "InvalidXmlDocument"))
        client.set_service_properties(cors=[])

    def test_table(self):
        client = tables()
        client.set_service_properties(
            analytics_logging=TableAnalyticsLogging(write=True),
            minute_metrics=TableMetrics(
                enabled=True, include_apis=True, retention_policy=TableRetentionPolicy(enabled=True, days=365)
            ),
            cors=[TableCorsRule(["http://a"], ["GET"], max_age_in_seconds=1)],
        )
        found = client.get_service_properties()
        self.assertTrue(found["analytics_logging"].write)
        self.assertEqual(found["minute_metrics"].retention_policy.days, 365)
        self.assertEqual(found["cors"][0].allowed_origins, ["http://a"])
        client.set_service_properties(cors=[])

    def test_statistics(self):
        for make, endpoint in ((blobs, BLOB), (queues, QUEUE), (tables, TABLE)):
            host = urllib.parse.urlsplit(endpoint).netloc
            stats = make(f"{endpoint}-secondary", secondary_hostname=host).get_service_stats()
            self.assertEqual(stats["geo_replication"]["status"], "live")
            self.assertLess(abs(stats["geo_replication"]["last_sync_time"].timestamp() - time.time()), 60)
            with self.assertRaises(HttpResponseError) as raised:
                make(endpoint, secondary_hostname=host).get_service_stats()
            error = raised.exception
            self.assertEqual((error.status_code, error.error_code), (400, "InvalidQueryParameterValue"))


class Cors(unittest.TestCase):
    def setUp(self):
        rules = [
            ("http://exact", "GET,PUT", "x-ms-meta-*,content-type", "x-ms-request-id,x-ms-meta-*"),
            ("*", "HEAD", "*", "*"),
        ]
        for client, kind in ((blobs(), blob.CorsRule), (queues(), queue.CorsRule), (tables(), TableCorsRule)):
            client.set_service_properties(cors=[cors(kind, *rule) for rule in rules])

    def tearDown(self):
        for client in (blobs(), queues(), tables()):
            client.set_service_properties(cors=[])

    def test_preflight(self):
        for endpoint in (BLOB, QUEUE, TABLE):
            for origin, method, headers, status, allowed in [
                ("http://exact", "PUT", "X-Ms-Meta-A, content-type", 200, "http://exact"),
                ("http://exact", "PUT", None, 200, "http://exact"),
                ("http://exact", "PUT", "x-other", 403, None),
                ("http://exact", "DELETE", None, 403, None),
                ("http://other", "GET", None, 403, None),
                ("http://other", "HEAD", "anything", 200, "*"),
                (None, "GET", None, 400, None),
                ("http://exact", None, None, 400, None),
            ]:
                sent = {
                    "Origin": origin,
                    "Access-Control-Request-Method": method,
                    "Access-Control-Request-Headers": headers,
                }
                sent = {name: value for name, value in sent.items() if value is not None}
                # A browser sends the query of a signed URL with its preflight.
                found, answer, _ = raw("OPTIONS", endpoint, "/thing?sv=2019-02-02&sig=x", sent)
                self.assertEqual((found, answer["Access-Control-Allow-Origin"]), (status, allowed), (endpoint, sent))
                if status == 200:
                    self.assertEqual(answer["Access-Control-Allow-Methods"], method)
                    self.assertEqual(answer["Access-Control-Allow-Headers"], headers)
                    self.assertEqual(answer["Access-Control-Max-Age"], "9")
                else:
                    self.assertEqual(answer["x-ms-error-code"], {400: "InvalidHeaderValue", 403: "CorsPreflightFailure"}[status])

    def test_answers_and_refusals(self):
        container = blobs().create_container(f"c{uuid.uuid4().hex}", public_access="blob")
        container.upload_blob("b", b"x", metadata={"color": "red"})
        path = f"/{container.container_name}"
        for method, target, origin, status, allowed, vary in [
            ("GET", f"{path}/b", "http://exact", 200, "http://exact", "Origin"),
            ("GET", f"{path}/missing", "http://exact", 404, "http://exact", "Origin"),
            ("GET", f"{path}?restype=container&comp=list", "http://exact", 404, "http://exact", "Origin"),
            ("PUT", f"{path}/b", "http://exact", 400, "http://exact", None),
            ("GET", f"{path}/b", "http://other", 200, None, "Origin"),
            ("GET", f"{path}/b", None, 200, None, "Origin"),
            ("HEAD", f"{path}/b", "http://other", 200, "*", None),
        ]:
            found, headers, _ = raw(method, BLOB, target, {"Origin": origin} if origin else {})
            seen = (found, headers["Access-Control-Allow-Origin"], headers["Vary"])
            self.assertEqual(seen, (status, allowed, vary), (method, target, origin))
            if allowed == "http://exact":
                self.assertEqual(headers["Access-Control-Allow-Credentials"], "true")
                exposed = headers["Access-Control-Expose-Headers"].split(",")
                self.assertEqual("x-ms-meta-color" in exposed, status == 200)
                self.assertIn("x-ms-request-id", exposed)
        container.delete_container()


class Website(unittest.TestCase):
    def setUp(self):
        self.service = blobs()
        self.web = self.service.get_container_client("$web")
        self.web.create_container()
        html = ContentSettings(content_type="text/html")
        for name in ("index.html", "a/index.html", "a/b.html", "missing.html", "\u00fc &.html"):
            self.web.upload_blob(name, f"<p>{name}</p>".encode(), content_settings=html)
        self.set(index_document="index.html", error_document404_path="missing.html")

    def tearDown(self):
        self.web.delete_container()
        self.service.set_service_properties(static_website=blob.StaticWebsite(enabled=False))

    def set(self, **site):
        self.service.set_service_properties(static_website=blob.StaticWebsite(enabled=True, **site))

    def check(self, target, status, text, **headers):
        found, answer, body = raw("GET", BLOB, target, headers)
        self.assertEqual((found, body.decode()), (status, f"<p>{text}</p>" if text else body.decode()), target)
        self.assertEqual(raw("HEAD", BLOB, target)[0], status)
        return answer

    def test_pages(self):
        for target, status, text in [
            ("/$web", 200, "index.html"),
            ("/$web/", 200, "index.html"),
            ("/$web/index.html", 200, "index.html"),
            ("/$web/a", 200, "a/index.html"),
            ("/$web/a/", 200, "a/index.html"),
            ("/$web/a/b.html", 200, "a/b.html"),
            ("/$web/%C3%BC%20%26.html", 200, "\u00fc &.html"),
            ("/$web/b", 404, "missing.html"),
            ("/$web/b/", 404, "missing.html"),
        ]:
            answer = self.check(target, status, text)
            self.assertEqual(answer["Content-Type"], "text/html")
        self.assertEqual(raw("GET", BLOB, "/$web/a/b.html", {"Range": "bytes=0-2"})[::2], (206, b"<p>"))
        self.assertEqual(raw("GET", BLOB, "/$web/none", {"Range": "bytes=0-2"})[0], 404)
        tag = raw("GET", BLOB, "/$web/")[1]["ETag"]
        self.assertEqual(raw("GET", BLOB, "/$web/", {"If-None-Match": tag})[0], 304)

    def test_no_document_for_what_is_missing(self):
        self.set(index_document="index.html")
        status, headers, text = raw("GET", BLOB, "/$web/none")
        self.assertEqual((status, headers["x-ms-error-code"]), (404, "WebContentNotFound"))
        self.assertEqual(ElementTree.fromstring(text).findtext("Code"), "WebContentNotFound")
        self.set(error_document404_path="none.html")
        self.assertEqual(raw("GET", BLOB, "/$web/")[0], 404)
        self.set(default_index_document_path="a/b.html")
        self.check("/$web/", 200, "a/b.html")
        self.check("/$web/deep/er/", 200, "a/b.html")

    def test_only_reads_and_only_when_enabled(self):
        self.assertIn(raw("PUT", BLOB, "/$web/index.html", {"x-ms-blob-type": "BlockBlob"})[0], (401, 403, 404))
        self.service.set_service_properties(static_website=blob.StaticWebsite(enabled=False))
        self.assertEqual(raw("GET", BLOB, "/$web/index.html")[0], 404)

    def test_the_default_version(self):
        self.service.set_service_properties(target_version="2015-02-21")
        self.assertEqual(raw("GET", BLOB, "/$web/index.html")[1]["x-ms-version"], "2015-02-21")
        container = self.service.create_container(f"c{uuid.uuid4().hex}", public_access="container")
        target = f"/{container.container_name}?restype=container&comp=list"
        self.assertEqual(raw("GET", BLOB, target)[1]["x-ms-version"], "2015-02-21")
        self.assertEqual(raw("GET", BLOB, target, {"x-ms-version": "2021-08-06"})[1]["x-ms-version"], "2021-08-06")
        container.delete_container()


if __name__ == "__main__":
    unittest.main()
