"""An account as an operator has it: keys, settings, names of hosts, and a given certificate.

`prepare FOLDER` makes an authority and, by it, the certificate that the service is given.
"""

import base64
import datetime
import hashlib
import http.client
import ipaddress
import json
import os
import socket
import ssl
import sys
import threading
import unittest
import urllib.parse
import uuid

from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import HttpResponseError
from azure.data.tables import TableServiceClient
from azure.storage.blob import (AccountSasPermissions, BlobServiceClient, ContainerClient, ContainerEncryptionScope,
                                ResourceTypes, generate_account_sas, generate_blob_sas,
                                generate_container_sas)
from azure.storage.queue import QueueServiceClient
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def prepare(folder):
    now = datetime.datetime.now(datetime.timezone.utc)

    def certificate(name, key, issuer, issuer_key, *extensions):
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder(issuer or subject, subject, key.public_key(), x509.random_serial_number(),
                                          now - datetime.timedelta(hours=1), now + datetime.timedelta(days=2))
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(issuer_key, hashes.SHA256())

    def save(name, data):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)

    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    authority = certificate("Authority", authority_key, None, authority_key,
                            (x509.BasicConstraints(ca=True, path_length=0), True), (usage, True),
                            (x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), False))
    names = [x509.DNSName(f"*.{service}.storage.test") for service in ("blob", "queue", "table")]
    names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    known = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    given = certificate("Given", key, authority.subject, authority_key,
                        (x509.SubjectAlternativeName(names), False), (known, False))
    pem = serialization.Encoding.PEM
    save("authority.pem", authority.public_bytes(pem))
    save("given.pem", given.public_bytes(pem))
    save("given.key", key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))


if __name__ == "__main__" and sys.argv[1:2] == ["prepare"]:
    prepare(sys.argv[2])
    sys.exit(0)

FOLDER, SUFFIX = os.environ["FOLDER"], os.environ["SUFFIX"]
PORTS = {name: int(os.environ[f"{name}_PORT"]) for name in
         ("BLOB", "QUEUE", "TABLE", "BLOB_HTTPS", "QUEUE_HTTPS", "TABLE_HTTPS", "ADMIN")}
AUTHORITY = os.path.join(FOLDER, "authority.pem")

# The domain is served here, whatever the machine's resolver says.
resolve = socket.getaddrinfo
socket.getaddrinfo = lambda host, *more, **named: resolve(
    "127.0.0.1" if isinstance(host, str) and host.endswith("." + SUFFIX) else host, *more, **named)


def admin(method, path, body=None):
    """A call of the admin API: its status and what it answers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(os.path.join(FOLDER, "operator/cert.pem"), os.path.join(FOLDER, "operator/key.pem"))
    connection = http.client.HTTPSConnection("127.0.0.1", PORTS["ADMIN"], context=context, timeout=30)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request(method, "/v1/accounts" + path, body and json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        is_json = answer.headers.get("Content-Type", "").startswith("application/json")
        return answer.status, json.loads(text) if is_json else text
    finally:
        connection.close()


def host(account, service, scheme="http"):
    port = PORTS[service.upper() + ("_HTTPS" if scheme == "https" else "")]
    return f"{scheme}://{account}.{service}.{SUFFIX}:{port}"


def path(account, service, scheme="http"):
    port = PORTS[service.upper() + ("_HTTPS" if scheme == "https" else "")]
    return f"{scheme}://127.0.0.1:{port}/{account}"


def soon():
    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=10)


class Tests(unittest.TestCase):
    def setUp(self):
        self.account = f"a{uuid.uuid4().hex[:20]}"
        status, self.keys = admin("PUT", f"/{self.account}")
        self.assertEqual(status, 201)

    def tearDown(self):
        self.assertEqual(admin("DELETE", f"/{self.account}")[0], 204)

    def credential(self, which="primary"):
        return {"account_name": self.account, "account_key": self.keys[which]}

    def fails(self, code, call, *arguments, **named):
        with self.assertRaises(HttpResponseError) as caught:
            call(*arguments, **named)
        self.assertEqual(caught.exception.error_code, code, caught.exception)

    def blobs(self, form=host, scheme="http", **more):
        given = {"credential": self.credential(), "retry_total": 0, **more}
        return BlobServiceClient(form(self.account, "blob", scheme), **given)


class Keys(Tests):
    """Both keys are good until one is replaced, so that no client that uses the other fails."""

    def work(self, key, stop, done):
        """A client of all services, which asks for its key before each round."""
        number = 0
        tables_key = AzureNamedKeyCredential(self.account, key())
        table = TableServiceClient(path(self.account, "table"), credential=tables_key, retry_total=0).get_table_client("work")
        while not stop.is_set():
            number += 1
            text, credential = str(number), {"account_name": self.account, "account_key": key()}
            tables_key.update(self.account, credential["account_key"])
            blob = BlobServiceClient(path(self.account, "blob"), credential=credential, retry_total=0)
            blob = blob.get_blob_client("work", f"b{threading.get_ident()}")
            blob.upload_blob(text, overwrite=True)
            self.assertEqual(blob.download_blob().readall().decode(), text)
            queue = QueueServiceClient(path(self.account, "queue"), credential=credential, retry_total=0)
            queue.get_queue_client("work").send_message(text)
            table.upsert_entity({"PartitionKey": "p", "RowKey": str(threading.get_ident()), "n": text})
            done(number)

    def test_rotation_while_clients_work(self):
        first = {"account_name": self.account, "account_key": self.keys["primary"]}
        self.blobs().create_container("work")
        QueueServiceClient(host(self.account, "queue"), credential=first).create_queue("work")
        named = AzureNamedKeyCredential(self.account, self.keys["primary"])
        TableServiceClient(host(self.account, "table"), credential=named).create_table("work")
        current, failures, stop = [self.keys["primary"]], [], threading.Event()
        rounds, changed = {}, threading.Condition()

        def done(number):
            with changed:
                rounds[threading.get_ident()] = number
                changed.notify_all()

        def run():
            try:
                self.work(lambda: current[0], stop, done)
            except Exception as error:  # whatever it is, it is told below
                failures.append(error)
                stop.set()

        def all_go_on(more=2):
            """Every client begins and ends a round after now."""
            with changed:
                begun = dict(rounds)
                enough = lambda: failures or (len(rounds) == 4 and
                                              all(n >= begun.get(who, 0) + more for who, n in rounds.items()))
                self.assertTrue(changed.wait_for(enough, timeout=60))
            self.assertEqual(failures, [])

        clients = [threading.Thread(target=run) for _ in range(4)]
        for client in clients:
            client.start()
        try:
            used = [self.keys["primary"]]
            for which, other in (("primary", "secondary"), ("secondary", "primary")) * 2:
                all_go_on()
                # The clients go over to the other key, and when none uses this one any more, it is replaced.
                current[0] = self.keys[other]
                all_go_on()
                status, keys = admin("POST", f"/{self.account}/keys/{which}")
                self.assertEqual(status, 200)
                self.assertEqual(keys[other], self.keys[other])
                self.assertNotIn(keys[which], used)
                used.append(keys[which])
                old, self.keys = self.keys[which], keys
                gone = self.blobs(credential={"account_name": self.account, "account_key": old})
                self.fails("AuthenticationFailed", gone.get_container_client("work").get_container_properties)
                all_go_on()
        finally:
            stop.set()
            for client in clients:
                client.join()
        self.assertEqual(failures, [])

    def test_signatures_end_with_their_key(self):
        service = self.blobs()
        service.create_container("container").upload_blob("b", b"x")
        sas = {which: generate_account_sas(self.account, self.keys[which], ResourceTypes(object=True),
                                           AccountSasPermissions(read=True), soon()) for which in self.keys}
        blob = lambda which: self.blobs(credential=sas[which]).get_blob_client("container", "b")
        for which in sas:
            self.assertEqual(blob(which).download_blob().readall(), b"x")
        self.assertEqual(admin("POST", f"/{self.account}/keys/secondary")[0], 200)
        self.assertEqual(blob("primary").download_blob().readall(), b"x")
        self.fails("AuthenticationFailed", blob("secondary").download_blob)

    def test_calls_that_are_refused(self):
        for method, target, body, status in [
            ("PUT", f"/{self.account}", None, 409),
            ("PUT", "/ab", None, 400),
            ("PUT", "/" + "a" * 24, None, 201),
            ("DELETE", "/" + "a" * 24, None, 204),
            ("PUT", "/" + "a" * 25, None, 400),
            ("POST", f"/{self.account}/keys/third", None, 404),
            ("POST", "/nobody/keys/primary", None, 404),
            ("GET", "/nobody/settings", None, 404),
            ("DELETE", "/nobody", None, 404),
            ("PUT", f"/{self.account}/settings", {"container_retention_days": 0}, 400),
            ("PUT", f"/{self.account}/settings", {"container_retention_days": 366}, 400),
            ("PUT", f"/{self.account}/settings", {"encryption_scopes": ["a_b"]}, 400),
            ("PUT", f"/{self.account}/settings", {"other": 1}, 400),
            ("PUT", f"/{self.account}/settings", "text", 400),
        ]:
            self.assertEqual(admin(method, target, body)[0], status, (method, target, body))


class Settings(Tests):
    def set(self, **settings):
        self.assertEqual(admin("PUT", f"/{self.account}/settings", settings)[0], 204)
        status, found = admin("GET", f"/{self.account}/settings")
        self.assertEqual((status, {name: found[name] for name in settings}), (200, settings))

    def test_versioning(self):
        blob = self.blobs().create_container("container").get_blob_client("b")
        self.assertIsNone(blob.upload_blob(b"1").get("version_id"))
        self.set(versioning=True)
        first = blob.upload_blob(b"2", overwrite=True)["version_id"]
        second = blob.upload_blob(b"3", overwrite=True)["version_id"]
        self.assertTrue(first < second)
        self.assertEqual(blob.download_blob(version_id=first).readall(), b"2")
        self.set(versioning=False)
        self.assertIsNone(blob.upload_blob(b"4", overwrite=True).get("version_id"))
        self.assertEqual(blob.download_blob(version_id=first).readall(), b"2")

    def test_signatures_of_versions(self):
        self.set(versioning=True)
        blob = self.blobs().create_container("container").get_blob_client("b")
        first, second = (blob.upload_blob(text, overwrite=True)["version_id"] for text in (b"1", b"2"))

        def signed(permission, version=first):
            sas = generate_blob_sas(self.account, "container", "b", version_id=version, permission=permission,
                                    account_key=self.keys["primary"], expiry=soon())
            return self.blobs(credential=sas).get_blob_client("container", "b")

        self.assertEqual(signed("r").download_blob(version_id=first).readall(), b"1")
        self.fails("AuthenticationFailed", signed("r").download_blob, version_id=second)
        self.fails("AuthorizationFailure", signed("r").download_blob)
        self.fails("AuthorizationPermissionMismatch", signed("rd").delete_blob, version_id=first)
        signed("x").delete_blob(version_id=first)
        self.fails("BlobNotFound", signed("r").download_blob, version_id=first)

    def test_retention_of_containers(self):
        service = self.blobs()
        service.create_container("gone")
        service.delete_container("gone")
        self.set(container_retention_days=3)
        service.create_container("kept").upload_blob("b", b"x")
        service.delete_container("kept")
        deleted = [c for c in service.list_containers(include_deleted=True) if c.deleted]
        self.assertEqual([c.name for c in deleted], ["kept"])
        restored = service.undelete_container("kept", deleted[0].version)
        self.assertEqual(restored.download_blob("b").readall(), b"x")

    def test_encryption_scopes(self):
        service = self.blobs()
        scope = ContainerEncryptionScope(default_encryption_scope="mine", prevent_encryption_scope_override=True)
        self.fails("InvalidHeaderValue", service.create_container, "scoped", container_encryption_scope=scope)
        self.set(encryption_scopes=["mine", "other"])
        container = service.create_container("scoped", container_encryption_scope=scope)
        self.assertEqual(container.get_container_properties().encryption_scope.default_encryption_scope, "mine")
        self.fails("RequestForbiddenByContainerEncryptionPolicy", container.upload_blob, "b", b"x",
                   encryption_scope="other")

    def test_encryption_scope_of_a_signature(self):
        self.set(encryption_scopes=["mine", "other"])
        service = self.blobs()
        service.create_container("container").upload_blob("plain", b"x")
        of_container = generate_container_sas(self.account, "container", account_key=self.keys["primary"],
                                              permission="rcw", expiry=soon(), encryption_scope="mine")
        of_account = generate_account_sas(self.account, self.keys["primary"], ResourceTypes(object=True),
                                          AccountSasPermissions(read=True, write=True), soon(), encryption_scope="mine")
        for number, sas in enumerate((of_container, of_account)):
            container = self.blobs(credential=sas).get_container_client("container")
            blob = container.upload_blob(f"b{number}", b"x")
            self.assertEqual(blob.get_blob_properties().encryption_scope, "mine")
            container.upload_blob(f"same{number}", b"x", encryption_scope="mine")
            self.fails("InvalidHeaderValue", container.upload_blob, "no", b"x", encryption_scope="other")
            # Reads are not limited to it.
            self.assertEqual(container.download_blob("plain").readall(), b"x")


class Names(Tests):
    """One account by the name of its host, and by its path."""

    def test_blobs(self):
        by_host, by_path = self.blobs(host), self.blobs(path)
        by_host.create_container("container").upload_blob("a b/é", b"x", metadata={"a": "1"})
        for service in (by_host, by_path):
            container = service.get_container_client("container")
            self.assertEqual([b.name for b in container.list_blobs()], ["a b/é"])
            self.assertEqual(container.download_blob("a b/é").readall(), b"x")
            self.assertEqual([c.name for c in service.list_containers()], ["container"])
        by_path.get_blob_client("container", "second").upload_blob(b"y")
        answers = by_host.get_container_client("container").delete_blobs("a b/é", "second")
        self.assertEqual([answer.status_code for answer in answers], [202, 202])
        by_host.create_container("$root").upload_blob("rooted", b"z")
        for service in (by_host, by_path):
            self.assertEqual(service.get_blob_client("$root", "rooted").download_blob().readall(), b"z")

    def test_signatures(self):
        self.blobs().create_container("container").upload_blob("b", b"x")
        sas = generate_account_sas(self.account, self.keys["primary"], ResourceTypes.from_string("sco"),
                                   AccountSasPermissions.from_string("rl"), soon())
        for form in (host, path):
            container = ContainerClient(form(self.account, "blob"), "container", credential=sas, retry_total=0)
            self.assertEqual([b.name for b in container.list_blobs()], ["b"])

    def test_secondary(self):
        self.blobs().create_container("container").upload_blob("b", b"x")
        for url in (host(self.account + "-secondary", "blob"), path(self.account + "-secondary", "blob")):
            service = BlobServiceClient(url, credential=self.credential(), retry_total=0)
            self.assertEqual(service.get_blob_client("container", "b").download_blob().readall(), b"x")
            self.fails("InsufficientAccountPermissions", service.get_blob_client("container", "b").delete_blob)

    def test_queues_and_tables(self):
        for number, form in enumerate((host, path)):
            queues = QueueServiceClient(form(self.account, "queue"), credential=self.credential(), retry_total=0)
            queue = queues.create_queue(f"queue{number}")
            queue.send_message("é")
            self.assertEqual(queue.receive_message().content, "é")
            named = AzureNamedKeyCredential(self.account, self.keys["primary"])
            tables = TableServiceClient(form(self.account, "table"), credential=named, retry_total=0)
            table = tables.create_table(f"table{number}")
            table.submit_transaction([("create", {"PartitionKey": "p", "RowKey": "é"})])
            self.assertEqual([e["RowKey"] for e in table.list_entities()], ["é"])

    def test_who_is_not_there(self):
        for form in (host, path):
            nobody = BlobServiceClient(form("nobody", "blob"), credential=self.credential(), retry_total=0)
            self.fails("AuthenticationFailed", lambda: list(nobody.list_containers()))


class Batches(Tests):
    def send(self, form, parts):
        """A batch of the account: the inner answers' statuses. No official Python client sends one."""
        sas = generate_account_sas(self.account, self.keys["primary"], ResourceTypes.from_string("sco"),
                                   AccountSasPermissions.from_string("rwdl"), soon())
        url = urllib.parse.urlsplit(form(self.account, "blob"))
        lines = []
        for number, (method, target, headers) in enumerate(parts):
            lines += ["--b", "Content-Type: application/http", f"Content-ID: {number}", "",
                      f"{method} {target} HTTP/1.1", *headers, "Content-Length: 0", "", ""]
        body = "\r\n".join([*lines, "--b--", ""])
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
        try:
            connection.request("POST", f"{url.path}/?comp=batch&{sas}", body.encode(),
                               {"Content-Type": "multipart/mixed; boundary=b", "x-ms-version": "2021-10-04"})
            answer = connection.getresponse()
            text = answer.read().decode()
            inner = [int(line.split()[1]) for line in text.splitlines() if line.startswith("HTTP/1.1 ")]
            return answer.status, inner
        finally:
            connection.close()

    def test_of_the_account(self):
        for form in (host, path):
            service = self.blobs(form)
            names = [f"c{uuid.uuid4().hex}" for _ in range(2)]
            for name in names:
                container = service.create_container(name)
                for blob in ("one", "two words"):
                    container.upload_blob(blob, b"x")
            prefix = urllib.parse.urlsplit(form(self.account, "blob")).path
            tiers = [("PUT", f"{prefix}/{name}/one?comp=tier", ["x-ms-access-tier: Cool"]) for name in names]
            self.assertEqual(self.send(form, tiers), (202, [200, 200]))
            self.assertEqual(service.get_blob_client(names[1], "one").get_blob_properties().blob_tier, "Cool")
            deletions = [("DELETE", f"{prefix}/{name}/{blob}", []) for name in names
                         for blob in ("one", "two%20words", "none")]
            self.assertEqual(self.send(form, deletions), (202, [202, 202, 404] * 2))
            for name in names:
                self.assertEqual(list(service.get_container_client(name).list_blobs()), [])
            self.assertEqual(self.send(form, tiers[:1] + deletions[:1])[0], 400)


class Https(Tests):
    def test_given_certificate(self):
        with open(os.path.join(FOLDER, "given.pem")) as file:
            given = ssl.PEM_cert_to_DER_cert(file.read())
        for service in ("BLOB", "QUEUE", "TABLE"):
            served = ssl.get_server_certificate(("127.0.0.1", PORTS[f"{service}_HTTPS"]))
            served = ssl.PEM_cert_to_DER_cert(served)
            self.assertEqual(hashlib.sha256(served).digest(), hashlib.sha256(given).digest())
        for form in (host, path):
            service = self.blobs(form, "https", connection_verify=AUTHORITY)
            container = service.create_container(f"c{uuid.uuid4().hex}")
            container.upload_blob("b", b"x")
            self.assertEqual(container.download_blob("b").readall(), b"x")
            queues = QueueServiceClient(form(self.account, "queue", "https"), credential=self.credential(),
                                        connection_verify=AUTHORITY)
            self.assertEqual(list(queues.list_queues()), [])
        other = self.blobs(path, "https")
        with self.assertRaises(Exception):
            list(other.list_containers())

    def test_keys_of_clients(self):
        """Keys that clients bring travel over HTTPS only."""
        from azure.storage.blob import CustomerProvidedEncryptionKey
        secret = os.urandom(32)
        key = CustomerProvidedEncryptionKey(base64.b64encode(secret).decode(),
                                            base64.b64encode(hashlib.sha256(secret).digest()).decode())
        service = self.blobs(host, "https", connection_verify=AUTHORITY)
        container = service.create_container("container")
        container.upload_blob("b", b"x", cpk=key)
        self.assertEqual(container.download_blob("b", cpk=key).readall(), b"x")

    def test_plain_http_at_the_port_of_https(self):
        for service in ("BLOB", "QUEUE", "TABLE"):
            for method, body in (("GET", None), ("PUT", b"x" * 100_000)):
                connection = http.client.HTTPConnection("127.0.0.1", PORTS[f"{service}_HTTPS"], timeout=30)
                connection.request(method, f"/{self.account}/c?restype=container", body)
                answer = connection.getresponse()
                text = answer.read().decode()
                self.assertEqual((answer.status, answer.headers["x-ms-error-code"]), (400, "AccountRequiresHttps"))
                self.assertIn("AccountRequiresHttps", text)
                connection.close()

    def test_neither_http_nor_tls(self):
        with socket.create_connection(("127.0.0.1", PORTS["BLOB_HTTPS"]), timeout=30) as stream:
            stream.sendall(b"\x00\x01\x02\x03" * 100)
            self.assertIn(stream.recv(1)[:1], (b"\x15", b""))
        self.assertEqual(list(self.blobs(host, "https", connection_verify=AUTHORITY).list_containers()), [])


if __name__ == "__main__":
    unittest.main(verbosity=1)
