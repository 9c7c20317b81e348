"""Every way to be let in, as the official clients make it: keys, signatures, policies, tokens of an issuer.

`prepare FOLDER` makes the issuer's key and what it publishes; without arguments the tests run. Endpoints, key and
folder come from the environment.
"""

import base64
import datetime
import hashlib
import hmac
import http.client
import json
import os
import sys
import time
import unittest
import urllib.parse
import uuid
from email.utils import formatdate

from azure.core.credentials import AccessToken, AzureNamedKeyCredential, AzureSasCredential
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.data.tables import TableAccessPolicy, TableServiceClient
from azure.data.tables import generate_table_sas
from azure.storage.blob import (
    AccessPolicy,
    BlobClient,
    BlobServiceClient,
    ContainerClient,
    generate_account_sas,
    generate_blob_sas,
    generate_container_sas,
)
from azure.storage.queue import AccessPolicy as QueueAccessPolicy
from azure.storage.queue import QueueClient, QueueServiceClient, generate_queue_sas
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ISSUER = "https://issuer.example.org/tenant"
AUDIENCE = "https://storage.azure.com/"
KID = "of-the-test"


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def prepare(folder):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with open(os.path.join(folder, "issuer.pem"), "wb") as file:
        file.write(pem)
    numbers = key.public_key().public_numbers()
    number = lambda value: b64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))
    jwk = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": KID, "n": number(numbers.n), "e": number(numbers.e)}
    with open(os.path.join(folder, "jwks.json"), "w") as file:
        json.dump({"keys": [jwk]}, file)


if __name__ == "__main__" and sys.argv[1:2] == ["prepare"]:
    prepare(sys.argv[2])
    sys.exit(0)

ACCOUNT, KEY = os.environ["STORAGE_ACCOUNT"], os.environ["STORAGE_KEY"]
BLOB, QUEUE, TABLE = (os.environ[f"{service}_ENDPOINT"] for service in ("BLOB", "QUEUE", "TABLE"))
BLOB_HTTPS, QUEUE_HTTPS = os.environ["BLOB_HTTPS_ENDPOINT"], os.environ["QUEUE_HTTPS_ENDPOINT"]
AUTHORITY, FOLDER = os.environ["AUTHORITY"], os.environ["ISSUER_FOLDER"]


class Token:
    """A credential as azure-identity has them, whose tokens are made here."""

    def __init__(self, *roles, user="user", **claims):
        now = int(time.time())
        self.claims = {"iss": ISSUER, "aud": AUDIENCE, "nbf": now - 5, "exp": now + 600, "oid": user,
                       "tid": "tenant", "roles": list(roles), **claims}

    def get_token(self, *_scopes, **_more):
        with open(os.path.join(FOLDER, "issuer.pem"), "rb") as file:
            key = serialization.load_pem_private_key(file.read(), None)
        head = b64url(json.dumps({"alg": "RS256", "kid": KID}).encode())
        text = f"{head}.{b64url(json.dumps(self.claims).encode())}"
        signature = key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return AccessToken(f"{text}.{b64url(signature)}", self.claims["exp"])


def soon(minutes=10):
    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)


def secure(**more):
    return {"connection_verify": AUTHORITY, "retry_total": 0, **more}


class Tests(unittest.TestCase):
    def setUp(self):
        self.name = f"t{uuid.uuid4().hex}"
        self.container = BlobServiceClient(BLOB, credential=KEY).create_container(self.name)
        self.container.upload_blob("blob", b"content")

    def tearDown(self):
        self.container.delete_container()

    def fails(self, code, call, *arguments, **named):
        with self.assertRaises(HttpResponseError) as caught:
            call(*arguments, **named)
        self.assertEqual(caught.exception.error_code, code, caught.exception)

    def blob(self, credential, endpoint=BLOB, **more):
        return BlobClient(endpoint, self.name, "blob", credential=credential, retry_total=0, **more)


class Keys(Tests):
    def lite(self, service, method, target, headers):
        """SharedKeyLite, which no official client signs."""
        url = urllib.parse.urlsplit({"blob": BLOB, "queue": QUEUE, "table": TABLE}[service])
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-10-04", **headers}
        path, _, query = target.partition("?")
        comp = urllib.parse.parse_qs(query).get("comp")
        resource = f"/{ACCOUNT}{url.path}{path}" + (f"?comp={comp[0]}" if comp else "")
        if service == "table":
            text = f"{headers['x-ms-date']}\n{resource}"
        else:
            canonical = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers) if name.startswith("x-ms-"))
            text = f"{method}\n\n\n\n{canonical}{resource}"
        mac = base64.b64encode(hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()).decode()
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
        connection.request(method, url.path + target, headers={**headers, "Authorization": f"SharedKeyLite {ACCOUNT}:{mac}"})
        try:
            return connection.getresponse().status
        finally:
            connection.close()

    def test_shared_key_lite(self):
        self.assertEqual(self.lite("blob", "GET", f"/{self.name}/blob", {}), 200)
        self.assertEqual(self.lite("blob", "GET", f"/{self.name}?restype=container&comp=list", {}), 200)
        self.assertEqual(self.lite("queue", "GET", "/?comp=list", {}), 200)
        self.assertEqual(self.lite("table", "GET", "/Tables", {"Accept": "application/json"}), 200)

    def test_wrong_key(self):
        wrong = base64.b64encode(b"w" * 64).decode()
        self.fails("AuthenticationFailed", self.blob(wrong).download_blob)

    def test_over_https(self):
        blob = self.blob(KEY, BLOB_HTTPS, **{"connection_verify": AUTHORITY})
        self.assertEqual(blob.download_blob().readall(), b"content")


class Signatures(Tests):
    def account_sas(self, **more):
        given = {"resource_types": "sco", "permission": "rwdlac", "expiry": soon(), **more}
        return generate_account_sas(ACCOUNT, KEY, **given)

    def blob_sas(self, permission="r", **more):
        return generate_blob_sas(ACCOUNT, self.name, "blob", account_key=KEY, permission=permission, expiry=soon(), **more)

    def test_account(self):
        self.assertEqual(self.blob(self.account_sas()).download_blob().readall(), b"content")
        self.fails("AuthorizationPermissionMismatch", self.blob(self.account_sas(permission="l")).download_blob)
        self.fails("AuthorizationResourceTypeMismatch", self.blob(self.account_sas(resource_types="s")).download_blob)
        queues = QueueServiceClient(QUEUE, credential=self.account_sas(), retry_total=0)
        self.fails("AuthorizationServiceMismatch", lambda: list(queues.list_queues()))
        self.fails("AuthenticationFailed", self.blob(self.account_sas(expiry=soon(-1))).download_blob)
        self.fails("AuthenticationFailed", self.blob(self.account_sas(start=soon(5))).download_blob)

    def test_address_and_protocol(self):
        self.assertEqual(self.blob(self.blob_sas(ip="127.0.0.1")).download_blob().readall(), b"content")
        self.assertEqual(self.blob(self.blob_sas(ip="127.0.0.0-127.0.0.9")).download_blob().readall(), b"content")
        self.fails("AuthorizationSourceIPMismatch", self.blob(self.blob_sas(ip="10.0.0.1-10.0.0.9")).download_blob)
        self.fails("AuthorizationProtocolMismatch", self.blob(self.blob_sas(protocol="https")).download_blob)
        blob = self.blob(self.blob_sas(protocol="https"), BLOB_HTTPS, connection_verify=AUTHORITY)
        self.assertEqual(blob.download_blob().readall(), b"content")

    def test_headers_of_answers(self):
        sas = self.blob_sas(content_type="text/x", cache_control="no-store", content_disposition="inline")
        settings = self.blob(sas).get_blob_properties().content_settings
        self.assertEqual((settings.content_type, settings.cache_control), ("text/x", "no-store"))

    def test_snapshot(self):
        snapshot = self.container.get_blob_client("blob").create_snapshot()["snapshot"]
        self.container.upload_blob("blob", b"newer", overwrite=True)
        sas = self.blob_sas(snapshot=snapshot)
        self.assertEqual(self.blob(sas, snapshot=snapshot).download_blob().readall(), b"content")
        self.fails("AuthorizationFailure", self.blob(sas).download_blob)
        self.container.delete_blob("blob", delete_snapshots="include")

    def test_create_is_not_overwrite(self):
        self.fails("UnauthorizedBlobOverwrite", self.blob(self.blob_sas("c")).upload_blob, b"x", overwrite=True)

    def test_policy_of_container(self):
        sas = generate_container_sas(ACCOUNT, self.name, account_key=KEY, policy_id="p")
        self.fails("AuthenticationFailed", self.blob(sas).download_blob)
        self.container.set_container_access_policy({"p": AccessPolicy(permission="r", expiry=soon())})
        self.assertEqual(self.blob(sas).download_blob().readall(), b"content")
        self.container.set_container_access_policy({"p": AccessPolicy(permission="w", expiry=soon())})
        self.fails("AuthorizationPermissionMismatch", self.blob(sas).download_blob)
        both = generate_container_sas(ACCOUNT, self.name, account_key=KEY, policy_id="p", permission="r")
        self.fails("AuthenticationFailed", self.blob(both).download_blob)
        self.container.set_container_access_policy({})
        self.fails("AuthenticationFailed", self.blob(sas).download_blob)

    def test_queue_and_its_policy(self):
        queue = QueueServiceClient(QUEUE, credential=KEY).create_queue(self.name)
        sas = generate_queue_sas(ACCOUNT, self.name, KEY, permission="a", expiry=soon())
        client = QueueClient(QUEUE, self.name, credential=sas, retry_total=0)
        client.send_message("text")
        self.fails("AuthorizationPermissionMismatch", client.receive_message)
        sas = generate_queue_sas(ACCOUNT, self.name, KEY, policy_id="p")
        client = QueueClient(QUEUE, self.name, credential=sas, retry_total=0)
        self.fails("AuthenticationFailed", client.peek_messages)
        queue.set_queue_access_policy({"p": QueueAccessPolicy(permission="r", expiry=soon())})
        self.assertEqual(client.peek_messages()[0].content, "text")
        queue.set_queue_access_policy({})
        self.fails("AuthenticationFailed", client.peek_messages)
        queue.delete_queue()

    def test_table_its_ranges_and_policy(self):
        service = TableServiceClient(TABLE, credential=AzureNamedKeyCredential(ACCOUNT, KEY))
        table = service.create_table(self.name)
        for partition in "abc":
            table.create_entity({"PartitionKey": partition, "RowKey": "r"})
        named = AzureNamedKeyCredential(ACCOUNT, KEY)

        def client(**more):
            sas = generate_table_sas(named, self.name, **more)
            return TableServiceClient(TABLE, credential=AzureSasCredential(sas)).get_table_client(self.name)

        ranged = client(permission="r", expiry=soon(), start_pk="b", start_rk="a", end_pk="b", end_rk="z")
        self.assertEqual([e["PartitionKey"] for e in ranged.list_entities()], ["b"])
        with self.assertRaises(HttpResponseError):
            ranged.get_entity("a", "r")
        leaning = client(policy_id="p")
        with self.assertRaises(HttpResponseError):
            list(leaning.list_entities())
        table.set_table_access_policy({"p": TableAccessPolicy(permission="r", expiry=soon(), start=soon(-10))})
        self.assertEqual(len(list(leaning.list_entities())), 3)
        service.delete_table(self.name)


class Users(Tests):
    def service(self, *roles, **more):
        return BlobServiceClient(BLOB_HTTPS, credential=Token(*roles, **more), **secure())

    def test_roles(self):
        owner = self.service("Storage Blob Data Owner").get_blob_client(self.name, "mine")
        owner.upload_blob(b"x")
        reader = self.service("Storage Blob Data Reader").get_blob_client(self.name, "mine")
        self.assertEqual(reader.download_blob().readall(), b"x")
        self.fails("AuthorizationPermissionMismatch", reader.delete_blob)
        nobody = self.service("Owner of Everything").get_blob_client(self.name, "mine")
        self.fails("AuthorizationPermissionMismatch", nobody.download_blob)

    def test_bad_tokens(self):
        for claims in ({"aud": "https://other"}, {"iss": "https://other"}, {"exp": 1000}):
            blob = self.service("Storage Blob Data Owner", **claims).get_blob_client(self.name, "blob")
            with self.assertRaises(ClientAuthenticationError):
                blob.download_blob()

    def delegated(self, key, permission="r", **more):
        sas = generate_blob_sas(ACCOUNT, self.name, "blob", user_delegation_key=key, permission=permission,
                                expiry=soon(), **more)
        return self.blob(sas)

    def test_user_delegation(self):
        key = self.service("Storage Blob Data Contributor").get_user_delegation_key(soon(-1), soon(60))
        self.assertEqual(self.delegated(key).download_blob().readall(), b"content")
        self.fails("AuthorizationPermissionMismatch", self.delegated(key).delete_blob)
        self.delegated(key, "w").set_blob_metadata({"a": "1"})
        sas = generate_container_sas(ACCOUNT, self.name, user_delegation_key=key, permission="rl", expiry=soon())
        listed = ContainerClient(BLOB, self.name, credential=sas, retry_total=0)
        self.assertEqual([b.name for b in listed.list_blobs()], ["blob"])
        key.value = base64.b64encode(b"f" * 32).decode()
        self.fails("AuthenticationFailed", self.delegated(key).download_blob)

    def test_delegation_to_one_user(self):
        """A signature that only one user may use, who brings a token beside it."""
        key = self.service("Storage Blob Data Owner").get_user_delegation_key(soon(-1), soon(60))
        sas = generate_blob_sas(ACCOUNT, self.name, "blob", user_delegation_key=key, permission="r", expiry=soon(),
                                user_delegation_oid="other")
        url = f"{BLOB_HTTPS}/{self.name}/blob?{sas}"
        use = lambda credential: BlobClient.from_blob_url(url, credential=credential, **secure())
        self.assertEqual(use(Token(user="other")).download_blob().readall(), b"content")
        self.fails("AuthorizationPermissionMismatch", use(Token(user="other")).delete_blob)
        self.fails("AuthenticationFailed", use(Token("Storage Blob Data Owner", user="third")).download_blob)
        self.fails("AuthenticationFailed", use(None).download_blob)
        changed = url.replace("sduoid=other", "sduoid=third")
        self.fails("AuthenticationFailed",
                   BlobClient.from_blob_url(changed, credential=Token(user="third"), **secure()).download_blob)

    def test_who_signs_for_whom(self):
        """The agents that a signature names are signed, and change nothing of what it permits."""
        key = self.service("Storage Blob Data Reader").get_user_delegation_key(soon(-1), soon(60))
        for more in ({"preauthorized_agent_object_id": "agent"}, {"agent_object_id": "agent"}, {"correlation_id": "c"}):
            sas = generate_container_sas(ACCOUNT, self.name, user_delegation_key=key, permission="r", expiry=soon(), **more)
            self.assertEqual(self.blob(sas).download_blob().readall(), b"content")
            changed = sas.replace("=agent", "=other").replace("scid=c", "scid=d")
            self.fails("AuthenticationFailed", self.blob(changed).download_blob)

    def test_a_reader_hands_on_no_more(self):
        key = self.service("Storage Blob Data Reader").get_user_delegation_key(soon(-1), soon(60))
        self.assertEqual(self.delegated(key, "rw").download_blob().readall(), b"content")
        self.fails("AuthorizationPermissionMismatch", self.delegated(key, "rw").set_blob_metadata, {"a": "1"})

    def test_delegation_of_queues(self):
        QueueServiceClient(QUEUE, credential=KEY).create_queue(self.name)
        service = QueueServiceClient(QUEUE_HTTPS, credential=Token("Storage Queue Data Contributor"), **secure())
        key = service.get_user_delegation_key(start=soon(-1), expiry=soon(60))
        sas = generate_queue_sas(ACCOUNT, self.name, user_delegation_key=key, permission="a", expiry=soon())
        client = QueueClient(QUEUE, self.name, credential=sas, retry_total=0)
        client.send_message("text")
        self.fails("AuthorizationPermissionMismatch", client.receive_message)
        service.delete_queue(self.name)

    def test_keys_are_for_users(self):
        self.fails("AuthenticationFailed", BlobServiceClient(BLOB, credential=KEY, retry_total=0).get_user_delegation_key,
                   soon(), soon(60))
        too_long = self.service("Storage Blob Data Owner")
        self.fails("InvalidXmlNodeValue", too_long.get_user_delegation_key, soon(), soon(60 * 24 * 8))


class Batches(Tests):
    def test_delete(self):
        for credential in (KEY, Signatures.account_sas(self)):
            container = ContainerClient(BLOB, self.name, credential=credential, retry_total=0)
            for name in "abc":
                container.upload_blob(name, b"x")
            answers = list(container.delete_blobs("a", "b", "none", "c", raise_on_any_failure=False))
            self.assertEqual([answer.status_code for answer in answers], [202, 202, 404, 202])
            self.assertEqual([b.name for b in container.list_blobs()], ["blob"])

    def test_tiers(self):
        answers = list(self.container.set_standard_blob_tier_blobs("Cool", "blob"))
        self.assertEqual([answer.status_code for answer in answers], [200])
        self.assertEqual(self.blob(KEY).get_blob_properties().blob_tier, "Cool")


if __name__ == "__main__":
    unittest.main(verbosity=1)
