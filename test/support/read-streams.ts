import { DeliverPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { Farm } from '../../protocol/farm.ts';
import type { FarmRecord } from '../../protocol/record.ts';
import type { StreamSpec } from '../../protocol/streams.ts';

export type Stored<T> = { seq: number; subject: string; atMs: number; value: T };

/** Everything that a stream holds at this moment, from `fromSeq` on. @param subject only these */
export async function readAll<T>(
  nc: NatsConnection,
  stream: StreamSpec['name'],
  fromSeq = 1,
  subject?: string,
): Promise<Stored<T>[]> {
  const found: Stored<T>[] = [];
  const consumer = await jetstream(nc).consumers.get(stream, {
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: fromSeq,
    ...(subject ? { filter_subjects: subject } : {}),
  });
  const { num_pending } = await consumer.info();
  if (num_pending === 0) return found;
  const messages = await consumer.consume({ max_messages: 5_000 });
  for await (const m of messages) {
    found.push({ seq: m.seq, subject: m.subject, atMs: m.info.timestampNanos / 1e6, value: bodyOf<T>(m.data) });
    if (found.length >= num_pending) break;
  }
  await messages.close();
  return found;
}

const bodyOf = <T>(data: Uint8Array): T => {
  const text = Buffer.from(data).toString('utf8');
  try {
    return JSON.parse(text);
  } catch {
    return text as T;
  }
};

export const readRecords = (nc: NatsConnection, fromSeq?: number): Promise<Stored<FarmRecord>[]> =>
  readAll<FarmRecord>(nc, 'RUNS', fromSeq);

/** What a reader that begins now makes of the records that are there. */
export function foldAll(records: Stored<FarmRecord>[]): Farm {
  const farm = new Farm();
  for (const { value, seq } of records) farm.fold(value, seq);
  return farm;
}

export async function lastSeqOf(nc: NatsConnection, stream: StreamSpec['name']): Promise<number> {
  return (await (await jetstreamManager(nc)).streams.info(stream)).state.last_seq;
}

/** Follows `RUNS` from its first record on, so that what is purged later is known all the same. What is there now has been read. */
export async function collectRecords(nc: NatsConnection): Promise<{ records: Stored<FarmRecord>[] } & AsyncDisposable> {
  const records: Stored<FarmRecord>[] = [];
  const there = await lastSeqOf(nc, 'RUNS');
  const caughtUp = Promise.withResolvers<void>();
  if (there === 0) caughtUp.resolve();
  const consumer = await jetstream(nc).consumers.get('RUNS', { deliver_policy: DeliverPolicy.All });
  const messages = await consumer.consume({ max_messages: 5_000 });
  const reading = (async () => {
    for await (const m of messages) {
      records.push({ seq: m.seq, subject: m.subject, atMs: m.info.timestampNanos / 1e6, value: m.json<FarmRecord>() });
      if (m.seq >= there) caughtUp.resolve();
    }
  })();
  const stop = async () => {
    await messages.close();
    await reading;
  };
  await caughtUp.promise;
  return { records, [Symbol.asyncDispose]: stop };
}
