import { watch } from 'node:fs';
import { findFiles } from './find-files.ts';
import { type Loaded, loadJobs } from './load.ts';
import type { FileJobs } from './read-file.ts';

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
  /** Told what `onLoad` threw, which changes nothing else. */
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
 * @param onLoad called after each load, in order; what is wrong is in `problems`
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
  #told = false;
  #settle: NodeJS.Timeout | undefined;
  #queue: Promise<void> = Promise.resolve();
  #stopWatching = () => {};

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
      this.#stopWatching();
      void this.#queue.then(ended.resolve);
    };
    if (signal.aborted) stop();
    else {
      signal.addEventListener('abort', stop, { once: true });
      this.#watch();
      void this.reloadNow();
      this.#pollLater();
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

  /** @returns whether it had changed */
  async #loadIfChanged(): Promise<boolean> {
    let changed = false;
    await this.#enqueue(async () => {
      const fingerprint = await this.#fingerprint();
      changed = fingerprint !== this.#seen;
      if (changed) await this.#load(fingerprint);
    });
    return changed;
  }

  async #fingerprint(): Promise<string> {
    const { files, problems } = await findFiles(this.#dir, { maxFiles: this.#options.maxFiles ?? 10_000 });
    return JSON.stringify([files.map((f) => [f.path, f.stamp]), problems]);
  }

  #pollLater(): void {
    const { pollMs = 2_000, watchedPollMs = 30_000, signal } = this.#options;
    clearTimeout(this.#timer);
    if (signal.aborted) return;
    const poll = async () => {
      const changed = await this.#loadIfChanged();
      // A change that was not told: the directory itself may be another one than it was.
      if (changed || !this.#told) this.#watch();
      this.#pollLater();
    };
    this.#timer = setTimeout(() => void poll(), this.#told ? watchedPollMs : pollMs);
    this.#timer.unref();
  }

  /** Asks the system to tell of changes; where it cannot, or ceases to, comparing goes on in its stead. */
  #watch(): void {
    this.#stopWatching();
    if (this.#options.mode === 'poll' || this.#options.signal.aborted) return;
    try {
      const watcher = watch(this.#dir, { recursive: true, persistent: false });
      this.#told = true;
      this.#stopWatching = () => watcher.close();
      watcher.on('change', () => this.#changed());
      watcher.on('error', () => {
        watcher.close();
        this.#told = false;
        this.#changed();
        this.#pollLater();
      });
    } catch {
      this.#told = false;
    }
  }

  #changed(): void {
    clearTimeout(this.#settle);
    if (this.#options.signal.aborted) return;
    this.#settle = setTimeout(() => void this.#loadIfChanged(), this.#options.debounceMs ?? 200);
    this.#settle.unref();
  }
}
