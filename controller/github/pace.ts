/** What GitHub publishes as the bounds of one credential; 0: no bound. */
export type Limits = {
  /** Between two writes, milliseconds. */
  gapMs: number;
  writesPerMinute: number;
  writesPerHour: number;
  /** A read costs one point, a write five. */
  pointsPerMinute: number;
};

/**
 * GitHub's own numbers. A GitHub Enterprise Server may have others, or none.
 * @see https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api (secondary rate limits: 80 and 500
 * content-generating requests, 900 points) and .../best-practices-for-using-the-rest-api (one second between writes)
 */
export const publishedLimits: Limits = { gapMs: 1_000, writesPerMinute: 80, writesPerHour: 500, pointsPerMinute: 900 };

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const points = { read: 1, write: 5 };
/** The part of an hour's writes that is kept for urgent ones. */
const reserve = 0.25;

/** When the next request may be sent, by what was sent before. Times are monotonic milliseconds. */
export class Pace {
  readonly #limits: Limits;
  /** Of the last hour, oldest first. */
  readonly #writes: number[] = [];
  /** Of the last minute, oldest first. */
  readonly #spent: { atMs: number; points: number }[] = [];

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /**
   * How long a write must still wait. Of an hour's writes the last quarter is for urgent ones: when there is more to say than
   * GitHub allows, ends are told and the way to them is not.
   */
  writeInMs(nowMs: number, urgent: boolean): number {
    this.#forget(nowMs);
    const { gapMs, writesPerMinute, writesPerHour } = this.#limits;
    const perHour = urgent ? writesPerHour : Math.ceil(writesPerHour * (1 - reserve));
    const atMs = Math.max(
      this.#pointsAtMs(points.write),
      (this.#writes.at(-1) ?? Number.NEGATIVE_INFINITY) + gapMs,
      freeAtMs(this.#writes, writesPerMinute, minuteMs),
      freeAtMs(this.#writes, perHour, hourMs),
    );
    return Math.max(0, atMs - nowMs);
  }

  readInMs(nowMs: number): number {
    this.#forget(nowMs);
    return Math.max(0, this.#pointsAtMs(points.read) - nowMs);
  }

  sent(kind: 'read' | 'write', nowMs: number): void {
    if (kind === 'write') this.#writes.push(nowMs);
    this.#spent.push({ atMs: nowMs, points: points[kind] });
  }

  #forget(nowMs: number): void {
    while ((this.#writes[0] ?? nowMs) <= nowMs - hourMs) this.#writes.shift();
    while ((this.#spent[0]?.atMs ?? nowMs) <= nowMs - minuteMs) this.#spent.shift();
  }

  /** When so many points are free. */
  #pointsAtMs(wanted: number): number {
    const { pointsPerMinute } = this.#limits;
    if (pointsPerMinute === 0) return Number.NEGATIVE_INFINITY;
    let over = this.#spent.reduce((sum, s) => sum + s.points, wanted) - pointsPerMinute;
    for (const s of this.#spent) {
      if (over <= 0) break;
      over -= s.points;
      if (over <= 0) return s.atMs + minuteMs;
    }
    return Number.NEGATIVE_INFINITY;
  }
}

/** When one more of at most `most` in `windowMs` is possible. */
function freeAtMs(times: readonly number[], most: number, windowMs: number): number {
  if (most === 0) return Number.NEGATIVE_INFINITY;
  const blocking = times[times.length - most];
  return blocking === undefined ? Number.NEGATIVE_INFINITY : blocking + windowMs;
}
