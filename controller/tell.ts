import { isOpen } from '../protocol/attempt.ts';
import { attemptOf } from '../protocol/run.ts';
import type { Folded } from './store/confirmed.ts';
import type { Log } from './store/log.ts';

/** Tells the log what a stored record means for attempts and runs, one line a fact: run, step, attempt and agent are fields of their own. */
export function tell({ record, changedRuns: [run] }: Folded, log: Log): void {
  if (record.type === 'verdict') {
    const { source, id, verdict } = record;
    log.info(
      { delivery: `${source}/${id}`, decision: verdict.decision, runs: verdict.creates.map((r) => r.id) },
      'a delivery was decided',
    );
  }
  if (record.type !== 'run' || !run) return;
  for (const event of record.events) {
    if (event.type === 'assigned') {
      const { step, attempt, agent } = event;
      log.debug({ run: run.id, job: run.job, step, attempt, agent }, 'an attempt was given to an agent');
    } else if (event.type === 'attempt') {
      const { step, attempt } = event;
      const now = attemptOf(run, step, attempt);
      if (!now || isOpen(now.state) || now.endedAtMs !== event.atMs) continue;
      const { agent, state, exitCode, message } = now;
      log.info({ run: run.id, job: run.job, step, attempt, agent, state, exitCode, message }, 'an attempt has ended');
    } else if (event.type === 'finished') {
      const { id, job, state, reason } = run;
      log.info({ run: id, job, state, reason }, 'a run has ended');
    }
  }
}
