/** A bound on how many things are under way; who finds no place waits for one, in order. */
export type Window = {
  /** @returns whether a place was got within `waitMs`; if so, `give` must follow */
  take: (waitMs: number) => Promise<boolean>;
  give: () => void;
};

/** @param places how many may be under way at a time */
export function window(places: number): Window {
  let free = places;
  const waiting = new Set<() => void>();
  return {
    take: (waitMs) => {
      if (free > 0) {
        free -= 1;
        return Promise.resolve(true);
      }
      return new Promise((resolve) => {
        const end = (got: boolean) => {
          clearTimeout(timer);
          waiting.delete(serve);
          resolve(got);
        };
        const serve = () => end(true);
        const timer = setTimeout(end, Math.max(0, waitMs), false);
        waiting.add(serve);
      });
    },
    give: () => {
      const [next] = waiting;
      if (next) next();
      else free += 1;
    },
  };
}
