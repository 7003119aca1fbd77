import { rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';

/** Raised whenever `schema` changes: a file of another version is thrown away and built again. */
export const indexVersion = 1;

/**
 * `id` is the run id as a number (19 digits fit in 64 bits): rows lie in order of age, and so does every index among equal keys.
 * `summary` stands before `doc`, so that a page of a list does not read the documents.
 */
const schema = `
CREATE TABLE runs (
  id INTEGER PRIMARY KEY,
  n INTEGER NOT NULL,
  open INTEGER NOT NULL,
  state TEXT NOT NULL,
  job TEXT NOT NULL,
  repo TEXT,
  pull INTEGER,
  created INTEGER NOT NULL,
  summary TEXT NOT NULL,
  doc TEXT NOT NULL
);
CREATE INDEX runs_open ON runs (open) WHERE open = 1;
CREATE INDEX runs_state ON runs (state);
CREATE INDEX runs_job ON runs (job);
CREATE INDEX runs_job_state ON runs (job, state);
CREATE INDEX runs_repo ON runs (repo);
CREATE INDEX runs_repo_state ON runs (repo, state);
CREATE INDEX runs_repo_job ON runs (repo, job);
CREATE INDEX runs_repo_job_state ON runs (repo, job, state);
CREATE INDEX runs_pull_repo ON runs (pull, repo) WHERE pull IS NOT NULL;

CREATE TABLE deliveries (
  seq INTEGER PRIMARY KEY,
  source TEXT NOT NULL,
  id TEXT NOT NULL,
  at INTEGER NOT NULL,
  verdict TEXT NOT NULL,
  UNIQUE (source, id)
);

CREATE TABLE position (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL);
INSERT INTO position VALUES (1, 0);
`;

/** Opens the file, or makes it. One that is damaged or of another version is deleted first: all that is in it can be had again. */
export function openIndexFile(file: string): DatabaseSync {
  try {
    const db = connect(file);
    if (isCurrent(db)) return db;
    db.close();
  } catch (error) {
    if (!isDamage(error)) throw error;
  }
  removeIndexFile(file);
  const db = connect(file);
  db.exec(`BEGIN; ${schema} PRAGMA user_version = ${indexVersion}; COMMIT`);
  return db;
}

export function removeIndexFile(file: string): void {
  for (const suffix of ['', '-wal', '-shm', '-journal']) rmSync(file + suffix, { force: true });
}

/** Not a database, malformed, cut short, or without a table that its version has. */
export function isDamage(error: unknown): boolean {
  const code = error instanceof Error && 'errcode' in error && typeof error.errcode === 'number' ? error.errcode & 0xff : 0;
  return code === sqlite.corrupt || code === sqlite.notADatabase || (code === sqlite.error && /no such/.test(String(error)));
}

const sqlite = { error: 1, corrupt: 11, notADatabase: 26 } as const;

/** The last transactions may be gone after a power cut, but with their position: they are folded again. */
function connect(file: string): DatabaseSync {
  const db = new DatabaseSync(file);
  try {
    db.exec(
      'PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 8000',
    );
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

function isCurrent(db: DatabaseSync): boolean {
  try {
    if (db.prepare('PRAGMA user_version').get()?.user_version !== indexVersion) return false;
    db.prepare('SELECT doc FROM runs JOIN deliveries');
    return db.prepare('SELECT seq FROM position WHERE one = 1').get() !== undefined;
  } catch (error) {
    db.close();
    throw error;
  }
}
