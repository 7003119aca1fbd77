import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import {
  AbortMultipartUploadCommand,
  CopyObjectCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { FarmError } from '../../protocol/errors.ts';
import { keyParts, prefixParts } from './object-key.ts';
import type { ObjectInfo, Objects } from './objects.ts';

export type S3Settings = {
  bucket: string;
  /** Stands before every key; '' or with a slash at its end. */
  prefix: string;
  region: string;
  /** Of another server than Amazon's: `https://HOST[:PORT]`. */
  endpoint?: string;
  /** `HOST/BUCKET/KEY` instead of `BUCKET.HOST/KEY`. */
  pathStyle: boolean;
  /** Absent: where the SDK looks for them (environment, shared files, the machine's role). */
  credentials?: { accessKeyId: string; secretAccessKey: string };
};

/** A stream is stored in pieces of this size, two of them on their way at the same time. */
const partBytes = 8 * 1024 * 1024;
const maxKeyBytes = 1024;
/** A connection that cannot be made, and one on which nothing moves, are given up after so long, milliseconds. */
const times = { connectMs: 5_000, idleMs: 60_000 };
/** An upload in pieces that began so long ago is what a crash left. */
const leftoverMs = 24 * 3_600_000;

/**
 * Objects in a bucket of S3, or of a server that speaks like it. The bucket must be there. An object becomes visible when its last
 * byte is stored; a stream that breaks leaves no pieces behind, and those of a crash are swept at the first use a day later.
 */
export function s3Objects(
  settings: S3Settings,
  { wallMs = Date.now, pageKeys = 1_000 }: { wallMs?: () => number; pageKeys?: number } = {},
): Objects & { close: () => void } {
  const { bucket: Bucket, prefix } = settings;
  const client = new S3Client({
    region: settings.region,
    ...(settings.endpoint ? { endpoint: settings.endpoint } : {}),
    forcePathStyle: settings.pathStyle,
    ...(settings.credentials ? { credentials: settings.credentials } : {}),
    maxAttempts: 5,
    // Servers other than Amazon's refuse checksums in trailers. What is sent is in memory, so its SHA-256 is part of the signature.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: { connectionTimeout: times.connectMs, requestTimeout: times.idleMs, throwOnRequestTimeout: true },
  });
  const keyOf = (key: string): string => {
    keyParts(key);
    if (Buffer.byteLength(prefix + key) > maxKeyBytes) throw new FarmError('BAD_OBJECT_KEY', { key: key.slice(0, 200) });
    return prefix + key;
  };
  let swept = false;
  const sweepOnce = () => {
    if (swept) return;
    swept = true;
    void sweep(client, settings, wallMs() - leftoverMs).catch(() => {
      swept = false;
    });
  };

  return {
    put: async (key, body) => {
      const Key = keyOf(key);
      if (!(body instanceof Uint8Array)) {
        sweepOnce();
        return putStream(client, { Bucket, Key }, body);
      }
      await client.send(new PutObjectCommand({ Bucket, Key, Body: body, ContentLength: body.length }));
      return { sizeBytes: body.length, sha256: createHash('sha256').update(body).digest('hex') };
    },
    get: async (key) => {
      const Key = keyOf(key);
      return orUndefined(async () => {
        const { Body } = await client.send(new GetObjectCommand({ Bucket, Key }));
        return Buffer.from((await Body?.transformToByteArray()) ?? []);
      });
    },
    read: async (key, { start, end } = { start: 0 }) => {
      const Key = keyOf(key);
      return orUndefined(async () => {
        if (end !== undefined && end <= start) {
          await client.send(new HeadObjectCommand({ Bucket, Key }));
          return Readable.from([]);
        }
        const whole = start === 0 && end === undefined;
        const Range = `bytes=${start}-${end === undefined ? '' : end - 1}`;
        try {
          const { Body } = await client.send(new GetObjectCommand({ Bucket, Key, ...(whole ? {} : { Range }) }));
          return Body instanceof Readable ? Body : Readable.from([]);
        } catch (error) {
          // It starts at or behind the end.
          if (statusOf(error) === 416) return Readable.from([]);
          throw error;
        }
      });
    },
    copy: async (from, to) => {
      const [source, Key] = [keyOf(from), keyOf(to)];
      const CopySource = `${Bucket}/${source.split('/').map(encodeURIComponent).join('/')}`;
      const copied = await orUndefined(() => client.send(new CopyObjectCommand({ Bucket, Key, CopySource })));
      return copied !== undefined;
    },
    list: async function* (begin, { after = '' } = {}) {
      prefixParts(begin);
      yield* list(client, { Bucket, Prefix: prefix + begin, after, strip: prefix, MaxKeys: pageKeys });
    },
    remove: async (key) => {
      await client.send(new DeleteObjectCommand({ Bucket, Key: keyOf(key) }));
    },
    close: () => client.destroy(),
  };
}

async function putStream(client: S3Client, at: { Bucket: string; Key: string }, body: Readable) {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const counted = async function* (): AsyncGenerator<Uint8Array> {
    for await (const piece of body) {
      const bytes: Uint8Array = typeof piece === 'string' ? Buffer.from(piece) : piece;
      hash.update(bytes);
      sizeBytes += bytes.length;
      yield bytes;
    }
  };
  const upload = new Upload({
    client,
    params: { ...at, Body: Readable.from(counted(), { objectMode: false }) },
    partSize: partBytes,
    queueSize: 2,
    leavePartsOnError: false,
  });
  await upload.done();
  return { sizeBytes, sha256: hash.digest('hex') };
}

type Listing = { Bucket: string; Prefix: string; after: string; strip: string; MaxKeys: number };

async function* list(client: S3Client, { Bucket, Prefix, after, strip, MaxKeys }: Listing): AsyncGenerator<ObjectInfo> {
  for (let token: string | undefined, more = true; more; ) {
    const page = await client.send(
      new ListObjectsV2Command({
        Bucket,
        Prefix,
        MaxKeys,
        // XML has no way to write some characters that a key may hold.
        EncodingType: 'url',
        ...(token !== undefined ? { ContinuationToken: token } : after === '' ? {} : { StartAfter: strip + after }),
      }),
    );
    for (const { Key, Size, LastModified } of page.Contents ?? []) {
      const key = decode(Key ?? '').slice(strip.length);
      if (key !== '') yield { key, sizeBytes: Size ?? 0, modifiedMs: LastModified?.getTime() ?? 0 };
    }
    token = page.NextContinuationToken;
    more = page.IsTruncated === true && token !== undefined;
  }
}

/** As forms are encoded: a space may be a plus. */
const decode = (text: string): string => decodeURIComponent(text.replaceAll('+', ' '));

async function sweep(client: S3Client, { bucket: Bucket, prefix }: S3Settings, beforeMs: number): Promise<void> {
  const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket, Prefix: prefix }));
  for (const { Key, UploadId, Initiated } of Uploads)
    if (Key && UploadId && Initiated && Initiated.getTime() < beforeMs)
      await client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }));
}

async function orUndefined<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (statusOf(error) === 404 && !isNamed(error, 'NoSuchBucket')) return undefined;
    throw error;
  }
}

const statusOf = (error: unknown): number | undefined =>
  error instanceof Error && '$metadata' in error ? (error.$metadata as { httpStatusCode?: number }).httpStatusCode : undefined;

const isNamed = (error: unknown, name: string): boolean => error instanceof Error && error.name === name;
