import { findFiles } from './find-files.ts';
import { type Loaded, loadJobs } from './load.ts';
import type { FileJobs } from './read-file.ts';
import { DirectoryWatchers } from './watch-directories.ts';

export type WatchOptions = {
  /** Ends the watch. */
  signal: AbortSignal;
  maxFiles?: number;
  /** How long nothing must have changed before it is loaded: people and tools write several files in a row. */
  debounceMs?: number;
  /** How often the directory is compared when the system does not tell of changes. */
  pollMs?: number;
  /** How often when it does: a network file system tells only of changes made here. */
  watchedPollMs?: number;
  /** 'poll': do not ask the system. */
  mode?: 'system' | 'poll';
  /** Told what `onLoad` threw, which changes nothing else. Must not throw. */
  onError?: (error: unknown) => void;
};

export type JobsWatch = {
  /** Loads at once, changed or not; done when `onLoad` has been called with a load that began after this. */
  reloadNow: () => Promise<void>;
  /** When the signal has ended the watch and nothing is under way any more. */
  ended: Promise<void>;
};

/**
 * Loads the job files under `dir` now, whenever they change, and when it is asked to; one load at a time. Never throws: a directory
 * that is not there is a load with a problem, and is looked for again.
 * @param onLoad called after each load, in order, the next load waiting for it (so it must not wait for `reloadNow`)
 */
export function watchJobs(dir: string, onLoad: (loaded: Loaded) => void | Promise<void>, options: WatchOptions): JobsWatch {
  return new JobsWatcher(dir, onLoad, options).start();
}

class JobsWatcher {
  readonly #dir: string;
  readonly #onLoad: (loaded: Loaded) => void | Promise<void>;
  readonly #options: WatchOptions;
  readonly #cache = new Map<string, FileJobs>();
  #seen: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  #settle: NodeJS.Timeout | undefined;
  #queue: Promise<void> = Promise.resolve();
  readonly #watchers = new DirectoryWatchers(() => this.#changed());

  constructor(dir: string, onLoad: (loaded: Loaded) => void | Promise<void>, options: WatchOptions) {
    this.#dir = dir;
    this.#onLoad = onLoad;
    this.#options = options;
  }

  start(): JobsWatch {
    const { signal } = this.#options;
    const ended = Promise.withResolvers<void>();
    const stop = () => {
      clearTimeout(this.#timer);
      clearTimeout(this.#settle);
      void this.#queue.then(() => {
        this.#watchers.close();
        ended.resolve();
      });
    };
    if (signal.aborted) stop();
    else {
      signal.addEventListener('abort', stop, { once: true });
      void this.reloadNow().then(() => this.#pollLater());
    }
    return { reloadNow: () => this.reloadNow(), ended: ended.promise };
  }

  reloadNow(): Promise<void> {
    return this.#enqueue(async () => this.#load(await this.#fingerprint()));
  }

  /** Steps follow each other; none of them rejects. */
  #enqueue(step: () => Promise<void>): Promise<void> {
    this.#queue = this.#queue.then(async () => {
      if (this.#options.signal.aborted) return;
      try {
        await step();
      } catch (error) {
        this.#options.onError?.(error);
      }
    });
    return this.#queue;
  }

  async #load(fingerprint: string): Promise<void> {
    const { maxFiles, signal } = this.#options;
    const loaded = await loadJobs(this.#dir, { cache: this.#cache, ...(maxFiles === undefined ? {} : { maxFiles }) });
    // The fingerprint is older than what was loaded: a change in between is found by the next comparison.
    this.#seen = fingerprint;
    if (!signal.aborted) await this.#onLoad(loaded);
  }

  #loadIfChanged(): Promise<void> {
    return this.#enqueue(async () => {
      const fingerprint = await this.#fingerprint();
      if (fingerprint !== this.#seen) await this.#load(fingerprint);
    });
  }

  /** What changes when a file does; the directories in which it looks are watched from before that. */
  async #fingerprint(): Promise<string> {
    const { maxFiles = 10_000, mode } = this.#options;
    let found = await findFiles(this.#dir, { maxFiles });
    for (let tries = 0; mode !== 'poll' && tries < 5 && this.#watchers.follow(found.directories); tries++)
      found = await findFiles(this.#dir, { maxFiles });
    return JSON.stringify([found.files.map((f) => [f.path, f.stamp]), found.problems]);
  }

  #pollLater(): void {
    const { pollMs = 2_000, watchedPollMs = 30_000, signal } = this.#options;
    if (signal.aborted) return;
    const waitMs = this.#watchers.complete ? watchedPollMs : pollMs;
    this.#timer = setTimeout(() => void this.#loadIfChanged().then(() => this.#pollLater()), waitMs);
    this.#timer.unref();
  }

  #changed(): void {
    clearTimeout(this.#settle);
    if (this.#options.signal.aborted) return;
    this.#settle = setTimeout(() => void this.#loadIfChanged(), this.#options.debounceMs ?? 200);
    this.#settle.unref();
  }
}
