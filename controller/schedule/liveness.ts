import type { Beat } from '../../protocol/beat.ts';
import type { Times } from '../../protocol/times.ts';

/** What the leader knows of an agent that beats. */
export type Heard = {
  /** Monotonic. */
  atMs: number;
  slots: number;
  draining: boolean;
  /** It is leaving and holds nothing. */
  mayGo: boolean;
  /** Attempts that it holds and that are not its own any more: they still fill slots. */
  zombies: number;
};

/**
 * Who was heard when. Silence counts from the latest of: the last beat, the take-over plus a grace, the end of this leader's own last pause;
 * so a leader never blames agents for a time in which it could not hear them. Monotonic milliseconds throughout.
 */
export class Liveness {
  readonly #heard = new Map<string, Heard>();
  readonly #times: Pick<Times, 'silentMs' | 'leaseMs' | 'takeoverMs'>;
  #baseMs: number;
  #lastTickMs: number;

  constructor(times: Pick<Times, 'silentMs' | 'leaseMs' | 'takeoverMs'>, nowMs: number) {
    this.#times = times;
    this.#baseMs = nowMs + times.takeoverMs;
    this.#lastTickMs = nowMs;
  }

  beat(agent: string, beat: Beat, zombies: number, mayGo: boolean, nowMs: number): void {
    this.#heard.set(agent, { atMs: nowMs, slots: beat.slots.total, draining: beat.draining, mayGo, zombies });
  }

  get(agent: string): Heard | undefined {
    return this.#heard.get(agent);
  }

  /** Call often: a gap of over a second between two calls is a pause of this process. */
  tick(nowMs: number): void {
    if (nowMs - this.#lastTickMs > 1_000) this.#baseMs = Math.max(this.#baseMs, nowMs);
    this.#lastTickMs = nowMs;
  }

  /** Heard within `silentMs`. An agent that was never heard by this leader is silent: nothing can be given to it. */
  isLive(agent: string, nowMs: number): boolean {
    const heard = this.#heard.get(agent);
    return heard !== undefined && nowMs - heard.atMs <= this.#times.silentMs;
  }

  /** Not heard for `silentMs`, by this leader's fair count. */
  isSilent(agent: string, nowMs: number): boolean {
    return this.#silenceMs(agent, nowMs) > this.#times.silentMs;
  }

  /** Not heard for `leaseMs`: what it holds is lost. */
  isLost(agent: string, nowMs: number): boolean {
    return this.#silenceMs(agent, nowMs) > this.#times.leaseMs;
  }

  #silenceMs(agent: string, nowMs: number): number {
    return nowMs - Math.max(this.#heard.get(agent)?.atMs ?? Number.NEGATIVE_INFINITY, this.#baseMs);
  }
}
