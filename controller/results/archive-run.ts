import { hasEnded, type Run } from '../../protocol/run.ts';
import type { AttemptKey } from '../../protocol/task.ts';
import type { Objects } from '../store/objects.ts';
import { writeRunDocument } from '../store/run-documents.ts';
import { advanceLatest } from './latest.ts';
import { finishedJson, prowJobJson, prowJson, startedJson } from './prow-files.ts';
import { publishArtifacts } from './publish-artifacts.ts';
import { type ArchivedLog, type LogReader, publishLogs } from './publish-logs.ts';
import { type Publishing, placesOf } from './published.ts';
import { removeStaged } from './staged.ts';

export type ArchiveRunDeps = {
  objects: Objects;
  /** Moves an attempt's log to object storage; undefined while bytes are missing and are waited for. */
  archiveLog: (key: AttemptKey, how: { total?: number; giveUp: boolean }) => Promise<ArchivedLog | undefined>;
  /** What was moved there. */
  readLog: LogReader;
  publishing: Publishing;
  /** Milliseconds since the epoch. */
  wallMs: () => number;
  /** How long the sender of a log may be silent before it is not waited for any more, milliseconds. */
  logPatienceMs: number;
  /** Of this leader: what has lost the lead touches no pointer any more. */
  signal?: AbortSignal;
};

/**
 * Puts an ended run where it is kept and where Prow's tools look: logs, the artifacts of the attempts that count, what Prow says about
 * a run, `finished.json` behind all of it, and the run's document. All of it follows from the run's events, so doing it twice, or by
 * two leaders, is harmless.
 */
export async function archiveRun(run: Run, deps: ArchiveRunDeps): Promise<'archived' | 'not yet'> {
  if (!hasEnded(run)) return 'not yet';
  const logs = await archiveLogs(run, deps);
  if (!logs) return 'not yet';
  await publish(run, logs, deps);
  await writeRunDocument(deps.objects, { ...run, archived: true });
  // What does not count was never to be seen, and what does stands elsewhere by now.
  for (const { name: step, attempts } of run.at)
    for (const { attempt } of attempts) await removeStaged(deps.objects, { run: run.id, step, attempt }, deps.signal);
  return 'archived';
}

type Logs = Map<string, ArchivedLog>;
/** By `step/attempt`. */
export const logName = ({ step, attempt }: { step: string; attempt: number }): string => `${step}/${attempt}`;

async function archiveLogs(run: Run, { archiveLog, wallMs, logPatienceMs }: ArchiveRunDeps): Promise<Logs | undefined> {
  const logs: Logs = new Map();
  for (const { name: step, attempts } of run.at)
    for (const { attempt, logBytes, endedAtMs } of attempts) {
      const giveUp = wallMs() - (endedAtMs ?? 0) > logPatienceMs;
      const log = await archiveLog(
        { run: run.id, step, attempt },
        logBytes === undefined ? { giveUp } : { total: logBytes, giveUp },
      );
      if (!log) return undefined;
      logs.set(logName({ step, attempt }), log);
    }
  return logs;
}

async function publish(run: Run, logs: Logs, { objects, publishing, readLog, signal }: ArchiveRunDeps): Promise<void> {
  const places = placesOf(run, publishing);
  const { finalSha, metadata, steps } = await publishArtifacts(run, places, objects, signal);
  await objects.put(places.file('started.json'), prowJson(startedJson(run, finalSha)));
  await objects.put(places.file('prowjob.json'), prowJson(prowJobJson(run), '\t'));
  await publishLogs(run, logs, places, { objects, readLog });
  const index = { v: 1, run: run.id, job: run.job, state: run.state, steps };
  await objects.put(places.file('thresh.json'), prowJson(index));
  signal?.throwIfAborted();
  if (places.alias !== undefined)
    await objects.put(publishing.prefix + places.alias, Buffer.from(`${publishing.url}/${places.dir}`));
  for (const path of places.latest) await advanceLatest(objects, publishing.prefix + path, run.id, signal);
  await objects.put(places.file('finished.json'), prowJson(finishedJson(run, finalSha, metadata)));
}
