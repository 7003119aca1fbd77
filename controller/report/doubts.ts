import { setTimeout as sleep } from 'node:timers/promises';
import type { NatsConnection } from '@nats-io/transport-node';

/** Core NATS, among controllers; agents cannot reach it. The body is a run's id; whoever leads answers. */
const subject = 'report.doubt';
const everyMs = 1_000;
const answerMs = 2_000;
const patienceMs = 10 * 60_000;

/**
 * How a controller that leads no more tells the one that does which commit statuses it may just have overwritten: it was paused between the proof that it
 * leads and the write, so its successor may have read the status before the write came.
 */
export type Doubts = {
  /** Says it until somebody who leads has heard it, for at most ten minutes. */
  tell: (run: string) => void;
  stop: () => void;
};

/** @param leading hears of a run when this controller leads; undefined: it does not */
export function doubts(nc: NatsConnection, leading: () => ((run: string) => void) | undefined): Doubts {
  const stopping = new AbortController();
  const telling = new Set<string>();
  const subscription = nc.subscribe(subject, {
    callback: (error, message) => {
      const hear = leading();
      if (error || !hear) return;
      const run = message.string();
      if (!/^[0-9]{1,20}$/.test(run)) return;
      hear(run);
      message.respond('');
    },
  });

  async function tell(run: string): Promise<void> {
    for (let left = patienceMs / everyMs; left > 0 && !stopping.signal.aborted; left -= 1) {
      try {
        await nc.request(subject, run, { timeout: answerMs });
        return;
      } catch {
        // Nobody leads just now, or NATS is away.
        await sleep(everyMs, undefined, { signal: stopping.signal }).catch(() => {});
      }
    }
  }

  return {
    tell: (run) => {
      if (telling.has(run)) return;
      telling.add(run);
      void tell(run).finally(() => telling.delete(run));
    },
    stop: () => {
      stopping.abort();
      subscription.unsubscribe();
    },
  };
}
