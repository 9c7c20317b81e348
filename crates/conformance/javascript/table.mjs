// The table service as @azure/data-tables, unmodified, sees it.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AzureNamedKeyCredential,
  AzureSASCredential,
  generateTableSas,
  odata,
  TableClient,
  TableServiceClient,
  TableTransaction,
} from "@azure/data-tables";
import { account, all, endpoint, fails, key, soon, unique, when } from "./service.mjs";

const credential = new AzureNamedKeyCredential(account, key);
const options = { allowInsecureConnection: true, retryOptions: { maxRetries: 0 } };
const service = new TableServiceClient(endpoint.table, credential, options);
const client = (name) => new TableClient(endpoint.table, name, credential, options);

async function table() {
  const made = client(unique("t"));
  await made.createTable();
  return made;
}

test("tables", async () => {
  const names = [1, 2, 3].map((n) => unique(`t${n}`));
  for (const name of names) await service.createTable(name);
  const filter = odata`TableName ge ${names[0]} and TableName le ${names[2]}`;
  const found = (await all(service.listTables({ queryOptions: { filter } }))).map((item) => item.name);
  for (const name of names) assert.ok(found.includes(name), name);
  for (const name of names) await service.deleteTable(name);
  await fails(400, undefined, () => service.createTable("bad-name"));
});

test("property types", async () => {
  const made = await table();
  const entity = {
    partitionKey: "p",
    rowKey: "ключ 'quoted'",
    text: "é 漢字",
    flag: true,
    small: 42,
    real: 1.5,
    large: { type: "Int64", value: "9007199254740993" },
    day: new Date("2026-01-02T03:04:05.678Z"),
    guid: { type: "Guid", value: "6ba7b810-9dad-11d1-80b4-00c04fd430c8" },
    bytes: new Uint8Array([0, 1, 255]),
  };
  await made.createEntity(entity);
  await fails(409, "EntityAlreadyExists", () => made.createEntity(entity));
  const read = await made.getEntity("p", entity.rowKey);
  assert.equal(read.text, entity.text);
  assert.equal(read.flag, true);
  assert.equal(read.small, 42);
  assert.equal(read.real, 1.5);
  assert.equal(read.large, 9007199254740993n);
  assert.equal(new Date(read.day.value ?? read.day).getTime(), entity.day.getTime());
  assert.equal(read.guid.value ?? read.guid, entity.guid.value);
  assert.deepEqual([...read.bytes], [0, 1, 255]);
  assert.match(read.etag, /^W\/"datetime'/);
  const some = await made.getEntity("p", entity.rowKey, { queryOptions: { select: ["text"] } });
  assert.deepEqual([some.text, some.flag], [entity.text, undefined]);
  await fails(404, "ResourceNotFound", () => made.getEntity("p", "missing"));
  await made.deleteTable();
});

test("updates and conditions", async () => {
  const made = await table();
  const row = { partitionKey: "p", rowKey: "r" };
  await made.upsertEntity({ ...row, a: 1, b: 1 }, "Merge");
  await made.upsertEntity({ ...row, b: 2 }, "Merge");
  let read = await made.getEntity("p", "r");
  assert.deepEqual([read.a, read.b], [1, 2]);
  await made.upsertEntity({ ...row, c: 3 }, "Replace");
  const stale = read.etag;
  read = await made.getEntity("p", "r");
  assert.deepEqual([read.a, read.c], [undefined, 3]);
  await fails(412, "UpdateConditionNotSatisfied", () => made.updateEntity({ ...row, d: 4 }, "Merge", { etag: stale }));
  await made.updateEntity({ ...row, d: 4 }, "Merge", { etag: read.etag });
  await made.updateEntity({ ...row, e: 5 }, "Replace");
  await fails(404, "ResourceNotFound", () => made.updateEntity({ partitionKey: "p", rowKey: "x" }, "Replace"));
  await fails(412, "UpdateConditionNotSatisfied", () => made.deleteEntity("p", "r", { etag: read.etag }));
  await made.deleteEntity("p", "r");
  await fails(404, "ResourceNotFound", () => made.deleteEntity("p", "r"));
  await made.deleteTable();
});

test("queries", async () => {
  const made = await table();
  for (let n = 0; n < 12; n++) {
    await made.createEntity({
      partitionKey: `p${n % 2}`,
      rowKey: `${n}`.padStart(2, "0"),
      n,
      wide: { type: "Int64", value: `${n}000000000000` },
      even: n % 2 === 0,
      at: new Date(Date.UTC(2026, 0, n + 1)),
    });
  }
  const rows = async (filter) => (await all(made.listEntities({ queryOptions: { filter } }))).map((e) => Number(e.rowKey));
  assert.deepEqual(await rows(odata`PartitionKey eq ${"p1"}`), [1, 3, 5, 7, 9, 11]);
  assert.deepEqual(await rows(odata`RowKey ge ${"03"} and RowKey lt ${"06"}`), [4, 3, 5]);
  assert.deepEqual(await rows(odata`n gt ${8} or n eq ${0}`), [0, 10, 9, 11]);
  assert.deepEqual(await rows(odata`not (even eq ${true}) and n le ${3}`), [1, 3]);
  assert.deepEqual(await rows(odata`at ge ${new Date(Date.UTC(2026, 0, 11))}`), [10, 11]);
  assert.deepEqual(await rows("wide gt 9000000000000L"), [10, 11]);
  const pages = [];
  for await (const page of made.listEntities().byPage({ maxPageSize: 5 })) pages.push(page.length);
  assert.deepEqual(pages, [5, 5, 2]);
  const some = await all(made.listEntities({ queryOptions: { select: ["n"] } }));
  assert.deepEqual([some.length, some[0].n, some[0].even], [12, 0, undefined]);
  await fails(400, "InvalidInput", () => rows("n ~ 3"));
  await made.deleteTable();
});

when(["Entity Group Transaction"], "transactions", async () => {
  const made = await table();
  const row = (rowKey, more = {}) => ({ partitionKey: "p", rowKey, ...more });
  const transaction = new TableTransaction();
  for (let n = 0; n < 5; n++) transaction.createEntity(row(`${n}`, { n }));
  assert.equal((await made.submitTransaction(transaction.actions)).status, 202);
  await made.submitTransaction([
    ["update", row("0", { m: 1 }), "Merge"],
    ["update", row("1", { m: 1 }), "Replace"],
    ["upsert", row("2", { m: 1 }), "Merge"],
    ["upsert", row("9", { m: 1 }), "Replace"],
    ["delete", row("3")],
  ]);
  assert.deepEqual((await all(made.listEntities())).map((e) => e.rowKey), ["0", "1", "2", "4", "9"]);
  await fails(409, "EntityAlreadyExists", () =>
    made.submitTransaction([["create", row("new")], ["create", row("0")]]),
  );
  await fails(404, undefined, () => made.getEntity("p", "new"));
  await made.deleteTable();
});

test("shared access signatures", async () => {
  const made = await table();
  const token = generateTableSas(made.tableName, credential, { permissions: { query: true, add: true }, expiresOn: soon() });
  const guest = new TableClient(endpoint.table, made.tableName, new AzureSASCredential(token), options);
  await guest.createEntity({ partitionKey: "p", rowKey: "r" });
  assert.equal((await all(guest.listEntities())).length, 1);
  await fails(403, "AuthorizationPermissionMismatch", () => guest.deleteEntity("p", "r"));
  await made.deleteTable();
});

when(["Get Table ACL", "Set Table ACL"], "access policies", async () => {
  const made = await table();
  await made.setAccessPolicy([
    { id: "readers", accessPolicy: { start: soon(-5), expiry: soon(), permission: "r" } },
  ]);
  const read = await made.getAccessPolicy();
  assert.deepEqual(read.map((item) => [item.id, item.accessPolicy.permission]), [["readers", "r"]]);
  await made.deleteTable();
});

when(["Get Table Service Properties", "Set Table Service Properties"], "service properties", async () => {
  const before = await service.getProperties();
  const rule = {
    allowedOrigins: "https://example.org",
    allowedMethods: "GET",
    allowedHeaders: "*",
    exposedHeaders: "*",
    maxAgeInSeconds: 60,
  };
  await service.setProperties({ ...before, cors: [rule] });
  assert.deepEqual((await service.getProperties()).cors, [rule]);
  await service.setProperties({ ...before, cors: [] });
});

when(["Get Table Service Stats"], "service statistics", async () => {
  const secondary = new TableServiceClient(`${endpoint.table}-secondary`, credential, options);
  assert.ok((await secondary.getStatistics()).geoReplication.status);
});
