import { type Static, Type } from 'typebox';
import { pullKey, type Refs, repoOf } from '../../protocol/change.ts';
import type { Job } from '../../protocol/job.ts';
import type { FarmChange, Rule, Verdict } from '../../protocol/record.ts';
import { hasEnded } from '../../protocol/run.ts';
import type { TriggerInput } from './input.ts';
import { createRuns, type Wanted } from './new-run.ts';
import { cut, isMember, isProblem, type Problem, quote, Repository, read, readRefs, sameName, splitRepo } from './read.ts';
import { rulesFor } from './rules.ts';
import { verdict } from './verdict.ts';

const Renamed = Type.Optional(Type.Object({ from: Type.String() }));

/** What is read of a `pull_request`. `user` is null when the account is gone. */
const PullRequestEvent = Type.Object({
  action: Type.String(),
  repository: Repository,
  changes: Type.Optional(Type.Object({ base: Type.Optional(Type.Object({ ref: Renamed, sha: Renamed })) })),
  pull_request: Type.Object({
    number: Type.Integer({ minimum: 1 }),
    author_association: Type.String(),
    user: Type.Union([Type.Null(), Type.Object({ login: Type.String() })]),
    base: Type.Object({ ref: Type.String(), sha: Type.String() }),
    head: Type.Object({ ref: Type.Optional(Type.String()), sha: Type.String() }),
    title: Type.Optional(Type.String()),
    html_url: Type.Optional(Type.String()),
  }),
});
type PullRequestEvent = Static<typeof PullRequestEvent>;

/** A pull request at one moment, ready to be tested. */
export type PullChange = {
  key: string;
  number: number;
  repo: string;
  refs: Refs;
  sha: string;
  author: string;
  /** Its author is somebody whom the repository trusts. */
  member: boolean;
  action: string;
  /** 'edited' with another base than before. */
  baseChanged: boolean;
};

/** A pull request was opened, pushed to, retargeted, reopened or closed: its presubmits. */
export function decidePullRequest(input: TriggerInput): Verdict {
  const change = readPullRequest(input.delivery.payload);
  if (isProblem(change)) return verdict(input, 'refused', change.problem);
  const { action, key, number: pull, repo } = change;
  if (action === 'closed') return closed(input, change);
  if (!starts(change)) return verdict(input, 'nothing', `nothing runs when a pull request is ${quote(action)}`, { repo, pull });

  const standing = change.member ? 'member' : input.farm.pulls.get(key)?.allowed ? 'allowed' : 'stranger';
  const sorted = sortOut(input, change, standing);
  const cancels = cancelOpen(input, key, whyOvertaken(change));
  const creates = createRuns(input, sorted.wanted);
  const effects = { repo, pull, rules: sorted.rules, creates, cancels, changes: pullChange(input, change, sorted.waits) };
  const reason = `${whatHappened(change)}: ${sorted.summary}`;
  const waiting = `waiting for ok-to-test: ${quote(change.author)} is not a member; a member allows it with a comment /ok-to-test`;
  if (creates.length > 0) return verdict(input, 'runs', sorted.waits ? `${reason}; others ${waiting}` : reason, effects);
  if (sorted.waits) return verdict(input, 'waiting', waiting, effects);
  return verdict(input, cancels.length > 0 ? 'done' : 'nothing', reason, effects);
}

/** The pull request that an event is about, or why it cannot be tested. */
export function readPullRequest(payload: unknown): PullChange | Problem {
  const event = read(PullRequestEvent, payload);
  if (isProblem(event)) return { problem: `this is not a pull_request event as GitHub sends it: ${event.problem}` };
  const { action, repository, pull_request: pr, changes } = event.value;
  const refs = readRefs(refsOf(event.value));
  if (isProblem(refs)) return { problem: `this pull request cannot be tested: ${refs.problem}` };
  return {
    key: pullKey(refs.value) ?? '',
    number: pr.number,
    repo: repository.full_name,
    refs: refs.value,
    sha: pr.head.sha,
    author: authorOf(pr.user),
    member: isMember(pr.author_association),
    action,
    baseChanged: changes?.base?.ref !== undefined || changes?.base?.sha !== undefined,
  };
}

/** GitHub shows the pull requests of a deleted account as those of 'ghost'. */
const authorOf = (user: { login: string } | null): string => user?.login ?? 'ghost';

/** A title is shortened; a branch name or a link that is too long is of no use and left out. */
const refsOf = ({ repository, pull_request: pr }: PullRequestEvent): Refs => ({
  ...splitRepo(repository.full_name),
  baseRef: pr.base.ref,
  baseSha: pr.base.sha,
  pulls: [
    {
      number: pr.number,
      author: authorOf(pr.user),
      sha: pr.head.sha,
      ...(pr.title === undefined ? {} : { title: cut(pr.title, 1024) }),
      ...(pr.head.ref !== undefined && pr.head.ref.length <= 1024 ? { headRef: pr.head.ref } : {}),
      ...(pr.html_url !== undefined && pr.html_url.length <= 2048 ? { link: pr.html_url } : {}),
    },
  ],
});

const starts = (change: PullChange): boolean =>
  change.action === 'opened' ||
  change.action === 'reopened' ||
  change.action === 'synchronize' ||
  (change.action === 'edited' && change.baseChanged);

const whatHappened = ({ number, action, refs }: PullChange): string =>
  action === 'edited'
    ? `#${number} has the new base ${quote(refs.baseRef)}`
    : `#${number} was ${action === 'synchronize' ? 'pushed to' : action}`;

const whyOvertaken = ({ action, refs, sha }: PullChange): string =>
  action === 'edited' ? `the base is ${cut(refs.baseRef, 100)} now, for ${sha}` : `a newer push: ${sha}`;

/**
 * What is known of the author. member: runs are trusted. allowed: a member has said /ok-to-test.
 * just-allowed: one says it now, of a delivery whose other jobs have run. stranger: only jobs that trust everybody run.
 */
export type Standing = 'member' | 'allowed' | 'just-allowed' | 'stranger';

/** Which presubmits run, which wait for /ok-to-test, and why. */
export function sortOut(input: TriggerInput, change: PullChange, standing: Standing) {
  const jobs = input.jobs.jobs.filter((job) => job.type === 'presubmit' && sameName(job.repo ?? '', change.repo));
  const ruleOf = rulesFor(change.refs.baseRef, { unknown: 'changed files are not known yet: runs' });
  const rules: Rule[] = [];
  const wanted: Wanted[] = [];
  let waits = false;
  for (const job of jobs) {
    const rule = ruleOf(job);
    const held = rule.runs ? heldBack(job, standing) : undefined;
    waits ||= held === waitsForWord;
    rules.push(held === undefined ? rule : { ...rule, runs: false, why: held });
    if (rule.runs && held === undefined) wanted.push({ job, refs: change.refs, trusted: standing === 'member' });
  }
  const names = `${jobs.length} ${jobs.length === 1 ? 'presubmit' : 'presubmits'} of ${repoOf(change.refs)}`;
  const counted = `${wanted.length === 0 ? 'none' : wanted.length} of ${names} ${wanted.length === 1 ? 'runs' : 'run'}`;
  return { rules, wanted, waits, summary: jobs.length === 0 ? `no presubmit of ${change.repo} is configured` : counted };
}

const waitsForWord = 'waits for /ok-to-test';

function heldBack(job: Job, standing: Standing): string | undefined {
  if (standing === 'stranger' && job.trust !== 'all') return waitsForWord;
  if (standing === 'just-allowed' && job.trust === 'all') return 'did not wait for /ok-to-test';
  return undefined;
}

/** Cancels of the runs of a pull request that are open and that nobody has cancelled yet. */
export function cancelOpen(input: TriggerInput, key: string, reason: string): Verdict['cancels'] {
  const open = [...(input.farm.openByPull.get(key) ?? [])].map((id) => input.farm.runs.get(id));
  return open.flatMap((run) =>
    run && !hasEnded(run) && !run.cancelAsked && !run.cancel ? { run: run.id, by: 'github', reason, force: false } : [],
  );
}

/** What is remembered of the pull request. A newer delivery takes the place of one that waited, even if nothing of it waits. */
function pullChange(input: TriggerInput, { key, member }: PullChange, waits: boolean): FarmChange[] {
  const before = input.farm.pulls.get(key);
  const { source, id } = input.delivery;
  if (waits) return [{ type: 'pull', key, pull: { allowed: false, waiting: { source, id, seq: input.seq } } }];
  return before && (member || !before.allowed) ? [{ type: 'pull', key, pull: null }] : [];
}

function closed(input: TriggerInput, { key, number, repo }: PullChange): Verdict {
  const cancels = cancelOpen(input, key, `#${number} was closed`);
  const changes: FarmChange[] = input.farm.pulls.has(key) ? [{ type: 'pull', key, pull: null }] : [];
  const runs = `${cancels.length} open ${cancels.length === 1 ? 'run is' : 'runs are'} cancelled`;
  return verdict(
    input,
    cancels.length > 0 ? 'done' : 'nothing',
    `#${number} was closed; ${cancels.length > 0 ? runs : 'no run of it was open'}`,
    {
      repo,
      pull: number,
      cancels,
      changes,
    },
  );
}
