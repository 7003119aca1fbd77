import { FarmError, messageOf } from '../../protocol/errors.ts';
import type { AttemptKey } from '../../protocol/task.ts';
import { type Log, silent } from '../store/log.ts';
import type { Objects } from '../store/objects.ts';
import { bell } from './bell.ts';
import type { LogStore } from './log-store.ts';
import { seek } from './seek.ts';
import { archivedSegments, readArchiveEnd, readSegments } from './segments.ts';
import type { Tail, Tails } from './tails.ts';

/** Consecutive bytes of a log. */
export type LogPiece = { offset: number; bytes: Uint8Array };

/** How an attempt stands, in this replica's confirmed state. `total`: the `logBytes` of its end; absent when nobody knows (lost). */
export type ViewState = { state: string; open: boolean; total?: number };

/** `total`: bytes of the log, as far as known. `missing`: those at its end that nobody will send any more. */
export type LogEnd = { state: string; total: number; missing: number };

export type ViewDeps = {
  store: LogStore;
  objects: Objects;
  tails: Tails;
  /** undefined: not known (yet). */
  lookup: (key: AttemptKey) => ViewState | undefined;
  /** Resolves at the next change of what `lookup` tells. */
  changed: () => Promise<void>;
  log?: Log;
};

export type ReadLog = {
  key: AttemptKey;
  offset?: number;
  /** Waits for more until the attempt has ended and all of its output was read. */
  follow?: boolean;
  signal?: AbortSignal;
};

/** A follower looks at least so often, whether or not it was told that there is more. */
const lookEveryMs = 5_000;
const retryMs = 500;
/** Who does not follow waits so long for NATS and object storage to come back. */
const patienceMs = 10_000;
/** A log whose middle is neither in the stream nor archived after so many looks has lost it. */
const maxGaps = 5;

/**
 * The bytes of a log from `offset` on, without a gap: from object storage, then from the stream, then as they come. The reader's own
 * pace is the pace; nothing is fetched ahead of it.
 * @returns how the log ended; undefined when `signal` aborted, or the log may still grow and nobody follows
 * @throws FarmError LOG_GAP when bytes before the end are in no place; UNAVAILABLE when one who does not follow has waited 10 s
 */
export async function* readLog(options: ReadLog, deps: ViewDeps): AsyncGenerator<LogPiece, LogEnd | undefined> {
  const { key, offset = 0, follow = false, signal } = options;
  const { objects, log = silent } = deps;
  const news = follow ? newsOf(deps, key) : undefined;
  const reading: Reading = { key, at: offset, news, signal };
  let [failures, gaps] = [0, 0];
  try {
    while (!signal?.aborted) {
      const before = reading.at;
      try {
        yield* readArchived(reading, objects);
        const passed = yield* readStored(reading, deps);
        if (reading.at > before) [failures, gaps] = [0, 0];
        if (passed.why === 'end') return passed.end;
        if (passed.why === 'head') return undefined;
        // Purged behind us: then it is in object storage.
        if (passed.why === 'archived' || (passed.why === 'gap' && gaps++ === 0)) continue;
        if (passed.why === 'gap' && gaps > maxGaps) throw new FarmError('LOG_GAP', { offset: passed.next, want: reading.at });
      } catch (error) {
        if (error instanceof FarmError) throw error;
        if (reading.at > before) failures = 0;
        // Once per outage, not twice a second for each viewer.
        log[failures++ === 0 ? 'warn' : 'debug']({ ...key, detail: messageOf(error) }, 'reading a log failed; trying again');
        if (!follow && failures * retryMs >= patienceMs)
          throw new FarmError('UNAVAILABLE', { detail: 'the log cannot be read now', afterS: 10 }, { cause: error });
      }
      await bell().wait(retryMs, signal);
    }
    return undefined;
  } finally {
    news?.leave();
  }
}

/** `at`: the next byte. It is moved as soon as bytes are handed on, so that a failure repeats none. */
type Reading = {
  readonly key: AttemptKey;
  at: number;
  readonly news: News | undefined;
  readonly signal: AbortSignal | undefined;
};
type Passed = { why: 'head' | 'archived' | 'aborted' } | { why: 'end'; end: LogEnd } | { why: 'gap'; next: number };

async function* readArchived(reading: Reading, objects: Objects): AsyncGenerator<LogPiece, void> {
  for await (const piece of readSegments(objects, reading.key, reading.at)) {
    reading.at = piece.offset + piece.bytes.length;
    yield piece;
    if (reading.signal?.aborted) return;
  }
}

/** What the stream has; a follower stays here until the log has ended or was purged further than it had read. */
async function* readStored(reading: Reading, deps: ViewDeps): AsyncGenerator<LogPiece, Passed> {
  const { key, news, signal } = reading;
  let last = await seek(deps.store, key, reading.at);
  let told = true;
  while (!signal?.aborted) {
    // Before looking for more: bytes that a state tells of are found then.
    const state = deps.lookup(key);
    const remembered = news?.after(last);
    const chunk = remembered ?? (await deps.store.next(key, last + 1));
    if (chunk) {
      const offset = reading.at;
      if (chunk.offset > offset) return { why: 'gap', next: chunk.offset };
      if (!remembered && !told) news?.restart(chunk.seq);
      told = true;
      last = chunk.seq;
      const bytes = chunk.bytes.subarray(offset - chunk.offset);
      reading.at += bytes.length;
      if (bytes.length > 0) yield { offset, bytes };
      continue;
    }
    if (!news || state?.open === false) {
      const end = await endOf(reading.at, last, state, key, deps);
      if (end) return end;
    }
    if (!news) return { why: 'head' };
    told = await news.wait(last, signal);
  }
  return { why: 'aborted' };
}

/** Whether a log of which nothing more was found in the stream has ended, or goes on in object storage. */
async function endOf(
  at: number,
  last: number,
  state: ViewState | undefined,
  key: AttemptKey,
  { store, objects }: Pick<ViewDeps, 'store' | 'objects'>,
): Promise<Passed | undefined> {
  const over = state && !state.open ? state : undefined;
  const ended = (total: number, missing: number): Passed => ({ why: 'end', end: { state: over?.state ?? '', total, missing } });
  if (over?.total !== undefined && at >= over.total) return ended(over.total, 0);
  if ((await archivedSegments(objects, key)).end > at) return { why: 'archived' };
  if (!over) return undefined;
  const archive = await readArchiveEnd(objects, key);
  if (archive && at >= archive.bytes) return ended(archive.bytes + archive.missing, archive.missing);
  if (over.total !== undefined) return undefined;
  // Nobody knows the length: what is stored is all, asked of the one that knows best.
  const newest = await store.last(key);
  return !newest || newest.seq <= last ? ended(at, 0) : undefined;
}

type News = {
  after: Tail['after'];
  restart: Tail['restart'];
  /** Resolves when the log may have grown behind `seq` or its state has changed, at the latest after 5 s. @returns whether it was told */
  wait: (seq: number, signal: AbortSignal | undefined) => Promise<boolean>;
  leave: () => void;
};

function newsOf({ tails, changed }: ViewDeps, key: AttemptKey): News {
  const { ring, wait } = bell();
  let tail: Tail | undefined;
  let left = false;
  /** One at a time, so that a state that never changes does not collect those who wait. */
  const listen = () =>
    void changed().then(() => {
      ring();
      if (!left) listen();
    }, ring);
  listen();
  return {
    after: (seq) => tail?.after(seq),
    restart: (seq) => tail?.restart(seq),
    wait: (seq, signal) => {
      tail ??= tails.follow(key, seq, ring);
      return wait(lookEveryMs, signal);
    },
    leave: () => {
      left = true;
      tail?.leave();
    },
  };
}
