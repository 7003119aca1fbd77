import type { Command } from 'commander';
import { lastAttempt, type Run } from '../../protocol/run.ts';
import { asClient, type Cli, type Work } from './cli.ts';
import { Exit, exitCodeOf, exitCodes, Refusal, usage } from './exit.ts';
import { readAttempt } from './follow.ts';
import { type Following, followRun, getRun } from './follow-run.ts';
import { clientOptions, examples } from './help.ts';
import { jsonSink, type LogSink, plainSink, prefixSink, sayResult } from './log-sinks.ts';
import { parseName, parseRunId, parseWhole } from './parse.ts';
import type { ClientOptions } from './settings.ts';
import { duration, plain } from './text.ts';

type LogOptions = ClientOptions & { follow?: boolean; attempt?: number; offset?: number; raw?: boolean };

export function addLogs(parent: Command, cli: Cli): void {
  const command = parent
    .command('logs')
    .description('print what the steps of a run have written')
    .argument('<run>', 'id of the run, or its address', parseRunId)
    .argument('[step]', 'only this step; without it every line begins with the name of its step', parseName('step'))
    .option('-f, --follow', 'go on until the step, or the run, has ended; waits for steps that have not begun')
    .option('--attempt <n>', 'this attempt of the step (default: the newest)', parseWhole(1))
    .option('--offset <bytes>', 'begin at this byte of the step', parseWhole(0))
    .option('--raw', 'the bytes as they are, also on a terminal')
    .action((run: string, step: string | undefined, o: LogOptions) => asClient(cli, o, (w) => logs(run, step, o, w)));
  clientOptions(command);
  examples(
    command,
    [
      ['thresh logs 1905522071432466432', 'all steps, in order'],
      ['thresh logs -f 1905522071432466432 test', 'one step, as it runs; exit code 1 when it fails'],
      ['thresh logs 1905522071432466432 test --attempt 1 > test.log', 'the first attempt, every byte of it'],
    ],
    'On a terminal only text, newlines, tabs, carriage returns and colours are shown; other control sequences are dropped\n' +
      '(and colours too with NO_COLOR). With --raw, and when the output is no terminal, the bytes of a step are not changed.',
  );
}

async function logs(id: string, step: string | undefined, o: LogOptions, w: Work): Promise<void> {
  const run = await getRun(w, id);
  const wanted = selected(run, step, o);
  const shown = { raw: o.raw === true, follow: o.follow === true };
  await withSink(wanted, shown, w, async (sink) => {
    const one = o.attempt === undefined ? step : wanted[0];
    if (o.follow) await followToEnd(run, { step: one, attempt: o.attempt, offset: o.offset ?? 0, fromFirst: false }, sink, w);
    else await printStored(run, wanted, o, sink, w);
  });
}

/** The steps to print. @throws FarmError BAD_USAGE, Refusal NOT_FOUND */
function selected(run: Run, step: string | undefined, o: LogOptions): string[] {
  const names = run.at.map((s) => s.name);
  if (step !== undefined && !names.includes(step))
    throw new Refusal(404, 'NOT_FOUND', `run ${run.id} has no step '${step}'; its steps are ${names.map(plain).join(', ')}`);
  const wanted = step === undefined ? names : [step];
  const one = wanted.length === 1;
  if (!one && (o.attempt !== undefined || o.offset !== undefined)) throw usage('--attempt and --offset want one STEP');
  if (!one && o.raw && o.follow) throw usage('--raw with --follow wants one STEP, or the bytes of several would be mixed');
  const attempts = run.at.find((s) => s.name === wanted[0])?.attempts ?? [];
  if (o.attempt !== undefined && !o.follow && !attempts.some((a) => a.attempt === o.attempt))
    throw noAttempt(run.id, wanted[0], o.attempt);
  return wanted;
}

const noAttempt = (run: string, step: string | undefined, attempt: number | undefined): Refusal =>
  new Refusal(404, 'NOT_FOUND', `step '${step}' of run ${run} has no attempt ${attempt}; 'thresh show ${run}' lists them`);

/** Gives `work` the sink that fits what was asked for, and closes it. */
export async function withSink(
  steps: readonly string[],
  o: { raw: boolean; follow: boolean },
  w: Work,
  work: (sink: LogSink) => Promise<void>,
): Promise<void> {
  if (!w.json) return work(steps.length === 1 || o.raw ? plainSink(w, o.raw) : prefixSink(w, steps));
  const sink = jsonSink(w.out, o.follow);
  await work(sink);
  sink.close();
}

async function printStored(run: Run, steps: readonly string[], o: LogOptions, sink: LogSink, w: Work): Promise<void> {
  for (const name of steps) {
    const step = run.at.find((s) => s.name === name);
    const attempt = o.attempt ?? lastAttempt(step)?.attempt;
    if (!step || attempt === undefined) {
      const why = step?.why ? ` (${plain(step.why)})` : '';
      w.err.line(w.err.paint('dim', `${plain(name)}: no output, the step ${saidOf(step?.state)}${why}`));
      continue;
    }
    const log = { run: run.id, step: name, attempt, offset: o.offset ?? 0 };
    await readAttempt(log, (bytes, offset) => sink.bytes(name, attempt, bytes, offset), w);
    await sink.end(name, attempt);
  }
}

const saidOf = (state: string | undefined): string =>
  state === 'skipped' || state === 'cancelled' ? `was ${state}` : 'has not begun';

type FollowOptions = { step: string | undefined; attempt: number | undefined; offset: number; fromFirst: boolean };

/** Follows to the end, says how it ended. @throws Exit 1 when it did not pass */
export async function followToEnd(run: Run, o: FollowOptions, sink: LogSink, w: Work, results = w.err): Promise<void> {
  const following: Following = { offset: o.offset, fromFirst: o.fromFirst };
  if (o.step !== undefined) following.step = o.step;
  if (o.attempt !== undefined) following.attempt = o.attempt;
  const after = await followRun(run, following, sink, w).catch((error: unknown) => {
    if (w.signal.aborted && exitCodeOf(w.signal.reason) === exitCodes.interrupted)
      w.err.line(`\nrun ${run.id} goes on; 'thresh logs -f ${run.id}' follows it, 'thresh cancel ${run.id}' ends it`);
    throw error;
  });
  if (o.step === undefined) {
    sayResult(w.json ? w.out : results, after, duration((after.endedAtMs ?? w.now()) - after.createdAtMs), w.json);
    if (after.state !== 'passed') throw new Exit(exitCodes.failed);
    return;
  }
  const step = after.at.find((s) => s.name === o.step);
  const state = o.attempt === undefined ? step?.state : step?.attempts.find((a) => a.attempt === o.attempt)?.state;
  if (state === undefined) throw noAttempt(run.id, o.step, o.attempt);
  if (state !== 'passed' && state !== 'skipped') throw new Exit(exitCodes.failed);
}
