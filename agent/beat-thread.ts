import { parentPort, workerData } from 'node:worker_threads';
import type { Beat } from '../protocol/beat.ts';
import { beatSubject } from '../protocol/beat.ts';
import { keepBeating } from './beat.ts';
import type { FromBeatThread, ToBeatThread } from './beats.ts';
import { connectAgent } from './connect.ts';

/*
 * The thread that beats, with a connection of its own: whatever the agent's main thread is busy with, the leader hears that the node is alive.
 */

type Start = { url: string; seed: string; agent: string; timeoutMs: number; beat: Beat };

async function main(): Promise<void> {
  const port = parentPort;
  if (!port) return;
  const { url, seed, agent, timeoutMs, beat: first } = workerData as Start;
  let beat = first;
  let wake = () => {};
  const stop = new AbortController();
  port.on('message', (message: ToBeatThread) => {
    if (message.type === 'stop') stop.abort();
    else beat = message.beat;
    wake();
  });
  const nc = await connectAgent({ url, seed, agent, name: `${agent} (beat)` }, stop.signal);
  await keepBeating(
    {
      say: () => beat,
      heed: (orders) => port.postMessage({ type: 'orders', orders } satisfies FromBeatThread),
      ask: async (b) => {
        try {
          return (await nc.request(beatSubject(agent), JSON.stringify(b), { timeout: timeoutMs })).json();
        } catch {
          return 'no-answer';
        }
      },
      sleep: (ms, signal) =>
        new Promise((resolve) => {
          if (signal.aborted) return resolve();
          const timer = setTimeout(resolve, ms);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        }),
    },
    stop.signal,
  );
  await nc.close();
  port.close();
}

await main();
