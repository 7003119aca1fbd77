import { existsSync } from 'node:fs';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * A directory of its own, by its real path, that is gone at the end of the scope.
 * @param inMemory where there is such a place: for very many files
 */
export async function tempDir(name = 'test', { inMemory = false } = {}): Promise<AsyncDisposable & { path: string }> {
  const above = inMemory && existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
  const path = await realpath(await mkdtemp(join(above, `thresh-${name}-`)));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}
