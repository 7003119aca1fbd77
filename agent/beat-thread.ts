import { openSync, writeSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { parentPort, workerData } from 'node:worker_threads';
import type { Beat } from '../protocol/beat.ts';
import { beatSubject } from '../protocol/beat.ts';
import { keepBeating } from './beat.ts';
import type { FromBeatThread, ToBeatThread } from './beats.ts';
import { connectAgent } from './connect.ts';

/*
 * The thread that beats, with a connection of its own: whatever the agent's main thread is busy with, the leader hears that the node is alive.
 */

type Start = { url: string; seed: string; agent: string; timeoutMs: number; beat: Beat; heardFile?: string | undefined };

async function main(): Promise<void> {
  const port = parentPort;
  if (!port) return;
  const { url, seed, agent, timeoutMs, beat: first, heardFile } = workerData as Start;
  const keepHeard = heardFile === undefined ? () => {} : heardKeeper(heardFile);
  let beat = first;
  /** How many updates there were up to each beat that was said. */
  const numbers = new WeakMap<Beat, number>();
  let news = Promise.withResolvers<void>();
  const stop = new AbortController();
  port.on('message', (message: ToBeatThread) => {
    if (message.type === 'stop') return stop.abort();
    const before = beat;
    beat = message.beat;
    numbers.set(beat, message.n);
    if (beat.draining !== before.draining || !isDeepStrictEqual(beat.held, before.held)) news.resolve();
  });
  stop.signal.addEventListener('abort', () => news.resolve());
  const post = (message: FromBeatThread) => port.postMessage(message);
  const nc = await connectAgent({ url, seed, agent, name: `${agent} (beat)`, quick: true }, stop.signal);
  // What was asked before is lost with the old connection: the leader must hear at once that the agent is back.
  void (async () => {
    for await (const { type } of nc.status()) if (type === 'reconnect') news.resolve();
  })();
  await keepBeating(
    {
      say: () => {
        // What comes from here on is news beyond this beat.
        news = Promise.withResolvers();
        if (stop.signal.aborted) news.resolve();
        return beat;
      },
      news: () => news.promise,
      heed: (orders) => post({ type: 'orders', orders }),
      heard: (said) => post({ type: 'heard', n: numbers.get(said) ?? 0 }),
      ask: async (b) => {
        const sentAt = process.hrtime.bigint();
        try {
          const answer = (await nc.request(beatSubject(agent), JSON.stringify(b), { timeout: timeoutMs })).json();
          keepHeard(sentAt);
          return answer;
        } catch {
          return 'no-answer';
        }
      },
      sleep: (ms, signal) =>
        new Promise((resolve) => {
          const end = () => {
            clearTimeout(timer);
            signal.removeEventListener('abort', end);
            resolve();
          };
          const timer = setTimeout(end, signal.aborted ? 0 : ms);
          signal.addEventListener('abort', end);
        }),
    },
    stop.signal,
  );
  await nc.close();
  port.close();
}

/** Overwrites one line in place: that works on a full disk too. */
function heardKeeper(file: string): (sentAt: bigint) => void {
  const fd = openSync(file, 'w', 0o600);
  let last = 0n;
  return (sentAt) => {
    if (sentAt <= last) return;
    last = sentAt;
    try {
      writeSync(fd, (sentAt / 1_000_000n).toString().padStart(20, '0'), 0);
    } catch {
      // The lease then seems older than it is, which errs on the safe side.
    }
  };
}

await main();
