/** Something may have happened: whoever waits looks again. A ring while nobody waits is kept. */
export type Bell = {
  ring: () => void;
  /** @returns whether it rang before `ms` were over or `signal` aborted */
  wait: (ms: number, signal: AbortSignal | undefined) => Promise<boolean>;
};

export function bell(): Bell {
  let rang = false;
  let wake: (() => void) | undefined;
  return {
    ring: () => {
      rang = true;
      wake?.();
    },
    wait: async (ms, signal) => {
      if (!rang && !signal?.aborted)
        await new Promise<void>((resolve) => {
          const end = () => {
            clearTimeout(timer);
            signal?.removeEventListener('abort', end);
            wake = undefined;
            resolve();
          };
          const timer = setTimeout(end, ms);
          signal?.addEventListener('abort', end);
          wake = end;
        });
      const heard = rang;
      rang = false;
      return heard;
    },
  };
}
