import { mkdir, readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { FarmError } from '../../protocol/errors.ts';
import { writeWhole } from './write-file.ts';

export type DirLock = AsyncDisposable & { release: () => Promise<void> };

/**
 * Takes a data directory for this process, or says who has it. It is the lock of an SQLite database, which is the operating system's:
 * it goes with the process however that ends, so none is ever stale, and it holds between containers, where a process number means nothing.
 * @param dir is made when it is not there
 * @throws FarmError DATA_DIR_IN_USE, with pid 0 when the holder has not said who it is
 */
export async function lockDir(dir: string): Promise<DirLock> {
  const whole = resolve(dir);
  await mkdir(whole, { recursive: true, mode: 0o700 });
  const owner = join(whole, 'lock.pid');
  const db = new DatabaseSync(join(whole, 'lock.db'));
  try {
    db.exec('PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE');
  } catch (error) {
    db.close();
    if (!isBusy(error)) throw error;
    throw new FarmError('DATA_DIR_IN_USE', { dir: whole, pid: await pidIn(owner) });
  }
  held.add(db);
  const release = async () => {
    if (!held.delete(db)) return;
    await rm(owner, { force: true });
    db.close();
  };
  try {
    await writeWhole(owner, `${process.pid}\n`);
  } catch (error) {
    await release();
    throw error;
  }
  return { release, [Symbol.asyncDispose]: release };
}

/** A lock that nobody refers to any more must not go with its handle at the next garbage collection. */
const held = new Set<DatabaseSync>();

/** The holder writes its number just after it has the lock; one that was killed in between is not known. */
async function pidIn(path: string): Promise<number> {
  for (let tries = 0; tries < 10; tries++) {
    const pid = Number(await readFile(path, 'utf8').catch(() => ''));
    if (Number.isSafeInteger(pid) && pid > 0) return pid;
    await sleep(10);
  }
  return 0;
}

/** SQLITE_BUSY. */
const isBusy = (error: unknown): boolean => error instanceof Error && 'errcode' in error && error.errcode === 5;
