import type { AttemptKey } from '../../protocol/task.ts';
import type { LogStore } from './log-store.ts';

/**
 * The sequence after which the chunk with the byte at `offset` comes, by bisection: some 25 requests however long the log is. When the
 * stream has nothing from there on, or not any more, the sequence before the first that it has.
 */
export async function seek(store: LogStore, key: AttemptKey, offset: number): Promise<number> {
  const first = await store.next(key, 1);
  if (!first) return 0;
  if (first.offset >= offset) return first.seq - 1;
  /** The chunk at `low` begins at or before the offset; every chunk at or after `high` behind it. */
  let low = first.seq;
  let high = ((await store.last(key))?.seq ?? low) + 1;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    const chunk = await store.next(key, middle);
    if (chunk && chunk.offset <= offset) low = chunk.seq;
    else high = middle;
  }
  return low - 1;
}
