"""What the scripts of the table service share: endpoints, names, and plain HTTP."""

import datetime
import http.client
import json
import os
import unittest
import urllib.parse
import uuid

from azure.core.credentials import AzureNamedKeyCredential
from azure.data.tables import AccountSasPermissions, ResourceTypes, TableServiceClient, generate_account_sas

ENDPOINT = os.environ["TABLE_ENDPOINT"]
ACCOUNT = os.environ["STORAGE_ACCOUNT"]
KEY = os.environ["STORAGE_KEY"]
CONNECTION = (
    f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};TableEndpoint={ENDPOINT};"
)


def service():
    return TableServiceClient.from_connection_string(CONNECTION, retry_total=0)


def name():
    return f"t{uuid.uuid4().hex}"


def soon(minutes=10):
    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)


def sas_url():
    credential = AzureNamedKeyCredential(ACCOUNT, KEY)
    return generate_account_sas(
        credential,
        resource_types=ResourceTypes(service=True, container=True, object=True),
        permission=AccountSasPermissions(
            read=True, write=True, delete=True, list=True, add=True, create=True, update=True
        ),
        expiry=soon(),
    )


def raw(method, target, body=None, signature=None, **headers):
    """A request without a client library, signed by an account SAS or another: what the wire says."""
    url = urllib.parse.urlsplit(ENDPOINT)
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
    separator = "&" if "?" in target else "?"
    headers = {key.replace("_", "-"): value for key, value in headers.items()}
    headers.setdefault("Accept", "application/json;odata=minimalmetadata")
    headers.setdefault("x-ms-version", "2019-02-02")
    if body is not None:
        headers.setdefault("Content-Type", "application/json")
    query = sas_url() if signature is None else signature
    connection.request(method, f"{url.path}{target}{separator}{query}", body=body, headers=headers)
    response = connection.getresponse()
    text = response.read()
    connection.close()
    return response, text


def code(text):
    return json.loads(text)["odata.error"]["code"]


class WithTable(unittest.TestCase):
    """Each test has a table of its own."""

    def setUp(self):
        self.name = name()
        self.table = service().create_table(self.name)

    def tearDown(self):
        service().delete_table(self.name)

    def refused(self, response_and_text, status, expected):
        response, text = response_and_text
        self.assertEqual((response.status, code(text)), (status, expected), text)
