import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { fileObjects } from './file-objects.ts';
import type { Objects } from './objects.ts';
import type { S3Settings } from './s3-objects.ts';

export type ObjectsSettings = { objectsDir: string; s3?: S3Settings };

/** The farm's object storage. The SDK of S3 is loaded only where it is used. */
export async function openObjects({ objectsDir, s3 }: ObjectsSettings): Promise<{ objects: Objects; close: () => void }> {
  if (!s3) return { objects: fileObjects(objectsDir), close: () => {} };
  const { s3Objects } = await import('./s3-objects.ts');
  const objects = s3Objects(s3);
  return { objects, close: objects.close };
}

/** How tools outside the farm reach an object: this, a slash, and its key. */
export function objectsUrl({ objectsDir, s3 }: ObjectsSettings): string {
  if (s3) return `s3://${`${s3.bucket}/${s3.prefix}`.replace(/\/$/, '')}`;
  return pathToFileURL(join(resolve(objectsDir), 'objects')).href.replace(/\/$/, '');
}
