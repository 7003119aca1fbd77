import { DeliverPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { Farm } from '../../protocol/farm.ts';
import type { FarmRecord } from '../../protocol/record.ts';
import type { StreamSpec } from '../../protocol/streams.ts';

export type Stored<T> = { seq: number; subject: string; atMs: number; value: T };

/** Everything that a stream holds at this moment, from `fromSeq` on. */
export async function readAll<T>(nc: NatsConnection, stream: StreamSpec['name'], fromSeq = 1): Promise<Stored<T>[]> {
  const jsm = await jetstreamManager(nc);
  const { state } = await jsm.streams.info(stream);
  const found: Stored<T>[] = [];
  if (state.messages === 0 || state.last_seq < fromSeq) return found;
  const consumer = await jetstream(nc).consumers.get(stream, {
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: fromSeq,
  });
  const messages = await consumer.consume({ max_messages: 5_000 });
  for await (const m of messages) {
    if (m.seq <= state.last_seq)
      found.push({ seq: m.seq, subject: m.subject, atMs: m.info.timestampNanos / 1e6, value: m.json<T>() });
    if (m.seq >= state.last_seq || m.info.pending === 0) break;
  }
  await messages.close();
  return found;
}

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
