// Append and page blobs, snapshots, leases, copies, tags, tiers and batches as @azure/storage-blob sees them.

import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { container, id, readable, service } from "./blob_case.mjs";
import { all, fails, when } from "./service.mjs";

// `getPageRanges` and `getPageRangesDiff` of the client count one byte too few; these say the ends.
const shape = ({ start, end, isClear }) => [start, end, isClear];

when(["Put Blob (append)", "Append Block", "Append Blob Seal"], "append blobs", async () => {
  const made = await container();
  const blob = made.getAppendBlobClient("log");
  await blob.create({ metadata: { a: "b" } });
  assert.equal((await blob.createIfNotExists()).succeeded, false);
  assert.equal((await blob.appendBlock("one", 3)).blobAppendOffset, "0");
  const second = await blob.appendBlock("two", 3, { conditions: { appendPosition: 3 } });
  assert.equal(second.blobAppendOffset, "3");
  assert.equal(second.blobCommittedBlockCount, 2);
  const position = { conditions: { appendPosition: 3 } };
  await fails(412, "AppendPositionConditionNotMet", () => blob.appendBlock("x", 1, position));
  await fails(412, "MaxBlobSizeConditionNotMet", () => blob.appendBlock("x", 1, { conditions: { maxSize: 6 } }));
  assert.equal((await blob.downloadToBuffer()).toString(), "onetwo");
  await blob.seal();
  assert.equal((await blob.getProperties()).isSealed, true);
  await fails(409, "BlobIsSealed", () => blob.appendBlock("x", 1));
  await made.delete();
});

when(["Put Blob (append)", "Append Block From URL"], "append from a URL", async () => {
  const made = await container();
  const source = made.getBlockBlobClient("source");
  await source.upload("0123456789", 10);
  const blob = made.getAppendBlobClient("log");
  await blob.create();
  await blob.appendBlockFromURL(await readable(source), 2, 5);
  assert.equal((await blob.downloadToBuffer()).toString(), "23456");
  await made.delete();
});

when(["Put Blob (page)", "Put Page", "Get Page Ranges"], "page blobs", async () => {
  const made = await container();
  const blob = made.getPageBlobClient("disk");
  await blob.create(4096, { blobSequenceNumber: 7 });
  const page = randomBytes(512);
  await blob.uploadPages(page, 512, 512);
  await blob.uploadPages(page, 2048, 512);
  const ranges = async () => (await all(blob.listPageRanges())).map(shape);
  assert.deepEqual(await ranges(), [[512, 1023, false], [2048, 2559, false]]);
  await blob.clearPages(512, 512);
  assert.deepEqual(await ranges(), [[2048, 2559, false]]);
  assert.deepEqual((await blob.getPageRanges(0, 4096)).pageRange.map(({ offset }) => offset), [2048]);
  const expected = Buffer.alloc(4096);
  page.copy(expected, 2048);
  assert.equal((await blob.downloadToBuffer()).equals(expected), true);
  const low = { conditions: { ifSequenceNumberLessThan: 7 } };
  await fails(412, "SequenceNumberConditionNotMet", () => blob.uploadPages(page, 0, 512, low));
  await fails(400, undefined, () => blob.create(100));
  assert.equal((await blob.updateSequenceNumber("increment")).blobSequenceNumber, 8);
  assert.equal((await blob.updateSequenceNumber("max", 20)).blobSequenceNumber, 20);
  await blob.resize(8192);
  assert.equal((await blob.getProperties()).contentLength, 8192);
  await made.delete();
});

when(["Put Blob (page)", "Get Page Ranges (difference)", "Snapshot Blob"], "differences of page blobs", async () => {
  const made = await container();
  const blob = made.getPageBlobClient("disk");
  await blob.create(4096);
  await blob.uploadPages(randomBytes(1024), 0, 1024);
  const { snapshot } = await blob.createSnapshot();
  await blob.clearPages(0, 512);
  await blob.uploadPages(randomBytes(512), 2048, 512);
  const different = (await all(blob.listPageRangesDiff(0, 4096, snapshot))).map(shape);
  assert.deepEqual(different.sort(([a], [b]) => a - b), [[0, 511, true], [2048, 2559, false]]);
  await blob.delete({ deleteSnapshots: "include" });
  await made.delete();
});

when(["Put Blob (page)", "Put Page From URL"], "pages from a URL", async () => {
  const made = await container();
  const source = made.getBlockBlobClient("source");
  const data = randomBytes(1024);
  await source.upload(data, 1024);
  const blob = made.getPageBlobClient("disk");
  await blob.create(2048);
  await blob.uploadPagesFromURL(await readable(source), 512, 1024, 512);
  assert.equal((await blob.downloadToBuffer(1024, 512)).equals(data.subarray(512)), true);
  await made.delete();
});

when(["Snapshot Blob"], "snapshots", async () => {
  const made = await container();
  const blob = made.getBlockBlobClient("b");
  await blob.upload("one", 3, { metadata: { a: "1" } });
  const { snapshot } = await blob.createSnapshot({ metadata: { a: "2" } });
  await blob.upload("two", 3);
  const then = blob.withSnapshot(snapshot);
  assert.equal((await then.downloadToBuffer()).toString(), "one");
  assert.deepEqual((await then.getProperties()).metadata, { a: "2" });
  const listed = await all(made.listBlobsFlat({ includeSnapshots: true }));
  assert.deepEqual(listed.map((item) => item.snapshot), [snapshot, undefined]);
  await fails(409, "SnapshotsPresent", () => blob.delete());
  await blob.delete({ deleteSnapshots: "only" });
  assert.equal(await then.exists(), false);
  await blob.delete();
  await made.delete();
});

when(["Lease Blob"], "leases of blobs", async () => {
  const made = await container();
  const blob = made.getBlockBlobClient("b");
  await blob.upload("one", 3);
  const lease = blob.getBlobLeaseClient();
  const { leaseId } = await lease.acquireLease(15);
  assert.equal((await blob.getProperties()).leaseState, "leased");
  await fails(412, "LeaseIdMissing", () => blob.upload("two", 3));
  const other = { conditions: { leaseId: randomUUID() } };
  await fails(412, "LeaseIdMismatchWithBlobOperation", () => blob.upload("two", 3, other));
  await blob.upload("two", 3, { conditions: { leaseId } });
  await fails(409, "LeaseAlreadyPresent", () => blob.getBlobLeaseClient().acquireLease(-1));
  await lease.renewLease();
  const changed = randomUUID();
  await lease.changeLease(changed);
  await lease.releaseLease();
  await lease.acquireLease(-1);
  assert.equal((await lease.breakLease(0)).leaseTime, 0);
  assert.equal((await blob.getProperties()).leaseState, "broken");
  await made.delete();
});

when(["Lease Container"], "leases of containers", async () => {
  const made = await container();
  const lease = made.getBlobLeaseClient();
  const { leaseId } = await lease.acquireLease(-1);
  assert.equal((await made.getProperties()).leaseDuration, "infinite");
  await fails(412, "LeaseIdMissing", () => made.delete());
  await lease.renewLease();
  await lease.changeLease(randomUUID());
  await lease.releaseLease();
  await fails(412, "LeaseNotPresentWithContainerOperation", () => made.delete({ conditions: { leaseId } }));
  await lease.acquireLease(15);
  await lease.breakLease(0);
  await made.delete();
});

when(["Copy Blob", "Abort Copy Blob"], "copies", async () => {
  const made = await container();
  const source = made.getBlockBlobClient("source");
  await source.upload("copy me", 7, { metadata: { a: "b" } });
  const target = made.getBlockBlobClient("target");
  const done = await (await target.beginCopyFromURL(source.url, { intervalInMs: 50 })).pollUntilDone();
  assert.equal(done.copyStatus, "success");
  assert.equal((await target.downloadToBuffer()).toString(), "copy me");
  assert.deepEqual((await target.getProperties()).metadata, { a: "b" });
  await fails(409, "NoPendingCopyOperation", () => target.abortCopyFromURL(done.copyId));
  const missing = made.getBlobClient("missing");
  await fails(404, undefined, () => target.beginCopyFromURL(missing.url));
  await made.delete();
});

when(["Copy Blob From URL"], "copies at once", async () => {
  const made = await container();
  const source = made.getBlockBlobClient("source");
  await source.upload("copy me", 7);
  const target = made.getBlockBlobClient("target");
  assert.equal((await target.syncCopyFromURL(await readable(source))).copyStatus, "success");
  assert.equal((await target.downloadToBuffer()).toString(), "copy me");
  await made.delete();
});

when(["Put Blob From URL", "Put Block From URL"], "uploads from a URL", async () => {
  const made = await container();
  const source = made.getBlockBlobClient("source");
  await source.upload("0123456789", 10, { blobHTTPHeaders: { blobContentType: "text/y" } });
  const whole = made.getBlockBlobClient("whole");
  await whole.syncUploadFromURL(await readable(source));
  assert.equal((await whole.downloadToBuffer()).toString(), "0123456789");
  const parts = made.getBlockBlobClient("parts");
  await parts.stageBlockFromURL(id(1), await readable(source), 5, 5);
  await parts.stageBlockFromURL(id(2), await readable(source), 0, 5);
  await parts.commitBlockList([id(1), id(2)]);
  assert.equal((await parts.downloadToBuffer()).toString(), "5678901234");
  await made.delete();
});

when(["Put Blob (page)", "Snapshot Blob", "Incremental Copy Blob"], "incremental copies", async () => {
  const made = await container();
  const source = made.getPageBlobClient("source");
  await source.create(1024);
  await source.uploadPages(randomBytes(512), 0, 512);
  const { snapshot } = await source.createSnapshot();
  const target = made.getPageBlobClient("target");
  await made.setAccessPolicy("blob");
  const begun = await target.startCopyIncremental(source.withSnapshot(snapshot).url);
  assert.ok(["pending", "success"].includes(begun.copyStatus));
  await made.delete();
});

when(["Get Blob Tags", "Set Blob Tags", "Find Blobs by Tags"], "tags", async () => {
  const made = await container();
  const blob = made.getBlockBlobClient("b");
  await blob.upload("x", 1, { tags: { project: "one" } });
  const mark = made.containerName;
  await blob.setTags({ project: "two", mark });
  assert.deepEqual((await blob.getTags()).tags, { project: "two", mark });
  assert.equal((await blob.getProperties()).tagCount, 2);
  const found = await all(service.findBlobsByTags(`"mark" = '${mark}' AND "project" > 'o'`));
  assert.deepEqual(found.map((item) => [item.containerName, item.name]), [[mark, "b"]]);
  const wrong = { conditions: { tagConditions: `"project" = 'one'` } };
  await fails(412, "ConditionNotMet", () => blob.setMetadata({}, wrong));
  assert.deepEqual((await all(made.listBlobsFlat({ includeTags: true })))[0].tags, { project: "two", mark });
  await made.delete();
});

when(["Get Blob Tags", "Find Blobs by Tags in Container"], "tags in a container", async () => {
  const made = await container();
  for (const n of [1, 2, 3]) await made.getBlockBlobClient(`b${n}`).upload("x", 1, { tags: { n: `${n}` } });
  const found = await all(made.findBlobsByTags(`"n" >= '2'`));
  assert.deepEqual(found.map((item) => item.name), ["b2", "b3"]);
  await made.delete();
});

when(["Set Blob Tier"], "tiers", async () => {
  const made = await container();
  const blob = made.getBlockBlobClient("b");
  await blob.upload("x", 1, { tier: "Cool" });
  assert.equal((await blob.getProperties()).accessTier, "Cool");
  await blob.setAccessTier("Hot");
  assert.equal((await blob.getProperties()).accessTier, "Hot");
  await blob.setAccessTier("Archive");
  assert.equal((await blob.getProperties()).accessTier, "Archive");
  await fails(409, "BlobArchived", () => blob.download());
  await made.delete();
});

when(["Blob Batch", "Set Blob Tier"], "batches", async () => {
  const made = await container();
  const blobs = [1, 2, 3].map((n) => made.getBlockBlobClient(`b${n}`));
  for (const blob of blobs) await blob.upload("x", 1);
  const batch = service.getBlobBatchClient();
  const tiers = await batch.setBlobsAccessTier(blobs.map((blob) => blob.url), service.credential, "Cool");
  assert.deepEqual([tiers.subResponsesSucceededCount, tiers.subResponsesFailedCount], [3, 0]);
  assert.equal((await blobs[2].getProperties()).accessTier, "Cool");
  await blobs[1].delete();
  const gone = await batch.deleteBlobs(blobs.map((blob) => blob.url), service.credential);
  assert.deepEqual([gone.subResponsesSucceededCount, gone.subResponsesFailedCount], [2, 1]);
  assert.equal(gone.subResponses[1].errorCode, "BlobNotFound");
  await made.delete();
});

when(["Container Batch"], "batches of a container", async () => {
  const made = await container();
  const blob = made.getBlockBlobClient("b");
  await blob.upload("x", 1);
  const done = await made.getBlobBatchClient().deleteBlobs([blob]);
  assert.equal(done.subResponsesSucceededCount, 1);
  await made.delete();
});

when(["Set Blob Service Properties", "Undelete Blob"], "undelete", async () => {
  const made = await container();
  await service.setProperties({ deleteRetentionPolicy: { enabled: true, days: 1 } });
  const blob = made.getBlockBlobClient("b");
  await blob.upload("kept", 4);
  await blob.delete();
  assert.equal(await blob.exists(), false);
  assert.deepEqual((await all(made.listBlobsFlat({ includeDeleted: true }))).map((item) => item.deleted), [true]);
  await blob.undelete();
  assert.equal((await blob.downloadToBuffer()).toString(), "kept");
  await service.setProperties({ deleteRetentionPolicy: { enabled: false } });
  await made.delete();
});

when(["Query Blob Contents"], "queries", async () => {
  const made = await container();
  const blob = made.getBlockBlobClient("csv");
  const rows = "1,red\n2,blue\n3,red\n";
  await blob.upload(rows, rows.length);
  const answer = await blob.query("SELECT _1 FROM BlobStorage WHERE _2 = 'red'");
  let text = "";
  for await (const chunk of answer.readableStreamBody) text += chunk;
  assert.equal(text, "1\n3\n");
  await made.delete();
});
