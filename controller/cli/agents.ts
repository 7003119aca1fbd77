import { type Command, Option } from 'commander';
import type { AgentSummary, TokenRequest } from '../../protocol/api.ts';
import { agentsAnswer, tokenAnswer, verdictAnswer } from './answers.ts';
import { asClient, type Cli, printJson, type Work } from './cli.ts';
import { clientOptions, examples } from './help.ts';
import { parseDuration, parseName, parseNames } from './parse.ts';
import type { ClientOptions } from './settings.ts';
import { printTable } from './table.ts';
import { duration, plain } from './text.ts';
import { sayDone } from './verdict.ts';

export function addAgents(parent: Command, cli: Cli): void {
  const command = parent
    .command('agents')
    .description('list agents and what they do; make tokens with which new ones join')
    .action((o: ClientOptions) => asClient(cli, o, (w) => agents(w)));
  clientOptions(command);
  examples(command, [
    ['thresh agents', 'who is there, and what each runs'],
    ['thresh agents token --queues default,gpu > join.token', 'then: thresh agent --url URL --token-file join.token'],
  ]);
  addToken(command, cli);
}

async function agents(w: Work): Promise<void> {
  const answer = await w.farm.get(['api', 'agents'], {}, agentsAnswer);
  if (w.json) return printJson(w.out, answer);
  if (answer.agents.length === 0) return w.err.line("no agents: 'thresh agents token' makes a token with which one can join");
  const nowMs = w.now();
  printTable<AgentSummary>(w.out, answer.agents, [
    { title: 'AGENT', cell: (a) => a.id },
    { title: 'STATE', cell: (a) => (isSilent(a) ? 'silent' : a.state), state: true },
    { title: 'QUEUES', cell: (a) => a.queues.join(','), gives: true },
    { title: 'TAKES', cell: (a) => (a.trust === 'any' ? 'any run' : 'trusted') },
    { title: 'EXECUTOR', cell: (a) => a.executor },
    { title: 'HOST', cell: (a) => a.host, gives: true },
    { title: 'VERSION', cell: (a) => a.version },
    { title: 'RUNNING', cell: (a) => runningOf(a, nowMs), gives: true },
  ]);
}

/** One that is draining or revoked may well be silent; its own state then says more. */
const isSilent = (a: AgentSummary): boolean => a.silentSinceMs !== undefined && a.state === 'serving';

const runningOf = (a: AgentSummary, nowMs: number): string =>
  a.silentSinceMs === undefined
    ? a.running.map((t) => `${t.run}/${t.step}`).join(' ')
    : `not heard for ${duration(nowMs - a.silentSinceMs)}${a.running.length > 0 ? `, holds ${a.running.length}` : ''}`;

const maxTtlMs = 30 * 86_400_000;

type TokenOptions = ClientOptions & { queues: string[]; trust: 'trusted' | 'any'; ttl: number };

function addToken(parent: Command, cli: Cli): void {
  const command = parent
    .command('token')
    .description('make a token with which agents join')
    .addOption(
      new Option('--queues <names>', 'the queues that they may serve').argParser(parseNames).default(['default'], 'default'),
    )
    .addOption(
      new Option('--trust <trust>', "trusted: only runs of trusted people's changes; any: all, without secrets")
        .choices(['trusted', 'any'])
        .default('trusted'),
    )
    .addOption(
      new Option('--ttl <time>', 'how long one may join with it').argParser(parseDuration(maxTtlMs)).default(3_600_000, '1h'),
    )
    .action((_: object, self: Command) => {
      const o = self.optsWithGlobals<TokenOptions>();
      return asClient(cli, o, (w) => token(o, w));
    });
  clientOptions(command);
  examples(
    command,
    [
      ['thresh agents token --queues default --ttl 24h > join.token', 'the token alone is on standard output'],
      ['thresh agents token --queues forks --trust any', 'for agents that may run what strangers wrote'],
    ],
    'Whoever has the token can make any number of agents join while it lasts. They stay when it has run out.',
  );
}

async function token(o: TokenOptions, w: Work): Promise<void> {
  const request: TokenRequest = { queues: o.queues, trust: o.trust, ttlMs: o.ttl };
  const answer = await w.farm.post(['api', 'agents', 'tokens'], request, tokenAnswer, { repeatable: true });
  if (w.json) return printJson(w.out, answer);
  w.out.line(plain(answer.token));
  const lasts = `lasts ${duration(answer.expiresAtMs - w.now())}; on the machine that shall join:`;
  w.err.line(`${w.err.paint('dim', lasts)}\n  thresh agent join ${w.farm.url().origin} ${plain(answer.token)}`);
}

type DrainOptions = ClientOptions & { undo?: boolean; reason?: string };

export function addDrain(parent: Command, cli: Cli): void {
  const command = parent
    .command('drain')
    .description('give an agent nothing new, so that its machine can be taken away')
    .argument('<agent>', 'name of the agent', parseName('agent'))
    .option('--undo', 'give it work again')
    .option('--reason <text>', 'why, for whoever looks')
    .action((agent: string, o: DrainOptions) => asClient(cli, o, (w) => setState(agent, o.undo ? 'serving' : 'draining', o, w)));
  clientOptions(command);
  examples(command, [
    ["thresh drain node-7 --reason 'new kernel'", 'it finishes what it has'],
    ['thresh drain node-7 --undo', 'it serves again'],
  ]);
}

export function addRevoke(parent: Command, cli: Cli): void {
  const command = parent
    .command('revoke')
    .description('shut an agent out at once: it loses its tasks and cannot log in again')
    .argument('<agent>', 'name of the agent', parseName('agent'))
    .option('--reason <text>', 'why, for whoever looks')
    .action((agent: string, o: DrainOptions) => asClient(cli, o, (w) => setState(agent, 'revoked', o, w)));
  clientOptions(command);
  examples(command, [["thresh revoke node-7 --reason 'key was copied'", 'to take a machine away in peace, drain it instead']]);
}

const said = {
  serving: 'serves again',
  draining: 'gets nothing new and finishes what it has',
  revoked: 'is shut out; its tasks are lost to it',
} as const;

async function setState(agent: string, state: keyof typeof said, o: DrainOptions, w: Work): Promise<void> {
  const body = { state, ...(o.reason ? { reason: o.reason } : {}) };
  const answer = await w.farm.post(['api', 'agents', agent], body, verdictAnswer, { repeatable: true });
  sayDone(answer, `agent '${agent}' ${said[state]}`, w);
}
