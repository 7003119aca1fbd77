import { Agent, request } from 'node:http';
import { ProcessFarm } from '../support/processes.ts';
import { bareRuns } from './bare.ts';
import type { Figure } from './figures.ts';

/** Runs of one step that does nothing, asked for over HTTP by `clients` at a time; a run counts when it has ended. */
export async function noOpRuns(runs: number, clients = 64): Promise<Figure[]> {
  const farm = await farmRuns(runs, clients);
  const floor = await bareRuns(runs);
  return [
    {
      what: `no-op runs, ${runs} of them`,
      unit: 'runs/s',
      farm,
      floor,
      floorIs: 'the same messages on JetStream: no HTTP, no files',
    },
  ];
}

export async function farmRuns(runs: number, clients: number): Promise<number> {
  await using farm = await ProcessFarm.start({
    jobs: { 'jobs.yaml': 'manual:\n- name: nothing\n  steps:\n  - {name: only, script: ""}\n' },
  });
  await farm.startController('c1');
  await farm.leader();
  await farm.startAgent({ name: 'a1', slots: 64 });
  const post = poster(farm.url, farm.adminToken, clients);
  const round = async (count: number): Promise<number> => {
    const beganMs = performance.now();
    let left = count;
    await Promise.all(
      Array.from({ length: clients }, async () => {
        while (left > 0) {
          left -= 1;
          await post();
        }
      }),
    );
    await farm.until('all runs have ended', async () => (await farm.openRuns()) === 0, 120_000);
    return (count * 1_000) / (performance.now() - beganMs);
  };
  await round(Math.ceil(runs / 5));
  return await round(runs);
}

/** Asks for a run over connections that stay open. */
function poster(url: string, token: string, clients: number): () => Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: clients });
  const { hostname, port } = new URL(url);
  const body = JSON.stringify({ job: 'nothing' });
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'content-length': body.length };
  return () =>
    new Promise((resolve, reject) => {
      const ask = request({ agent, hostname, port, method: 'POST', path: '/api/runs', headers }, (response) => {
        response.resume();
        response.once('end', () =>
          response.statusCode === 201 ? resolve() : reject(new Error(`answer ${response.statusCode}`)),
        );
      });
      ask.once('error', reject);
      ask.end(body);
    });
}
