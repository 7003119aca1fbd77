import { JetStreamApiError, type JetStreamClient } from '@nats-io/jetstream';
import type { Logger } from 'pino';
import { messageOf } from '../protocol/errors.ts';
import { noticeSubject } from '../protocol/notice.ts';
import { natsErrors } from '../protocol/streams.ts';
import { type AttemptKey, keyOf } from '../protocol/task.ts';
import type { Journal, Unsent } from './journal.ts';

export type NoticesDeps = {
  js: JetStreamClient;
  agent: string;
  log: Logger;
  journal: Pick<Journal, 'get' | 'acknowledged'>;
  /** All notices of the attempt are stored. */
  settled: (key: AttemptKey) => void;
};

const retryMs = { first: 200, most: 5_000 };

/**
 * Sends the journalled notices of each attempt in order, one at a time, until each is stored. Storing is conditional on "not there yet", so
 * one that was stored without our hearing of it is recognised.
 */
export class Notices {
  readonly #deps: NoticesDeps;
  readonly #busy = new Set<string>();
  readonly #abort = new AbortController();

  constructor(deps: NoticesDeps) {
    this.#deps = deps;
  }

  /** There is something to send for this attempt. */
  push(key: AttemptKey): void {
    const name = keyOf(key);
    if (this.#busy.has(name) || this.#abort.signal.aborted) return;
    this.#busy.add(name);
    void this.#send(key).finally(() => {
      this.#busy.delete(name);
      if (this.#abort.signal.aborted) return;
      if (this.#unsent(key)) this.push(key);
      else this.#deps.settled(key);
    });
  }

  stop(): void {
    this.#abort.abort();
  }

  /** The oldest notice of an attempt that is not stored. */
  #unsent(key: AttemptKey): Unsent | undefined {
    const held = this.#deps.journal.get(key);
    const notice = held?.notices[held.acknowledged];
    return held && notice && { key, n: held.acknowledged + 1, notice };
  }

  async #send(key: AttemptKey): Promise<void> {
    let waitMs = retryMs.first;
    for (let next = this.#unsent(key); next && !this.#abort.signal.aborted; next = this.#unsent(key)) {
      if ((await this.#store(next)) && this.#noted(next)) waitMs = retryMs.first;
      else {
        await new Promise((resolve) => setTimeout(resolve, waitMs));
        waitMs = Math.min(waitMs * 2, retryMs.most);
      }
    }
  }

  /** Notes that it is stored. What cannot be noted is sent again, which changes nothing. */
  #noted({ key, n }: Unsent): boolean {
    try {
      return this.#deps.journal.acknowledged(key, n);
    } catch (error) {
      this.#deps.log.error({ err: error, ...key, n }, 'a stored notice could not be journalled as such; trying again');
      return false;
    }
  }

  async #store({ key, n, notice }: Unsent): Promise<boolean> {
    const { agent, js, log } = this.#deps;
    try {
      await js.publish(noticeSubject({ agent, ...key, n }), JSON.stringify(notice), {
        expect: { lastSubjectSequence: 0 },
        timeout: 5_000,
      });
      return true;
    } catch (error) {
      if (error instanceof JetStreamApiError && error.code === natsErrors.wrongLastSequence) return true;
      log.warn({ ...key, n, reason: messageOf(error) }, 'a notice was not stored; it is sent again');
      return false;
    }
  }
}
