import { type AttemptKey, keyOf } from '../../protocol/task.ts';
import { maxTaskPublishes } from '../../protocol/times.ts';

/** `place`: where it stands in its agent's inbox, among all that were ever published. */
type Out = AttemptKey & { agent: string; publishes: number; atMs: number; place: number };

/**
 * Tasks that were given out and that their agent has not named yet, in a beat or a notice. An inbox is read in order: while an agent takes
 * what stands before a task, the task is not late. Monotonic milliseconds.
 */
export class Outbox {
  readonly #out = new Map<string, Out>();
  /** Where each agent is in its inbox, and since when. */
  readonly #taken = new Map<string, { place: number; atMs: number }>();
  readonly #unacceptedMs: number;
  #places = 0;

  constructor(unacceptedMs: number) {
    this.#unacceptedMs = unacceptedMs;
  }

  put(agent: string, key: AttemptKey, nowMs: number): void {
    this.#out.set(keyOf(key), { ...key, agent, publishes: 1, atMs: nowMs, place: this.#next() });
  }

  /** An agent has named an attempt; it means something only when the attempt was given to that agent. */
  named(agent: string, key: AttemptKey, nowMs: number): void {
    const out = this.#out.get(keyOf(key));
    if (out?.agent !== agent) return;
    this.drop(key);
    if (out.place > (this.#taken.get(agent)?.place ?? 0)) this.#taken.set(agent, { place: out.place, atMs: nowMs });
  }

  /** The attempt is over. */
  drop(key: AttemptKey): void {
    this.#out.delete(keyOf(key));
  }

  /**
   * What is due: to be published again, or, after the third time, to be given up. Silent agents are left to their lease.
   * @param beats whether the agent beats
   */
  due(
    nowMs: number,
    beats: (agent: string) => boolean,
  ): { again: (AttemptKey & { agent: string })[]; giveUp: (AttemptKey & { agent: string })[] } {
    const again: Out[] = [];
    const giveUp: Out[] = [];
    for (const out of this.#out.values()) {
      if (nowMs - this.#sinceMs(out) < this.#unacceptedMs || !beats(out.agent)) continue;
      if (out.publishes >= maxTaskPublishes) giveUp.push(out);
      else again.push(out);
      out.publishes += 1;
      out.atMs = nowMs;
      out.place = this.#next();
    }
    for (const out of giveUp) this.drop(out);
    return { again, giveUp };
  }

  /** When it was published, or when its agent took the last one that stood before it. */
  #sinceMs({ agent, atMs, place }: Out): number {
    const taken = this.#taken.get(agent);
    return taken && taken.place < place ? Math.max(atMs, taken.atMs) : atMs;
  }

  #next(): number {
    this.#places += 1;
    return this.#places;
  }
}
