import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type AttemptKey, keyOf } from '../../protocol/task.ts';
import { openSegment, type Segment } from './segment.ts';

/**
 * An attempt's masked output on its way to a controller: files in a directory of its own, freed as far as it is stored.
 * What `write` has resolved for survives the end of the process. Nothing is synced: a power failure can lose the output of the last
 * seconds (as long as the kernel holds writes back), and with it the step is dead too.
 */
export type Spool = {
  /** Bytes of output so far, marker included. */
  readonly total: number;
  /** Bytes that were not kept (limit reached, spool removed), since this process opened it. */
  readonly dropped: number;
  readonly ended: boolean;
  /** Appends; resolves when the bytes are in the file. Calls may overlap; their order is kept. */
  write: (bytes: Uint8Array) => Promise<void>;
  /** No output will follow. @returns the total, which the final notice states as `logBytes` */
  end: () => Promise<number>;
  /** Up to `maxBytes` from `offset` on and when the first of them was written; undefined when there is nothing yet. */
  read: (offset: number, maxBytes: number) => Promise<{ bytes: Buffer; atMs: number } | undefined>;
  /** Everything below `offset` is stored elsewhere. */
  free: (offset: number) => Promise<void>;
  /**
   * A controller has more than this spool knows of (its end was lost with the power): goes on behind that, so that offsets stay true.
   */
  skipTo: (offset: number) => Promise<void>;
  /** Calls `hear` whenever there is more to read or the output has ended. @returns stops it */
  listen: (hear: () => void) => () => void;
  close: () => Promise<void>;
  /** Closes it and deletes its directory. What is written afterwards is dropped. */
  remove: () => Promise<void>;
};

export type SpoolOptions = {
  /** Holds one directory per attempt. */
  root: string;
  key: AttemptKey;
  /** Output beyond it is not kept; the marker that says so comes on top. */
  maxBytes: number;
  /** A file is freed when all of it is stored. */
  segmentBytes?: number;
  now: () => number;
};

const defaultSegmentBytes = 4 * 1024 * 1024;
const endFile = 'end';

/** Opens the spool of an attempt, or creates it. What an earlier process wrote is there again. */
export async function openSpool(options: SpoolOptions): Promise<Spool> {
  const { root, key, maxBytes, segmentBytes = defaultSegmentBytes, now } = options;
  const dir = path.join(root, keyOf(key));
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const segments = await openSegments(dir);
  const listeners = new Set<() => void>();
  let end = await readEnd(dir);
  let dropped = 0;
  let removed = false;
  let total = segments.at(-1)?.end ?? 0;
  /** Writes, frees and closing, one after another. */
  let queue: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const done = queue.then(work);
    queue = done.catch(() => {});
    return done;
  };
  const tell = () => {
    for (const hear of listeners) hear();
  };

  const append = async (bytes: Uint8Array) => {
    let last = segments.at(-1);
    if (!last || last.isFull(segmentBytes)) {
      last = await openSegment(dir, total);
      segments.push(last);
    }
    await last.append(bytes, now());
    total = last.end;
  };

  /** What is kept of `bytes`: at the limit the rest of the room and the marker, in one write. */
  const keep = async (bytes: Uint8Array): Promise<Uint8Array | undefined> => {
    if (bytes.length <= maxBytes - total) return bytes;
    dropped += bytes.length - Math.max(0, maxBytes - total);
    if (total > maxBytes) return undefined;
    const kept = bytes.subarray(0, maxBytes - total);
    const before = kept.length > 0 ? kept.at(-1) : ((await lastByte(segments.at(-1))) ?? 0x0a);
    const marker = `[thresh: log limit of ${maxBytes} bytes reached; what follows is not kept]\n`;
    return Buffer.concat([kept, Buffer.from(before === 0x0a ? marker : `\n${marker}`)]);
  };

  return {
    get total() {
      return total;
    },
    get dropped() {
      return dropped;
    },
    get ended() {
      return end !== undefined;
    },
    write: (bytes) =>
      inTurn(async () => {
        if (removed) dropped += bytes.length;
        if (bytes.length === 0 || removed || end !== undefined) return;
        const kept = await keep(bytes);
        if (!kept) return;
        await append(kept);
        tell();
      }),
    end: () =>
      inTurn(async () => {
        if (end === undefined && !removed) {
          await writeEnd(dir, total);
          end = total;
          tell();
        }
        return total;
      }),
    read: (offset, maxRead) =>
      inTurn(async () => {
        const segment = segments.find((s) => s.end > offset);
        if (!segment) return undefined;
        return segment.start > offset ? filler(offset, segment.start, maxRead, now()) : segment.read(offset, maxRead);
      }),
    free: (offset) =>
      inTurn(async () => {
        // The newest one stays: it says how long the output is.
        while (segments.length > 1 && (segments[0] as Segment).end <= offset) await segments.shift()?.remove();
      }),
    skipTo: (offset) =>
      inTurn(async () => {
        if (offset <= total) return;
        segments.push(await openSegment(dir, offset));
        total = offset;
        if (end !== undefined) {
          await writeEnd(dir, total);
          end = total;
        }
      }),
    listen: (hear) => {
      listeners.add(hear);
      return () => listeners.delete(hear);
    },
    close: () => inTurn(() => closeAll(segments)),
    remove: () =>
      inTurn(async () => {
        if (removed) return;
        removed = true;
        await closeAll(segments.splice(0));
        await rm(dir, { recursive: true, force: true });
      }),
  };
}

/** The attempts that have a spool under `root`, for an agent that starts again. */
export async function spooledAttempts(root: string): Promise<AttemptKey[]> {
  const names = await readdir(root).catch(() => []);
  return names.flatMap((name) => {
    const [, run, step, attempt] = /^([0-9]{1,20})\.([A-Za-z0-9_-]{1,64})\.([1-9][0-9]{0,8})$/.exec(name) ?? [];
    return run && step && attempt ? [{ run, step, attempt: Number(attempt) }] : [];
  });
}

async function openSegments(dir: string): Promise<Segment[]> {
  const starts = (await readdir(dir)).flatMap((name) => (/^[0-9]{16}\.log$/.test(name) ? [Number.parseInt(name, 10)] : []));
  const segments: Segment[] = [];
  for (const start of starts.sort((a, b) => a - b)) segments.push(await openSegment(dir, start));
  return segments;
}

/**
 * Stands for bytes from `offset` to `until` that a controller had stored, were freed here, and that it has lost since.
 * One line of that length over all, however it is read in pieces, so that offsets stay true.
 */
function filler(offset: number, until: number, maxBytes: number, atMs: number): { bytes: Buffer; atMs: number } {
  const length = Math.min(maxBytes, until - offset);
  const bytes = Buffer.alloc(length, ' ');
  bytes.write(`[thresh: ${until - offset} bytes of this log were lost by the controller]`.slice(0, length));
  if (offset + length === until) bytes[length - 1] = 0x0a;
  return { bytes, atMs };
}

const closeAll = async (segments: Segment[]) => {
  for (const segment of segments) await segment.close();
};

const lastByte = async (segment: Segment | undefined): Promise<number | undefined> =>
  segment && segment.end > segment.start ? (await segment.read(segment.end - 1, 1)).bytes[0] : undefined;

/** Set aside and renamed, so that it is there whole or not at all. */
async function writeEnd(dir: string, total: number): Promise<void> {
  const aside = path.join(dir, `${endFile}.new`);
  await writeFile(aside, `${total}\n`);
  await rename(aside, path.join(dir, endFile));
}

async function readEnd(dir: string): Promise<number | undefined> {
  const text = await readFile(path.join(dir, endFile), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : Number.parseInt(text, 10);
}
