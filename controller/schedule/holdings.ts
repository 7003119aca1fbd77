import { hasEnded, openAttempts, type Run } from '../../protocol/run.ts';
import { type AttemptKey, keyOf } from '../../protocol/task.ts';

/** Who holds what, folded from runs: the open attempts of each agent, and the runs whose workspace is on it. `put` after each change of one. */
export class Holdings {
  readonly #attempts = new Map<string, Map<string, AttemptKey>>();
  readonly #homes = new Map<string, Set<string>>();
  /** What was put for a run last, so that it can be taken out again. */
  readonly #of = new Map<string, { attempts: { agent: string; key: string }[]; home: string | undefined }>();

  put(run: Run): void {
    const before = this.#of.get(run.id);
    for (const { agent, key } of before?.attempts ?? []) {
      const held = this.#attempts.get(agent);
      held?.delete(key);
      if (held?.size === 0) this.#attempts.delete(agent);
    }
    if (before?.home !== undefined) this.#homes.get(before.home)?.delete(run.id);

    const attempts = openAttempts(run).map(({ step, attempt }) => {
      const key = { run: run.id, step, attempt: attempt.attempt };
      const held = this.#attempts.get(attempt.agent) ?? new Map<string, AttemptKey>();
      this.#attempts.set(attempt.agent, held.set(keyOf(key), key));
      return { agent: attempt.agent, key: keyOf(key) };
    });
    const home = hasEnded(run) ? undefined : run.home;
    if (home !== undefined) this.#homes.set(home, (this.#homes.get(home) ?? new Set()).add(run.id));
    if (attempts.length > 0 || home !== undefined) this.#of.set(run.id, { attempts, home });
    else this.#of.delete(run.id);
  }

  attempts(agent: string): AttemptKey[] {
    return [...(this.#attempts.get(agent)?.values() ?? [])];
  }

  count(agent: string): number {
    return this.#attempts.get(agent)?.size ?? 0;
  }

  /** Whether any attempt is open anywhere. */
  get any(): boolean {
    return this.#attempts.size > 0;
  }

  homeOf(agent: string): string[] {
    return [...(this.#homes.get(agent) ?? [])];
  }
}
