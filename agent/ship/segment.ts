import { open, rm } from 'node:fs/promises';
import path from 'node:path';

/** Each write's record in the index: the offset behind it (u64) and when it was made (u64, milliseconds), big-endian. */
const recordBytes = 16;
const maxRecords = 4096;

/**
 * A piece of a spool: `<offset>.log` has the bytes, `<offset>.idx` a record for each write, made after it. What no record speaks of was
 * cut off by the end of a process and is removed when the segment is opened again.
 */
export type Segment = {
  /** Offset of its first byte in the output. */
  readonly start: number;
  /** Offset behind its last byte. */
  readonly end: number;
  isFull: (segmentBytes: number) => boolean;
  append: (bytes: Uint8Array, atMs: number) => Promise<void>;
  /** From an offset that it has. */
  read: (offset: number, maxBytes: number) => Promise<{ bytes: Buffer; atMs: number }>;
  close: () => Promise<void>;
  /** Closes and deletes it. */
  remove: () => Promise<void>;
};

export async function openSegment(dir: string, start: number): Promise<Segment> {
  const file = path.join(dir, String(start).padStart(16, '0'));
  // Not 'a': with that a position is ignored.
  const [log, index] = await Promise.all([openOrCreate(`${file}.log`), openOrCreate(`${file}.idx`)]);
  const record = async (i: number): Promise<{ end: number; atMs: number }> => {
    const { buffer } = await index.read(Buffer.alloc(recordBytes), 0, recordBytes, i * recordBytes);
    return { end: Number(buffer.readBigUInt64BE(0)), atMs: Number(buffer.readBigUInt64BE(8)) };
  };

  const logBytes = (await log.stat()).size;
  let records = Math.floor((await index.stat()).size / recordBytes);
  let end = records > 0 ? (await record(records - 1)).end : start;
  // After a power failure the index may tell of bytes that were never written.
  while (records > 0 && (end > start + logBytes || end < start)) end = --records > 0 ? (await record(records - 1)).end : start;
  await Promise.all([log.truncate(end - start), index.truncate(records * recordBytes)]);

  const close = async () => {
    await Promise.all([log.close(), index.close()]);
  };
  return {
    start,
    get end() {
      return end;
    },
    isFull: (segmentBytes) => end - start >= segmentBytes || records >= maxRecords,
    append: async (bytes, atMs) => {
      await writeAll(log, bytes, end - start);
      const entry = Buffer.alloc(recordBytes);
      entry.writeBigUInt64BE(BigInt(end + bytes.length), 0);
      entry.writeBigUInt64BE(BigInt(atMs), 8);
      await writeAll(index, entry, records * recordBytes);
      records++;
      end += bytes.length;
    },
    read: async (offset, maxBytes) => {
      const bytes = Buffer.alloc(Math.min(maxBytes, end - offset));
      const { bytesRead } = await log.read(bytes, 0, bytes.length, offset - start);
      // The first record whose end lies behind the offset.
      let [low, high] = [0, records - 1];
      while (low < high) {
        const middle = (low + high) >> 1;
        if ((await record(middle)).end > offset) high = middle;
        else low = middle + 1;
      }
      return { bytes: bytes.subarray(0, bytesRead), atMs: (await record(low)).atMs };
    },
    close,
    remove: async () => {
      await close();
      await Promise.all([rm(`${file}.log`, { force: true }), rm(`${file}.idx`, { force: true })]);
    },
  };
}

type File = Awaited<ReturnType<typeof open>>;

const openOrCreate = async (name: string): Promise<File> => {
  try {
    return await open(name, 'r+');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return open(name, 'wx+', 0o600);
  }
};

/** A write may store less than it was given (disk nearly full). */
async function writeAll(file: File, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}
