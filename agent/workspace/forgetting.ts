/** Most workspaces that are removed in one go. */
const atOnce = 100;

export type ForgettingDeps = {
  /** Removes them. */
  forget: (names: string[]) => Promise<void>;
  /** Whether something may still write there; then it is passed over, and the leader says it again. */
  isUsed: (name: string) => boolean;
  failed: (names: string[], error: unknown) => void;
  /** Some are gone. */
  changed: () => Promise<void>;
};

/**
 * Removes workspaces as the leader orders it: many in one go and one go at a time, since each costs a process; named again meanwhile,
 * as the leader does until a beat shows that they are gone, is named once.
 */
export class Forgetting {
  readonly #deps: ForgettingDeps;
  readonly #waiting = new Set<string>();
  #busy = false;

  constructor(deps: ForgettingDeps) {
    this.#deps = deps;
  }

  put(names: readonly string[]): void {
    for (const name of names) this.#waiting.add(name);
    if (this.#busy || this.#waiting.size === 0) return;
    this.#busy = true;
    void this.#work().finally(() => {
      this.#busy = false;
    });
  }

  async #work(): Promise<void> {
    const { forget, isUsed, failed, changed } = this.#deps;
    while (this.#waiting.size > 0) {
      const batch = [...this.#waiting].slice(0, atOnce);
      const unused = batch.filter((name) => !isUsed(name));
      if (unused.length > 0) {
        await forget(unused).catch((error: unknown) => failed(unused, error));
        await changed();
      }
      for (const name of batch) this.#waiting.delete(name);
    }
  }
}
