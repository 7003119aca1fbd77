import type { Command } from 'commander';
import type { QueueSummary } from '../../protocol/api.ts';
import { queuesAnswer, verdictAnswer } from './answers.ts';
import { asClient, type Cli, printJson, type Work } from './cli.ts';
import { clientOptions, examples } from './help.ts';
import { parseName } from './parse.ts';
import type { ClientOptions } from './settings.ts';
import { printTable } from './table.ts';
import { duration } from './text.ts';
import { sayDone } from './verdict.ts';

export function addQueues(parent: Command, cli: Cli): void {
  const command = parent
    .command('queues')
    .description('list queues: what waits, and why; pause and resume them')
    .action((o: ClientOptions) => asClient(cli, o, (w) => queues(w)));
  clientOptions(command);
  examples(command, [
    ['thresh queues', 'what waits and runs in each, and why the oldest waits'],
    ["thresh queues pause gpu --reason 'driver update'", 'nothing new begins; what runs goes on'],
    ['thresh queues resume gpu', 'tasks are handed out again'],
  ]);
  for (const paused of [true, false]) addPause(command, cli, paused);
}

function addPause(parent: Command, cli: Cli, paused: boolean): void {
  const name = paused ? 'pause' : 'resume';
  const command = parent
    .command(name)
    .description(paused ? 'hand out no more tasks of a queue' : 'hand out tasks of a paused queue again')
    .argument('<queue>', 'name of the queue', parseName('queue'))
    .option('--reason <text>', 'why, for whoever waits')
    // A parent's options of the same name would be taken by the parent.
    .action((queue: string, _: object, self: Command) => {
      const o = self.optsWithGlobals<ClientOptions & { reason?: string }>();
      return asClient(cli, o, (w) => setPaused(queue, paused, o.reason, w));
    });
  clientOptions(command);
  examples(command, [
    [`thresh queues ${name} default`, paused ? 'what runs goes on' : 'the oldest of the highest priority first'],
  ]);
}

async function queues(w: Work): Promise<void> {
  const answer = await w.farm.get(['api', 'queues'], {}, queuesAnswer);
  if (w.json) return printJson(w.out, answer);
  if (answer.queues.length === 0)
    return w.err.line("no queues: no agent has joined ('thresh agents token' makes a token for one)");
  const nowMs = w.now();
  printTable<QueueSummary>(w.out, answer.queues, [
    { title: 'QUEUE', cell: (q) => q.queue },
    { title: 'STATE', cell: (q) => (q.paused ? 'paused' : 'open'), state: true },
    { title: 'READY', cell: (q) => q.ready, right: true },
    { title: 'RUNNING', cell: (q) => q.running, right: true },
    { title: 'AGENTS', cell: (q) => q.agents, right: true },
    { title: 'OLDEST', cell: (q) => q.oldest && duration(nowMs - q.oldest.sinceMs), right: true },
    { title: 'WHY', cell: whyOf, gives: true },
  ]);
}

const whyOf = (q: QueueSummary): string | undefined =>
  q.paused ? `paused by ${q.paused.by}: ${q.paused.reason}` : q.oldest && `${q.oldest.run}/${q.oldest.step}: ${q.oldest.why}`;

async function setPaused(queue: string, paused: boolean, reason: string | undefined, w: Work): Promise<void> {
  const body = { paused, ...(reason ? { reason } : {}) };
  const answer = await w.farm.post(['api', 'queues', queue], body, verdictAnswer, { repeatable: true });
  sayDone(answer, `queue '${queue}' is ${paused ? 'paused; what runs goes on' : 'open again'}`, w);
}
