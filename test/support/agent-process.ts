/*
 * An agent as a process of its own that a test can kill, stop and continue. The first line on its standard input is an
 * `AgentStart`; it says `{agent}` on standard output once it serves, drains at SIGTERM, and ends with its parent.
 */
import { createInterface } from 'node:readline';
import pino from 'pino';
import { type AgentSettings, startAgent } from '../../agent/agent.ts';
import type { Executor } from '../../agent/executor/executor.ts';
import { processExecutor } from '../../agent/executor/process.ts';
import { scriptedExecutor } from '../../agent/executor/scripted.ts';
import { keyOf } from '../../protocol/task.ts';

export type AgentStart = { settings: AgentSettings; executor: 'scripted' | 'process'; logLevel: string };

/** In scripts `@attempt` stands for the attempt's key, so that a witness tells which one wrote. There is no source to check out. */
const signing = (executor: Executor): Executor => ({
  ...executor,
  start: (job) => {
    const script = job.spec.builtin ? '' : job.spec.script?.replaceAll('@attempt', keyOf(job.key));
    return executor.start({ ...job, spec: { ...job.spec, ...(script === undefined ? {} : { script }) } });
  },
});

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { settings, executor, logLevel }: AgentStart = JSON.parse((await lines.next()).value ?? 'null');
const log = pino({ level: logLevel, base: { agent: settings.name } }, pino.destination({ dest: 2, sync: true }));
const agent = await startAgent(settings, {
  log,
  executor: signing(executor === 'scripted' ? scriptedExecutor() : processExecutor()),
  fetch,
  wallMs: () => Date.now(),
  failed: (error) => {
    log.fatal({ err: error }, 'this agent cannot go on');
    process.exit(1);
  },
});
process.stdout.write(`${JSON.stringify({ agent: agent.id })}\n`);
process.once('SIGTERM', () => void agent.drain().then(() => process.exit()));
while (!(await lines.next()).done);
process.exit();
