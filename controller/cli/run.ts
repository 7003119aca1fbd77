import { type Command, Option } from 'commander';
import type { RunRequest, VerdictAnswer } from '../../protocol/api.ts';
import { FarmError } from '../../protocol/errors.ts';
import type { Priority } from '../../protocol/job.ts';
import { verdictAnswer } from './answers.ts';
import { asClient, type Cli, printJson, printJsonLine, type Work } from './cli.ts';
import { usage } from './exit.ts';
import { patiently } from './follow.ts';
import { getRun } from './follow-run.ts';
import { clientOptions, examples } from './help.ts';
import { sendHere } from './here.ts';
import { followToEnd, withSink } from './logs.ts';
import { parseBase, parsePull, parseRepo, several } from './parse.ts';
import type { ClientOptions } from './settings.ts';
import { plain } from './text.ts';
import { deliveryOf, heed, undecided } from './verdict.ts';

type RunOptions = ClientOptions & {
  repo?: { org: string; repo: string };
  ref?: { baseRef: string; baseSha?: string };
  pull?: { number: number; sha: string }[];
  here?: boolean;
  priority?: Priority;
  follow?: boolean;
};

export function addRun(parent: Command, cli: Cli): void {
  const command = parent
    .command('run')
    .description('run a job now')
    .argument('<job>', 'name of the job, as in the job files')
    .option('--repo <org/repo>', 'the repository, where jobs of several share the name', parseRepo)
    .option('--ref <branch[:sha]>', 'what to check out of it (default: what the job says)', parseBase)
    .option('--pull <number:sha>', 'a pull request to merge onto it; several times for a batch', several(parsePull))
    .option('--here', 'test the git checkout that you are in as it is: changed and new files too, but not ignored ones')
    .addOption(
      new Option('--priority <priority>', 'who waits for whom (default: what the job says)').choices(['high', 'normal', 'low']),
    )
    .option('-f, --follow', 'print the logs as they grow and end with the run: exit code 1 when it does not pass')
    .action((job: string, o: RunOptions) => asClient(cli, o, (w) => run(job, o, w, cli)));
  clientOptions(command);
  examples(command, [
    ['thresh run hello --follow', 'a job that needs no source; its logs, and an exit code for scripts'],
    ['thresh run unit --repo org/app --ref main', 'the tip of a branch'],
    ['thresh run unit --repo org/app --ref main:4f3e… --pull 12:9ab0…', 'exactly what a pull request would run (full SHAs)'],
    ['thresh run unit --here --follow', 'what stands in your working tree, before anything is pushed'],
    ['id=$(thresh run unit --json | jq -r .runs[0])', 'only start it, and keep its id'],
  ]);
}

async function run(job: string, o: RunOptions, w: Work, { cwd, env }: Pick<Cli, 'cwd' | 'env'>): Promise<void> {
  const request = requestOf(job, o);
  if (o.here) request.here = await sendHere({ cwd, env }, w);
  const answer = await w.farm.post(['api', 'runs'], request, verdictAnswer, {
    look: "see whether it began with 'thresh runs'",
  });
  heed(answer);
  if (!o.follow) return w.json ? printJson(w.out, answer) : say(job, answer, w);
  const runs = answer.verdict ? answer.runs : await decided(answer.delivery, w);
  if (runs.length === 0) throw new FarmError('NOT_STARTED', { job: plain(job), reason: plain(answer.verdict?.reason ?? '') });
  for (const id of runs) await follow(id, w);
}

/** @throws FarmError BAD_USAGE */
export function requestOf(job: string, o: RunOptions): RunRequest {
  if (o.here && (o.ref || o.pull)) throw usage('--here is the source; leave out --ref and --pull');
  if (o.pull && !o.ref) throw usage('--pull wants --ref: the branch that the pull request goes to');
  if (o.ref && !o.repo) throw usage('--ref wants --repo');
  const request: RunRequest = { job };
  if (o.repo) request.repo = `${o.repo.org}/${o.repo.repo}`;
  if (o.priority) request.priority = o.priority;
  if (o.repo && o.ref) {
    // Nobody said who wrote it. No login is empty, so nobody is taken for the author.
    const pulls = (o.pull ?? []).map((p) => ({ ...p, author: '' }));
    request.refs = { ...o.repo, ...o.ref, pulls };
  }
  return request;
}

const runUrl = (w: Work, id: string): string => new URL(`runs/${id}`, w.farm.url()).href;

function say(job: string, answer: VerdictAnswer, w: Work): void {
  const [first] = answer.runs;
  if (!answer.verdict) w.out.line(undecided(answer.delivery));
  else if (first === undefined) throw new FarmError('NOT_STARTED', { job: plain(job), reason: plain(answer.verdict.reason) });
  for (const id of answer.runs) sayRun(id, job, w);
  if (first !== undefined) w.err.line(w.err.paint('dim', `'thresh logs -f ${plain(first)}' follows it`));
}

const sayRun = (id: string, job: string, w: Work): void =>
  w.out.line(`run ${w.out.paint('bold', plain(id))} of ${plain(job)}  ${w.out.paint('dim', runUrl(w, id))}`);

async function follow(id: string, w: Work): Promise<void> {
  const run = await patiently(() => getRun(w, id), w);
  if (w.json) printJsonLine(w.out, { run: id, job: run.job, url: runUrl(w, id) });
  else sayRun(id, run.job, w);
  const steps = run.at.map((s) => s.name);
  await withSink(steps, { raw: false, follow: true }, w, (sink) =>
    followToEnd(run, { step: undefined, attempt: undefined, offset: 0, fromFirst: true }, sink, w, w.out),
  );
}

/** Waits for the verdict of a delivery that was only stored. @returns its runs */
async function decided(delivery: string, w: Work): Promise<string[]> {
  w.err.line(w.err.paint('dim', `stored as delivery ${plain(delivery)}; waiting for its decision`));
  return patiently(async (life) => {
    const summary = await deliveryOf(delivery, w);
    life.answered();
    if (summary.verdict.decision === 'waiting') return undefined;
    heed({ delivery, verdict: summary.verdict, runs: [] });
    return summary.verdict.creates.map((created) => created.id);
  }, w);
}
