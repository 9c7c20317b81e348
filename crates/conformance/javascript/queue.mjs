// The queue service as @azure/storage-queue, unmodified, sees it.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AccountSASPermissions,
  QueueClient,
  QueueSASPermissions,
  QueueServiceClient,
  StorageSharedKeyCredential,
} from "@azure/storage-queue";
import { account, all, endpoint, fails, key, soon, unique, when } from "./service.mjs";

const credential = new StorageSharedKeyCredential(account, key);
const options = { retryOptions: { maxTries: 1 } };
const service = new QueueServiceClient(endpoint.queue, credential, options);

async function queue() {
  const made = service.getQueueClient(unique("q"));
  await made.create();
  return made;
}

test("queues", async () => {
  const made = service.getQueueClient(unique("q"));
  assert.equal(await made.exists(), false);
  await made.create({ metadata: { a: "b" } });
  assert.equal((await made.createIfNotExists({ metadata: { a: "b" } })).succeeded, false);
  await fails(409, "QueueAlreadyExists", () => made.create({ metadata: { a: "c" } }));
  assert.equal(await made.exists(), true);
  await made.setMetadata({ color: "blue" });
  const properties = await made.getProperties();
  assert.deepEqual(properties.metadata, { color: "blue" });
  assert.equal(properties.approximateMessagesCount, 0);
  await made.delete();
  assert.equal((await made.deleteIfExists()).succeeded, false);
  await fails(404, "QueueNotFound", () => made.getProperties());
  await fails(400, undefined, () => service.createQueue("Bad_Name"));
});

test("list queues by pages", async () => {
  const prefix = unique("l");
  for (let n = 0; n < 5; n++) await service.createQueue(`${prefix}${n}`, { metadata: { n: `${n}` } });
  const pages = [];
  for await (const page of service.listQueues({ prefix, includeMetadata: true }).byPage({ maxPageSize: 2 })) {
    pages.push(page.queueItems);
  }
  assert.deepEqual(pages.map((page) => page.length), [2, 2, 1]);
  assert.deepEqual(pages.flat().map((item) => item.metadata.n), ["0", "1", "2", "3", "4"]);
  for (let n = 0; n < 5; n++) await service.deleteQueue(`${prefix}${n}`);
});

test("messages", async () => {
  const made = await queue();
  const sent = await made.sendMessage("<first> & é 漢字", { messageTimeToLive: 600 });
  assert.ok(sent.expiresOn > sent.insertedOn);
  await made.sendMessage("second");
  assert.equal((await made.getProperties()).approximateMessagesCount, 2);
  const peeked = (await made.peekMessages({ numberOfMessages: 5 })).peekedMessageItems;
  assert.deepEqual(peeked.map((item) => [item.messageText, item.dequeueCount]), [["<first> & é 漢字", 0], ["second", 0]]);
  const [got] = (await made.receiveMessages({ visibilityTimeout: 60 })).receivedMessageItems;
  assert.deepEqual([got.messageId, got.dequeueCount], [sent.messageId, 1]);
  const updated = await made.updateMessage(got.messageId, got.popReceipt, "changed", 0);
  assert.notEqual(updated.popReceipt, got.popReceipt);
  await fails(400, "PopReceiptMismatch", () => made.deleteMessage(got.messageId, got.popReceipt));
  const rest = (await made.receiveMessages({ numberOfMessages: 32 })).receivedMessageItems;
  assert.deepEqual(new Set(rest.map((item) => item.messageText)), new Set(["second", "changed"]));
  for (const item of rest) await made.deleteMessage(item.messageId, item.popReceipt);
  await fails(404, "MessageNotFound", () => made.deleteMessage(rest[0].messageId, rest[0].popReceipt));
  await fails(400, "OutOfRangeQueryParameterValue", () => made.receiveMessages({ numberOfMessages: 33 }));
  await made.sendMessage("x".repeat(64 * 1024));
  await fails(400, "MessageTooLarge", () => made.sendMessage("x".repeat(64 * 1024 + 1)));
  await made.clearMessages();
  assert.equal((await made.peekMessages()).peekedMessageItems.length, 0);
  await made.delete();
});

test("hidden messages", async () => {
  const made = await queue();
  const sent = await made.sendMessage("later", { visibilityTimeout: 300 });
  assert.equal((await made.receiveMessages()).receivedMessageItems.length, 0);
  await made.updateMessage(sent.messageId, sent.popReceipt, undefined, 0);
  assert.equal((await made.receiveMessages()).receivedMessageItems[0].messageText, "later");
  await made.delete();
});

test("shared access signatures", async () => {
  const made = await queue();
  const url = await made.generateSasUrl({ permissions: QueueSASPermissions.parse("a"), expiresOn: soon() });
  const sender = new QueueClient(url, undefined, options);
  await sender.sendMessage("by signature");
  await fails(403, "AuthorizationPermissionMismatch", () => sender.receiveMessages());
  const wide = service.generateAccountSasUrl(soon(), AccountSASPermissions.parse("rl"), "sco");
  const lister = new QueueServiceClient(wide, undefined, options);
  assert.ok((await all(lister.listQueues())).length > 0);
  assert.equal((await lister.getQueueClient(made.name).peekMessages()).peekedMessageItems.length, 1);
  await made.delete();
});

when(["Get Queue ACL", "Set Queue ACL"], "access policies", async () => {
  const made = await queue();
  await made.setAccessPolicy([
    { id: "senders", accessPolicy: { startsOn: soon(-5), expiresOn: soon(), permissions: "a" } },
  ]);
  const read = await made.getAccessPolicy();
  assert.deepEqual(read.signedIdentifiers.map((item) => [item.id, item.accessPolicy.permissions]), [["senders", "a"]]);
  const sender = new QueueClient(await made.generateSasUrl({ identifier: "senders" }), undefined, options);
  await sender.sendMessage("by policy");
  await made.setAccessPolicy();
  await fails(403, "AuthenticationFailed", () => sender.sendMessage("revoked"));
  await made.delete();
});

when(["Get Queue Service Properties", "Set Queue Service Properties"], "service properties", async () => {
  const rule = {
    allowedOrigins: "https://example.org",
    allowedMethods: "GET,POST",
    allowedHeaders: "*",
    exposedHeaders: "*",
    maxAgeInSeconds: 60,
  };
  const before = await service.getProperties();
  await service.setProperties({ ...before, cors: [rule] });
  assert.deepEqual((await service.getProperties()).cors, [rule]);
  await service.setProperties({ ...before, cors: [] });
});

when(["Get Queue Service Stats"], "service statistics", async () => {
  const secondary = new QueueServiceClient(`${endpoint.queue}-secondary`, credential, options);
  // The client looks for another root element than the protocol has, and finds nothing in the answer.
  assert.match((await secondary.getStatistics())._response.bodyAsText, /<GeoReplication><Status>/);
});
