import type { Command } from 'commander';
import type { DeliverySummary } from '../../protocol/api.ts';
import { deliveriesAnswer } from './answers.ts';
import { asClient, type Cli, printJson, type Work } from './cli.ts';
import { clientOptions, examples } from './help.ts';
import { parseWhole } from './parse.ts';
import type { ClientOptions } from './settings.ts';
import { printTable } from './table.ts';
import { paintState } from './terminal.ts';
import { ago, count, plain } from './text.ts';
import { deliveryOf } from './verdict.ts';

type DeliveriesOptions = ClientOptions & { limit: number; before?: string };

export function addDeliveries(parent: Command, cli: Cli): void {
  const command = parent
    .command('deliveries')
    .description('list what came from outside and what it led to; or explain one')
    .argument('[delivery]', 'SOURCE/ID of one, to see the answer of every rule')
    .option('--limit <n>', 'at most so many', parseWhole(1, 1_000), 20)
    .option('--before <position>', 'go on where the last list ended')
    .action((name: string | undefined, o: DeliveriesOptions) =>
      asClient(cli, o, (w) => (name === undefined ? deliveries(o, w) : explain(name, w))),
    );
  clientOptions(command);
  examples(command, [
    ['thresh deliveries', 'webhooks, clock ticks, requests of people, agents that joined'],
    ['thresh deliveries github/72d3162e-cc78-11e3-81ab-4c9367dc0958', 'why a push started these jobs and not those'],
  ]);
}

async function deliveries(o: DeliveriesOptions, w: Work): Promise<void> {
  const answer = await w.farm.get(['api', 'deliveries'], { limit: o.limit, before: o.before }, deliveriesAnswer);
  if (w.json) return printJson(w.out, answer);
  if (answer.deliveries.length === 0) return w.err.line('no deliveries');
  const nowMs = w.now();
  printTable<DeliverySummary>(w.out, answer.deliveries, [
    { title: 'DELIVERY', cell: nameOf },
    { title: 'AGE', cell: (d) => ago(d.atMs, nowMs) },
    { title: 'EVENT', cell: (d) => d.verdict.event },
    { title: 'BY', cell: (d) => d.verdict.by, gives: true },
    { title: 'LED TO', cell: (d) => d.verdict.decision, state: true },
    { title: 'WHY', cell: (d) => d.verdict.reason, gives: true },
  ]);
}

const nameOf = (d: DeliverySummary): string => `${d.source}/${d.id}`;

async function explain(name: string, w: Work): Promise<void> {
  const delivery = await deliveryOf(name, w);
  if (w.json) return printJson(w.out, delivery);
  const { verdict } = delivery;
  const where = verdict.repo ? ` of ${plain(verdict.repo)}${verdict.pull ? `#${verdict.pull}` : ''}` : '';
  w.out.line(
    `${plain(nameOf(delivery))}: ${plain(verdict.event)}${where} by ${plain(verdict.by)}, ${ago(delivery.atMs, w.now())}`,
  );
  w.out.line(`  ${paintState(w.out, verdict.decision)}: ${plain(verdict.reason)}`);
  for (const created of verdict.creates ?? []) w.out.line(`  run ${plain(created.id)} of ${plain(created.job)}`);
  for (const cancel of verdict.cancels ?? []) w.out.line(`  cancelled run ${plain(cancel.run)}: ${plain(cancel.reason)}`);
  if (verdict.rulesObject) w.out.line(w.out.paint('dim', '  the answers of its rules are in object storage'));
  if (verdict.rules.length === 0) return;
  w.out.line(`\n${count(verdict.rules.length, 'rule')} looked at:`);
  printTable(w.out, verdict.rules, [
    { title: 'JOB', cell: (r) => r.job, gives: true },
    { title: 'RUNS', cell: (r) => (r.runs ? 'runs' : 'no'), state: true },
    { title: 'WHY', cell: (r) => r.why, gives: true },
  ]);
}
