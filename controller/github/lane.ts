import { FarmError } from '../../protocol/errors.ts';
import type { Failure } from './failure.ts';
import { type Limits, Pace } from './pace.ts';

export type GitHubLog = Record<'debug' | 'info' | 'warn' | 'error', (facts: object, message: string) => void>;

export type LaneDeps = {
  /** Whose credential it is, for the log. */
  name: string;
  limits: Limits;
  /** Monotonic milliseconds. */
  now: () => number;
  log: GitHubLog;
};

type Ticket = { go: () => Promise<void>; drop: () => void };

/** After a request that got no answer: so long, then twice as long, and so on. */
const awayMs = { first: 500, most: 60_000 };
/** GitHub: "wait for at least one minute", then exponentially longer, when it does not say how long. */
const limitedMs = { first: 60_000, most: 15 * 60_000 };
/** A read waits at most so long for its turn before it fails. */
const readPatienceMs = 10_000;
const readsAtOnce = 4;

/**
 * Everything sent with one credential: writes one after the other, at GitHub's pace, urgent ones first; nothing at all while GitHub is away or
 * has said that it is too much.
 */
export class Lane {
  readonly #deps: LaneDeps;
  readonly #pace: Pace;
  readonly #urgent = new Set<Ticket>();
  readonly #patient = new Set<Ticket>();
  readonly #reading = new Set<Promise<void>>();
  readonly #abort = new AbortController();
  #pausedUntilMs = Number.NEGATIVE_INFINITY;
  #why = '';
  #failures = 0;
  #running = false;
  #wake: () => void = () => {};

  constructor(deps: LaneDeps) {
    this.#deps = deps;
    this.#pace = new Pace(deps.limits);
  }

  /** @throws FarmError GITHUB_AWAY when its turn would be too far away */
  async read<T>(work: () => Promise<T>): Promise<T> {
    const waitMs = Math.max(this.#pausedUntilMs - this.#deps.now(), this.#pace.readInMs(this.#deps.now()));
    if (waitMs > readPatienceMs || this.#abort.signal.aborted)
      throw new FarmError('GITHUB_AWAY', {
        detail: this.#why || 'too many requests',
        afterS: Math.ceil(Math.max(0, waitMs) / 1_000),
      });
    if (waitMs > 0) await sleep(waitMs, this.#abort.signal);
    while (this.#reading.size >= readsAtOnce) await Promise.race(this.#reading);
    this.#pace.sent('read', this.#deps.now());
    const done = work();
    const ended = done.then(
      () => {},
      () => {},
    );
    this.#reading.add(ended);
    void ended.then(() => this.#reading.delete(ended));
    return done;
  }

  /**
   * Waits for a turn.
   * @param work resolves to undefined when nothing was sent, so that the turn goes on to the next
   * @returns undefined as well when `signal` aborts before the turn has come
   */
  write<T>(
    work: () => Promise<T | undefined>,
    { urgent, signal }: { urgent: boolean; signal: AbortSignal },
  ): Promise<T | undefined> {
    if (signal.aborted || this.#abort.signal.aborted) return Promise.resolve(undefined);
    return new Promise((resolve, reject) => {
      const queue = urgent ? this.#urgent : this.#patient;
      const ticket: Ticket = {
        go: async () => {
          signal.removeEventListener('abort', ticket.drop);
          try {
            const done = await work();
            if (done !== undefined) this.#pace.sent('write', this.#deps.now());
            resolve(done);
          } catch (error) {
            this.#pace.sent('write', this.#deps.now());
            reject(error);
          }
        },
        drop: () => {
          queue.delete(ticket);
          resolve(undefined);
        },
      };
      signal.addEventListener('abort', ticket.drop, { once: true });
      queue.add(ticket);
      this.#wake();
      if (!this.#running) void this.#run();
    });
  }

  /** An answer came, whatever it says. */
  answered(): void {
    if (this.#failures > 0) this.#deps.log.info({ credential: this.#deps.name }, 'GitHub answers again');
    this.#failures = 0;
    this.#why = '';
  }

  /** @returns how long nothing is sent, milliseconds */
  failed(failure: Exclude<Failure, { kind: 'refused' }>): number {
    const { first, most } = failure.kind === 'limited' ? limitedMs : awayMs;
    const waitMs = (failure.kind === 'limited' ? failure.waitMs : undefined) ?? Math.min(most, first * 2 ** this.#failures);
    this.#failures += 1;
    this.#why = failure.detail;
    this.#pausedUntilMs = Math.max(this.#pausedUntilMs, this.#deps.now() + waitMs);
    const facts = { credential: this.#deps.name, reason: failure.detail, waitMs };
    if (failure.kind === 'limited') this.#deps.log.warn(facts, 'GitHub says that it is too much; nothing is sent for a while');
    else if (this.#failures === 1) this.#deps.log.warn(facts, 'GitHub cannot be reached; trying again until it can');
    return waitMs;
  }

  /** Nothing is sent any more; who waits is let go. */
  stop(): void {
    this.#abort.abort();
    for (const ticket of [...this.#urgent, ...this.#patient]) ticket.drop();
    this.#wake();
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#urgent.size + this.#patient.size > 0) {
      const nowMs = this.#deps.now();
      const waitMs = Math.max(this.#pausedUntilMs - nowMs, this.#pace.writeInMs(nowMs, this.#urgent.size > 0));
      if (waitMs > 0) await this.#sleep(waitMs);
      else await this.#next()?.go();
    }
    this.#running = false;
  }

  #next(): Ticket | undefined {
    for (const queue of [this.#urgent, this.#patient])
      for (const ticket of queue) {
        queue.delete(ticket);
        return ticket;
      }
    return undefined;
  }

  /** Until then, or until another ticket has come that may not have to wait so long. */
  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#wake = () => {};
        resolve();
      };
      const timer = setTimeout(done, Math.min(Math.ceil(ms), longestTimerMs));
      this.#wake = done;
    });
  }
}

/** Timers cannot be longer than 2^31 ms; an hour is enough, for what is waited for is looked at again. */
const longestTimerMs = 3_600_000;

const sleep = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
