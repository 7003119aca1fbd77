/** Token buckets, one per key: each holds `size` points and gains `perSecond`. Keys beyond `maxKeys` push out those used longest ago. */
export type Buckets = {
  /** Takes a point. @returns 0, or after how many whole seconds there is one */
  take: (key: string) => number;
};

/** @param now monotonic milliseconds */
export function buckets(o: { size: number; perSecond: number; maxKeys: number; now: () => number }): Buckets {
  const kept = new Map<string, { points: number; atMs: number }>();
  return {
    take: (key) => {
      const atMs = o.now();
      const before = kept.get(key);
      const points = before ? Math.min(o.size, before.points + ((atMs - before.atMs) / 1_000) * o.perSecond) : o.size;
      kept.delete(key);
      kept.set(key, { points: points >= 1 ? points - 1 : points, atMs });
      const [oldest] = kept.keys();
      if (kept.size > o.maxKeys && oldest !== undefined) kept.delete(oldest);
      return points >= 1 ? 0 : Math.ceil((1 - points) / o.perSecond);
    },
  };
}
