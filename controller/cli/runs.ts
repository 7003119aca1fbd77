import { type Command, Option } from 'commander';
import type { RunSummary } from '../../protocol/api.ts';
import { runsAnswer } from './answers.ts';
import { asClient, type Cli, printJson, type Work } from './cli.ts';
import { clientOptions, examples } from './help.ts';
import { parseRepo, parseRunId, parseWhole } from './parse.ts';
import type { ClientOptions } from './settings.ts';
import { printTable } from './table.ts';
import { ago, duration } from './text.ts';

type RunsOptions = ClientOptions & {
  state?: string;
  job?: string;
  repo?: { org: string; repo: string };
  pull?: number;
  limit: number;
  before?: string;
};

const states = ['open', 'queued', 'running', 'stopping', 'passed', 'failed', 'errored', 'cancelled'];

export function addRuns(parent: Command, cli: Cli): void {
  const command = parent
    .command('runs')
    .description('list runs, the newest first')
    .addOption(new Option('--state <state>', 'only these; open: not ended yet').choices(states))
    .option('--job <job>', 'only runs of this job')
    .option('--repo <org/repo>', 'only runs of this repository', parseRepo)
    .option('--pull <number>', 'only runs of this pull request', parseWhole(1))
    .option('--limit <n>', 'at most so many', parseWhole(1, 1_000), 20)
    .option('--before <run>', 'only runs older than this one', parseRunId)
    .action((o: RunsOptions) => asClient(cli, o, (w) => runs(o, w)));
  clientOptions(command);
  examples(command, [
    ['thresh runs --state open', 'what is queued or running'],
    ['thresh runs --repo org/app --pull 12', 'everything that a pull request led to'],
    ['thresh runs --state failed --json | jq -r .runs[].id', 'ids for a script'],
  ]);
}

async function runs(o: RunsOptions, w: Work): Promise<void> {
  const { state, job, pull, limit, before } = o;
  const repo = o.repo && `${o.repo.org}/${o.repo.repo}`;
  const answer = await w.farm.get(['api', 'runs'], { state, job, repo, pull, before, limit }, runsAnswer);
  if (w.json) return printJson(w.out, answer);
  if (answer.runs.length === 0) return w.err.line('no runs');
  const nowMs = w.now();
  printTable<RunSummary>(w.out, answer.runs, [
    { title: 'RUN', cell: (r) => r.id },
    { title: 'STATE', cell: (r) => r.state, state: true },
    { title: 'JOB', cell: (r) => r.job, gives: true },
    { title: 'SOURCE', cell: sourceOf, gives: true },
    { title: 'BY', cell: (r) => r.by, gives: true },
    { title: 'AGE', cell: (r) => ago(r.createdAtMs, nowMs) },
    { title: 'TOOK', cell: (r) => tookOf(r, nowMs), right: true },
  ]);
  if (answer.before !== undefined) w.err.line(w.err.paint('dim', `older ones: --before ${answer.before}`));
}

const sourceOf = (r: RunSummary): string | undefined => {
  if (r.repo === undefined) return undefined;
  return r.pull === undefined ? `${r.repo}${r.sha ? `@${r.sha.slice(0, 7)}` : ''}` : `${r.repo}#${r.pull}`;
};

const tookOf = (r: RunSummary, nowMs: number): string | undefined =>
  r.startedAtMs === undefined ? undefined : duration((r.endedAtMs ?? nowMs) - r.startedAtMs);
