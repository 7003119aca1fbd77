import { request } from 'node:http';
import type { Command } from 'commander';
import type { AgentSummary, FarmCheck, FarmSummary, QueueSummary } from '../../protocol/api.ts';
import { messageOf } from '../../protocol/errors.ts';
import { agentsAnswer, checksAnswer, farmAnswer, queuesAnswer } from './answers.ts';
import { asClient, type Cli, printJson, type Work } from './cli.ts';
import { Exit, exitCodes, Refusal, sentenceOf } from './exit.ts';
import { clientOptions, examples } from './help.ts';
import { type ClientOptions, defaultUrl, parseUrls } from './settings.ts';
import type { Env } from './terminal.ts';
import { count, duration, plain } from './text.ts';

export function addDoctor(parent: Command, cli: Cli): void {
  const command = parent
    .command('doctor')
    .description('look at the farm from here, and say what is wrong and what to do')
    .action((o: ClientOptions) => asClient(cli, o, (w) => doctor(o, cli, w)));
  clientOptions(command);
  examples(command, [
    ['thresh doctor', 'exit code 1 when there is a problem'],
    ['thresh doctor --url https://ci.example.org --json', 'for a script'],
  ]);
}

async function doctor(o: ClientOptions, cli: Cli, w: Work): Promise<void> {
  const checks = await look(o, cli, w);
  if (w.json) printJson(w.out, { checks });
  else for (const check of checks) print(check, w);
  const problems = checks.filter((c) => c.state === 'problem').length;
  if (!w.json) w.out.line(problems === 0 ? w.out.paint('green', 'no problems') : w.out.paint('red', count(problems, 'problem')));
  if (problems > 0) throw new Exit(exitCodes.failed);
}

const colours = { ok: 'green', note: 'yellow', problem: 'red' } as const;

function print({ name, state, says, todo }: FarmCheck, { out }: Work): void {
  out.line(`${out.paint(colours[state], state.padEnd(8))} ${plain(name)}: ${plain(says)}`);
  if (todo !== undefined) out.line(`${' '.repeat(8)} ${out.paint('dim', `-> ${plain(todo)}`)}`);
}

/** From the nearest to the farthest: what fails first is most likely why the rest does. */
async function look(o: ClientOptions, cli: Cli, w: Work): Promise<FarmCheck[]> {
  const urls = parseUrls(o.url ?? (cli.env.THRESH_URL || defaultUrl));
  const checks = (await Promise.all(urls.map((url) => checkReplica(url, cli, w)))).flat();
  checks.push(await checkDocker(cli.env));
  try {
    const farm = await w.farm.get(['api', 'farm'], {}, farmAnswer);
    checks.push({ name: 'token', state: 'ok', says: 'the farm takes it' }, checkLeader(farm), ...checkConfig(farm));
  } catch (error) {
    w.signal.throwIfAborted();
    return [...checks, tokenProblem(error)];
  }
  const { agents } = await w.farm.get(['api', 'agents'], {}, agentsAnswer);
  const { queues } = await w.farm.get(['api', 'queues'], {}, queuesAnswer);
  checks.push(checkAgents(agents, w.now()), ...queues.flatMap((q) => checkQueue(q, w.now())));
  const own = await w.farm.get(['api', 'checks'], {}, checksAnswer).catch((error: unknown) => {
    if (error instanceof Refusal && error.status === 404) return { checks: [] };
    throw error;
  });
  return [...checks, ...own.checks];
}

/** Clocks that differ by more make ages and waiting times wrong, and tokens end early. */
const clockToleranceMs = 5_000;

async function checkReplica(url: URL, cli: Cli, w: Work): Promise<FarmCheck[]> {
  const name = `controller ${url.origin}`;
  const askedAtMs = w.now();
  try {
    const signal = AbortSignal.any([w.signal, AbortSignal.timeout(10_000)]);
    const response = await cli.fetch(new URL('readyz', url), { signal, redirect: 'manual' });
    const body = (await response.json().catch(() => undefined)) as ReadyAnswer | undefined;
    const reached: FarmCheck = !response.ok
      ? {
          name,
          state: 'problem',
          says: body?.error?.message ?? `answers ${response.status}`,
          todo: "look into the controller's log",
        }
      : body?.intake?.ok === false
        ? { name, state: 'problem', says: `takes nothing new: ${body.intake.why}`, todo: 'see the check of its disk' }
        : { name, state: 'ok', says: `ready, answers in ${duration(w.now() - askedAtMs)}` };
    return [reached, ...checkClock(name, response.headers.get('date'), askedAtMs, w.now())];
  } catch (error) {
    w.signal.throwIfAborted();
    const cause = error instanceof Error && error.cause ? messageOf(error.cause) : messageOf(error);
    return [
      {
        name,
        state: 'problem',
        says: `cannot be reached (${cause})`,
        todo: "start it ('thresh up'), or name another address with --url",
      },
    ];
  }
}

type ReadyAnswer = { error?: { message?: string }; intake?: { ok: boolean; why?: string } };

/** A Date header tells whole seconds, of some moment between question and answer. */
function checkClock(name: string, date: string | null, askedAtMs: number, heardAtMs: number): FarmCheck[] {
  const theirsMs = date === null ? Number.NaN : Date.parse(date);
  if (Number.isNaN(theirsMs)) return [];
  const aheadMs = theirsMs > heardAtMs ? theirsMs - heardAtMs : Math.min(0, theirsMs + 1_000 - askedAtMs);
  if (Math.abs(aheadMs) <= clockToleranceMs) return [{ name: 'clock', state: 'ok', says: `${name} and this machine agree` }];
  const says = `${name} is ${duration(Math.abs(aheadMs))} ${aheadMs > 0 ? 'ahead of' : 'behind'} this machine`;
  return [{ name: 'clock', state: 'problem', says, todo: 'set both clocks by NTP' }];
}

function tokenProblem(error: unknown): FarmCheck {
  const [says = '', todo] = sentenceOf(error).split('\n');
  return { name: 'token', state: 'problem', says, ...(todo === undefined ? {} : { todo: todo.trim() }) };
}

function checkLeader({ leader, leaderless }: FarmSummary): FarmCheck {
  if (leader.term === 0 || leaderless)
    return {
      name: 'leader',
      state: 'problem',
      says: 'no controller leads, so nothing is decided',
      todo: 'start a controller, or look into their logs for why none takes over',
    };
  return { name: 'leader', state: 'ok', says: `${leader.id} at ${leader.url}, term ${leader.term}` };
}

function checkConfig({ config }: FarmSummary): FarmCheck[] {
  const [first] = config.problems;
  if (first !== undefined) {
    const says = `${count(config.problems.length, 'problem')}, so ${config.hash === null ? 'there are no jobs' : 'the version before is in force'}: ${first}`;
    return [{ name: 'jobs', state: 'problem', says, todo: "'thresh check DIR' lists them all" }];
  }
  if (config.jobs === 0)
    return [{ name: 'jobs', state: 'note', says: 'there are none', todo: 'put job files into the directory of --jobs' }];
  return [{ name: 'jobs', state: 'ok', says: `${count(config.jobs, 'job')} in force` }];
}

function checkAgents(agents: readonly AgentSummary[], nowMs: number): FarmCheck {
  const there = agents.filter((a) => a.state !== 'revoked');
  if (there.length === 0)
    return {
      name: 'agents',
      state: 'problem',
      says: 'none has joined, so nothing can run',
      todo: "'thresh agents token' prints the command with which one joins",
    };
  const silent = there.filter((a) => a.silentSinceMs !== undefined);
  const says = `${count(there.length, 'agent')}, ${silent.length} silent`;
  const [worst] = silent.sort((a, b) => (a.silentSinceMs ?? 0) - (b.silentSinceMs ?? 0));
  if (!worst) return { name: 'agents', state: 'ok', says };
  const longest = `'${worst.id}' on ${worst.host} was not heard for ${duration(nowMs - (worst.silentSinceMs ?? nowMs))}`;
  const todo = `start it again there, or take it off the list: thresh revoke ${worst.id}`;
  return { name: 'agents', state: 'problem', says: `${says}: ${longest}`, todo };
}

function checkQueue({ queue, ready, agents, paused, oldest }: QueueSummary, nowMs: number): FarmCheck[] {
  if (ready === 0) return [];
  const waits = `${count(ready, 'task')} ${ready === 1 ? 'waits' : 'wait'}${oldest ? `, the oldest for ${duration(nowMs - oldest.sinceMs)}: ${oldest.why}` : ''}`;
  const name = `queue ${queue}`;
  if (paused) return [{ name, state: 'note', says: waits, todo: `thresh queues resume ${queue}` }];
  if (agents === 0)
    return [
      { name, state: 'problem', says: waits, todo: `let an agent join that serves it: thresh agents token --queues ${queue}` },
    ];
  return [{ name, state: 'ok', says: waits }];
}

/** Of this machine: agents here need it for the docker executor. */
async function checkDocker(env: Env): Promise<FarmCheck> {
  const name = 'Docker Engine here';
  const host = env.DOCKER_HOST || 'unix:///var/run/docker.sock';
  const socketPath = /^unix:\/\/(.+)$/.exec(host)?.[1];
  if (socketPath === undefined) return { name, state: 'note', says: `at ${host}, which is not asked` };
  const answer = await new Promise<string>((resolve) => {
    const ask = request({ socketPath, path: '/_ping', timeout: 3_000 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200 ? 'ok' : `it answers ${response.statusCode}`);
    });
    ask.once('timeout', () => ask.destroy(new Error('no answer within 3 s')));
    ask.once('error', (error) => resolve(messageOf(error)));
    ask.end();
  });
  if (answer === 'ok') return { name, state: 'ok', says: `answers at ${socketPath}` };
  return {
    name,
    state: 'note',
    says: `does not answer (${answer}): agents here cannot run containers`,
    todo: 'start dockerd, if steps should run in containers here',
  };
}
