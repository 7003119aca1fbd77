import { randomUUID } from 'node:crypto';
import type { Readable } from 'node:stream';
import type { Uploaded } from '../../protocol/source.ts';
import type { Objects } from './objects.ts';

/** Where a working tree lies that a person has sent. */
export const uploadKey = (upload: string): string => `uploads/${upload}`;

/** Stores a body under its SHA-256, which nobody knows before its end. */
export async function storeUpload(objects: Objects, body: Readable): Promise<Uploaded> {
  const incoming = `incoming/${randomUUID()}`;
  try {
    const { sha256, sizeBytes } = await objects.put(incoming, body);
    await objects.copy(incoming, uploadKey(sha256));
    return { upload: sha256, sizeBytes };
  } finally {
    await objects.remove(incoming);
  }
}

const keepMs = 7 * 86_400_000;

/** Removes what was sent a week ago and no open run is in need of. */
export async function tidyUploads(objects: Objects, isUsed: (upload: string) => boolean, nowMs: number): Promise<void> {
  for (const prefix of ['incoming/', 'uploads/'])
    for await (const { key, modifiedMs } of objects.list(prefix))
      if (nowMs - modifiedMs > keepMs && !isUsed(key.slice(prefix.length))) await objects.remove(key);
}
