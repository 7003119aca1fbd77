import type { Log } from '../store/log.ts';

/** Whether a run's log and document are where they are kept now; 'not yet': output is still on its way. */
export type Archived = 'archived' | 'not yet';

/** Ended runs on their way to object storage: a few at once, those that are not complete again later. */
export class Archiving {
  readonly #ids = new Set<string>();
  readonly #queue: string[] = [];
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #work: (id: string, signal: AbortSignal) => Promise<Archived>;
  readonly #abort = new AbortController();
  readonly #log: Log;
  #busy = 0;

  constructor(work: (id: string, signal: AbortSignal) => Promise<Archived>, log: Log) {
    this.#work = work;
    this.#log = log;
  }

  put(id: string): void {
    if (this.#ids.has(id) || this.#abort.signal.aborted) return;
    this.#ids.add(id);
    this.#queue.push(id);
    this.#next();
  }

  stop(): void {
    this.#abort.abort();
    for (const timer of this.#timers.values()) clearTimeout(timer);
  }

  /** What it waited for has come: it is tried now, not later. */
  wake(id: string): void {
    const timer = this.#timers.get(id);
    if (timer === undefined || this.#abort.signal.aborted) return;
    clearTimeout(timer);
    this.#timers.delete(id);
    void this.#try(id, firstWaitMs);
  }

  #next(): void {
    while (this.#busy < atOnce && !this.#abort.signal.aborted) {
      const id = this.#queue.shift();
      if (id === undefined) return;
      this.#busy += 1;
      void this.#try(id, firstWaitMs).finally(() => {
        this.#busy -= 1;
        this.#next();
      });
    }
  }

  async #try(id: string, waitMs: number): Promise<void> {
    let result: Archived = 'not yet';
    try {
      result = await this.#work(id, this.#abort.signal);
    } catch (error) {
      if (!this.#abort.signal.aborted) this.#log.warn({ err: error, run: id }, 'archiving failed; trying again');
    }
    if (this.#abort.signal.aborted) return;
    if (result === 'archived') this.#ids.delete(id);
    else this.#later(id, waitMs);
  }

  #later(id: string, waitMs: number): void {
    const timer = setTimeout(() => {
      this.#timers.delete(id);
      void this.#try(id, Math.min(waitMs * 2, longestWaitMs));
    }, waitMs);
    this.#timers.set(id, timer);
  }
}

const atOnce = 8;
const firstWaitMs = 250;
const longestWaitMs = 10_000;
