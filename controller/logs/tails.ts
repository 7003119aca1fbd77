import { type ConsumerMessages, DeliverPolicy, type JetStreamClient } from '@nats-io/jetstream';
import { messageOf } from '../../protocol/errors.ts';
import { logSubject } from '../../protocol/log.ts';
import { type AttemptKey, keyOf } from '../../protocol/task.ts';
import { type Log, silent } from '../store/log.ts';
import { chunkOf, type StoredChunk } from './log-store.ts';

/** A log as it grows. It is an alarm and a short memory, nothing that a reader depends on: who has fallen behind asks the stream. */
export type Tail = {
  /** The chunk after sequence `seq` if it is remembered; undefined: ask the stream, or wait. */
  after: (seq: number) => StoredChunk | undefined;
  /** A reader found a chunk in the stream that did not come this way: starts again behind it. */
  restart: (seq: number) => void;
  leave: () => void;
};

export type Tails = {
  /** Follows a log from behind `seq` on; all who follow it on this replica share one consumer. `hear` is called when it has grown. */
  follow: (key: AttemptKey, seq: number, hear: () => void) => Tail;
  stop: () => Promise<void>;
};

/** What a tail remembers. */
const ringBytes = 1024 * 1024;
const ringChunks = 256;
/** Many consumers created at the same moment time out. */
const maxStarting = 8;
const retryMs = 1_000;
/** The server drops a consumer of which nobody has asked anything for so long. */
const forgottenMs = 30_000;

export function tails({ js, log = silent }: { js: JetStreamClient; log?: Log }): Tails {
  const open = new Map<string, SharedTail>();
  const starting = turns(maxStarting);
  return {
    follow: (key, seq, hear) => {
      const name = keyOf(key);
      const shared = open.get(name) ?? sharedTail({ js, log, starting }, key, seq);
      open.set(name, shared);
      shared.readers.add(hear);
      return {
        after: shared.after,
        restart: shared.restart,
        leave: () => {
          if (!shared.readers.delete(hear) || shared.readers.size > 0) return;
          if (open.get(name) === shared) open.delete(name);
          void shared.stop();
        },
      };
    },
    stop: async () => {
      const all = [...open.values()];
      open.clear();
      await Promise.all(all.map((t) => t.stop()));
    },
  };
}

type SharedTail = Pick<Tail, 'after' | 'restart'> & { readers: Set<() => void>; stop: () => Promise<void> };
type Turns = <T>(work: () => Promise<T>) => Promise<T>;

function sharedTail(deps: { js: JetStreamClient; log: Log; starting: Turns }, key: AttemptKey, seq: number): SharedTail {
  const readers = new Set<() => void>();
  const stopped = new AbortController();
  /** All chunks of this log with a sequence above `from`, as far as they have come. */
  let ring: StoredChunk[] = [];
  let [from, size] = [seq, 0];
  let messages: ConsumerMessages | undefined;

  const remember = (chunk: StoredChunk) => {
    if (chunk.seq <= (ring.at(-1)?.seq ?? from)) return;
    ring.push(chunk);
    size += chunk.bytes.length;
    while ((size > ringBytes || ring.length > ringChunks) && ring.length > 1) {
      const oldest = ring.shift() as StoredChunk;
      size -= oldest.bytes.length;
      from = oldest.seq;
    }
    for (const hear of readers) hear();
  };
  const read = async () => {
    const consumer = await deps.starting(() =>
      deps.js.consumers.get('LOGS', {
        filter_subjects: logSubject(key),
        deliver_policy: DeliverPolicy.StartSequence,
        opt_start_seq: (ring.at(-1)?.seq ?? from) + 1,
        inactive_threshold: forgottenMs,
      }),
    );
    try {
      messages = await consumer.consume({ max_messages: 32 });
      if (stopped.signal.aborted) return;
      // The client's buffer is larger than the message, so the bytes are copied out.
      for await (const m of messages) remember({ ...chunkOf(m), bytes: Buffer.from(m.data) });
    } finally {
      await messages?.close();
      messages = undefined;
      // Closing leaves it on the server. When NATS is away it goes by itself.
      consumer.delete().catch(() => {});
    }
  };
  const reading = (async () => {
    while (!stopped.signal.aborted) {
      try {
        await read();
      } catch (error) {
        if (!stopped.signal.aborted) deps.log.warn({ ...key, detail: messageOf(error) }, 'following a log failed; trying again');
      }
      if (!stopped.signal.aborted) await pause(retryMs, stopped.signal);
    }
  })();

  return {
    readers,
    after: (last) => (last < from ? undefined : ring.find((c) => c.seq > last)),
    restart: (last) => {
      if ((ring.at(-1)?.seq ?? from) >= last) return;
      [ring, from, size] = [[], last, 0];
      void messages?.close();
    },
    stop: async () => {
      stopped.abort();
      await messages?.close();
      await reading;
    },
  };
}

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end);
  });

/** At most `width` at once; the others wait their turn. */
function turns(width: number): Turns {
  let busy = 0;
  const waiting: (() => void)[] = [];
  return async (work) => {
    if (busy === width) await new Promise<void>((resolve) => waiting.push(resolve));
    else busy++;
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else busy--;
    }
  };
}
