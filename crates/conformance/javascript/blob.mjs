// Containers and block blobs as @azure/storage-blob, unmodified, sees them.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import {
  AccountSASPermissions,
  AnonymousCredential,
  BlobSASPermissions,
  BlobServiceClient,
  ContainerClient,
  ContainerSASPermissions,
} from "@azure/storage-blob";
import { container, id, service } from "./blob_case.mjs";
import { all, endpoint, fails, MIB, soon, unique, when } from "./service.mjs";

test("containers", async () => {
  const made = service.getContainerClient(unique("c"));
  assert.equal(await made.exists(), false);
  assert.equal((await made.createIfNotExists({ metadata: { color: "blue" } })).succeeded, true);
  assert.equal((await made.createIfNotExists()).succeeded, false);
  await fails(409, "ContainerAlreadyExists", () => made.create());
  assert.equal(await made.exists(), true);
  const before = await made.getProperties();
  assert.deepEqual(before.metadata, { color: "blue" });
  await made.setMetadata({ color: "red", n: "1" });
  const after = await made.getProperties();
  assert.deepEqual(after.metadata, { color: "red", n: "1" });
  assert.notEqual(after.etag, before.etag);
  await fails(412, "ConditionNotMet", () => made.delete({ conditions: { ifModifiedSince: soon(60) } }));
  await made.delete();
  await fails(404, "ContainerNotFound", () => made.getProperties());
  assert.equal((await made.deleteIfExists()).succeeded, false);
  await fails(400, "InvalidResourceName", () => service.createContainer("Bad_Name"));
});

test("list containers by pages", async () => {
  const prefix = unique("l");
  for (let n = 0; n < 5; n++) await service.createContainer(`${prefix}${n}`, { metadata: { n: `${n}` } });
  const pages = [];
  for await (const page of service.listContainers({ prefix, includeMetadata: true }).byPage({ maxPageSize: 2 })) {
    pages.push(page.containerItems);
  }
  assert.deepEqual(pages.map((page) => page.length), [2, 2, 1]);
  assert.deepEqual(pages.flat().map((item) => item.metadata.n), ["0", "1", "2", "3", "4"]);
  for (let n = 0; n < 5; n++) await service.deleteContainer(`${prefix}${n}`);
});

test("access policies and public access", async () => {
  const made = await container();
  await made.setAccessPolicy("container", [
    { id: "readers", accessPolicy: { startsOn: soon(-5), expiresOn: soon(), permissions: "rl" } },
  ]);
  const read = await made.getAccessPolicy();
  assert.equal(read.blobPublicAccess, "container");
  assert.equal(read.signedIdentifiers[0].id, "readers");
  assert.equal(read.signedIdentifiers[0].accessPolicy.permissions, "rl");
  await made.getBlockBlobClient("b").upload("public", 6);
  const anyone = new ContainerClient(made.url, new AnonymousCredential());
  assert.equal((await all(anyone.listBlobsFlat())).length, 1);
  assert.equal((await anyone.getBlobClient("b").downloadToBuffer()).toString(), "public");
  const url = await made.generateSasUrl({ identifier: "readers" });
  const reader = new ContainerClient(url);
  assert.equal((await all(reader.listBlobsFlat())).length, 1);
  await made.setAccessPolicy();
  await fails(403, "AuthenticationFailed", () => all(reader.listBlobsFlat()));
  await made.delete();
});

test("upload and download", async () => {
  const made = await container();
  for (const name of ["a b", "é/ü/漢字", "a%20b", "a?b#c&d", "a+b", "'q'"]) {
    const data = randomBytes(20_000);
    const blob = made.getBlockBlobClient(name);
    const put = await blob.upload(data, data.length, {
      blobHTTPHeaders: { blobContentType: "text/x", blobContentLanguage: "de", blobCacheControl: "no-cache" },
      metadata: { of: "it" },
    });
    assert.equal((await blob.downloadToBuffer()).equals(data), true, name);
    const part = await blob.download(100, 500);
    assert.equal(part.contentLength, 500);
    assert.equal(part.contentRange, `bytes 100-599/${data.length}`);
    part.readableStreamBody.destroy();
    const properties = await blob.getProperties();
    assert.equal(properties.etag, put.etag);
    assert.equal(properties.contentType, "text/x");
    assert.equal(properties.contentLanguage, "de");
    assert.equal(properties.cacheControl, "no-cache");
    assert.deepEqual(properties.metadata, { of: "it" });
    assert.equal(Buffer.from(properties.contentMD5).equals(createHash("md5").update(data).digest()), true);
  }
  const md5 = await made.getBlobClient("a b").download(0, 1000, { rangeGetContentMD5: true });
  assert.equal(md5.contentMD5.length, 16);
  md5.readableStreamBody.destroy();
  await fails(416, "InvalidRange", () => made.getBlobClient("a b").download(20_000, 1));
  const listed = await all(made.listBlobsFlat({ includeMetadata: true }));
  assert.equal(listed.length, 6);
  assert.deepEqual(listed[0].metadata, { of: "it" });
  await made.delete();
});

test("upload in blocks, at once and as a stream", async () => {
  const made = await container();
  const data = randomBytes(9 * MIB + 17);
  const blob = made.getBlockBlobClient("large");
  await blob.uploadData(data, { blockSize: 2 * MIB, maxSingleShotSize: MIB, concurrency: 4 });
  assert.equal((await blob.downloadToBuffer(0, undefined, { blockSize: MIB, concurrency: 3 })).equals(data), true);
  const { Readable } = await import("node:stream");
  await blob.uploadStream(Readable.from([data.subarray(0, 5 * MIB), data.subarray(5 * MIB)]), MIB, 3);
  assert.equal((await blob.downloadToBuffer()).equals(data), true);
  assert.equal((await blob.getBlockList("committed")).committedBlocks.length, 10);
  await made.delete();
});

test("block lists", async () => {
  const made = await container();
  const blob = made.getBlockBlobClient("blocks");
  for (const n of [1, 2, 3]) await blob.stageBlock(id(n), `${n}`.repeat(n), n);
  assert.deepEqual(
    (await blob.getBlockList("uncommitted")).uncommittedBlocks.map((block) => [block.name, block.size]),
    [1, 2, 3].map((n) => [id(n), n]),
  );
  assert.equal((await all(made.listBlobsFlat())).length, 0);
  assert.equal((await all(made.listBlobsFlat({ includeUncommitedBlobs: true }))).length, 1);
  await blob.commitBlockList([id(3), id(1)], { metadata: { a: "b" } });
  assert.equal((await blob.downloadToBuffer()).toString(), "3331");
  await blob.stageBlock(id(4), "four", 4);
  const list = await blob.getBlockList("all");
  assert.deepEqual([list.committedBlocks.length, list.uncommittedBlocks.length], [2, 1]);
  await fails(400, "InvalidBlockList", () => blob.commitBlockList([id(9)]));
  await fails(400, "InvalidBlobOrBlock", () => blob.stageBlock(Buffer.from("x").toString("base64"), "x", 1));
  await made.delete();
});

test("list blobs by hierarchy and pages", async () => {
  const made = await container();
  for (const name of ["a/1", "a/2", "b", "c/d/1", "e"]) await made.getBlockBlobClient(name).upload("x", 1);
  // The client gives a page's prefixes before its blobs.
  const kinds = (await all(made.listBlobsByHierarchy("/"))).map((item) => `${item.kind} ${item.name}`);
  assert.deepEqual(kinds, ["prefix a/", "prefix c/", "blob b", "blob e"]);
  const sizes = [];
  for await (const page of made.listBlobsFlat().byPage({ maxPageSize: 2 })) sizes.push(page.segment.blobItems.length);
  assert.deepEqual(sizes, [2, 2, 1]);
  assert.deepEqual((await all(made.listBlobsFlat({ prefix: "a/" }))).map((item) => item.name), ["a/1", "a/2"]);
  await made.delete();
});

test("headers, metadata and conditions", async () => {
  const made = await container();
  const blob = made.getBlockBlobClient("b");
  assert.equal(await blob.exists(), false);
  const first = await blob.upload("one", 3);
  await fails(409, "BlobAlreadyExists", () => blob.upload("two", 3, { conditions: { ifNoneMatch: "*" } }));
  await blob.setHTTPHeaders({ blobContentType: "image/png", blobContentDisposition: "inline" });
  await blob.setMetadata({ k: "v" });
  const properties = await blob.getProperties();
  assert.equal(properties.contentType, "image/png");
  assert.equal(properties.contentDisposition, "inline");
  assert.deepEqual(properties.metadata, { k: "v" });
  await fails(412, "ConditionNotMet", () => blob.setMetadata({}, { conditions: { ifMatch: first.etag } }));
  await fails(412, "ConditionNotMet", () => blob.download(0, 1, { conditions: { ifUnmodifiedSince: soon(-60) } }));
  await fails(304, undefined, () => blob.getProperties({ conditions: { ifNoneMatch: properties.etag } }));
  await blob.delete({ conditions: { ifMatch: properties.etag } });
  assert.equal((await blob.deleteIfExists()).succeeded, false);
  await fails(404, "BlobNotFound", () => blob.download());
  await made.delete();
});

test("shared access signatures", async () => {
  const made = await container();
  const blob = made.getBlockBlobClient("b c");
  await blob.upload("hello", 5);
  const read = await blob.generateSasUrl({
    permissions: BlobSASPermissions.parse("r"),
    startsOn: soon(-5),
    expiresOn: soon(),
    contentType: "text/sas",
    contentDisposition: "attachment",
  });
  const answer = await fetch(read);
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get("content-type"), "text/sas");
  assert.equal(answer.headers.get("content-disposition"), "attachment");
  assert.equal(await answer.text(), "hello");
  const url = await made.generateSasUrl({ permissions: ContainerSASPermissions.parse("cl"), expiresOn: soon() });
  const creator = new ContainerClient(url);
  await creator.getBlockBlobClient("new").upload("n", 1);
  await fails(403, "AuthorizationPermissionMismatch", () => creator.getBlobClient("new").download());
  const old = await made.generateSasUrl({ permissions: ContainerSASPermissions.parse("l"), expiresOn: soon(-1) });
  await fails(403, "AuthenticationFailed", () => all(new ContainerClient(old).listBlobsFlat()));
  const wide = service.generateAccountSasUrl(soon(), AccountSASPermissions.parse("rl"), "sco");
  const lister = new BlobServiceClient(wide);
  assert.ok((await all(lister.listContainers())).length > 0);
  await fails(403, "AuthorizationPermissionMismatch", () => lister.createContainer(unique("x")));
  await made.delete();
});

test("account information", async () => {
  assert.equal((await service.getAccountInfo()).accountKind, "StorageV2");
});

when(["Get Blob Service Properties", "Set Blob Service Properties"], "service properties", async () => {
  const before = await service.getProperties();
  const rule = {
    allowedOrigins: "https://example.org",
    allowedMethods: "GET",
    allowedHeaders: "x-ms-meta-*",
    exposedHeaders: "*",
    maxAgeInSeconds: 60,
  };
  await service.setProperties({ cors: [rule], defaultServiceVersion: "2020-10-02" });
  const after = await service.getProperties();
  assert.deepEqual(after.cors, [rule]);
  assert.equal(after.defaultServiceVersion, "2020-10-02");
  await service.setProperties({ cors: [], defaultServiceVersion: before.defaultServiceVersion });
  assert.equal((await service.getProperties()).cors?.length ?? 0, 0);
});

when(["Get Blob Service Stats"], "service statistics", async () => {
  const secondary = new BlobServiceClient(`${endpoint.blob}-secondary`, service.credential);
  assert.ok((await secondary.getStatistics()).geoReplication.status);
});
