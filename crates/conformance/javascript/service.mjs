// What the scripts share: endpoints, keys and names from the environment, and tests that wait until their operations are built.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";

export const account = process.env.STORAGE_ACCOUNT;
export const key = process.env.STORAGE_KEY;
export const endpoint = {
  blob: process.env.BLOB_ENDPOINT,
  queue: process.env.QUEUE_ENDPOINT,
  table: process.env.TABLE_ENDPOINT,
};
export const MIB = 1024 * 1024;

const built = new Set(process.env.STORAGE_OPERATIONS.split(","));
const unbuilt = new Set(process.env.STORAGE_OPERATIONS_NOT_BUILT.split(","));

/** A test of operations; while the service says of one of them that it is not built, there is nothing to test. */
export function when(operations, name, run) {
  for (const operation of operations) assert.ok(built.has(operation) || unbuilt.has(operation), operation);
  const missing = operations.filter((operation) => unbuilt.has(operation));
  test(name, { skip: missing.length > 0 && `not built: ${missing}` }, run);
}

export const unique = (prefix) => `${prefix}${randomUUID().replaceAll("-", "")}`;
export const soon = (minutes = 10) => new Date(Date.now() + minutes * 60_000);

export async function all(pages) {
  const found = [];
  for await (const item of pages) found.push(item);
  return found;
}

/** The call must fail with this status and, where an answer has a body, with this code. */
export async function fails(status, code, call) {
  await assert.rejects(call, (error) => {
    assert.equal(error.statusCode, status, `${error}`);
    const said = error.code ?? error.details?.errorCode ?? error.details?.odataError?.code;
    if (code) assert.equal(said, code, `${error}`);
    return true;
  });
}
