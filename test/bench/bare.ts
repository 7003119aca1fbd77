import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { startTestNats } from '../support/nats.ts';

export type BareStart = { role: 'leader' | 'agent'; url: string; seed: string; runs: number };

/**
 * What the farm's conversation costs on JetStream alone: a delivery, its verdict, `assigned`, the task, two notices and what becomes of
 * each, with the farm's conditions, by a leader and an agent in threads of their own.
 * @returns runs a second
 */
export async function bareRuns(runs: number): Promise<number> {
  await using nats = await startTestNats();
  const begin = async (role: BareStart['role']) => {
    const workerData: BareStart = { role, url: nats.url, seed: nats.controllerSeed, runs };
    const worker = new Worker(new URL('./bare-worker.ts', import.meta.url), { workerData });
    await once(worker, 'message');
    return worker;
  };
  const [leader, agent] = await Promise.all([begin('leader'), begin('agent')]);
  const nc = await nats.connect('client');
  const { jetstream } = await import('@nats-io/jetstream');
  const js = jetstream(nc);
  const done = once(leader, 'message');
  const beganMs = performance.now();
  let next = 0;
  await Promise.all(
    Array.from({ length: 64 }, async () => {
      while (next < runs) {
        next += 1;
        const delivery = {
          v: 1,
          source: 'person',
          id: `d${next}`,
          atMs: Date.now(),
          by: 'admin',
          event: 'run',
          request: { kind: 'run', job: 'nothing' },
        };
        await js.publish(`delivery.person.d${next}`, JSON.stringify(delivery), { expect: { lastSubjectSequence: 0 } });
      }
    }),
  );
  await done;
  const rate = (runs * 1_000) / (performance.now() - beganMs);
  for (const worker of [leader, agent]) worker.postMessage('stop');
  await Promise.all([leader, agent].map((w) => once(w, 'exit')));
  return rate;
}
