import { type FSWatcher, watch } from 'node:fs';

/** The system has a limit for all its programs; above this, comparing has to do. */
const maxWatched = 2_000;

/**
 * Has the system tell of changes in directories, each by itself: a recursive watch of Node's does not tell when a link is exchanged,
 * which is how Kubernetes changes a mounted ConfigMap.
 */
export class DirectoryWatchers {
  readonly #changed: () => void;
  readonly #watchers = new Map<string, FSWatcher>();
  #failed = false;
  constructor(changed: () => void) {
    this.#changed = changed;
  }

  /** Whether every change is told. */
  get complete(): boolean {
    return !this.#failed && this.#watchers.size > 0;
  }

  /**
   * Watches these directories and no others.
   * @returns whether there are new ones among them, in which something may have changed before they were watched
   */
  follow(directories: readonly { path: string; stamp: string }[]): boolean {
    this.#failed = directories.length > maxWatched;
    const wanted = new Map((this.#failed ? [] : directories).map((d) => [`${d.stamp} ${d.path}`, d.path]));
    for (const [key, watcher] of this.#watchers) if (!wanted.has(key)) this.#drop(key, watcher);
    let added = false;
    for (const [key, path] of wanted) if (!this.#watchers.has(key)) added = this.#add(key, path) || added;
    return added;
  }

  close(): void {
    for (const [key, watcher] of this.#watchers) this.#drop(key, watcher);
  }

  #add(key: string, path: string): boolean {
    try {
      const watcher = watch(path, { persistent: false }, this.#changed);
      this.#watchers.set(key, watcher);
      watcher.on('error', () => {
        this.#failed = true;
        this.#drop(key, watcher);
        this.#changed();
      });
      return true;
    } catch {
      this.#failed = true;
      return false;
    }
  }

  #drop(key: string, watcher: FSWatcher): void {
    this.#watchers.delete(key);
    watcher.close();
  }
}
