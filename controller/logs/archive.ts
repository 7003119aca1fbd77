import { createHash } from 'node:crypto';
import type { AttemptKey } from '../../protocol/task.ts';
import type { Objects } from '../store/objects.ts';
import type { LogStore } from './log-store.ts';
import { seek } from './seek.ts';
import {
  type ArchiveEnd,
  archivedSegments,
  readArchiveEnd,
  readSegments,
  segmentBytes,
  segmentOf,
  writeArchiveEnd,
} from './segments.ts';

export type ArchiveDeps = {
  store: LogStore;
  objects: Objects;
  /** Bytes of an object; default 8 MiB. */
  segmentBytes?: number;
};

export type Archived = { bytes: number; sha256: string; missing: number };

export type ArchiveLog = {
  /** `logBytes` of the attempt's end; absent when nobody knows it (lost): then what is stored is all. */
  total?: number;
  /** Bytes that are missing are not waited for any more (10 minutes): the log ends where it is, and its `end` object says how many they are. */
  giveUp?: boolean;
  /** But they are when some were stored since then, milliseconds since the epoch: their sender is slow, not silent. */
  unlessStoredSinceMs?: number;
};

/**
 * Moves the log of an attempt that has ended to object storage, to its last byte. May be called again at any time, by any leader.
 * @returns undefined when bytes are missing and are waited for
 */
export async function archiveLog(key: AttemptKey, how: ArchiveLog, deps: ArchiveDeps): Promise<Archived | undefined> {
  const { total, giveUp = false, unlessStoredSinceMs = Number.POSITIVE_INFINITY } = how;
  const before = await readArchiveEnd(deps.objects, key);
  if (before && before.missing === 0) return archivedOf(before);
  const heardAtMs = (await deps.store.last(key))?.storedAtMs ?? 0;
  const bytes = await archiveUpTo(key, Number.POSITIVE_INFINITY, deps);
  const missing = Math.max(0, (total ?? bytes) - bytes);
  if (missing > 0 && (!giveUp || heardAtMs >= unlessStoredSinceMs)) return undefined;
  const hash = createHash('sha256');
  for await (const piece of readSegments(deps.objects, key, 0)) hash.update(piece.bytes);
  const end: ArchiveEnd = { v: 1, bytes, sha256: hash.digest('hex'), missing };
  await writeArchiveEnd(deps.objects, key, end);
  return archivedOf(end);
}

const archivedOf = ({ bytes, sha256, missing }: ArchiveEnd): Archived => ({ bytes, sha256, missing });

/** Moves what a running attempt has written so far, as far as it fills whole segments. @returns the archived end */
export async function archiveWhole(key: AttemptKey, deps: ArchiveDeps): Promise<number> {
  const last = await deps.store.last(key);
  const size = deps.segmentBytes ?? segmentBytes;
  const { end } = await archivedSegments(deps.objects, key);
  const stored = last ? last.offset + last.bytes.length : end;
  return stored - end < size ? end : archiveUpTo(key, end + Math.floor((stored - end) / size) * size, deps);
}

/**
 * Moves what is stored below `limit`, from where the archive ends, in segments that begin where the one before ends. What fails half
 * way leaves whole segments, and the next call goes on behind them.
 * @returns the archived end: `limit`, or what is stored when that is less
 */
export async function archiveUpTo(
  key: AttemptKey,
  limit: number,
  { store, objects, segmentBytes: size = segmentBytes }: ArchiveDeps,
): Promise<number> {
  let start = (await archivedSegments(objects, key)).end;
  let held: Uint8Array[] = [];
  let end = start;
  const put = async () => {
    await objects.put(segmentOf(key, start, end).key, Buffer.concat(held));
    [held, start] = [[], end];
  };
  for (let seq = start < limit ? await seek(store, key, start) : undefined; seq !== undefined && end < limit; ) {
    const chunk = await store.next(key, seq + 1);
    if (!chunk || chunk.offset > end) break;
    seq = chunk.seq;
    for (let rest = chunk.bytes.subarray(end - chunk.offset); rest.length > 0 && end < limit; ) {
      const part = rest.subarray(0, Math.min(size - (end - start), limit - end));
      held.push(part);
      end += part.length;
      rest = rest.subarray(part.length);
      if (end - start === size) await put();
    }
  }
  if (end > start) await put();
  return end;
}
