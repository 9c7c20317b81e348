"""Stored access policies of tables, and the signatures that lean on them."""

import datetime
import unittest
import uuid

from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.core.rest import HttpRequest
from azure.data.tables import TableAccessPolicy, TableClient, generate_table_sas

from table_case import ACCOUNT, ENDPOINT, KEY, WithTable, name, raw, service, soon


class Policies(WithTable):
    def test_set_and_get(self):
        self.assertEqual(self.table.get_table_access_policy(), {})
        start = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
        policies = {
            "all": TableAccessPolicy(start=start, expiry=soon(), permission="raud"),
            "none": TableAccessPolicy(),
        }
        self.table.set_table_access_policy(policies)
        found = self.table.get_table_access_policy()
        self.assertEqual(set(found), {"all", "none"})
        self.assertEqual((found["all"].permission, found["all"].start), ("raud", start))
        self.table.create_entity({"PartitionKey": "p", "RowKey": "r"})
        self.assertEqual(set(self.table.get_table_access_policy()), {"all", "none"})
        self.table.set_table_access_policy({})
        self.assertEqual(self.table.get_table_access_policy(), {})

    def test_limits(self):
        policies = {f"p{n}": TableAccessPolicy(expiry=soon(), permission="r") for n in range(6)}
        with self.assertRaises(ValueError):
            self.table.set_table_access_policy(policies)
        del policies["p5"]
        self.table.set_table_access_policy(policies)
        for body in ["<", "<x/>", "<SignedIdentifiers><SignedIdentifier/></SignedIdentifiers>"]:
            self.assertEqual(self.signed("PUT", body).status_code, 400, body)
        self.assertEqual(len(self.table.get_table_access_policy()), 5)
        with self.assertRaises(ResourceNotFoundError):
            service().get_table_client(name()).get_table_access_policy()
        with self.assertRaises(ResourceNotFoundError):
            service().get_table_client(name()).set_table_access_policy({})

    def signed(self, method, body):
        """A request that only the owner of a key may make."""
        request = HttpRequest(
            method,
            f"{ENDPOINT}/{self.name}?comp=acl",
            content=body,
            headers={"Accept": "application/xml", "Content-Type": "application/xml", "x-ms-version": "2019-02-02"},
        )
        return self.table._client._client.send_request(request)

    def test_on_the_wire(self):
        answer = self.signed("GET", None)
        self.assertEqual((answer.status_code, answer.headers["content-type"]), (200, "application/xml"))
        self.assertEqual(self.signed("HEAD", None).status_code, 200)
        self.assertEqual(self.signed("PUT", "").status_code, 204)
        self.assertEqual(raw("GET", f"/{self.name}?comp=acl")[0].status, 403)

    def test_signatures_lean_on_them(self):
        def client(policy):
            token = generate_table_sas(AzureNamedKeyCredential(ACCOUNT, KEY), self.name, policy_id=policy)
            return TableClient(ENDPOINT, self.name, credential=AzureSasCredential(token), retry_total=0)

        policy = f"p{uuid.uuid4().hex}"
        with self.assertRaises(HttpResponseError) as raised:
            list(client(policy).list_entities())
        self.assertEqual(raised.exception.status_code, 403)
        self.table.set_table_access_policy({policy: TableAccessPolicy(expiry=soon(), permission="r")})
        self.assertEqual(list(client(policy).list_entities()), [])
        entity = {"PartitionKey": "p", "RowKey": "r"}
        with self.assertRaises(HttpResponseError) as raised:
            client(policy).create_entity(entity)
        self.assertEqual(raised.exception.status_code, 403)
        self.table.set_table_access_policy({policy: TableAccessPolicy(expiry=soon(), permission="ra")})
        client(policy).submit_transaction([("create", entity)])
        self.assertEqual(len(list(client(policy).list_entities())), 1)
        self.table.set_table_access_policy({policy: TableAccessPolicy(expiry=soon(-1), permission="ra")})
        with self.assertRaises(HttpResponseError):
            list(client(policy).list_entities())
        self.table.set_table_access_policy({})
        with self.assertRaises(HttpResponseError):
            list(client(policy).list_entities())


if __name__ == "__main__":
    unittest.main()
