import { messageOf } from '../../protocol/errors.ts';
import { maxChunkBytes } from '../../protocol/log.ts';
import type { AttemptKey } from '../../protocol/task.ts';
import type { LogStore } from './log-store.ts';

/** What becomes of a log that is being stored. */
export type AppendEvents = {
  /** Everything below `offset` is stored; what was pushed and lies above it is dropped, so it must come again from there. */
  go: (offset: number) => void;
  stored: (offset: number) => void;
  /** Nothing can be stored now; what was pushed is dropped and the appender has stopped. */
  later: (message: string) => void;
};

export type Appender = {
  /** The offset that must be pushed next; undefined while that is being read, and what comes then is not wanted. */
  readonly want: number | undefined;
  /** Bytes of memory that hold what was pushed and is not stored yet, roughly. */
  readonly queuedCost: number;
  /** The next bytes, at `want`; at most `maxChunkBytes`. */
  push: (atMs: number, bytes: Uint8Array) => void;
  stop: () => void;
};

export type AppendDeps = {
  store: LogStore;
  /** How far the log stands in object storage, asked when the stream has nothing of it. */
  archivedEnd: (key: AttemptKey) => Promise<number>;
};

/** What a piece costs beside its bytes, so that a flood of tiny ones counts. */
const pieceCost = 256;

/**
 * Stores one log: one publish at a time, each on condition that the message before it is still the last one, so that stored order is
 * byte order however many replicas try. What is pushed meanwhile is joined to the next message. After any doubt it reads what is
 * stored and goes on from there.
 */
export function appendLog(key: AttemptKey, { store, archivedEnd }: AppendDeps, hear: AppendEvents): Appender {
  let queue: { atMs: number; bytes: Uint8Array }[] = [];
  let queuedBytes = 0;
  /** The last stored message and the offset behind it. */
  let tail: { seq: number; end: number } | undefined;
  let busy = true;
  let stopped = false;

  const drop = () => {
    queue = [];
    queuedBytes = 0;
  };
  const giveUp = (message: string) => {
    drop();
    tail = undefined;
    stopped = true;
    hear.later(message);
  };

  const locate = async () => {
    tail = undefined;
    drop();
    try {
      const last = await store.last(key);
      const found = last ? { seq: last.seq, end: last.offset + last.bytes.length } : { seq: 0, end: await archivedEnd(key) };
      if (stopped) return;
      tail = found;
      hear.go(found.end);
    } catch (error) {
      if (!stopped) giveUp(`the log cannot be read: ${messageOf(error)}`);
    }
  };

  /** As many whole pieces as one message holds. */
  const takeChunk = (): { atMs: number; bytes: Uint8Array } | undefined => {
    const [first] = queue;
    if (!first) return undefined;
    let [count, size] = [0, 0];
    for (const { bytes } of queue) {
      if (count > 0 && size + bytes.length > maxChunkBytes) break;
      count++;
      size += bytes.length;
    }
    const taken = queue.splice(0, count);
    return {
      atMs: first.atMs,
      bytes:
        count === 1
          ? first.bytes
          : Buffer.concat(
              taken.map((t) => t.bytes),
              size,
            ),
    };
  };

  const pump = async () => {
    while (tail && !stopped) {
      const chunk = takeChunk();
      if (!chunk) break;
      const before = tail;
      const outcome = await store.append(key, { offset: before.end, atMs: chunk.atMs }, chunk.bytes, before.seq);
      if (stopped) return;
      if (outcome === 'full') giveUp('LOGS is full');
      else if (typeof outcome === 'object' && 'seq' in outcome) {
        queuedBytes -= chunk.bytes.length;
        tail = { seq: outcome.seq, end: before.end + chunk.bytes.length };
        hear.stored(tail.end);
      } else await locate();
    }
  };
  const run = (work: () => Promise<void>) => {
    busy = true;
    void work().finally(() => {
      busy = false;
      if (queue.length > 0 && !stopped) run(pump);
    });
  };
  run(locate);

  return {
    get want() {
      return tail && !stopped ? tail.end + queuedBytes : undefined;
    },
    get queuedCost() {
      return queuedBytes + queue.length * pieceCost;
    },
    push: (atMs, bytes) => {
      if (stopped || !tail || bytes.length === 0) return;
      queue.push({ atMs, bytes });
      queuedBytes += bytes.length;
      if (!busy) run(pump);
    },
    stop: () => {
      stopped = true;
      drop();
    },
  };
}
