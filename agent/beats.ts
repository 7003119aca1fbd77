import { Worker } from 'node:worker_threads';
import type { Beat, Orders } from '../protocol/beat.ts';

export type ToBeatThread = { type: 'beat'; beat: Beat; n: number } | { type: 'stop' };
/** heard: a leader has answered beat `n`. */
export type FromBeatThread = { type: 'orders'; orders: Orders } | { type: 'heard'; n: number };

export type Beats = {
  /** What the agent has to say from now on: at once when that is about what it holds or about leaving, else with the next beat. */
  update: (beat: Beat) => void;
  /** Resolves when a leader has heard what the agent has to say now, or `signal` aborts. */
  heard: (signal: AbortSignal) => Promise<void>;
  stop: () => Promise<void>;
};

/** Starts the thread that beats. `heed` gets what the leader answers; `failed` is called if the thread ends by itself. */
export function startBeats(options: {
  url: string;
  seed: string;
  agent: string;
  timeoutMs: number;
  beat: Beat;
  /** Where to keep, for the watchdog, when the last answered beat was sent. */
  heardFile?: string | undefined;
  heed: (orders: Orders) => void;
  failed: (error: Error) => void;
}): Beats {
  const { heed, failed, ...workerData } = options;
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const worker = new Worker(new URL(`./beat-thread.${extension}`, import.meta.url), { workerData });
  let stopping = false;
  let saidN = 0;
  let heardN = 0;
  const listeners = new Set<() => void>();
  worker.on('message', (message: FromBeatThread) => {
    if (message.type === 'orders') return heed(message.orders);
    heardN = message.n;
    for (const look of listeners) look();
  });
  worker.on('error', failed);
  const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  void ended.then(() => stopping || failed(new Error('the thread that beats has ended')));
  const post = (message: ToBeatThread) => worker.postMessage(message);
  return {
    update: (beat) => post({ type: 'beat', beat, n: ++saidN }),
    heard: (signal) =>
      new Promise((resolve) => {
        const wanted = saidN;
        const look = () => {
          if (heardN < wanted && !signal.aborted) return;
          listeners.delete(look);
          signal.removeEventListener('abort', look);
          resolve();
        };
        listeners.add(look);
        signal.addEventListener('abort', look);
        look();
      }),
    stop: async () => {
      stopping = true;
      post({ type: 'stop' });
      const timer = setTimeout(() => void worker.terminate(), 1_000);
      await ended;
      clearTimeout(timer);
    },
  };
}
