import type { RunSummary } from '../../protocol/api.ts';
import { repoOf } from '../../protocol/change.ts';
import type { Run } from '../../protocol/run.ts';

/** What a list shows of a run. `pull` is absent for batches: they have several. */
export function runSummary(run: Run): RunSummary {
  const { id, job, type, by, trusted, state, createdAtMs, delivery, refs } = run;
  const [pull, ...others] = refs?.pulls ?? [];
  const one = others.length === 0 ? pull : undefined;
  const sha = one?.sha ?? refs?.baseSha;
  return {
    ...{ id, job, type, by, trusted, state, createdAtMs, delivery },
    ...(run.retryOf !== undefined && { retryOf: run.retryOf }),
    ...(run.reason !== undefined && { reason: run.reason }),
    ...(run.startedAtMs !== undefined && { startedAtMs: run.startedAtMs }),
    ...(run.endedAtMs !== undefined && { endedAtMs: run.endedAtMs }),
    ...(refs && { repo: repoOf(refs) }),
    ...(one && { pull: one.number }),
    ...(sha !== undefined && { sha }),
  };
}
