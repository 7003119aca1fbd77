import { Readable } from 'node:stream';
import type { LogStore, StoredChunk } from '../../controller/logs/log-store.ts';
import type { Objects } from '../../controller/store/objects.ts';
import { type AttemptKey, keyOf } from '../../protocol/task.ts';

/** `LOGS` in memory, for pure tests. */
export function memoryLogs(): LogStore & { purge: (upTo: number) => void; add: (key: AttemptKey, text: string) => number } {
  let messages: (StoredChunk & { name: string })[] = [];
  let lastSeq = 0;
  let firstSeq = 1;
  const of = (key: AttemptKey) => messages.filter((m) => m.name === keyOf(key));
  const last = (key: AttemptKey) => of(key).at(-1);
  const add = (key: AttemptKey, offset: number, bytes: Uint8Array) => {
    messages.push({ name: keyOf(key), seq: ++lastSeq, offset, atMs: lastSeq, storedAtMs: lastSeq, bytes });
    return lastSeq;
  };
  return {
    last: async (key) => last(key),
    next: async (key, seq) => of(key).find((m) => m.seq >= seq),
    append: async (key, { offset }, bytes, after) =>
      (last(key)?.seq ?? 0) === after ? { seq: add(key, offset, bytes) } : 'conflict',
    bounds: async () => ({ firstSeq, lastSeq }),
    purge: (upTo) => {
      messages = messages.filter((m) => m.seq >= upTo);
      firstSeq = Math.max(firstSeq, upTo);
    },
    add: (key, text) => {
      const before = last(key);
      return add(key, before ? before.offset + before.bytes.length : 0, Buffer.from(text));
    },
  };
}

export function memoryObjects(): Objects & { keys: () => string[] } {
  const all = new Map<string, Buffer>();
  return {
    keys: () => [...all.keys()].sort(),
    put: async (key, body) => {
      all.set(key, Buffer.from(body as Uint8Array));
      return { sizeBytes: (body as Uint8Array).length, sha256: '' };
    },
    get: async (key) => all.get(key),
    read: async (key, range) => {
      const body = all.get(key);
      return body && Readable.from([body.subarray(range?.start ?? 0, range?.end)]);
    },
    copy: async (from, to) => {
      const body = all.get(from);
      if (body) all.set(to, body);
      return body !== undefined;
    },
    list: async function* (prefix) {
      for (const [key, body] of [...all].sort()) if (key.startsWith(prefix)) yield { key, sizeBytes: body.length, modifiedMs: 0 };
    },
    remove: async (key) => void all.delete(key),
  };
}
