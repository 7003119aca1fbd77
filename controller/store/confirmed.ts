import {
  type ConsumerMessages,
  DeliverPolicy,
  type JetStreamClient,
  type JetStreamManager,
  type JsMsg,
} from '@nats-io/jetstream';
import { Farm } from '../../protocol/farm.ts';
import type { FarmRecord, Verdict } from '../../protocol/record.ts';
import type { Run } from '../../protocol/run.ts';
import type { Log } from './log.ts';

/** A record as it was folded, and the runs that it changed, as they are now. */
export type Folded = { record: FarmRecord; seq: number; changedRuns: Run[] };

/** The state that a controller shows: folded from `RUNS` in stored order, never ahead of what is stored. */
export type Confirmed = {
  readonly farm: Farm;
  /** Called after each fold. @returns stops it */
  listen: (hear: (folded: Folded) => void) => () => void;
  /** Resolves when the record with this sequence, or a later one, is folded. */
  until: (seq: number, signal?: AbortSignal) => Promise<void>;
  /** Resolves when all that the stream holds now is folded; returns its last sequence. */
  toEnd: (signal?: AbortSignal) => Promise<number>;
  /** The verdict of a delivery, once it is folded; undefined when `signal` aborts before. */
  awaitVerdict: (source: string, id: string, signal: AbortSignal) => Promise<Verdict | undefined>;
  stop: () => Promise<void>;
};

export type ConfirmedDeps = { js: JetStreamClient; jsm: JetStreamManager; log: Log };

/** Follows `RUNS` from its first record on; reconnects by itself, and starts the fold again when records that it lacks were purged. */
export async function follow({ js, jsm, log }: ConfirmedDeps): Promise<Confirmed> {
  let farm = new Farm();
  /** What is being folded: `farm`, or its successor while records that `farm` lacks were purged. */
  let folding = farm;
  let swapAtSeq = 0;
  let messages: ConsumerMessages | undefined;
  let stopped = false;
  const listeners = new Set<(folded: Folded) => void>();

  const hear = (m: JsMsg) => {
    if (m.seq <= folding.seq) return;
    const stored = m.json<FarmRecord>();
    const { v, term, atMs } = stored;
    // What does not count is told as something that says nothing: those who wait for its sequence must hear of it.
    const record: FarmRecord = folding.counts(stored) ? stored : { v, term, atMs, type: 'alive' };
    const changedRuns = folding.fold(stored, m.seq).flatMap((id) => folding.runs.get(id) ?? []);
    if (folding !== farm && folding.seq >= swapAtSeq) farm = folding;
    for (const listener of listeners) listener({ record, seq: m.seq, changedRuns });
  };

  /** Whether records were purged that come next here; what they ended would be open for ever in this fold. */
  const lacksPurged = async () => (await jsm.streams.info('RUNS')).state.first_seq > folding.seq + 1;

  const reading = (async () => {
    while (!stopped) {
      try {
        const { state } = await jsm.streams.info('RUNS');
        if (folding.seq > 0 && folding.seq + 1 < state.first_seq) {
          folding = new Farm();
          swapAtSeq = state.last_seq;
        }
        if (state.messages === 0) farm.seq = Math.max(farm.seq, state.last_seq);
        const consumer = await js.consumers.get('RUNS', {
          deliver_policy: DeliverPolicy.StartSequence,
          opt_start_seq: folding.seq + 1,
        });
        messages = await consumer.consume({ max_messages: 5_000 });
        if (stopped) break;
        for await (const m of messages) {
          if (folding.seq > 0 && m.seq > folding.seq + 1 && (await lacksPurged())) break;
          hear(m);
        }
      } catch (error) {
        if (!stopped) log.warn({ err: error }, 'reading RUNS failed; trying again');
      } finally {
        await messages?.close();
      }
      if (!stopped) await new Promise((resolve) => setTimeout(resolve, 250));
    }
  })();

  const when = (done: () => boolean, signal?: AbortSignal) =>
    new Promise<void>((resolve, reject) => {
      if (done()) return resolve();
      const end = () => {
        listeners.delete(check);
        signal?.removeEventListener('abort', abort);
      };
      const check = () => {
        if (!done()) return;
        end();
        resolve();
      };
      const abort = () => {
        end();
        reject(signal?.reason);
      };
      if (signal?.aborted) return abort();
      listeners.add(check);
      signal?.addEventListener('abort', abort);
    });

  return {
    get farm() {
      return farm;
    },
    listen: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    until: (seq, signal) => when(() => farm.seq >= seq, signal),
    toEnd: async (signal) => {
      const { state } = await jsm.streams.info('RUNS');
      if (state.messages > 0) await when(() => farm.seq >= state.last_seq, signal);
      else farm.seq = Math.max(farm.seq, state.last_seq);
      return state.last_seq;
    },
    awaitVerdict: (source, id, signal) =>
      new Promise((resolve) => {
        const end = (verdict: Verdict | undefined) => {
          listeners.delete(look);
          signal.removeEventListener('abort', abort);
          resolve(verdict);
        };
        const look = ({ record }: Folded) => {
          if (record.type === 'verdict' && record.source === source && record.id === id) end(record.verdict);
        };
        const abort = () => end(undefined);
        if (signal.aborted) return resolve(undefined);
        listeners.add(look);
        signal.addEventListener('abort', abort);
      }),
    stop: async () => {
      stopped = true;
      await messages?.close();
      await reading;
    },
  };
}
