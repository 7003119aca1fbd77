import { hasEnded, type Run } from '../../protocol/run.ts';
import type { AttemptKey } from '../../protocol/task.ts';
import type { Objects } from '../store/objects.ts';
import { writeRunDocument } from '../store/run-documents.ts';

export type ArchiveRunDeps = {
  objects: Pick<Objects, 'put'>;
  /** Moves an attempt's log to object storage; undefined while bytes are missing and are waited for. */
  archiveLog: (key: AttemptKey, how: { total?: number; giveUp: boolean }) => Promise<object | undefined>;
  /** Milliseconds since the epoch. */
  wallMs: () => number;
  /** How long the sender of a log may be silent before it is not waited for any more, milliseconds. */
  logPatienceMs: number;
};

/** Puts an ended run where it is kept: its logs, then its document, which is last. Doing so twice is harmless. */
export async function archiveRun(run: Run, deps: ArchiveRunDeps): Promise<'archived' | 'not yet'> {
  if (!hasEnded(run)) return 'not yet';
  for (const { name: step, attempts } of run.at)
    for (const { attempt, logBytes, endedAtMs } of attempts) {
      const giveUp = deps.wallMs() - (endedAtMs ?? 0) > deps.logPatienceMs;
      const how = logBytes === undefined ? { giveUp } : { total: logBytes, giveUp };
      if (!(await deps.archiveLog({ run: run.id, step, attempt }, how))) return 'not yet';
    }
  await writeRunDocument(deps.objects, { ...run, archived: true });
  return 'archived';
}
