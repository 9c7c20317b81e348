// What the scripts of the blob service share.

import { BlobSASPermissions, BlobServiceClient, StorageSharedKeyCredential } from "@azure/storage-blob";
import { account, endpoint, key, soon, unique } from "./service.mjs";

export const service = new BlobServiceClient(endpoint.blob, new StorageSharedKeyCredential(account, key), {
  retryOptions: { maxTries: 1 },
});

/** A new container. */
export async function container() {
  const made = service.getContainerClient(unique("c"));
  await made.create();
  return made;
}

/** A block's id. */
export const id = (n) => Buffer.from(`${n}`.padStart(8, "0")).toString("base64");

/** A URL of the blob that needs no other credentials. */
export function readable(blob) {
  return blob.generateSasUrl({ permissions: BlobSASPermissions.parse("r"), expiresOn: soon() });
}
