import type { Objects } from '../store/objects.ts';
import { isNewer } from './paths.ts';

/** Of one process: several runs of a job may be archived at the same time. Gone when nobody waits. */
const turns = new Map<string, Promise<void>>();

/** Makes a `latest-build.txt` name this run, unless it names a newer one: runs do not end in the order in which they began. */
export async function advanceLatest(
  objects: Pick<Objects, 'get' | 'put'>,
  key: string,
  id: string,
  signal?: AbortSignal,
): Promise<void> {
  const before = turns.get(key) ?? Promise.resolve();
  const turn = before
    .catch(() => {})
    .then(async () => {
      const named = (await objects.get(key))?.toString('utf8').trim() ?? '';
      signal?.throwIfAborted();
      if (isNewer(id, named)) await objects.put(key, Buffer.from(id));
    });
  turns.set(key, turn);
  try {
    await turn;
  } finally {
    if (turns.get(key) === turn) turns.delete(key);
  }
}
