"""What the scripts of the blob service share: an endpoint, a container for each test, and plain HTTP."""

import datetime
import http.client
import os
import unittest
import urllib.parse
import uuid

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobServiceClient

ENDPOINT = os.environ["BLOB_ENDPOINT"]
ACCOUNT = os.environ["STORAGE_ACCOUNT"]
KEY = os.environ["STORAGE_KEY"]
MIB = 1024 * 1024


def service(credential=KEY, **more):
    return BlobServiceClient(ENDPOINT, credential=credential, retry_total=0, **more)


def soon(minutes=10):
    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)


def raw(method, target, headers=None, body=None):
    """A request without a client library: what the wire says."""
    url = urllib.parse.urlsplit(ENDPOINT)
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
    connection.request(method, url.path + target, body=body, headers=headers or {})
    response = connection.getresponse()
    return response, response.read()


class Blobs(unittest.TestCase):
    def setUp(self):
        self.container = service().create_container(f"t{uuid.uuid4().hex}")

    def tearDown(self):
        try:
            self.container.delete_container()
        except ResourceNotFoundError:
            pass

    def blob(self, name="blob"):
        return self.container.get_blob_client(name)

    def fails(self, error, code, call, *arguments, **named):
        with self.assertRaises(error) as caught:
            call(*arguments, **named)
        if hasattr(caught.exception, "error_code"):
            self.assertEqual(caught.exception.error_code, code, caught.exception)
        else:
            # Some calls of the client do not read the error; its text has the body.
            self.assertIn(f"<Code>{code}</Code>", str(caught.exception))
