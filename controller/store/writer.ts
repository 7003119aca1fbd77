import { JetStreamApiError, type JetStreamClient } from '@nats-io/jetstream';
import { FarmError, messageOf } from '../../protocol/errors.ts';
import { type FarmRecord, recordSubject } from '../../protocol/record.ts';
import { natsErrors } from '../../protocol/streams.ts';

/**
 * The one writer of `RUNS`: every append is sent on condition that the whole stream stands where this writer left it, so another writer's first
 * append ends this one: the next of its appends is refused. What it had sent beyond that may still be stored, when it expects just the sequence to
 * which the other has come; `Farm.counts` is what keeps that from meaning anything.
 */
export type RunsWriter = {
  /**
   * Sends a record; it gets the sequence after that of the append before.
   * @returns resolves when it and all before it are stored; rejects with WRITE_REFUSED (another leader wrote) or WRITE_UNKNOWN, and so does everything after it
   */
  append: (record: FarmRecord) => Promise<void>;
  /** Appends sent and not yet acknowledged. */
  readonly pending: number;
  /** Monotonic time before the newest acknowledged append was sent: this writer was the only one at that moment. */
  readonly provenAtMs: number;
  /** Set once an append has failed; nothing can be appended any more. */
  readonly broken: FarmError | undefined;
};

export type WriterDeps = {
  js: JetStreamClient;
  /** Sequence of the last record in the stream, as far as this writer knows. */
  afterSeq: number;
  /** Monotonic milliseconds. */
  now: () => number;
  /** How long an append may stay unanswered, milliseconds. */
  timeoutMs: number;
  /** Told what became of each append that was sent. */
  count?: (outcome: AppendOutcome) => void;
};

export type AppendOutcome = 'stored' | 'refused' | 'unknown';

export function runsWriter(deps: WriterDeps): RunsWriter {
  let lastSent = deps.afterSeq;
  let pending = 0;
  let provenAtMs = Number.NEGATIVE_INFINITY;
  let broken: FarmError | undefined;
  let last: Promise<void> = Promise.resolve();

  function append(record: FarmRecord): Promise<void> {
    const sent = send(record, last);
    last = sent;
    return sent;
  }

  async function send(record: FarmRecord, before: Promise<void>): Promise<void> {
    if (broken) throw broken;
    const expected = lastSent;
    lastSent += 1;
    pending += 1;
    const sentAtMs = deps.now();
    try {
      const ack = await deps.js.publish(recordSubject(record), JSON.stringify(record), {
        expect: { lastSequence: expected },
        timeout: deps.timeoutMs,
      });
      if (ack.seq !== expected + 1) throw new FarmError('WRITE_UNKNOWN', { seq: expected + 1, detail: `stored as ${ack.seq}` });
      await before;
      provenAtMs = Math.max(provenAtMs, sentAtMs);
      deps.count?.('stored');
    } catch (error) {
      const failed = whatFailed(error, expected);
      deps.count?.(failed.code === 'WRITE_REFUSED' ? 'refused' : 'unknown');
      broken ??= failed;
      throw broken;
    } finally {
      pending -= 1;
    }
  }

  return {
    append,
    get pending() {
      return pending;
    },
    get provenAtMs() {
      return provenAtMs;
    },
    get broken() {
      return broken;
    },
  };
}

function whatFailed(error: unknown, expected: number): FarmError {
  if (error instanceof FarmError) return error;
  if (error instanceof JetStreamApiError && error.code === natsErrors.wrongLastSequence)
    return new FarmError('WRITE_REFUSED', { seq: expected }, { cause: error });
  return new FarmError('WRITE_UNKNOWN', { seq: expected + 1, detail: messageOf(error) }, { cause: error });
}
