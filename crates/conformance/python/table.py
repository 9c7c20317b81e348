"""The table service as azure-data-tables, unmodified, sees it. Endpoint and key come from the environment."""

import concurrent.futures
import datetime
import json
import unittest
import uuid

from azure.core import MatchConditions
from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.data.tables import (
    EdmType,
    EntityProperty,
    TableAnalyticsLogging,
    TableClient,
    TableCorsRule,
    TableMetrics,
    TableRetentionPolicy,
    TableSasPermissions,
    TableServiceClient,
    UpdateMode,
    generate_table_sas,
)

from table_access import *  # noqa: F403 (the tests of these are run here)
from table_batch import *  # noqa: F403
from table_case import ACCOUNT, ENDPOINT, KEY, WithTable, code, name, raw, service, soon
from table_wire import *  # noqa: F403

class Tables(unittest.TestCase):
    def test_create_list_delete(self):
        client = service()
        made = sorted(f"{name()}x{n}" for n in range(3))
        for table in made:
            client.create_table(table)
        with self.assertRaises(ResourceExistsError) as raised:
            client.create_table(made[0].upper())
        self.assertEqual(raised.exception.error_code, "TableAlreadyExists")
        client.create_table_if_not_exists(made[0])
        listed = {table.name for table in client.list_tables()}
        self.assertTrue(set(made) <= listed)
        pages = [[t.name for t in page] for page in client.list_tables(results_per_page=2).by_page()]
        self.assertTrue(all(len(page) <= 2 for page in pages))
        self.assertTrue(set(made) <= {table for page in pages for table in page})
        found = list(client.query_tables(f"TableName eq '{made[1]}'"))
        self.assertEqual([table.name for table in found], [made[1]])
        for table in made:
            client.delete_table(table)
        client.delete_table(made[0])
        self.assertFalse(set(made) & {table.name for table in client.list_tables()})

    def test_deleted_is_empty_when_made_again(self):
        client, table = service(), name()
        client.create_table(table).create_entity({"PartitionKey": "p", "RowKey": "r"})
        client.delete_table(table)
        with self.assertRaises(ResourceNotFoundError) as raised:
            client.get_table_client(table).get_entity("p", "r")
        self.assertEqual(raised.exception.error_code, "TableNotFound")
        self.assertEqual(list(client.create_table(table).list_entities()), [])

    def test_names(self):
        for bad, expected in [
            ("ab", "OutOfRangeInput"),
            ("a" * 64, "OutOfRangeInput"),
            ("1abc", "InvalidResourceName"),
            ("a-bc", "InvalidResourceName"),
            ("tables", "InvalidResourceName"),
        ]:
            response, text = raw("POST", "/Tables", json.dumps({"TableName": bad}))
            self.assertEqual((response.status, code(text)), (400, expected), bad)
            if bad != "tables":
                with self.assertRaises(ValueError):
                    service().create_table(bad)
        for good in [uuid.uuid4().hex.translate(str.maketrans("0123456789", "ghijklmnop"))[:3], "a" * 31 + name()[1:]]:
            service().create_table_if_not_exists(good)
            service().delete_table(good)
        response, text = raw("POST", "/Tables", "{")
        self.assertEqual((response.status, code(text)), (400, "InvalidInput"))

    def test_answers_of_creation(self):
        table = name()
        response, text = raw("POST", "/Tables", json.dumps({"TableName": table}), Prefer="return-no-content")
        self.assertEqual((response.status, text), (204, b""))
        self.assertEqual(response.headers["Location"], f"{ENDPOINT}/Tables('{table}')")
        self.assertEqual(response.headers["DataServiceId"], f"{ENDPOINT}/Tables('{table}')")
        self.assertEqual(response.headers["Preference-Applied"], "return-no-content")
        response, text = raw("GET", f"/Tables('{table}')", Accept="application/json;odata=fullmetadata")
        self.assertEqual(json.loads(text)["odata.type"], f"{ACCOUNT}.Tables")
        response, _ = raw("DELETE", f"/Tables('{name()}')")
        self.assertEqual(response.status, 404)

    def test_wrong_key(self):
        wrong = AzureNamedKeyCredential(ACCOUNT, "d3Jvbmc=")
        with self.assertRaises(ClientAuthenticationError):
            list(TableServiceClient(ENDPOINT, credential=wrong, retry_total=0).list_tables())


class Entities(WithTable):
    def test_every_type_comes_back(self):
        entity = {
            "PartitionKey": "it's a 'key' \u00e9 \U0001f600 &=+%",
            "RowKey": "",
            "text": "x\r\n\t<\u20ac>",
            "empty": "",
            "yes": True,
            "small": -5,
            "large": EntityProperty(2**63 - 1, EdmType.INT64),
            "half": 0.5,
            "whole": 2.0,
            "infinite": float("inf"),
            "when": datetime.datetime(2026, 11, 24, 1, 2, 3, 456789, tzinfo=datetime.timezone.utc),
            "guid": uuid.uuid4(),
            "bytes": bytes(range(256)),
            "nothing": None,
        }
        self.table.create_entity(entity)
        found = self.table.get_entity(entity["PartitionKey"], entity["RowKey"])
        del entity["nothing"]
        self.assertEqual(dict(found), entity)
        self.assertIs(type(found["whole"]), float)
        self.assertTrue(found.metadata["etag"].startswith("W/\"datetime'"))
        with self.assertRaises(ResourceExistsError) as raised:
            self.table.create_entity(entity)
        # What create_entity raises does not have the code as an attribute.
        self.assertEqual(raised.exception.response.headers["x-ms-error-code"], "EntityAlreadyExists")

    def test_update_merge_upsert(self):
        key = {"PartitionKey": "p", "RowKey": "r"}
        with self.assertRaises(ResourceNotFoundError):
            self.table.update_entity({**key, "a": 1}, UpdateMode.MERGE)
        with self.assertRaises(ResourceNotFoundError):
            self.table.update_entity({**key, "a": 1}, UpdateMode.REPLACE)
        self.table.upsert_entity({**key, "a": 1}, UpdateMode.MERGE)
        self.table.upsert_entity({**key, "b": 2}, UpdateMode.MERGE)
        self.assertEqual(dict(self.table.get_entity("p", "r")), {**key, "a": 1, "b": 2})
        self.table.update_entity({**key, "a": None, "c": 3}, UpdateMode.MERGE)
        self.assertEqual(dict(self.table.get_entity("p", "r")), {**key, "a": 1, "b": 2, "c": 3})
        self.table.update_entity({**key, "d": 4}, UpdateMode.REPLACE)
        self.assertEqual(dict(self.table.get_entity("p", "r")), {**key, "d": 4})
        self.table.upsert_entity({**key, "e": 5}, UpdateMode.REPLACE)
        self.assertEqual(dict(self.table.get_entity("p", "r")), {**key, "e": 5})
        self.table.delete_entity("p", "r")
        self.table.delete_entity("p", "r")
        with self.assertRaises(ResourceNotFoundError) as raised:
            self.table.get_entity("p", "r")
        self.assertEqual(raised.exception.error_code, "ResourceNotFound")

    def test_conditions(self):
        key = {"PartitionKey": "p", "RowKey": "r"}
        first = self.table.create_entity({**key, "a": 1})["etag"]
        second = self.table.update_entity(
            {**key, "a": 2}, UpdateMode.REPLACE, etag=first, match_condition=MatchConditions.IfNotModified
        )["etag"]
        self.assertNotEqual(first, second)
        for mode in [UpdateMode.MERGE, UpdateMode.REPLACE]:
            with self.assertRaises(ResourceModifiedError) as raised:
                self.table.update_entity(
                    {**key, "a": 3}, mode, etag=first, match_condition=MatchConditions.IfNotModified
                )
            self.assertEqual(raised.exception.error_code, "UpdateConditionNotSatisfied")
        with self.assertRaises(ResourceModifiedError):
            self.table.delete_entity("p", "r", etag=first, match_condition=MatchConditions.IfNotModified)
        self.table.delete_entity("p", "r", etag=second, match_condition=MatchConditions.IfNotModified)

    def test_one_of_many_writers_wins(self):
        key = {"PartitionKey": "p", "RowKey": "r"}
        etag = self.table.create_entity({**key, "n": 0})["etag"]

        def write(n):
            try:
                self.table.update_entity(
                    {**key, "n": n}, etag=etag, match_condition=MatchConditions.IfNotModified
                )
                return 1
            except ResourceModifiedError:
                return 0

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            self.assertEqual(sum(pool.map(write, range(16))), 1)

    def test_limits(self):
        key = {"PartitionKey": "p", "RowKey": "r"}
        self.table.create_entity({**key, **{f"n{n}": n for n in range(252)}})
        refused = [
            ({**key, **{f"n{n}": n for n in range(253)}}, "TooManyProperties"),
            ({**key, "a": "x" * (32 * 1024 + 1)}, "PropertyValueTooLarge"),
            ({**key, "a": b"x" * (64 * 1024 + 1)}, "PropertyValueTooLarge"),
            ({**key, **{f"n{n}": "x" * (32 * 1024) for n in range(17)}}, "EntityTooLarge"),
            ({**key, "a" * 256: 1}, "PropertyNameTooLong"),
            ({**key, "a b": 1}, "PropertyNameInvalid"),
            ({"PartitionKey": "p" * 513, "RowKey": "r"}, "KeyValueTooLarge"),
            ({"PartitionKey": "a/b", "RowKey": "r"}, "OutOfRangeInput"),
        ]
        for entity, expected in refused:
            with self.assertRaises(HttpResponseError) as raised:
                self.table.create_entity(entity)
            found = raised.exception.response.headers["x-ms-error-code"]
            self.assertEqual((raised.exception.status_code, found), (400, expected))
        for body, expected in [
            ('{"PartitionKey":"p"}', "PropertiesNeedValue"),
            ('{"PartitionKey":"q","RowKey":"r","a@odata.type":"Edm.Guid","a":"no"}', "InvalidInput"),
            ('{"PartitionKey":"q","RowKey":"r","a":1,"a":2}', "DuplicatePropertiesSpecified"),
            ("[1]", "InvalidInput"),
        ]:
            response, text = raw("POST", f"/{self.name}", body)
            self.assertEqual((response.status, code(text)), (400, expected), body)

    def test_on_the_wire(self):
        entity = '{"PartitionKey":"p","RowKey":"r","n@odata.type":"Edm.Int64","n":"5"}'
        response, text = raw("POST", f"/{self.name}", entity, Prefer="return-no-content")
        self.assertEqual((response.status, text), (204, b""))
        url = f"{ENDPOINT}/{self.name}(PartitionKey='p',RowKey='r')"
        self.assertEqual((response.headers["Location"], response.headers["DataServiceId"]), (url, url))
        one = f"/{self.name}(PartitionKey='p',RowKey='r')"
        etag = response.headers["ETag"]
        for level, present in [("nometadata", []), ("minimalmetadata", ["odata.etag"]), ("fullmetadata", ["odata.id"])]:
            response, text = raw("GET", one, Accept=f"application/json;odata={level}")
            body = json.loads(text)
            self.assertIn(f"odata={level}", response.headers["Content-Type"])
            self.assertEqual((body["n"], response.headers["ETag"]), ("5", etag))
            for member in present:
                self.assertIn(member, body)
        response, text = raw("GET", f"{one}?$select=n,zz", Accept="application/json;odata=nometadata")
        self.assertEqual(json.loads(text), {"n": "5", "zz": None})
        response, text = raw("GET", one, Accept="application/atom+xml")
        self.assertEqual(response.status, 415)
        response, text = raw("DELETE", one)
        self.assertEqual(response.status, 400)
        response, text = raw("POST", one, '{"m":1}', X_HTTP_Method="MERGE", If_Match="*")
        self.assertEqual(response.status, 204)
        response, text = raw("PUT", one, '{"PartitionKey":"x","RowKey":"r"}')
        self.assertEqual((response.status, code(text)), (400, "InvalidInput"))
        response, text = raw("DELETE", one, If_Match="*")
        self.assertEqual((response.status, text), (204, b""))


class Queries(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.name = name()
        cls.table = service().create_table(cls.name)
        cls.when = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
        cls.guid = uuid.UUID(int=7)
        rows = [(p, r) for p in "abc" for r in range(5)]

        def insert(row):
            partition, number = row
            entity = {
                "PartitionKey": partition,
                "RowKey": f"r{number}",
                "n": number,
                "large": EntityProperty(number * 10**12, EdmType.INT64),
                "half": number / 2,
                "even": number % 2 == 0,
                "text": f"it's {number}",
                "when": cls.when + datetime.timedelta(days=number),
                "guid": uuid.UUID(int=number),
                "bytes": bytes([number]),
            }
            if number == 0:
                entity["rare"] = 1
            cls.table.create_entity(entity)

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(insert, rows))

    @classmethod
    def tearDownClass(cls):
        cls.table.delete_table()

    def keys(self, text, **more):
        return [e["PartitionKey"] + e["RowKey"] for e in self.table.query_entities(text, **more)]

    def test_filters(self):
        for text, expected in [
            ("PartitionKey eq 'b'", "br0 br1 br2 br3 br4"),
            ("PartitionKey eq 'b' and RowKey ge 'r3'", "br3 br4"),
            ("PartitionKey gt 'a' and RowKey eq 'r1'", "br1 cr1"),
            ("(PartitionKey eq 'a' or PartitionKey eq 'c') and RowKey lt 'r1'", "ar0 cr0"),
            ("PartitionKey eq 'a' and n gt 1 and n le 3", "ar2 ar3"),
            ("PartitionKey eq 'a' and large ge 3000000000000L", "ar3 ar4"),
            ("PartitionKey eq 'a' and half lt 1.0", "ar0 ar1"),
            ("PartitionKey eq 'a' and even eq true", "ar0 ar2 ar4"),
            ("PartitionKey eq 'a' and not even", "ar1 ar3"),
            ("PartitionKey eq 'a' and text eq 'it''s 2'", "ar2"),
            ("PartitionKey eq 'a' and when gt datetime'2026-01-03T00:00:00Z'", "ar3 ar4"),
            ("PartitionKey eq 'a' and guid eq guid'00000000-0000-0000-0000-000000000002'", "ar2"),
            ("PartitionKey eq 'a' and bytes ge X'03'", "ar3 ar4"),
            ("rare eq 1", "ar0 br0 cr0"),
            ("rare ne 1", ""),
            ("PartitionKey eq 'a' and not (rare eq 1)", "ar1 ar2 ar3 ar4"),
            ("PartitionKey eq 'zz'", ""),
        ]:
            self.assertEqual(" ".join(self.keys(text)), expected, text)
        parameters = {"p": "a", "w": self.when, "t": "it's 0", "g": uuid.UUID(int=0), "b": b"\0"}
        text = "PartitionKey eq @p and when eq @w and text eq @t and guid eq @g and bytes eq @b"
        self.assertEqual(self.keys(text, parameters=parameters), ["ar0"])

    def test_refused(self):
        for text in ["n eq", "n = 1", "(n eq 1", "startswith(text, 'a')"]:
            with self.assertRaises(HttpResponseError) as raised:
                self.keys(text)
            self.assertIn(raised.exception.error_code, ["InvalidInput", "NotImplemented"], text)
        for top in ["0", "1001", "x"]:
            response, _ = raw("GET", f"/{self.name}()?$top={top}")
            self.assertEqual(response.status, 400, top)

    def test_pages_and_selection(self):
        pages = [list(page) for page in self.table.list_entities(results_per_page=4).by_page()]
        self.assertEqual([len(page) for page in pages], [4, 4, 4, 3])
        found = list(self.table.query_entities("PartitionKey eq 'a'", select=["n", "rare"]))
        self.assertEqual([dict(entity) for entity in found][1], {"n": 1, "rare": None})
        first = self.table.list_entities(results_per_page=4).by_page()
        list(next(first))
        again = self.table.list_entities(results_per_page=4).by_page(first.continuation_token)
        self.assertEqual([e["PartitionKey"] + e["RowKey"] for e in next(again)], ["ar4", "br0", "br1", "br2"])

    def test_more_than_a_page_of_a_thousand(self):
        table = service().create_table(name())

        def insert(n):
            table.create_entity({"PartitionKey": f"p{n % 2}", "RowKey": f"{n:05}"})

        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            list(pool.map(insert, range(1100)))
        pages = [list(page) for page in table.list_entities().by_page()]
        self.assertEqual([len(page) for page in pages], [1000, 100])
        keys = [(e["PartitionKey"], e["RowKey"]) for page in pages for e in page]
        self.assertEqual(keys, sorted(set(keys)))
        table.delete_table()


class Service(unittest.TestCase):
    def test_properties(self):
        client = service()
        before = client.get_service_properties()
        rule = TableCorsRule(["https://example.org"], ["GET"], max_age_in_seconds=5)
        client.set_service_properties(
            analytics_logging=TableAnalyticsLogging(read=True, retention_policy=TableRetentionPolicy(enabled=True, days=3)),
            hour_metrics=TableMetrics(enabled=True, include_apis=True, retention_policy=TableRetentionPolicy()),
            cors=[rule],
        )
        found = client.get_service_properties()
        self.assertEqual((found["analytics_logging"].read, found["analytics_logging"].retention_policy.days), (True, 3))
        self.assertTrue(found["hour_metrics"].include_apis)
        self.assertEqual([r.allowed_origins for r in found["cors"]], [["https://example.org"]])
        client.set_service_properties(cors=[], analytics_logging=before["analytics_logging"], hour_metrics=before["hour_metrics"])
        self.assertEqual(client.get_service_properties()["cors"], [])

    def test_statistics(self):
        # The client puts the secondary endpoint's whole path before the primary's, so that it cannot ask an
        # account whose name is in the path.
        response, text = raw("GET", "-secondary/?restype=service&comp=stats", Accept="application/xml")
        self.assertEqual(response.status, 200)
        self.assertIn(b"<GeoReplication><Status>live</Status>", text)


class Signatures(unittest.TestCase):
    def setUp(self):
        self.name = name()
        self.table = service().create_table(self.name)
        for partition in "abc":
            self.table.create_entity({"PartitionKey": partition, "RowKey": "r"})

    def client(self, permission, **more):
        credential = AzureNamedKeyCredential(ACCOUNT, KEY)
        token = generate_table_sas(credential, self.name, permission=permission, expiry=soon(), **more)
        return TableClient(ENDPOINT, self.name, credential=AzureSasCredential(token), retry_total=0)

    def test_permissions(self):
        reader = self.client(TableSasPermissions(read=True))
        self.assertEqual(len(list(reader.list_entities())), 3)
        with self.assertRaises(HttpResponseError) as raised:
            reader.create_entity({"PartitionKey": "x", "RowKey": "r"})
        self.assertEqual(raised.exception.status_code, 403)
        adder = self.client(TableSasPermissions(add=True))
        adder.create_entity({"PartitionKey": "x", "RowKey": "r"})
        with self.assertRaises(HttpResponseError):
            list(adder.list_entities())

    def test_key_range(self):
        limited = self.client(
            TableSasPermissions(read=True),
            start_pk="b",
            start_rk="a",
            end_pk="b",
            end_rk="z",
        )
        self.assertEqual([e["PartitionKey"] for e in limited.list_entities()], ["b"])
        self.assertEqual(limited.get_entity("b", "r")["RowKey"], "r")
        with self.assertRaises(HttpResponseError) as raised:
            limited.get_entity("a", "r")
        self.assertEqual(raised.exception.status_code, 403)


if __name__ == "__main__":
    unittest.main()
