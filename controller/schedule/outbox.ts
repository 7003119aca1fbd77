import { type AttemptKey, keyOf } from '../../protocol/task.ts';
import { maxTaskPublishes } from '../../protocol/times.ts';

type Out = AttemptKey & { agent: string; publishes: number; atMs: number };

/** Tasks that were given out and that no beat or notice has named yet. Monotonic milliseconds. */
export class Outbox {
  readonly #out = new Map<string, Out>();
  readonly #unacceptedMs: number;

  constructor(unacceptedMs: number) {
    this.#unacceptedMs = unacceptedMs;
  }

  put(agent: string, key: AttemptKey, nowMs: number): void {
    this.#out.set(keyOf(key), { ...key, agent, publishes: 1, atMs: nowMs });
  }

  /** Its agent has named it, or it is over. */
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
      if (nowMs - out.atMs < this.#unacceptedMs || !beats(out.agent)) continue;
      if (out.publishes >= maxTaskPublishes) giveUp.push(out);
      else again.push(out);
      out.publishes += 1;
      out.atMs = nowMs;
    }
    for (const out of giveUp) this.drop(out);
    return { again, giveUp };
  }
}
