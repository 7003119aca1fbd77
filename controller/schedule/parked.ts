import type { Beat, BeatAnswer } from '../../protocol/beat.ts';

export type Answer = (answer: BeatAnswer) => void;

/** Beats whose answer is held because there is nothing to say yet; one per agent at most. */
export class Parked {
  readonly #beats = new Map<string, { beat: Beat; answer: Answer; timer: NodeJS.Timeout }>();

  /** @param over called when it has been held for `holdMs` */
  hold(agent: string, beat: Beat, answer: Answer, holdMs: number, over: () => void): void {
    this.take(agent)?.answer({ v: 1, type: 'again' });
    this.#beats.set(agent, { beat, answer, timer: setTimeout(over, holdMs) });
  }

  peek(agent: string): Beat | undefined {
    return this.#beats.get(agent)?.beat;
  }

  /** Takes the held beat of an agent; the caller answers it. */
  take(agent: string): { beat: Beat; answer: Answer } | undefined {
    const held = this.#beats.get(agent);
    if (!held) return undefined;
    clearTimeout(held.timer);
    this.#beats.delete(agent);
    return held;
  }

  /** This leader has stepped down: everybody asks again. */
  clear(): void {
    for (const agent of [...this.#beats.keys()]) this.take(agent)?.answer({ v: 1, type: 'again' });
  }
}
