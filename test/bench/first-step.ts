import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, watch } from 'node:fs/promises';
import { join } from 'node:path';
import { ProcessFarm } from '../support/processes.ts';
import { type Figure, quantile } from './figures.ts';

/** The agent pauses for so long between two beats, so runs that follow each other at once would measure that. */
const pauseMs = 20;

/** From a delivery on its way to a controller to the first thing that its step does, one run at a time. */
export async function firstStep(runs: number): Promise<Figure[]> {
  await using farm = await ProcessFarm.start({ jobs: {} });
  const marks = join(farm.dir, 'marks');
  await mkdir(marks);
  // The step's user is not this one.
  await chmod(farm.dir, 0o711);
  await chmod(marks, 0o777);
  const script = `: > ${marks}/$THRESH_RUN`;
  await farm.putJobs({ 'jobs.yaml': `manual:\n- name: mark\n  steps:\n  - {name: only, script: '${script}'}\n` });
  await farm.startController('c1');
  await farm.leader();
  await farm.startAgent({ name: 'a1', executor: 'process' });
  const seen = marksIn(marks);
  const [real, floor]: number[][] = [[], []];
  const once2 = async (note: number[] | undefined, begin: () => Promise<unknown>) => {
    const beganMs = performance.now();
    const marked = seen.next();
    const done = begin();
    note?.push((await marked).atMs - beganMs);
    await done;
  };
  const run = async () => void (await farm.ended(await farm.run('mark'), 60_000));
  const bare = async (i: number) => void (await once(spawn('sh', ['-c', `: > ${marks}/bare-${i}`]), 'exit'));
  for (let i = 0; i < 10; i += 1) await once2(undefined, run);
  for (let i = 0; i < runs; i += 1) {
    await once2(real, run);
    await once2(floor, () => bare(i));
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
  seen.stop();
  const [a = [], b = []] = [real, floor].map((list) => (list ?? []).sort((x, y) => x - y));
  const floorIs = 'sh, started from Node';
  return [0.5, 0.99].map((q) => ({
    ...{ what: `delivery to step process, p${q * 100}`, unit: 'ms', floorIs },
    ...{ farm: quantile(a, q), floor: quantile(b, q) },
  }));
}

/** Tells when the next file is made in a directory. */
function marksIn(dir: string): { next: () => Promise<{ atMs: number }>; stop: () => void } {
  const abort = new AbortController();
  let waiting: ((mark: { atMs: number }) => void) | undefined;
  void (async () => {
    for await (const { eventType } of watch(dir, { signal: abort.signal })) {
      if (eventType !== 'rename') continue;
      waiting?.({ atMs: performance.now() });
      waiting = undefined;
    }
  })().catch(() => {});
  return {
    next: () =>
      new Promise((resolve) => {
        waiting = resolve;
      }),
    stop: () => abort.abort(),
  };
}
