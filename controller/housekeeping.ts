import { messageOf } from '../protocol/errors.ts';
import { hasEnded, openAttempts } from '../protocol/run.ts';
import { archiveWhole } from './logs/archive.ts';
import { purgeLogs } from './logs/purge.ts';
import type { Replica } from './replica.ts';
import type { Lead } from './schedule/lead.ts';
import { tidyUploads } from './store/uploads.ts';

const everyMs = 60_000;
/** Output stays in `LOGS` for so many rounds. */
const keepLogsRounds = 10;
const uploadsEveryMs = 3_600_000;

/**
 * What the leader does every minute: folds `RUNS` into a checkpoint when it has grown, moves whole segments of
 * running logs to object storage, and frees `LOGS` of what is there; every hour it removes old working trees.
 * @returns stops it
 */
export function keepHouse(
  { jsm, objects, logs, confirmed, findRun, log }: Replica,
  lead: () => Lead | undefined,
  { checkpointEvery, now, wallMs }: { checkpointEvery: number; now: () => number; wallMs: () => number },
): () => void {
  const logEnds: number[] = [];
  let uploadsAtMs = now();
  const isUploadUsed = (upload: string) =>
    [...confirmed.farm.runs.values()].some((run) => run.source?.upload === upload && !hasEnded(run));
  const isDone = (key: { run: string }) => !confirmed.farm.runs.has(key.run) && findRun(key.run) !== undefined;
  const tidy = async () => {
    const leader = lead();
    if (!leader) return;
    const { state } = await jsm.streams.info('RUNS');
    if (state.messages > checkpointEvery) await leader.checkpoint();
    for (const run of confirmed.farm.runs.values())
      for (const { step, attempt } of openAttempts(run))
        await archiveWhole({ run: run.id, step, attempt: attempt.attempt }, { store: logs, objects });
    if (now() - uploadsAtMs >= uploadsEveryMs) {
      uploadsAtMs = now();
      await tidyUploads(objects, isUploadUsed, wallMs());
    }
    logEnds.push((await logs.bounds()).lastSeq);
    const upTo = logEnds.length > keepLogsRounds ? logEnds.shift() : undefined;
    if (upTo !== undefined) await purgeLogs(upTo, { store: logs, objects, jsm, isDone, now });
  };
  const timer = setInterval(
    () =>
      void tidy().catch((error) => log.warn({ reason: messageOf(error) }, 'housekeeping failed; it is tried again in a minute')),
    everyMs,
  );
  return () => clearInterval(timer);
}
