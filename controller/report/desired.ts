import { type Refs, repoOf } from '../../protocol/change.ts';
import type { Run } from '../../protocol/run.ts';

export type StatusState = 'pending' | 'success' | 'failure' | 'error';

/** Where a commit status stands. */
export type Place = { org: string; repo: string; sha: string; context: string };

/** The commit status that GitHub should show for a run. */
export type Status = Place & {
  /** The run that says so. */
  run: string;
  state: StatusState;
  description: string;
  targetUrl: string;
};

/** GitHub cuts nothing: it refuses what is longer. */
const maxDescription = 140;

/**
 * What GitHub should show for this run; nothing for runs that are not reported: `skip_report`, without a commit, of several pull requests at once,
 * and of jobs that are not about a change (periodic, manual), as in Prow.
 * @param publicUrl under which people reach the farm
 */
export function desiredStatus(run: Run, publicUrl: string): Status | undefined {
  if (run.skipReport || (run.type !== 'presubmit' && run.type !== 'postsubmit')) return undefined;
  const sha = run.refs && reportedSha(run.refs);
  if (!run.refs || sha === undefined) return undefined;
  const { org, repo } = run.refs;
  const [state, description] = said(run);
  return {
    ...{ org, repo, sha, context: run.context, run: run.id, state },
    description: shorten(description),
    targetUrl: `${publicUrl.replace(/\/+$/, '')}/runs/${run.id}`,
  };
}

/** One text for a place: GitHub takes no account of the case of names and contexts. */
export const placeKey = (p: Place): string => `${repoOf(p)} ${p.sha} ${p.context}`.toLowerCase();

/** The head of the only pull request, or the commit that was pushed. */
function reportedSha({ pulls, baseSha }: Refs): string | undefined {
  const [pull, ...others] = pulls;
  if (others.length > 0) return undefined;
  return pull ? pull.sha : baseSha;
}

/** @see prow.md of the reference, 3.11: 'aborted' is a failure there, so that a cancelled run does not let a merge through or look broken */
function said(run: Run): [StatusState, string] {
  const reason = run.reason ?? '';
  switch (run.state) {
    case 'queued':
      return ['pending', 'Queued.'];
    case 'running':
      return ['pending', `Running since ${clock(run.startedAtMs ?? run.createdAtMs)}.`];
    case 'stopping':
      return ['pending', 'Being cancelled.'];
    case 'passed':
      return ['success', `Passed${after(run)}.`];
    case 'failed':
      return ['failure', `Failed${after(run)}: ${reason}`];
    case 'errored':
      return ['error', `Error${after(run)}: ${reason}`];
    case 'cancelled':
      return ['failure', capital(reason)];
  }
}

const clock = (ms: number): string => `${new Date(ms).toISOString().slice(11, 16)} UTC`;

function after({ startedAtMs, endedAtMs }: Run): string {
  if (startedAtMs === undefined || endedAtMs === undefined) return '';
  const s = Math.max(0, Math.round((endedAtMs - startedAtMs) / 1_000));
  if (s < 60) return ` after ${s} s`;
  const min = Math.floor(s / 60);
  return min < 60 ? ` after ${min} min ${s % 60} s` : ` after ${Math.floor(min / 60)} h ${min % 60} min`;
}

const capital = (text: string): string => (text === '' ? 'Cancelled.' : `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`);

/** One line that GitHub takes: no control characters, no half of a pair. */
function shorten(text: string): string {
  const line = text
    .replace(/[\p{Cc}\s]+/gu, ' ')
    .trim()
    .toWellFormed();
  if (line.length <= maxDescription) return line;
  return `${line.slice(0, maxDescription - 1).replace(/[\uD800-\uDBFF]$/, '')}…`;
}
