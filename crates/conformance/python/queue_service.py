"""The queue service as azure-storage-queue, unmodified, sees it. Endpoint and key come from the environment.

Not named `queue.py`: Python would take it for its own module of that name.
"""

import concurrent.futures
import datetime
import http.client
import os
import time
import unittest
import urllib.parse
import uuid
import xml.etree.ElementTree as ElementTree

from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.storage.queue import (
    AccessPolicy,
    AccountSasPermissions,
    BinaryBase64DecodePolicy,
    BinaryBase64EncodePolicy,
    QueueClient,
    QueueSasPermissions,
    QueueServiceClient,
    ResourceTypes,
    generate_account_sas,
    generate_queue_sas,
)

ENDPOINT = os.environ["QUEUE_ENDPOINT"]
ACCOUNT = os.environ["STORAGE_ACCOUNT"]
KEY = os.environ["STORAGE_KEY"]
CONNECTION = (
    f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};QueueEndpoint={ENDPOINT};"
)


def service():
    return QueueServiceClient.from_connection_string(CONNECTION, retry_total=0)


def name():
    return f"q{uuid.uuid4().hex}"


def soon(minutes=10):
    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)


def raw(method, target, body=None):
    """A request without a client library, signed by an account SAS: what the wire says."""
    token = generate_account_sas(
        ACCOUNT,
        KEY,
        ResourceTypes(service=True, container=True, object=True),
        AccountSasPermissions(
            read=True, write=True, delete=True, list=True, add=True, create=True, update=True, process=True
        ),
        soon(),
    )
    url = urllib.parse.urlsplit(ENDPOINT)
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
    separator = "&" if "?" in target else "?"
    connection.request(method, f"{url.path}{target}{separator}{token}", body, {"x-ms-version": "2019-02-02"})
    response = connection.getresponse()
    text = response.read()
    connection.close()
    return response, text


class Queues(unittest.TestCase):
    def test_create_list_delete(self):
        client, prefix = service(), f"q{uuid.uuid4().hex[:8]}-"
        made = [f"{prefix}{n}" for n in range(5)]
        for queue in made:
            client.create_queue(queue, metadata={"number": queue[-1]})
        pages = [list(page) for page in client.list_queues(prefix, results_per_page=2).by_page()]
        self.assertEqual([[q.name for q in page] for page in pages], [made[:2], made[2:4], made[4:]])
        listed = list(client.list_queues(prefix, include_metadata=True))
        self.assertEqual([q.metadata for q in listed], [{"number": str(n)} for n in range(5)])
        self.assertEqual(list(client.list_queues(prefix))[0].metadata, None)
        for queue in made:
            client.delete_queue(queue)
        self.assertEqual(list(client.list_queues(prefix)), [])
        with self.assertRaises(ResourceNotFoundError) as raised:
            client.delete_queue(made[0])
        self.assertEqual(raised.exception.error_code, "QueueNotFound")

    def test_create_again(self):
        queue = name()
        self.assertEqual(raw("PUT", f"/{queue}")[0].status, 201)
        self.assertEqual(raw("PUT", f"/{queue}")[0].status, 204)
        with self.assertRaises(ResourceExistsError) as raised:
            service().create_queue(queue, metadata={"a": "b"})
        self.assertEqual(raised.exception.error_code, "QueueAlreadyExists")

    def test_names(self):
        for bad in ["ab", "a--b", "-abc", "Abc", "a" * 64]:
            self.assertEqual(raw("PUT", f"/{bad}")[0].status, 400, bad)

    def test_metadata_and_count(self):
        queue = service().create_queue(name())
        queue.set_queue_metadata({"a": "1", "b": "two words"})
        self.assertEqual(queue.get_queue_properties().metadata, {"a": "1", "b": "two words"})
        for n in range(5):
            queue.send_message(str(n))
        self.assertEqual(queue.get_queue_properties().approximate_message_count, 5)
        message = queue.receive_message(visibility_timeout=600)
        self.assertEqual(queue.get_queue_properties().approximate_message_count, 5)
        queue.delete_message(message)
        self.assertEqual(queue.get_queue_properties().approximate_message_count, 4)
        queue.clear_messages()
        self.assertEqual(queue.get_queue_properties().approximate_message_count, 0)
        self.assertEqual(queue.peek_messages(), [])
        queue.delete_queue()
        with self.assertRaises(ResourceNotFoundError):
            queue.get_queue_properties()

    def test_wrong_key(self):
        with self.assertRaises(ClientAuthenticationError):
            list(QueueServiceClient(ENDPOINT, credential="d3Jvbmc=", retry_total=0).list_queues())


    def test_access_policies(self):
        queue = service().create_queue(name())
        self.assertEqual(queue.get_queue_access_policy(), {})
        policy = AccessPolicy(permission=QueueSasPermissions(read=True, process=True), expiry=soon(), start=soon(-10))
        queue.set_queue_access_policy({"p": policy})
        self.assertEqual(list(queue.get_queue_access_policy()), ["p"])
        token = generate_queue_sas(ACCOUNT, queue.queue_name, KEY, policy_id="p")
        reader = QueueClient(ENDPOINT, queue.queue_name, credential=token, retry_total=0)
        queue.send_message("x")
        self.assertEqual(reader.peek_messages()[0].content, "x")
        with self.assertRaises(HttpResponseError) as raised:
            reader.send_message("y")
        self.assertEqual(raised.exception.status_code, 403)
        queue.set_queue_access_policy({})
        with self.assertRaises(HttpResponseError) as raised:
            reader.peek_messages()
        self.assertEqual(raised.exception.status_code, 403)
        with self.assertRaises(HttpResponseError) as raised:
            queue.set_queue_access_policy({str(n): policy for n in range(6)})
        self.assertEqual(raised.exception.status_code, 400)
        queue.set_queue_access_policy({str(n): policy for n in range(5)})
        self.assertEqual(len(queue.get_queue_access_policy()), 5)
        queue.delete_queue()

    def test_wire_of_queues(self):
        """Heads, statuses and limits that the client does not send."""
        queue = name()
        service().create_queue(queue, metadata={"a": "1"})
        made = f"/{queue}"
        for method, target, status, code in [
            ("HEAD", f"{made}?comp=metadata", 200, None),
            ("GET", f"{made}?comp=metadata", 200, None),
            ("PUT", f"{made}?comp=metadata", 204, None),
            ("PUT", made, 204, None),
            ("PUT", "/ab", 400, "OutOfRangeInput"),
            ("PUT", f"/{'a' * 63}", 201, None),
            ("DELETE", f"/{'a' * 63}", 204, None),
            ("PUT", f"/{'a' * 64}", 400, "OutOfRangeInput"),
            ("PUT", "/a_b", 400, "InvalidResourceName"),
            ("GET", "/?comp=list&maxresults=0", 400, "OutOfRangeQueryParameterValue"),
            ("GET", "/?comp=list&maxresults=1", 200, None),
            ("GET", "/?comp=list&maxresults=5000", 200, None),
            ("GET", "/?comp=list&maxresults=5001", 200, None),
            ("GET", "/?comp=list&include=other", 400, "InvalidQueryParameterValue"),
            ("GET", f"{made}?comp=other", 400, "InvalidQueryParameterValue"),
            ("GET", made, 405, "UnsupportedHttpVerb"),
            ("PATCH", f"{made}/messages", 405, "UnsupportedHttpVerb"),
            ("GET", f"/{name()}?comp=metadata", 404, "QueueNotFound"),
            ("DELETE", f"/{name()}/messages", 404, "QueueNotFound"),
            ("DELETE", made, 204, None),
        ]:
            response, _ = raw(method, target)
            self.assertEqual((response.status, response.headers["x-ms-error-code"]), (status, code), (method, target))
            self.assertIsNone(response.headers["ETag"])


class Messages(unittest.TestCase):
    def setUp(self):
        self.queue = service().create_queue(name())

    def tearDown(self):
        self.queue.delete_queue()

    def test_texts_come_back(self):
        texts = ["plain", "", " spaces ", "<a>&amp;\"'", "line\nline\n\ttab", "\u00e9\U0001f600", "x" * 65536]
        for text in texts:
            self.queue.send_message(text)
        self.assertEqual([m.content for m in self.queue.peek_messages(32)], texts)
        self.assertEqual([m.content for m in self.queue.receive_messages(messages_per_page=32)], texts)
        binary = QueueClient.from_connection_string(
            CONNECTION,
            self.queue.queue_name,
            message_encode_policy=BinaryBase64EncodePolicy(),
            message_decode_policy=BinaryBase64DecodePolicy(),
        )
        binary.send_message(bytes(range(256)))
        self.assertEqual(binary.receive_message().content, bytes(range(256)))

    def test_one_life_of_a_message(self):
        sent = self.queue.send_message("first")
        self.assertEqual(sent.expires_on - sent.inserted_on, datetime.timedelta(days=7))
        peeked = self.queue.peek_messages()[0]
        self.assertEqual((peeked.id, peeked.dequeue_count, peeked.pop_receipt), (sent.id, 0, None))
        got = self.queue.receive_message(visibility_timeout=60)
        self.assertEqual((got.id, got.dequeue_count, got.content), (sent.id, 1, "first"))
        self.assertIsNone(self.queue.receive_message())
        updated = self.queue.update_message(got, content="second", visibility_timeout=0)
        self.assertNotEqual(updated.pop_receipt, got.pop_receipt)
        again = self.queue.receive_message()
        self.assertEqual((again.dequeue_count, again.content), (2, "second"))
        with self.assertRaises(HttpResponseError) as raised:
            self.queue.delete_message(got)
        self.assertEqual((raised.exception.status_code, raised.exception.error_code), (400, "PopReceiptMismatch"))
        self.queue.delete_message(again)
        with self.assertRaises(ResourceNotFoundError) as raised:
            self.queue.delete_message(again)
        self.assertEqual(raised.exception.error_code, "MessageNotFound")

    def test_what_was_put_can_be_deleted_with_its_receipt(self):
        sent = self.queue.send_message("x")
        self.queue.delete_message(sent.id, sent.pop_receipt)
        self.assertIsNone(self.queue.receive_message())

    def test_visible_again(self):
        self.queue.send_message("x")
        self.assertEqual(self.queue.receive_message(visibility_timeout=1).dequeue_count, 1)
        self.assertEqual(self.wait().dequeue_count, 2)

    def test_hidden_at_first(self):
        self.queue.send_message("x", visibility_timeout=1)
        self.assertEqual(self.queue.peek_messages(), [])
        self.assertEqual(self.wait().content, "x")

    def test_expires(self):
        self.queue.send_message("x", time_to_live=1)
        end = time.monotonic() + 10
        while self.queue.peek_messages():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.1)
        self.assertIsNone(self.queue.receive_message())
        forever = self.queue.send_message("y", time_to_live=-1)
        self.assertEqual(forever.expires_on.year, 9999)

    def wait(self):
        """The message, once it is visible."""
        end = time.monotonic() + 10
        while (message := self.queue.receive_message()) is None:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.1)
        return message

    def test_refused(self):
        queue = f"/{self.queue.queue_name}/messages"
        body = "<QueueMessage><MessageText>a</MessageText></QueueMessage>"
        missing = f"/{name()}/messages"
        for method, target, content, status, code in [
            ("GET", f"{queue}?numofmessages=0", None, 400, "OutOfRangeQueryParameterValue"),
            ("GET", f"{queue}?numofmessages=33", None, 400, "OutOfRangeQueryParameterValue"),
            ("GET", f"{queue}?visibilitytimeout=0", None, 400, "OutOfRangeQueryParameterValue"),
            ("GET", f"{queue}?visibilitytimeout=604801", None, 400, "OutOfRangeQueryParameterValue"),
            ("GET", f"{queue}?numofmessages=x", None, 400, "InvalidQueryParameterValue"),
            ("POST", f"{queue}?messagettl=0", body, 400, "OutOfRangeQueryParameterValue"),
            ("POST", f"{queue}?messagettl=5&visibilitytimeout=5", body, 400, "OutOfRangeQueryParameterValue"),
            ("POST", f"{queue}?messagettl=-2", body, 400, "OutOfRangeQueryParameterValue"),
            ("POST", f"{queue}?visibilitytimeout=-1", body, 400, "OutOfRangeQueryParameterValue"),
            ("POST", f"{queue}?messagettl=-1&visibilitytimeout=604801", body, 400, "OutOfRangeQueryParameterValue"),
            ("GET", f"{queue}?peekonly=maybe", None, 400, "InvalidQueryParameterValue"),
            ("GET", f"{queue}?peekonly=true&numofmessages=33", None, 400, "OutOfRangeQueryParameterValue"),
            ("PUT", f"{queue}/{uuid.uuid4()}?popreceipt=AAAAAAAAAAAAAAAAAAAAAA==", body, 400, "MissingRequiredQueryParameter"),
            ("PUT", f"{queue}/{uuid.uuid4()}?visibilitytimeout=1", body, 400, "MissingRequiredQueryParameter"),
            ("DELETE", f"{queue}/{uuid.uuid4()}?popreceipt=nonsense", None, 400, "InvalidQueryParameterValue"),
            ("DELETE", f"{queue}/nonsense?popreceipt=AAAAAAAAAAAAAAAAAAAAAA==", None, 404, "MessageNotFound"),
            ("POST", queue, body.replace(">a<", ">\x01<"), 400, "InvalidXmlDocument"),
            ("POST", queue, body.replace(">a<", ">&#1;<"), 400, "InvalidXmlDocument"),
            ("POST", queue, body.replace(">a<", ">\ud800<").encode("utf-8", "surrogatepass"), 400, "InvalidXmlDocument"),
            ("POST", queue, " " * (512 << 10) + body, 413, "RequestBodyTooLarge"),
            ("POST", queue, "nonsense", 400, "InvalidXmlDocument"),
            ("POST", queue, "<QueueMessage/>", 400, "MissingRequiredXmlNode"),
            ("POST", queue, body.replace(">a<", f">{'x' * 65537}<"), 400, "MessageTooLarge"),
            ("POST", missing, body, 404, "QueueNotFound"),
            ("GET", missing, None, 404, "QueueNotFound"),
            ("DELETE", f"{queue}/{uuid.uuid4()}", None, 400, "MissingRequiredQueryParameter"),
            ("DELETE", f"{queue}/{uuid.uuid4()}?popreceipt=AAAAAAAAAAAAAAAAAAAAAA==", None, 404, "MessageNotFound"),
        ]:
            response, text = raw(method, target, content)
            found = ElementTree.fromstring(text).findtext("Code")
            self.assertEqual((response.status, found, response.headers["x-ms-error-code"]), (status, code, code), target)

    def test_limits_that_fit(self):
        queue = f"/{self.queue.queue_name}/messages"
        body = "<QueueMessage><MessageText>a</MessageText></QueueMessage>"
        for method, target, content, status in [
            ("POST", f"{queue}?messagettl=1&visibilitytimeout=0", body, 201),
            ("POST", f"{queue}?messagettl=6&visibilitytimeout=5", body, 201),
            ("POST", f"{queue}?messagettl=604801", body, 201),
            ("POST", f"{queue}?messagettl=-1&visibilitytimeout=604800", body, 201),
            ("POST", queue, body.replace(">a<", f">{'&amp;' * 65536}<"), 201),
            ("GET", f"{queue}?numofmessages=1&visibilitytimeout=1", None, 200),
            ("GET", f"{queue}?numofmessages=32&visibilitytimeout=604800", None, 200),
            ("GET", f"{queue}?numofmessages=32", None, 200),
            ("DELETE", queue, None, 204),
        ]:
            self.assertEqual(raw(method, target, content)[0].status, status, target)

    def test_an_update_keeps_what_it_does_not_name(self):
        sent = self.queue.send_message("x" * 3000)
        got = self.queue.receive_message(visibility_timeout=60)
        updated = self.queue.update_message(got.id, got.pop_receipt, visibility_timeout=0)
        again = self.queue.receive_message()
        self.assertEqual((again.content, again.dequeue_count), ("x" * 3000, 2))
        self.assertEqual((again.inserted_on, again.expires_on), (sent.inserted_on, sent.expires_on))
        with self.assertRaises(HttpResponseError) as raised:
            self.queue.update_message(updated.id, updated.pop_receipt, content="y")
        self.assertEqual(raised.exception.error_code, "PopReceiptMismatch")
        with self.assertRaises(ResourceNotFoundError) as raised:
            self.queue.update_message(str(uuid.uuid4()), again.pop_receipt, content="y")
        self.assertEqual(raised.exception.error_code, "MessageNotFound")

    def test_each_message_to_one_consumer(self):
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda n: self.queue.send_message(str(n)), range(200)))

            def consume(_):
                got = []
                while page := list(next(self.queue.receive_messages(messages_per_page=5, visibility_timeout=300).by_page(), [])):
                    got += page
                return got

            got = [message for messages in pool.map(consume, range(16)) for message in messages]
            self.assertEqual(sorted(int(m.content) for m in got), list(range(200)))
            list(pool.map(self.queue.delete_message, got))
        self.assertEqual(self.queue.get_queue_properties().approximate_message_count, 0)

    def test_signatures(self):
        token = generate_queue_sas(
            ACCOUNT, self.queue.queue_name, KEY, permission=QueueSasPermissions(add=True), expiry=soon()
        )
        adder = QueueClient(ENDPOINT, self.queue.queue_name, credential=token, retry_total=0)
        adder.send_message("x")
        with self.assertRaises(HttpResponseError) as raised:
            adder.receive_message()
        self.assertEqual(raised.exception.status_code, 403)


if __name__ == "__main__":
    unittest.main()
