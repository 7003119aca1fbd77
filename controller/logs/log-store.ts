import { JetStreamApiError, type JetStreamClient, type JetStreamManager, type StoredMsg } from '@nats-io/jetstream';
import { headers, type MsgHdrs } from '@nats-io/transport-node';
import { Value } from 'typebox/value';
import { messageOf } from '../../protocol/errors.ts';
import { chunkHeaders, LogChunk, logSubject } from '../../protocol/log.ts';
import { natsErrors } from '../../protocol/streams.ts';
import type { AttemptKey } from '../../protocol/task.ts';

/** A message of `LOGS`. Empty ones only carry on the chain of conditions when what was before is purged. */
export type StoredChunk = LogChunk & { seq: number; bytes: Uint8Array; storedAtMs: number };

/** conflict: another message stands there. full: certainly not stored, try later. unknown: stored or not. */
export type Appended = { seq: number } | 'conflict' | 'full' | { unknown: string };

/** The stream `LOGS`, as this folder uses it. What reads throws whatever the client throws: always worth another try. */
export type LogStore = {
  /** The newest chunk of a log. Asked of the stream's leader: a replica might be behind. */
  last: (key: AttemptKey) => Promise<StoredChunk | undefined>;
  /** The first chunk of a log at `seq` or after it. May be behind by what was stored just now. */
  next: (key: AttemptKey, seq: number) => Promise<StoredChunk | undefined>;
  /** Stores a chunk on condition that the log's last one has sequence `after`; 0: that it has none. */
  append: (key: AttemptKey, chunk: LogChunk, bytes: Uint8Array, after: number) => Promise<Appended>;
  bounds: () => Promise<{ firstSeq: number; lastSeq: number }>;
};

export function logStore({
  js,
  jsm,
  timeoutMs = 5_000,
}: {
  js: JetStreamClient;
  jsm: JetStreamManager;
  timeoutMs?: number;
}): LogStore {
  return {
    last: async (key) => {
      const m = await jsm.streams.getMessage('LOGS', { last_by_subj: logSubject(key) });
      return m ? chunkOf(m) : undefined;
    },
    next: async (key, seq) => {
      const m = await jsm.direct.getMessage('LOGS', { seq: Math.max(1, seq), next_by_subj: logSubject(key) });
      return m ? chunkOf(m) : undefined;
    },
    append: async (key, chunk, bytes, after) => {
      const h = headers();
      h.set(chunkHeaders.offset, String(chunk.offset));
      h.set(chunkHeaders.atMs, String(chunk.atMs));
      try {
        const ack = await js.publish(logSubject(key), bytes, {
          headers: h,
          expect: { lastSubjectSequence: after },
          timeout: timeoutMs,
          retries: 0,
        });
        return { seq: ack.seq };
      } catch (error) {
        return refusal(error);
      }
    },
    bounds: async () => {
      const { state } = await jsm.streams.info('LOGS');
      return { firstSeq: state.first_seq, lastSeq: state.last_seq };
    },
  };
}

/** @throws TypeError when a message of `LOGS` was not written by the farm */
export const chunkOf = (
  m: Pick<StoredMsg, 'seq' | 'data' | 'time'> & { header?: MsgHdrs | undefined; headers?: MsgHdrs | undefined },
): StoredChunk => {
  const h = m.header ?? m.headers;
  const chunk = {
    offset: Number(h?.get(chunkHeaders.offset) || Number.NaN),
    atMs: Number(h?.get(chunkHeaders.atMs) || Number.NaN),
  };
  if (!Value.Check(LogChunk, chunk)) throw new TypeError(`message ${m.seq} of LOGS has no offset and time`);
  return { ...chunk, seq: m.seq, bytes: m.data, storedAtMs: m.time.getTime() };
};

const wrongSequence: readonly number[] = [natsErrors.wrongLastSequence, 10164];
const noRoom: readonly number[] = [natsErrors.streamFull, natsErrors.insufficientResources, natsErrors.tooManyRequests];

function refusal(error: unknown): Appended {
  if (error instanceof JetStreamApiError) {
    if (wrongSequence.includes(error.code)) return 'conflict';
    if (noRoom.includes(error.code)) return 'full';
  }
  return { unknown: messageOf(error) };
}
