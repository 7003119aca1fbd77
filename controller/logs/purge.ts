import type { JetStreamManager } from '@nats-io/jetstream';
import type { AttemptKey } from '../../protocol/task.ts';
import { type ArchiveDeps, archiveUpTo } from './archive.ts';

export type PurgeDeps = ArchiveDeps & {
  jsm: JetStreamManager;
  /** Whether nothing more will be stored of a log: it is archived to its end. Of others the end must stay in the stream. */
  isDone: (key: AttemptKey) => boolean;
  now: () => number;
};

/**
 * Frees `LOGS` below a sequence. First everything that lies there is moved to object storage, and each log that may go on and whose
 * newest message lies there gets an empty one, so that the chain of conditions goes on. A failure on the way purges nothing.
 * @param upTo the first sequence that is kept
 * @returns messages purged
 */
export async function purgeLogs(upTo: number, deps: PurgeDeps): Promise<number> {
  const { state } = await deps.jsm.streams.info('LOGS', { subjects_filter: 'log.>' });
  // Not beyond what is there now: a message that comes meanwhile must survive.
  const firstKept = Math.min(upTo, state.last_seq + 1);
  if (firstKept <= state.first_seq) return 0;
  for (const subject of Object.keys(state.subjects ?? {})) {
    const key = parseLogSubject(subject);
    if (key) await leave(key, firstKept, deps);
  }
  return (await deps.jsm.streams.purge('LOGS', { seq: firstKept })).purged;
}

/** Makes a log independent of its messages below `firstKept`. */
async function leave(key: AttemptKey, firstKept: number, deps: PurgeDeps): Promise<void> {
  const { store } = deps;
  const first = await store.next(key, 1);
  if (!first || first.seq >= firstKept) return;
  const last = await store.last(key);
  if (!last) return;
  const end = last.offset + last.bytes.length;
  const below = last.seq < firstKept ? end : ((await store.next(key, firstKept))?.offset ?? end);
  const archived = await archiveUpTo(key, below, deps);
  if (archived < below)
    throw new Error(`${key.run}/${key.step}/${key.attempt}: only ${archived} of ${below} bytes could be archived`);
  if (last.seq >= firstKept || deps.isDone(key)) return;
  const marked = await store.append(key, { offset: end, atMs: deps.now() }, new Uint8Array(0), last.seq);
  // On a conflict the log has gone on, and what it wrote is above.
  if (marked === 'full' || (typeof marked === 'object' && 'unknown' in marked))
    throw new Error(`${key.run}/${key.step}/${key.attempt}: its end cannot be kept in LOGS`);
}

/** The attempt of a subject of `LOGS`; undefined when it is none. */
export function parseLogSubject(subject: string): AttemptKey | undefined {
  const [, run, step, attempt] = /^log\.([0-9]{1,20})\.([A-Za-z0-9_-]{1,64})\.([1-9][0-9]{0,14})$/.exec(subject) ?? [];
  return run && step && attempt ? { run, step, attempt: Number(attempt) } : undefined;
}
