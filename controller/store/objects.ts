import type { Readable } from 'node:stream';

export type ObjectInfo = { key: string; sizeBytes: number; modifiedMs: number };

/**
 * Object storage: what is finished and what is big. Keys are `/`-separated, without `.`, `..` or empty parts (`BAD_OBJECT_KEY`).
 * All controllers share one.
 */
export type Objects = {
  /** Stores the whole object or nothing; replaces what was there. Durable when it resolves. */
  put: (key: string, body: Uint8Array | Readable) => Promise<{ sizeBytes: number; sha256: string }>;
  /** undefined when there is none. For small objects; it is held in memory whole. */
  get: (key: string) => Promise<Buffer | undefined>;
  /** From byte `start` to before `end`; undefined when there is none. */
  read: (key: string, range?: { start: number; end?: number }) => Promise<Readable | undefined>;
  /** Stores what `from` holds under `to` as well, replacing what was there. @returns whether there was something to copy */
  copy: (from: string, to: string) => Promise<boolean>;
  /** In order of their keys. */
  list: (prefix: string, options?: { after?: string }) => AsyncIterable<ObjectInfo>;
  /** Nothing happens when there is none. */
  remove: (key: string) => Promise<void>;
};
