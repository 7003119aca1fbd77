import { jetstream } from '@nats-io/jetstream';
import { startTestNats } from '../support/nats.ts';
import { ProcessFarm } from '../support/processes.ts';
import type { Figure } from './figures.ts';

/** One step prints `mb` million bytes; they count when they are stored. */
export async function oneLog(mb: number): Promise<Figure[]> {
  const floorIs = '64 KiB publishes, acknowledged one by one';
  return [{ what: `one log of ${mb} MB`, unit: 'MB/s', farm: await farmLog(mb), floor: await bareLog(mb), floorIs }];
}

async function farmLog(mb: number): Promise<number> {
  const script = `print-bytes ${mb * 1_000_000}`;
  await using farm = await ProcessFarm.start({
    jobs: { 'jobs.yaml': `manual:\n- name: loud\n  steps:\n  - {name: only, script: "${script}"}\n` },
  });
  await farm.startController('c1');
  await farm.leader();
  await farm.startAgent({ name: 'a1' });
  const beganMs = performance.now();
  const id = await farm.run('loud');
  // Asking for bytes while they are being stored would be measured too.
  await farm.ended(id, 300_000);
  const last = `${farm.url}/api/runs/${id}/steps/only/log?offset=${mb * 1_000_000 - 1}`;
  await farm.until(
    'its last byte is stored',
    async () => {
      const answer = await fetch(last, { headers: { authorization: `Bearer ${farm.adminToken}` } });
      return (await answer.arrayBuffer()).byteLength === 1 && answer.ok;
    },
    300_000,
  );
  return (mb * 1_000) / (performance.now() - beganMs);
}

async function bareLog(mb: number): Promise<number> {
  await using nats = await startTestNats();
  const js = jetstream(await nats.connect());
  const bytes = Buffer.alloc(64 * 1024, 'x');
  const count = Math.ceil((mb * 1_000_000) / bytes.length);
  const beganMs = performance.now();
  for (let i = 0; i < count; i += 1) await js.publish('log.1.only.1', bytes);
  return (count * bytes.length) / 1_000 / (performance.now() - beganMs);
}
