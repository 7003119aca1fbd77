import type { Command } from 'commander';
import { lastAttempt, type Run, type RunStep } from '../../protocol/run.ts';
import { asClient, type Cli, printJson, type Work } from './cli.ts';
import { getRun } from './follow-run.ts';
import { clientOptions, examples } from './help.ts';
import { parseRunId } from './parse.ts';
import type { ClientOptions } from './settings.ts';
import { printTable } from './table.ts';
import { paintState } from './terminal.ts';
import { ago, duration, plain } from './text.ts';

export function addShow(parent: Command, cli: Cli): void {
  const command = parent
    .command('show')
    .description('show a run: what it tests, its steps, why it is where it is')
    .argument('<run>', 'id of the run, or its address', parseRunId)
    .action((id: string, o: ClientOptions) => asClient(cli, o, (w) => show(id, w)));
  clientOptions(command);
  examples(command, [
    ['thresh show 1905522071432466432', 'its state and steps'],
    ["thresh show 1905522071432466432 --json | jq '.at[] | {name, state}'", 'the whole run as the farm keeps it'],
  ]);
}

async function show(id: string, w: Work): Promise<void> {
  const run = await getRun(w, id);
  if (w.json) return printJson(w.out, run);
  const nowMs = w.now();
  const facts = factsOf(run, nowMs);
  const width = Math.max(...facts.map(([name]) => name.length));
  w.out.line(
    `run ${w.out.paint('bold', plain(run.id))} of ${w.out.paint('bold', plain(run.job))}: ${paintState(w.out, run.state)}`,
  );
  for (const [name, value] of facts) w.out.line(`  ${w.out.paint('dim', name.padEnd(width))}  ${plain(value)}`);
  w.out.line();
  printTable<RunStep>(w.out, run.at, [
    { title: 'STEP', cell: (s) => s.name },
    { title: 'STATE', cell: (s) => s.state, state: true },
    { title: 'TRY', cell: (s) => lastAttempt(s)?.attempt, right: true },
    { title: 'AGENT', cell: (s) => lastAttempt(s)?.agent, gives: true },
    { title: 'TOOK', cell: (s) => tookOf(s, nowMs), right: true },
    { title: 'WHY', cell: (s) => whyOf(s, run), gives: true },
  ]);
}

function factsOf(run: Run, nowMs: number): [string, string][] {
  const facts: [string, string | undefined][] = [
    ['reason', run.reason],
    ['cancelled', run.cancel && `by ${run.cancel.by}: ${run.cancel.reason}${run.cancel.force ? ' (forced)' : ''}`],
    ['type', `${run.type}${run.trusted ? '' : ', not trusted: no secrets'}${run.optional ? ', optional' : ''}`],
    ['source', sourceOf(run)],
    ['asked by', `${run.by} (delivery ${run.delivery})`],
    ['retry of', run.retryOf],
    [
      'workspace',
      run.workspace && `${run.workspace}${run.home ? ` on ${run.home}` : ''}${run.round > 1 ? `, round ${run.round}` : ''}`,
    ],
    ['created', ago(run.createdAtMs, nowMs)],
    ['waited', run.startedAtMs === undefined ? undefined : duration(run.startedAtMs - run.createdAtMs)],
    ['took', run.startedAtMs === undefined ? undefined : duration((run.endedAtMs ?? nowMs) - run.startedAtMs)],
  ];
  return facts.filter((fact): fact is [string, string] => Boolean(fact[1]));
}

function sourceOf({ refs }: Run): string | undefined {
  if (!refs) return undefined;
  const base = `${refs.org}/${refs.repo} ${refs.baseRef}${refs.baseSha ? ` at ${refs.baseSha.slice(0, 12)}` : ''}`;
  const pulls = refs.pulls.map((p) => `#${p.number} (${p.sha.slice(0, 12)}${p.author ? ` by ${p.author}` : ''})`);
  return [base, ...pulls].join(' + ');
}

function tookOf(step: RunStep, nowMs: number): string | undefined {
  const last = lastAttempt(step);
  return last?.startedAtMs === undefined ? undefined : duration((last.endedAtMs ?? nowMs) - last.startedAtMs);
}

function whyOf(step: RunStep, run: Run): string | undefined {
  const last = lastAttempt(step);
  if (step.why) return step.why;
  if (last?.message) return last.message;
  if (last?.exitCode !== undefined && last.exitCode !== 0) return `exit code ${last.exitCode}`;
  if (last?.signal) return `signal ${last.signal}`;
  if (step.state !== 'waiting') return undefined;
  const needs = run.steps.find((s) => s.name === step.name)?.needs ?? [];
  return needs.length > 0 ? `needs ${needs.join(', ')}` : undefined;
}
