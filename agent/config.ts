import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { FarmError, messageOf } from '../protocol/errors.ts';
import { defaultTimes } from '../protocol/times.ts';
import { toToken } from '../protocol/token.ts';
import type { AgentSettings } from './agent.ts';
import type { Executor } from './executor/executor.ts';
import { processExecutor } from './executor/process.ts';
import { scriptedExecutor } from './executor/scripted.ts';
import { defaultStepUser, userNamed } from './executor/user.ts';
import { checkoutExecutor } from './workspace/checkout.ts';
import { withCheckout } from './workspace/with-checkout.ts';

export type AgentConfig = { settings: AgentSettings; executor: Executor; logLevel: string };

const graceMs = 30_000;

/**
 * What the command line and the environment (`THRESH_URL`, `THRESH_JOIN_TOKEN`) say, all problems at once.
 * @throws FarmError BAD_SETTINGS
 */
export async function readConfig(args: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<AgentConfig> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      url: { type: 'string', multiple: true },
      'token-file': { type: 'string' },
      name: { type: 'string' },
      data: { type: 'string', default: '.thresh-agent' },
      queues: { type: 'string' },
      slots: { type: 'string', default: '2' },
      executor: { type: 'string', default: 'process' },
      'step-user': { type: 'string' },
      'allow-file-clone': { type: 'boolean', default: false },
      'log-level': { type: 'string', default: 'info' },
    },
  });
  const problems: string[] = [];
  const urls = values.url ?? (env.THRESH_URL ? env.THRESH_URL.split(',') : []);
  if (urls.length === 0) problems.push('--url is missing: the address of a controller, such as http://127.0.0.1:8787');
  for (const url of urls)
    if (!URL.canParse(url)) problems.push(`--url ${url}: expected an address such as http://127.0.0.1:8787`);
  const slots = Number(values.slots);
  if (!Number.isInteger(slots) || slots < 1 || slots > 1_000)
    problems.push(`--slots ${values.slots}: expected a whole number from 1 to 1000`);
  const joinToken = await readToken(values['token-file'], env, problems);
  const stepUser = values['step-user'] === undefined ? defaultStepUser() : await userNamed(values['step-user']);
  const steps = executors[values.executor]?.({ user: stepUser });
  const checkout = checkoutExecutor({ git: processExecutor({ user: stepUser }), allowFile: values['allow-file-clone'] });
  // A scripted executor plays the checkout too.
  const executor = steps && steps.kind !== 'scripted' ? withCheckout(steps, checkout) : steps;
  if (!executor) problems.push(`--executor ${values.executor}: expected one of ${Object.keys(executors).join(', ')}`);
  if (problems.length > 0 || !executor) throw new FarmError('BAD_SETTINGS', { problems });
  return {
    executor,
    logLevel: values['log-level'],
    settings: {
      name: values.name ?? toToken(hostname().slice(0, 48)),
      urls,
      joinToken,
      dataDir: resolve(values.data),
      slots,
      ...(values.queues === undefined ? {} : { queues: values.queues.split(',') }),
      times: defaultTimes,
      host: hostname(),
      version: '0.1.0',
      stepUser: values.executor === 'scripted' ? undefined : stepUser,
      graceMs,
    },
  };
}

const executors: Record<string, (o: Parameters<typeof processExecutor>[0]) => Executor> = {
  process: processExecutor,
  scripted: () => scriptedExecutor(),
};

async function readToken(file: string | undefined, env: NodeJS.ProcessEnv, problems: string[]): Promise<string> {
  try {
    const token = file === undefined ? env.THRESH_JOIN_TOKEN : await readFile(file, 'utf8');
    if (token?.trim()) return token.trim();
    problems.push("--token-file is missing: a file with a join token ('thresh agents token' makes one)");
  } catch (error) {
    problems.push(`--token-file ${file}: ${messageOf(error)}`);
  }
  return '';
}
