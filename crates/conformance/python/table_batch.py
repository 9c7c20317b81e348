"""Entity group transactions, by azure-data-tables and on the wire."""

import json
import unittest

from azure.core import MatchConditions
from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.core.exceptions import HttpResponseError
from azure.data.tables import (
    RequestTooLargeError,
    TableClient,
    TableSasPermissions,
    TableTransactionError,
    UpdateMode,
    generate_table_sas,
)

from table_case import ACCOUNT, ENDPOINT, KEY, WithTable, code, name, raw, service, soon


def entity(row, **more):
    return {"PartitionKey": "p", "RowKey": str(row), **more}


def part(request, **headers):
    lines = "".join(f"{key.replace('_', '-')}: {value}\r\n" for key, value in headers.items())
    return f"Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n{lines}\r\n{request}\r\n"


def multipart(boundary, parts):
    return "".join(f"--{boundary}\r\n{text}" for text in parts) + f"--{boundary}--\r\n"


def change_set(requests):
    inner = multipart("changeset_1", [part(request) for request in requests])
    return multipart("batch_1", [f"Content-Type: multipart/mixed; boundary=changeset_1\r\n\r\n{inner}\r\n"])


def send(body, signature=None, kind="multipart/mixed; boundary=batch_1"):
    return raw("POST", "/$batch", body, signature=signature, Content_Type=kind)


def statuses(text):
    return [int(line.split()[1]) for line in text.decode().split("\r\n") if line.startswith("HTTP/1.1 ")]


class Transactions(WithTable):
    def all(self):
        return {e["RowKey"]: e for e in self.table.list_entities()}

    def insert(self, row, table=None, partition="p", prefer="return-no-content", headers=""):
        body = json.dumps({"PartitionKey": partition, "RowKey": row})
        return (
            f"POST {ENDPOINT}/{table or self.name} HTTP/1.1\r\nContent-ID: {row}\r\nPrefer: {prefer}\r\n"
            f"Accept: application/json;odata=minimalmetadata\r\nContent-Type: application/json\r\n{headers}\r\n{body}"
        )

    def fails(self, operations, index, expected):
        before = self.all()
        with self.assertRaises(TableTransactionError) as raised:
            self.table.submit_transaction(operations)
        self.assertEqual((raised.exception.error_code, raised.exception.index), (expected, index))
        self.assertEqual(self.all(), before)

    def test_every_kind_of_change(self):
        for row in ["merged", "replaced", "deleted", "upserted"]:
            self.table.create_entity(entity(row, old=1))
        etag = self.table.get_entity("p", "merged").metadata["etag"]
        answers = self.table.submit_transaction(
            [
                ("create", entity("made", n=1)),
                ("update", entity("merged", n=2), {"mode": UpdateMode.MERGE, "etag": etag, "match_condition": MatchConditions.IfNotModified}),
                ("update", entity("replaced", n=3), {"mode": UpdateMode.REPLACE}),
                ("delete", entity("deleted")),
                ("upsert", entity("upserted", n=4), {"mode": UpdateMode.MERGE}),
                ("upsert", entity("new", n=5), {"mode": UpdateMode.REPLACE}),
            ]
        )
        self.assertEqual([("etag" in answer) for answer in answers], [True, True, True, False, True, True])
        found = self.all()
        self.assertEqual(answers[0]["etag"], found["made"].metadata["etag"])
        self.assertEqual(
            {row: {k: v for k, v in e.items() if len(k) < 4} for row, e in found.items()},
            {
                "made": {"n": 1},
                "merged": {"old": 1, "n": 2},
                "replaced": {"n": 3},
                "upserted": {"old": 1, "n": 4},
                "new": {"n": 5},
            },
        )

    def test_nothing_is_done_where_one_fails(self):
        self.table.create_entity(entity("there", n=1))
        create = [("create", entity(n)) for n in range(3)]
        self.fails([*create, ("create", entity("there"))], 3, "EntityAlreadyExists")
        self.fails([*create, ("update", entity("missing"))], 3, "ResourceNotFound")
        self.fails([("delete", entity("missing")), *create], 0, "ResourceNotFound")
        stale = {"etag": "W/\"datetime'2020-01-01T00%3A00%3A00Z'\"", "match_condition": MatchConditions.IfNotModified}
        self.fails([create[0], ("update", entity("there"), stale), create[1]], 1, "UpdateConditionNotSatisfied")
        self.fails([*create, ("create", entity("x", **{"a b": 1}))], 3, "PropertyNameInvalid")
        self.fails([*create, ("create", entity("x", **{f"n{n}": n for n in range(253)}))], 3, "TooManyProperties")
        self.fails([*create, ("upsert", entity("1"))], 3, "InvalidDuplicateRow")

    def test_hundred_and_no_more(self):
        for count in [99, 100]:
            self.table.submit_transaction([("upsert", entity(n)) for n in range(count)])
            self.assertEqual(len(self.all()), count)
        with self.assertRaises(HttpResponseError) as raised:
            self.table.submit_transaction([("upsert", entity(n)) for n in range(101)])
        self.assertEqual((raised.exception.status_code, raised.exception.error_code), (400, "InvalidInput"))

    def test_four_mebibytes_and_no_more(self):
        for extra, status in [(-1, 202), (0, 202), (1, 413)]:
            # What follows the last boundary counts, too.
            response, text = send(change_set([self.insert("a")]).ljust(4 * 1024 * 1024 + extra))
            self.assertEqual(response.status, status, extra)
        self.assertEqual(code(text), "RequestBodyTooLarge")
        large = [("create", entity(n, **{f"a{i}": "x" * 30_000 for i in range(8)})) for n in range(20)]
        with self.assertRaises(RequestTooLargeError):
            self.table.submit_transaction(large)

    def test_what_is_there_afterwards_is_bounded(self):
        large = {f"a{n}": bytes(65_000) for n in range(15)}
        for row in range(18):
            self.table.create_entity(entity(row, **large))
        with self.assertRaises(RequestTooLargeError):
            self.table.submit_transaction([("upsert", entity(row, n=1)) for row in range(18)])
        self.table.submit_transaction([("upsert", entity(row, n=1)) for row in range(10)])
        self.assertEqual(len(list(self.table.query_entities("n eq 1", select=["RowKey"]))), 10)

    def test_missing_table(self):
        client = service().get_table_client(name())
        with self.assertRaises(TableTransactionError) as raised:
            client.submit_transaction([("create", entity(1))])
        self.assertEqual(raised.exception.error_code, "TableNotFound")

    def test_one_partition_and_one_table(self):
        other = service().create_table(name())
        for second, expected in [
            (self.insert("2", partition="q"), "CommandsInBatchActOnDifferentPartitions"),
            (self.insert("2", table=other.table_name), "InvalidInput"),
        ]:
            response, text = send(change_set([self.insert("1"), second]))
            self.assertEqual((response.status, statuses(text)), (202, [400]))
            self.assertIn(f'"code":"{expected}"', text.decode())
            self.assertIn('"value":"1:', text.decode())
            self.assertIn("content-id: 2", text.decode().lower())
        self.assertEqual(self.all(), {})
        other.delete_table()

    def test_answers_on_the_wire(self):
        requests = [
            self.insert("1"),
            self.insert("2", prefer="return-content"),
            f"MERGE {ENDPOINT}/{self.name}(PartitionKey='p',RowKey='3') HTTP/1.1\r\nContent-ID: 3\r\n"
            'Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{"n":1}',
        ]
        response, text = send(change_set(requests))
        text = text.decode()
        self.assertEqual((response.status, statuses(text.encode())), (202, [204, 201, 204]))
        self.assertTrue(response.headers["Content-Type"].startswith("multipart/mixed; boundary=batchresponse_"))
        self.assertIn("Content-Type: multipart/mixed; boundary=changesetresponse_", text)
        for n in "123":
            self.assertIn(f"content-id: {n}\r\n", text.lower())
        url = f"{ENDPOINT}/{self.name}(PartitionKey='p',RowKey='1')"
        for line in [f"location: {url}", f"dataserviceid: {url}", "preference-applied: return-no-content", "preference-applied: return-content", "dataserviceversion: 3.0;"]:
            self.assertIn(f"{line}\r\n".lower(), text.lower())
        self.assertIn('"odata.etag":', text)
        self.assertEqual(set(self.all()), {"1", "2", "3"})

    def test_one_query_is_a_batch(self):
        self.table.create_entity(entity(1, n=7))
        for target, status in [
            (f"/{self.name}(PartitionKey='p',RowKey='1')", 200),
            (f"/{self.name}()?$filter=n%20eq%207", 200),
            (f"/{self.name}(PartitionKey='p',RowKey='2')", 404),
            (f"/{name()}()", 404),
            (f"/{self.name}()?$filter=n%20eq", 400),
        ]:
            get = f"GET {ENDPOINT}{target} HTTP/1.1\r\nAccept: application/json;odata=nometadata\r\n\r\n"
            response, text = send(multipart("batch_1", [part(get, Content_ID="9")]))
            self.assertEqual((response.status, statuses(text)), (202, [status]), target)
            self.assertIn("content-id: 9", text.decode().lower())
            self.assertEqual('"n":7' in text.decode(), status == 200)

    def test_malformed(self):
        get = f"GET {ENDPOINT}/{self.name}() HTTP/1.1\r\n\r\n"
        good = change_set([self.insert("1")])
        for body in [
            "",
            "x",
            "--batch_1--",
            multipart("batch_1", [part(get), part(get)]),
            multipart("batch_1", [part(self.insert("1"))]),
            multipart("batch_1", []),
            change_set([]),
            change_set([get]),
            change_set(["nonsense"]),
            change_set([self.insert("1"), get]),
            good.replace("--batch_1--", ""),
            good.replace("--changeset_1--", ""),
            good.replace("boundary=changeset_1", "boundary="),
            good.replace("boundary=changeset_1", "boundary=other"),
            good.replace("application/http", "text/plain"),
            good.replace("HTTP/1.1", "HTTP/9.9"),
            good.replace("--batch_1--\r\n", "") + good,
        ]:
            response, text = send(body)
            self.assertEqual(response.status, 400, body)
            self.assertTrue(code(text), body)
        for kind in ["application/json", "multipart/mixed", "multipart/mixed; boundary=", "multipart/form-data; boundary=batch_1"]:
            self.assertEqual(send(good, kind=kind)[0].status, 400, kind)
        # What is wrong with one request is told of it.
        for old, new, status in [
            (f"/{ACCOUNT}/{self.name}", "/otheraccount/t", 400),
            (f"/{self.name} ", "/Tables ", 400),
            (f"/{self.name} ", f"/{self.name}(PartitionKey='p') ", 405),
            ('"RowKey"', '"X"', 400),
            ("POST", "PUT", 405),
            ("{", "[", 400),
        ]:
            response, text = send(good.replace(old, new))
            self.assertEqual((response.status, statuses(text)), (202, [status]), new)
        self.assertEqual(self.all(), {})
        self.assertEqual(raw("GET", "/$batch")[0].status, 405)

    def test_each_change_needs_its_permission(self):
        self.table.create_entity(entity("there"))
        key = AzureNamedKeyCredential(ACCOUNT, KEY)

        def client(table=None, **more):
            token = generate_table_sas(key, table or self.name, expiry=soon(), **more)
            return TableClient(ENDPOINT, self.name, credential=AzureSasCredential(token), retry_total=0)

        adder = client(permission=TableSasPermissions(add=True))
        adder.submit_transaction([("create", entity(1)), ("create", entity(2))])
        for operation in [("delete", entity("there")), ("upsert", entity(4)), ("update", entity("there", n=1))]:
            with self.assertRaises(TableTransactionError) as raised:
                adder.submit_transaction([("create", entity(3)), operation])
            self.assertEqual(raised.exception.error_code, "AuthorizationPermissionMismatch")
            self.assertEqual((raised.exception.index, raised.exception.status_code), (1, 403))
        limited = client(permission=TableSasPermissions(add=True), start_pk="p", start_rk="5", end_pk="p", end_rk="6")
        limited.submit_transaction([("create", entity(5)), ("create", entity(6))])
        with self.assertRaises(TableTransactionError) as raised:
            limited.submit_transaction([("create", entity("5a")), ("create", entity(7))])
        self.assertEqual(raised.exception.status_code, 403)
        other = service().create_table(name())
        with self.assertRaises(HttpResponseError) as raised:
            client(other.table_name, permission=TableSasPermissions(add=True)).submit_transaction([("create", entity(8))])
        self.assertEqual(raised.exception.status_code, 403)
        other.delete_table()
        self.assertEqual(set(self.all()), {"there", "1", "2", "5", "6"})

    def test_empty_pages_have_tokens(self):
        """A page looks at a bounded number of rows: a rare match is found pages later."""
        for start in range(0, 20_200, 100):
            self.table.submit_transaction([("create", entity(f"{n:06}", n=n)) for n in range(start, start + 100)])
        target = f"/{self.name}()?$filter=n%20eq%2020150"
        response, text = raw("GET", target)
        self.assertEqual(json.loads(text)["value"], [])
        self.assertTrue(response.headers["x-ms-continuation-NextPartitionKey"])
        self.assertEqual([e["n"] for e in self.table.query_entities("n eq 20150")], [20150])


if __name__ == "__main__":
    unittest.main()
