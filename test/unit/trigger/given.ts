import { createRequire } from 'node:module';
import { decide, type Facts, factsWanted } from '../../../controller/trigger/decide.ts';
import type { Delivery, Request } from '../../../protocol/delivery.ts';
import { Farm } from '../../../protocol/farm.ts';
import type { Job, Step } from '../../../protocol/job.ts';
import type { Agent, FarmRecord, Verdict } from '../../../protocol/record.ts';
import type { RunEvent } from '../../../protocol/run.ts';

/** The payloads that GitHub's own people recorded, by event. */
const recorded = createRequire(import.meta.url)('@octokit/webhooks-examples') as { name: string; examples: unknown[] }[];
export const everyRecorded = recorded.flatMap(({ name, examples }) => examples.map((payload) => ({ name, payload })));
/** A copy of one of them, to be changed at will. */
// biome-ignore lint/suspicious/noExplicitAny: a foreign document that each test changes where it likes
export const example = (event: string, index = 0): any =>
  structuredClone(recorded.find((r) => r.name === event)?.examples[index]);
export const examplesOf = (event: string): number => recorded.find((r) => r.name === event)?.examples.length ?? 0;

export const repo = 'Codertocat/Hello-World';
export const nowMs = Date.parse('2026-11-21T10:00:00Z');
export const [shaA, shaB, shaC] = ['a'.repeat(40), 'b'.repeat(40), 'c'.repeat(40)] as const;

export const step: Step = {
  name: 'test',
  image: 'debian',
  command: ['make', 'test'],
  env: [],
  secrets: {},
  needs: [],
  when: 'success',
  finally: false,
  timeoutMs: 60_000,
  graceMs: 1_000,
  retries: 0,
  queue: 'default',
};

export const job = (name: string, over: Partial<Job> = {}): Job => ({
  name,
  type: 'presubmit',
  repo,
  source: { file: 'jobs.yaml', line: 1 },
  labels: {},
  annotations: {},
  maxConcurrency: 0,
  priority: 'normal',
  workspace: 'local',
  trust: 'members',
  alwaysRun: true,
  branches: [],
  skipBranches: [],
  context: name,
  optional: false,
  skipReport: false,
  steps: [step],
  ...over,
});
export const postsubmit = (name: string, over: Partial<Job> = {}): Job => job(name, { type: 'postsubmit', ...over });
export const periodic = (name: string, over: Partial<Job> = {}): Job => {
  const { repo: _, ...rest } = job(name, { type: 'periodic', alwaysRun: false, cron: '0 3 * * *' });
  return { ...rest, ...over };
};

export const agentOf = (id: string, over: Partial<Agent> = {}): Agent => ({
  id,
  publicKey: `U${'A'.repeat(55)}`,
  curveKey: `X${'A'.repeat(55)}`,
  queues: ['default'],
  trust: 'trusted',
  executor: 'docker',
  host: 'node-1',
  version: '0.1.0',
  joinedAtMs: 1,
  state: 'serving',
  ...over,
});

/**
 * A farm with `jobs` that decides what it is given and folds each verdict, as the leader does.
 * Facts come from what it was given before, unless a test says otherwise.
 */
export function farmWith(...jobs: Job[]) {
  const farm = new Farm();
  const stored = new Map<string, Delivery>();
  let seq = 0;
  const base = { v: 1, term: 1, atMs: nowMs };
  const fold = (record: FarmRecord): void => void farm.fold(record, farm.seq + 1);
  const world = {
    farm,
    jobs,
    wanted: [] as ReturnType<typeof factsWanted>,
    settle(verdict: Verdict, source: string, id: string): void {
      fold({ ...base, type: 'verdict', source, id, positions: { deliveries: seq, notices: 0 }, verdict });
    },
    decide(delivery: Delivery, facts?: Facts): Verdict {
      seq += 1;
      stored.set(`${delivery.source}/${delivery.id}`, delivery);
      world.wanted = factsWanted(delivery, farm);
      const known: Facts = {};
      for (const want of world.wanted) {
        if (want.kind === 'delivery') known.delivery = stored.get(`${want.source}/${want.id}`) ?? null;
        else known.run = null;
      }
      const verdict = decide({
        delivery,
        seq,
        jobs: world.jobs.length > 0 ? { hash: 'f'.repeat(64), jobs: world.jobs } : { hash: '', jobs: [] },
        farm,
        facts: facts ?? known,
        nowMs,
      });
      world.settle(verdict, delivery.source, delivery.id);
      return verdict;
    },
    github: (event: string, payload: unknown, facts?: Facts): Verdict =>
      world.decide({ v: 1, source: 'github', id: `d${seq + 1}`, atMs: nowMs, by: 'github', event, payload }, facts),
    ask: (request: Request, facts?: Facts): Verdict =>
      world.decide(
        {
          v: 1,
          source: request.kind === 'join' ? 'agent' : 'person',
          id: `p${seq + 1}`,
          atMs: nowMs,
          by: 'ann',
          event: request.kind,
          request,
        },
        facts,
      ),
    tick: (name: string): Verdict =>
      world.decide({
        v: 1,
        source: 'clock',
        id: `c${seq + 1}`,
        atMs: nowMs,
        by: 'clock',
        event: 'tick',
        payload: { job: name, atMs: nowMs },
      }),
    /** The run goes through `events`, as if the leader had written them. */
    happened(run: string, ...events: RunEvent[]): void {
      const n = (farm.runs.get(run)?.n ?? 0) + 1;
      fold({ ...base, type: 'run', run, n, positions: farm.positions, events });
    },
    ended: (run: string): void =>
      world.happened(run, { type: 'finished', state: 'passed', reason: 'all steps passed', atMs: nowMs }),
  };
  return world;
}

/** Which jobs a verdict runs. */
export const ran = (verdict: Verdict): string[] => verdict.creates.map((run) => run.job);

type PullOver = {
  action?: string;
  association?: string;
  author?: string;
  sha?: string;
  base?: string;
  number?: number;
  changes?: unknown;
};
/** GitHub's recorded pull request, by a stranger unless told otherwise. */
export function pullRequest({ action = 'opened', association = 'NONE', author, sha, base, number, changes }: PullOver = {}) {
  const payload = example('pull_request');
  payload.action = action;
  payload.pull_request.author_association = association;
  if (author !== undefined) payload.pull_request.user.login = author;
  if (sha !== undefined) payload.pull_request.head.sha = sha;
  if (base !== undefined) payload.pull_request.base.ref = base;
  if (number !== undefined) payload.pull_request.number = number;
  if (changes !== undefined) payload.changes = changes;
  return payload;
}

type CommentOver = {
  body?: string;
  by?: string;
  association?: string;
  author?: string;
  authorAssociation?: string;
  action?: string;
};
/** GitHub's recorded comment, moved to pull request #2 and written by a member unless told otherwise. */
export function comment({ body = '/ok-to-test', by = 'member', association = 'MEMBER', ...over }: CommentOver = {}) {
  const payload = example('issue_comment');
  payload.action = over.action ?? 'created';
  payload.issue.number = 2;
  payload.issue.pull_request = { url: `https://api.github.com/repos/${repo}/pulls/2` };
  payload.issue.user.login = over.author ?? 'Codertocat';
  payload.issue.author_association = over.authorAssociation ?? 'NONE';
  payload.comment.body = body;
  payload.comment.user.login = by;
  payload.comment.author_association = association;
  return payload;
}

/** GitHub's recorded push of one commit to master, with these files changed. */
export function push(files: string[] = ['README.md'], over: Record<string, unknown> = {}) {
  const payload = example('push', 4);
  payload.commits[0] = { ...payload.commits[0], added: [], removed: [], modified: files };
  return { ...payload, ...over };
}
