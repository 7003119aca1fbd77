import { hasEnded, type Run } from '../../protocol/run.ts';
import type { DemoFarm } from './farm.ts';

const marks: Record<string, string> = {
  running: '\u001b[36m…\u001b[0m',
  passed: '\u001b[32m✔\u001b[0m',
  failed: '\u001b[31m✖\u001b[0m',
  errored: '\u001b[31m!\u001b[0m',
  skipped: '\u001b[2m-\u001b[0m',
  cancelled: '\u001b[33m■\u001b[0m',
};

/** Tells each change of a step until all runs have ended. @returns the runs as they ended */
export async function watchRuns(farm: DemoFarm, deliveries: string[], say: (line: string) => void): Promise<Run[]> {
  return Promise.all(
    deliveries.map(async (delivery) => {
      const id = await farm.runOf(delivery);
      const told = new Map<string, string>();
      for (;;) {
        const run = await farm.run(id);
        for (const { name, state, why, attempts } of run.at) {
          if (told.get(name) === state || !(state in marks)) continue;
          told.set(name, state);
          const last = attempts.at(-1);
          const took =
            last?.startedAtMs && last.endedAtMs ? ` in ${((last.endedAtMs - last.startedAtMs) / 1000).toFixed(1)} s` : '';
          const where = state === 'running' && last ? ` on ${last.agent}` : '';
          say(`${marks[state]} ${run.job}  ${name}  ${state}${where}${took}${why ? `: ${why}` : ''}`);
        }
        if (hasEnded(run)) return run;
        await new Promise((resolve) => setTimeout(resolve, 300));
      }
    }),
  );
}
