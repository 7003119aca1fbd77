import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { FarmError } from '../protocol/errors.ts';

/** Exit code of an agent whose data directory another one uses. EX_TEMPFAIL of sysexits.h: try again later. */
export const inUseExitCode = 75;

/**
 * Takes the agent's data directory for this process alone. The lock is one of the operating system, held through an open SQLite file, so it ends
 * with the process however that ends. `agent.pid` beside it says who has it.
 * @throws FarmError DATA_DIR_IN_USE
 */
export function lockDataDir(dir: string): { release: () => void } {
  mkdirSync(dir, { recursive: true, mode: 0o711 });
  const pidFile = join(dir, 'agent.pid');
  const db = new DatabaseSync(join(dir, 'agent.lock'));
  try {
    db.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE;');
  } catch (error) {
    db.close();
    throw new FarmError('DATA_DIR_IN_USE', { dir, pid: readPid(pidFile) }, { cause: error });
  }
  writeFileSync(pidFile, `${process.pid}\n`);
  return { release: () => db.close() };
}

function readPid(file: string): number {
  try {
    return Number.parseInt(readFileSync(file, 'utf8'), 10) || 0;
  } catch {
    return 0;
  }
}
