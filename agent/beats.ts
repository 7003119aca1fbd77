import { Worker } from 'node:worker_threads';
import type { Beat, Orders } from '../protocol/beat.ts';

export type ToBeatThread = { type: 'beat'; beat: Beat } | { type: 'stop' };
export type FromBeatThread = { type: 'orders'; orders: Orders };

export type Beats = {
  /** What the agent has to say from now on; sent with the next beat. */
  update: (beat: Beat) => void;
  stop: () => Promise<void>;
};

/** Starts the thread that beats. `heed` gets what the leader answers; `failed` is called if the thread ends by itself. */
export function startBeats(options: {
  url: string;
  seed: string;
  agent: string;
  timeoutMs: number;
  beat: Beat;
  heed: (orders: Orders) => void;
  failed: (error: Error) => void;
}): Beats {
  const { heed, failed, ...workerData } = options;
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const worker = new Worker(new URL(`./beat-thread.${extension}`, import.meta.url), { workerData });
  let stopping = false;
  worker.on('message', (message: FromBeatThread) => heed(message.orders));
  worker.on('error', failed);
  const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  void ended.then(() => stopping || failed(new Error('the thread that beats has ended')));
  const post = (message: ToBeatThread) => worker.postMessage(message);
  return {
    update: (beat) => post({ type: 'beat', beat }),
    stop: async () => {
      stopping = true;
      post({ type: 'stop' });
      const timer = setTimeout(() => void worker.terminate(), 1_000);
      await ended;
      clearTimeout(timer);
    },
  };
}
