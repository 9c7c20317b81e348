"""Query Blob Contents, as azure-storage-blob sees it."""

import json
import random
import unittest

from azure.core.exceptions import HttpResponseError
from azure.storage.blob import DelimitedJsonDialect, DelimitedTextDialect

from blob_case import Blobs

CSV = b"""name,color,price
apple,red,3
"pear, ripe",green,2.5
plum,blue,10
"""
HEADED = DelimitedTextDialect(delimiter=",", quotechar='"', lineterminator="\n", escapechar="", has_header=True)
PLAIN = DelimitedTextDialect(delimiter=",", quotechar='"', lineterminator="\n", escapechar="", has_header=False)
LINES = DelimitedJsonDialect(delimiter="\n")


class Query(Blobs):
    def ask(self, data, expression, input_format=HEADED, output_format=PLAIN):
        blob = self.blob()
        blob.upload_blob(data, overwrite=True)
        self.errors = []
        reader = blob.query_blob(expression, blob_format=input_format, output_format=output_format,
                                 on_error=self.errors.append)
        return reader.readall()

    def test_delimited(self):
        for expression, expected in (
            ("SELECT * FROM BlobStorage", b'apple,red,3\n"pear, ripe",green,2.5\nplum,blue,10\n'),
            ("SELECT name FROM BlobStorage WHERE color = 'red'", b"apple\n"),
            ("SELECT name, price FROM BlobStorage WHERE CAST(price AS FLOAT) > 2.7", b"apple,3\nplum,10\n"),
            ("SELECT _2 FROM BlobStorage LIMIT 2", b"red\ngreen\n"),
            ("SELECT COUNT(*), MIN(CAST(price AS FLOAT)), SUM(price) FROM BlobStorage", b"3,2.5,15.5\n"),
            ("SELECT name FROM BlobStorage WHERE name LIKE 'p%' AND NOT color = 'blue'", b'"pear, ripe"\n'),
            ("SELECT nothing FROM BlobStorage WHERE nothing IS NULL LIMIT 1", b'""\n'),
        ):
            self.assertEqual(self.ask(CSV, expression), expected, expression)
            self.assertEqual(self.errors, [])
        self.assertEqual(self.ask(CSV, "SELECT _1 FROM BlobStorage", PLAIN), b'name\napple\n"pear, ripe"\nplum\n')

    def test_json(self):
        data = b'{"a": {"b": 1}, "c": [5, 6]}\n\n{"a": {"b": 2}, "c": []}\n'
        for expression, expected in (
            ("SELECT * FROM BlobStorage WHERE a.b = 2", [{"a": {"b": 2}, "c": []}]),
            ("SELECT a.b AS x, c._2 AS y FROM BlobStorage", [{"x": 1, "y": 6}, {"x": 2, "y": None}]),
            ("SELECT s.a.b FROM BlobStorage s LIMIT 1", [{"b": 1}]),
            ("SELECT AVG(a.b) AS mean FROM BlobStorage", [{"mean": 1.5}]),
        ):
            lines = self.ask(data, expression, LINES, LINES).splitlines()
            self.assertEqual([json.loads(line) for line in lines], expected, expression)
        self.assertEqual(self.ask(CSV, "SELECT name FROM BlobStorage LIMIT 1", HEADED, LINES), b'{"name":"apple"}\n')

    def test_large(self):
        numbers = [random.randrange(1000) for _ in range(400_000)]
        data = b"".join(b"row,%d,%d\n" % (n, number) for n, number in enumerate(numbers))
        expected = b"".join(b"%d\n" % n for n, number in enumerate(numbers) if number < 500)
        self.assertEqual(self.ask(data, "SELECT _2 FROM BlobStorage WHERE CAST(_3 AS INT) < 500", PLAIN), expected)

    def test_errors(self):
        for expression in ("", "SELECT", "DELETE FROM BlobStorage", "SELECT a FROM BlobStorage ORDER BY a"):
            with self.assertRaises(HttpResponseError) as caught:
                self.ask(CSV, expression)
            self.assertEqual(caught.exception.status_code, 400, expression)
        self.assertEqual(self.ask(b'{"a": 1}\n{"a"\n', "SELECT a FROM BlobStorage", LINES, LINES), b'{"a":1}\n')
        self.assertEqual([error.error for error in self.errors], ["InvalidRecord"])
        self.assertEqual(self.ask(b'"' + b"x" * (5 << 20), "SELECT * FROM BlobStorage", PLAIN), b"")
        self.assertEqual([error.error for error in self.errors], ["InvalidRecord"])


if __name__ == "__main__":
    unittest.main(verbosity=1)
