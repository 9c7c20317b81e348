"""Tables and entities in plain HTTP: what azure-data-tables does not send."""

import http.client
import json
import unittest
import urllib.parse

from azure.core.exceptions import HttpResponseError

from table_case import ACCOUNT, ENDPOINT, WithTable, code, name, raw, sas_url, service

FULL = "application/json;odata=fullmetadata"
TYPED = {
    "Boolean": True,
    "Int32": -7,
    "Int64": "9223372036854775807",
    "Double": 0.5,
    "String": "text",
    "DateTime": "2026-11-24T01:02:03.4567891Z",
    "Guid": "c9da6455-213d-42c9-9a79-3e9149a57833",
    "Binary": "AQID",
}


class Wire(WithTable):
    def one(self, partition="p", row="r"):
        return f"/{self.name}(PartitionKey='{partition}',RowKey='{row}')"

    def insert(self, row="r", headers=None, **properties):
        body = json.dumps({"PartitionKey": "p", "RowKey": row, **properties})
        return raw("POST", f"/{self.name}", body, **(headers or {}))

    def test_levels(self):
        typed = {f"{edm}@odata.type": f"Edm.{edm}" for edm in TYPED}
        self.assertEqual(self.insert(headers={"Accept": "application/json;odata=nometadata"}, **TYPED, **typed)[0].status, 201)
        annotated = {f"{edm}@odata.type": f"Edm.{edm}" for edm in ["Int64", "DateTime", "Guid", "Binary"]}
        found = {}
        for level in ["nometadata", "minimalmetadata", "fullmetadata"]:
            response, text = raw("GET", self.one(), Accept=f"application/json;odata={level}")
            self.assertIn(f"odata={level}", response.headers["Content-Type"])
            self.assertEqual(response.headers["DataServiceVersion"], "3.0;")
            found[level] = json.loads(text)
            self.assertEqual({edm: found[level][edm] for edm in TYPED}, TYPED)
        timestamp = found["nometadata"]["Timestamp"]
        keys = {"PartitionKey": "p", "RowKey": "r", "Timestamp": timestamp}
        self.assertEqual(found["nometadata"], {**keys, **TYPED})
        minimal = {
            "odata.metadata": f"{ENDPOINT}/$metadata#{self.name}/@Element",
            "odata.etag": f"W/\"datetime'{urllib.parse.quote(timestamp)}'\"",
        }
        self.assertEqual(found["minimalmetadata"], {**keys, **TYPED, **annotated, **minimal})
        full = {
            "odata.type": f"{ACCOUNT}.{self.name}",
            "odata.id": f"{ENDPOINT}{self.one()}",
            "odata.editLink": self.one()[1:],
            "Timestamp@odata.type": "Edm.DateTime",
        }
        self.assertEqual(found["fullmetadata"], {**keys, **TYPED, **annotated, **minimal, **full})
        _, text = raw("GET", f"/{self.name}()", Accept=FULL)
        page = json.loads(text)
        self.assertEqual(page["odata.metadata"], f"{ENDPOINT}/$metadata#{self.name}")
        del found["fullmetadata"]["odata.metadata"]
        self.assertEqual(page["value"], [found["fullmetadata"]])

    def test_levels_of_tables(self):
        full = {
            "TableName": self.name,
            "odata.type": f"{ACCOUNT}.Tables",
            "odata.id": f"{ENDPOINT}/Tables('{self.name}')",
            "odata.editLink": f"Tables('{self.name}')",
        }
        _, text = raw("GET", f"/Tables?$filter=TableName%20eq%20'{self.name}'", Accept=FULL)
        self.assertEqual(json.loads(text), {"odata.metadata": f"{ENDPOINT}/$metadata#Tables", "value": [full]})
        for level, expected in [
            ("nometadata", {"TableName": self.name}),
            ("minimalmetadata", {"TableName": self.name, "odata.metadata": f"{ENDPOINT}/$metadata#Tables/@Element"}),
            ("fullmetadata", {**full, "odata.metadata": f"{ENDPOINT}/$metadata#Tables/@Element"}),
        ]:
            # Names are equal whatever their case, and come back as they were given.
            _, text = raw("GET", f"/Tables('{self.name.upper()}')", Accept=f"application/json;odata={level}")
            self.assertEqual(json.loads(text), expected)

    def test_formats(self):
        self.insert()
        for accept, status, expected in [
            ("application/json;odata=fullmetadata;q=0.2,application/json;odata=nometadata;q=0.9", 200, "nometadata"),
            ("application/atom+xml,application/json", 200, "minimalmetadata"),
            ("*/*", 200, "minimalmetadata"),
            ("application/json;charset=utf-8", 200, "minimalmetadata"),
            ("application/json;odata=verbose", 415, "JsonFormatNotSupported"),
            ("application/json;charset=latin1", 415, "MediaTypeNotSupported"),
            ("application/atom+xml", 415, "AtomFormatNotSupported"),
            ("text/html", 415, "MediaTypeNotSupported"),
        ]:
            response, text = raw("GET", self.one(), Accept=accept)
            self.assertEqual(response.status, status, accept)
            self.assertIn(expected, response.headers["Content-Type"] if status == 200 else text.decode(), accept)
        # Who does not read JSON is answered in XML.
        response, text = raw("GET", f"/{self.name}(x)", Accept="application/atom+xml,application/xml")
        self.assertIn("application/xml", response.headers["Content-Type"])
        self.assertIn(b"<code>InvalidUri</code>", text)
        response, _ = raw("GET", f"{self.one()}?$format=application/json;odata=fullmetadata", Accept="application/json")
        self.assertIn("odata=fullmetadata", response.headers["Content-Type"])
        self.refused(raw("GET", f"{self.one()}?$format=atom"), 415, "AtomFormatNotSupported")
        self.refused(raw("POST", f"/{self.name}", "<entry/>", Content_Type="application/atom+xml"), 415, "AtomFormatNotSupported")
        self.refused(raw("POST", f"/{self.name}", "{}", Content_Type="text/plain"), 415, "MediaTypeNotSupported")
        self.refused(raw("GET", self.one(), DataServiceVersion="4.0"), 400, "InvalidHeaderValue")
        self.assertEqual(raw("GET", self.one(), DataServiceVersion="3.0;NetFx")[0].status, 200)

    def test_preferences(self):
        response, text = self.insert("1", {"Prefer": "return-content"})
        self.assertEqual((response.status, response.headers["Preference-Applied"]), (201, "return-content"))
        self.assertEqual(json.loads(text)["RowKey"], "1")
        response, text = self.insert("2", {"Prefer": "return-no-content"})
        self.assertEqual((response.status, text, response.headers["Preference-Applied"]), (204, b"", "return-no-content"))
        response, text = self.insert("3")
        self.assertEqual((response.status, response.headers["Preference-Applied"]), (201, None))
        self.assertEqual(response.headers["ETag"], json.loads(text)["odata.etag"])
        self.assertEqual(response.headers["Location"], f"{ENDPOINT}{self.one(row='3')}")

    def test_conditions(self):
        etag = self.insert()[0].headers["ETag"]
        for method in ["PUT", "MERGE", "PATCH", "DELETE"]:
            body = None if method == "DELETE" else "{}"
            for value, status, expected in [
                ("abc", 400, "InvalidInput"),
                ('W/"a", W/"b"', 400, "InvalidInput"),
                ('"0x8D"', 412, "UpdateConditionNotSatisfied"),
                (etag.replace("20", "21", 1), 412, "UpdateConditionNotSatisfied"),
            ]:
                self.refused(raw(method, self.one(), body, If_Match=value), status, expected)
            self.refused(raw(method, self.one(), body, If_None_Match="*"), 400, "InvalidInput")
            self.refused(raw(method, self.one(row="x"), body, If_Match="*"), 404, "ResourceNotFound")
        self.refused(raw("DELETE", self.one()), 400, "MissingRequiredHeader")
        self.refused(self.insert("y", {"If-Match": "*"}), 400, "InvalidInput")
        for method in ["PUT", "MERGE", "PATCH"]:
            response, _ = raw(method, self.one(), "{}", If_Match=etag)
            self.assertEqual(response.status, 204)
            self.assertNotEqual(response.headers["ETag"], etag)
            etag = response.headers["ETag"]
        self.assertEqual(raw("DELETE", self.one(), If_Match=etag)[0].status, 204)

    def test_tunneled_methods(self):
        for method, status in [("PUT", 204), ("MERGE", 204), ("PATCH", 204), ("DELETE", 204)]:
            condition = {"If-Match": "*"} if method == "DELETE" else {}
            response, _ = raw("POST", self.one(), "{}", X_HTTP_Method=method, **condition)
            self.assertEqual(response.status, status, method)
        self.refused(raw("PUT", self.one(), "{}", X_HTTP_Method="MERGE"), 400, "XMethodNotUsingPost")
        self.refused(raw("POST", self.one(), "{}", X_HTTP_Method="GET"), 400, "XMethodIncorrectValue")

    def test_heads_of_a_kind_that_libraries_refuse(self):
        twice = [("Host", "h"), ("X-HTTP-Method", "MERGE"), ("X-HTTP-Method", "MERGE")]
        for method, lines, expected in [
            ("POST", twice, "XMethodIncorrectCount"),
            ("GET", [], "HostInformationNotPresent"),
            ("GET", [("Host", "")], "HostInformationNotPresent"),
        ]:
            url = urllib.parse.urlsplit(ENDPOINT)
            connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
            connection.putrequest(method, f"{url.path}{self.one()}?{sas_url()}", skip_host=True)
            for key, value in [*lines, ("Content-Length", "0")]:
                connection.putheader(key, value)
            connection.endheaders()
            response = connection.getresponse()
            self.refused((response, response.read()), 400, expected)
            connection.close()

    def test_keys_in_urls(self):
        for partition, row in [("it's", "a b"), ("%25", "+&="), ("\u00e9\U0001f600", ""), ("a,RowKey='x", "(r)")]:
            body = json.dumps({"PartitionKey": partition, "RowKey": row})
            response, text = raw("POST", f"/{self.name}", body)
            self.assertEqual(response.status, 201, text)
            location = response.headers["Location"]
            self.assertEqual(raw("GET", location[len(ENDPOINT):])[0].status, 200, location)
        for bad in ["x", "PartitionKey='p'", "PartitionKey='p',RowKey='r", "PartitionKey=1,RowKey=2"]:
            self.assertEqual(raw("GET", f"/{self.name}({urllib.parse.quote(bad)})")[0].status, 400, bad)
        self.refused(raw("GET", "/ab()"), 400, "OutOfRangeInput")
        self.refused(raw("GET", "/a-bc()"), 400, "InvalidResourceName")
        self.refused(raw("GET", f"/{name()}()"), 404, "TableNotFound")
        self.refused(raw("DELETE", f"/Tables('{name()}')"), 404, "ResourceNotFound")

    def test_bodies(self):
        def post(members):
            return raw("POST", f"/{self.name}", '{"PartitionKey":"p","RowKey":"q",' + members + "}")

        for members, expected in [
            ('"a":[1]', "InvalidInput"),
            ('"a":{}', "InvalidInput"),
            ('"a":2147483648', "InvalidInput"),
            ('"a@odata.type":"Edm.Int64","a":"9223372036854775808"', "InvalidInput"),
            ('"a@odata.type":"Edm.Int32","a":"x"', "InvalidInput"),
            ('"a@odata.type":"Edm.DateTime","a":"yesterday"', "InvalidInput"),
            ('"a@odata.type":"Edm.DateTime","a":"1600-12-31T23:59:59Z"', "OutOfRangeInput"),
            ('"a@odata.type":"Edm.Binary","a":"?"', "InvalidInput"),
            ('"a@odata.type":"Edm.Guid","a":"1"', "InvalidInput"),
            ('"a@odata.type":"Edm.Decimal","a":"1"', "InvalidValueType"),
            ('"a@odata.type":1,"a":"1"', "InvalidValueType"),
            ('"1a":1', "PropertyNameInvalid"),
            ('"":1', "PropertyNameInvalid"),
            ('"RowKey":"x"', "DuplicatePropertiesSpecified"),
        ]:
            self.refused(post(members), 400, expected)
        self.refused(raw("POST", f"/{self.name}", '{"PartitionKey":null,"RowKey":"r"}'), 400, "PropertiesNeedValue")
        self.refused(raw("POST", f"/{self.name}", " " * (4 * 1024 * 1024 + 1)), 413, "RequestBodyTooLarge")
        self.assertEqual(raw("POST", f"/{self.name}", b'{"PartitionKey":"\xff","RowKey":"r"}')[0].status, 400)
        self.assertEqual(post('"nan@odata.type":"Edm.Double","nan":"NaN","inf@odata.type":"Edm.Double","inf":"-Infinity"')[0].status, 201)
        _, text = raw("GET", self.one(row="q"))
        body = json.loads(text)
        self.assertEqual((body["nan"], body["nan@odata.type"], body["inf"]), ("NaN", "Edm.Double", "-Infinity"))

    def test_continuation(self):
        rows = [f"r{n}" for n in range(5)]
        for partition in "pq":
            for row in rows:
                raw("POST", f"/{self.name}", json.dumps({"PartitionKey": partition, "RowKey": row}))

        def page(query):
            response, text = raw("GET", f"/{self.name}()?{query}", Accept="application/json;odata=nometadata")
            self.assertEqual(response.status, 200, text)
            tokens = [response.headers[f"x-ms-continuation-Next{key}Key"] for key in ["Partition", "Row"]]
            return [e["PartitionKey"] + e["RowKey"] for e in json.loads(text)["value"]], tokens

        first, (partition, row) = page("$top=7")
        self.assertEqual(first[-1], "qr1")
        second, tokens = page(f"$top=7&NextPartitionKey={partition}&NextRowKey={row}")
        self.assertEqual((second, tokens), (["qr2", "qr3", "qr4"], [None, None]))
        # The partition alone is its beginning.
        again, _ = page(f"NextPartitionKey={partition}")
        self.assertEqual(again, [f"q{row}" for row in rows])
        for bad in ["NextPartitionKey=x", f"NextPartitionKey={partition}&NextRowKey=1!2!x"]:
            self.refused(raw("GET", f"/{self.name}()?{bad}"), 400, "InvalidQueryParameterValue")
        self.refused(raw("GET", "/Tables?NextTableName=x"), 400, "InvalidQueryParameterValue")
        for top, status in [("1", 200), ("1000", 200), ("0", 400), ("1001", 400), ("-1", 400), ("x", 400)]:
            for path in ["/Tables", f"/{self.name}()"]:
                self.assertEqual(raw("GET", f"{path}?$top={top}")[0].status, status, top)

    def test_filters_that_are_refused(self):
        for text, status, expected in [
            ("n eq", 400, "InvalidInput"),
            ("5", 400, "InvalidInput"),
            ("n eq 1 or", 400, "InvalidInput"),
            ("startswith(n, 'a')", 501, "NotImplemented"),
            ("n add 1 eq 2", 501, "NotImplemented"),
            ("(" * 1000 + "a" + ")" * 1000, 400, "InvalidInput"),
        ]:
            for path in ["/Tables", f"/{self.name}()"]:
                self.refused(raw("GET", f"{path}?$filter={urllib.parse.quote(text)}"), status, expected)
        with self.assertRaises(HttpResponseError):
            list(service().query_tables("TableName eq"))

    def test_selection(self):
        self.insert("r", n=1, m=2)
        for select, expected in [
            ("n,n, zz", {"n": 1, "zz": None}),
            ("*", None),
            ("PartitionKey,Timestamp", None),
        ]:
            for path in [self.one(), f"/{self.name}()"]:
                _, text = raw("GET", f"{path}?$select={urllib.parse.quote(select)}", Accept="application/json;odata=nometadata")
                body = json.loads(text)
                body = body.get("value", [body])[0]
                if expected:
                    self.assertEqual(body, expected)
                else:
                    self.assertEqual(set(body), {"PartitionKey", "Timestamp"} if select != "*" else {"PartitionKey", "RowKey", "Timestamp", "n", "m"})
        self.refused(raw("GET", f"{self.one()}?$select=a%20b"), 400, "InvalidQueryParameterValue")

    def test_names_keep_their_case(self):
        mixed = f"Mixed{name()}"
        service().create_table(mixed)
        self.refused(raw("POST", "/Tables", json.dumps({"TableName": mixed.lower()})), 409, "TableAlreadyExists")
        self.assertEqual(raw("POST", f"/{mixed.upper()}", '{"PartitionKey":"p","RowKey":"r"}')[0].status, 201)
        self.assertEqual(raw("GET", f"/{mixed.lower()}(PartitionKey='p',RowKey='r')")[0].status, 200)
        self.assertIn(mixed, [table.name for table in service().list_tables()])
        service().delete_table(mixed.lower())

    def test_unknown_verbs_and_queries(self):
        for method, target, status in [
            ("POST", f"/{self.name}?comp=acl", 400),
            ("GET", f"/{self.name}?comp=other", 400),
            ("PUT", "/Tables", 405),
            ("DELETE", f"/{self.name}", 405),
            ("GET", "/", 400),
            ("GET", f"/{self.name}/x", 400),
        ]:
            response, text = raw(method, target, "{}")
            self.assertEqual(response.status, status, f"{method} {target} {text}")
            self.assertTrue(code(text))


if __name__ == "__main__":
    unittest.main()
