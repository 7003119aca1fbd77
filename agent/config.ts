import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { isAbsolute, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { FarmError, messageOf } from '../protocol/errors.ts';
import { defaultTimes } from '../protocol/times.ts';
import { toToken } from '../protocol/token.ts';
import type { AgentSettings } from './agent.ts';
import { dockerAnswers, dockerExecutor } from './executor/docker.ts';
import type { Executor } from './executor/executor.ts';
import { closedPolicy, type NodePolicy, readPolicy } from './executor/policy.ts';
import { processExecutor } from './executor/process.ts';
import { scriptedExecutor } from './executor/scripted.ts';
import { defaultStepUser, userNamed } from './executor/user.ts';
import { mergeOptions, optionsToKeep, remembered } from './remember.ts';
import { checkoutExecutor } from './workspace/checkout.ts';
import { parseNfsUrl } from './workspace/nfs-mount.ts';
import { withCheckout } from './workspace/with-checkout.ts';

export type AgentConfig = {
  settings: AgentSettings;
  executor: Executor;
  logLevel: string;
  /** `nfs://...`, or a directory where it is mounted already. */
  shared: string | undefined;
  /** What is worth remembering once it has joined (remember.ts). */
  options: string[];
};

const graceMs = 30_000;

/**
 * What the command line and the environment (`THRESH_URL`, `THRESH_JOIN_TOKEN`) say, all problems at once; what they do not say is as it was
 * when the agent joined.
 * @throws FarmError BAD_SETTINGS
 */
export async function readConfig(given: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<AgentConfig> {
  const before = remembered(resolve(dataDirIn(given)));
  const { values } = parseArgs({
    args: mergeOptions(before?.options ?? [], given),
    options: {
      url: { type: 'string', multiple: true },
      'token-file': { type: 'string' },
      name: { type: 'string' },
      data: { type: 'string', default: '.thresh-agent' },
      queues: { type: 'string' },
      slots: { type: 'string', default: '2' },
      executor: { type: 'string', default: 'process' },
      policy: { type: 'string' },
      'default-image': { type: 'string' },
      'step-user': { type: 'string' },
      shared: { type: 'string' },
      'lease-ms': { type: 'string', default: String(defaultTimes.leaseMs) },
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
  const leaseMs = Number(values['lease-ms']);
  if (!Number.isInteger(leaseMs) || leaseMs < 5_000 || leaseMs > 600_000)
    problems.push(
      `--lease-ms ${values['lease-ms']}: expected a whole number of milliseconds from 5000 to 600000, that of the controllers`,
    );
  const joinToken = await readToken(values['token-file'], env, before !== undefined, problems);
  const stepUser = values['step-user'] === undefined ? defaultStepUser() : await userNamed(values['step-user']);
  const name = values.name ?? toToken(hostname().slice(0, 48));
  const policy = await policyIn(values.policy, problems);
  const kind = values.executor === 'auto' ? ((await dockerAnswers()) ? 'docker' : 'process') : values.executor;
  const steps = executors[kind]?.({
    name,
    dataDir: resolve(values.data),
    policy,
    defaultImage: values['default-image'],
    user: stepUser,
  });
  const checkout = checkoutExecutor({ git: processExecutor({ user: stepUser }), allowFile: values['allow-file-clone'] });
  // A scripted executor plays the checkout too.
  const executor = steps && steps.kind !== 'scripted' ? withCheckout(steps, checkout) : steps;
  if (!executor) problems.push(`--executor ${values.executor}: expected one of ${Object.keys(executors).join(', ')}, auto`);
  if (values.shared !== undefined && !isAbsolute(values.shared) && !parseNfsUrl(values.shared))
    problems.push(`--shared ${values.shared}: expected nfs://HOST[:PORT]/EXPORT, or the absolute path of a directory`);
  if (problems.length > 0 || !executor) throw new FarmError('BAD_SETTINGS', { problems });
  return {
    executor,
    logLevel: values['log-level'],
    shared: values.shared,
    options: optionsToKeep({ ...values, url: urls, name }),
    settings: {
      name,
      urls,
      joinToken,
      ...(before?.name === name ? { agentToken: before.token } : {}),
      dataDir: resolve(values.data),
      slots,
      ...(values.queues === undefined ? {} : { queues: values.queues.split(',') }),
      times: { ...defaultTimes, leaseMs },
      host: hostname(),
      version: '0.1.0',
      stepUser: values.executor === 'scripted' ? undefined : stepUser,
      graceMs,
    },
  };
}

type ExecutorFacts = {
  name: string;
  dataDir: string;
  policy: NodePolicy;
  defaultImage: string | undefined;
  user: Awaited<ReturnType<typeof userNamed>> | undefined;
};

const executors: Record<string, (facts: ExecutorFacts) => Executor> = {
  docker: ({ name, dataDir, policy, defaultImage }) =>
    dockerExecutor({ owner: ownerOf(name, dataDir), agent: name, policy, ...(defaultImage ? { defaultImage } : {}) }),
  process: ({ user }) => processExecutor({ user }),
  scripted: () => scriptedExecutor(),
};

/** The same for every process of this agent, and of no other one that may use the same Docker Engine. */
const ownerOf = (name: string, dataDir: string): string =>
  createHash('sha256').update(`${name}\n${dataDir}`).digest('hex').slice(0, 12);

async function policyIn(file: string | undefined, problems: string[]): Promise<NodePolicy> {
  if (file === undefined) return closedPolicy;
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    problems.push(`--policy ${file}: ${messageOf(error)}`);
    return undefined;
  });
  const read = text === undefined ? undefined : readPolicy(text);
  if (read && 'policy' in read) return read.policy;
  problems.push(...(read?.problems ?? []).map((problem) => `--policy ${file}: ${problem}`));
  return closedPolicy;
}

const dataDirIn = (args: readonly string[]): string =>
  parseArgs({ args: [...args], strict: false, options: { data: { type: 'string' } } }).values.data?.toString() ?? '.thresh-agent';

async function readToken(
  file: string | undefined,
  env: NodeJS.ProcessEnv,
  hasJoined: boolean,
  problems: string[],
): Promise<string> {
  try {
    const token = file === undefined ? env.THRESH_JOIN_TOKEN : await readFile(file, 'utf8');
    if (token?.trim()) return token.trim();
    if (!hasJoined) problems.push("--token-file is missing: a file with a join token ('thresh agents token' makes one)");
  } catch (error) {
    problems.push(`--token-file ${file}: ${messageOf(error)}`);
  }
  return '';
}
