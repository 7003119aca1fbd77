import { spawn } from 'node:child_process';
import { readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { defaultStepUser } from '../../agent/executor/user.ts';
import type { ControllerSettings } from '../../controller/controller.ts';
import { keys } from '../../controller/store/keys.ts';
import type { FarmSummary } from '../../protocol/api.ts';
import type { Times } from '../../protocol/times.ts';
import type { AgentStart } from './agent-process.ts';
import type { ControllerCommand, ControllerStart, ProbeAt } from './controller-process.ts';
import { prepareFarm, type TestAgentOptions, type TestFarmOptions } from './farm.ts';
import { FarmClient } from './farm-client.ts';
import type { TestNats } from './nats.ts';

/** Whether a process runs; one that has ended and was not waited for does not. */
export async function runs(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  return (await stateOf(pid)) !== 'Z';
}

/**
 * Waits for what gives no event.
 * @throws Error when it has not come true in time
 */
export async function until(what: string, isTrue: () => boolean | Promise<boolean>, timeoutMs = 5_000): Promise<void> {
  for (const deadline = performance.now() + timeoutMs; !(await isTrue()); await sleep(10))
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
}

/** A program of the farm in a process of its own. */
export type FarmProcess = {
  name: string;
  pid: number;
  /** Resolves when it has ended, with the signal or code that ended it. */
  exited: Promise<NodeJS.Signals | number>;
  /** Neither ended nor stopped. */
  readonly running: boolean;
  /** Default SIGKILL. Resolves when it has ended. */
  kill: (signal?: NodeJS.Signals) => Promise<void>;
  /** SIGSTOP; resolves when it really stands still. */
  stop: () => Promise<void>;
  /** Resolves when it stands still, by whomever it was stopped. */
  stopped: (withinMs?: number) => Promise<void>;
  /** SIGCONT. */
  cont: () => void;
};

export type ControllerProcess = FarmProcess & {
  url: string;
  checkpoint: () => Promise<number>;
  reloadJobs: () => Promise<void>;
  leads: () => Promise<boolean>;
};

export type AgentProcessOptions = Omit<TestAgentOptions, 'executor'> & { executor?: 'scripted' | 'process'; times?: Times };

/**
 * A whole farm as it is in earnest: a nats-server, and every controller and agent a process of its own. At the end of the scope
 * all of them are killed, whatever became of the test.
 */
export class ProcessFarm extends FarmClient implements AsyncDisposable {
  readonly nats: TestNats;
  readonly dir: string;
  readonly settings: ControllerSettings;
  /** The newest of each name, running or not. */
  readonly controllers = new Map<string, ControllerProcess>();
  readonly agents = new Map<string, FarmProcess>();
  readonly #all: FarmProcess[] = [];
  readonly #logLevel = process.env.THRESH_TEST_LOG ?? 'silent';

  private constructor(at: { nats: TestNats; dir: string; settings: ControllerSettings }) {
    super();
    this.nats = at.nats;
    this.dir = at.dir;
    this.settings = at.settings;
  }

  /** Nothing but the nats-server runs when it resolves. */
  static async start(options: Pick<TestFarmOptions, 'jobs' | 'secrets' | 'times' | 'settings'>): Promise<ProcessFarm> {
    return new ProcessFarm(await prepareFarm(options));
  }

  /** Of the first controller that runs. */
  get url(): string {
    return [...this.controllers.values()].find((c) => c.running)?.url ?? '';
  }

  get adminToken(): string {
    return this.settings.adminToken;
  }

  /** Starts a controller, or starts it again under its name: then at the port that it had. It need not lead yet. */
  async startController(id: string, { probe }: { probe?: ProbeAt } = {}): Promise<ControllerProcess> {
    const before = this.controllers.get(id);
    const port = before ? Number(new URL(before.url).port) : 0;
    const started = await this.#spawn(id, 'controller-process.ts', {
      settings: {
        ...this.settings,
        id,
        listen: { host: '127.0.0.1', port },
        indexFile: join(this.dir, `${id}.db`),
        farmKey: Buffer.from(this.settings.farmKey).toString('base64'),
        webhookSecrets: [...this.settings.webhookSecrets()],
      },
      logLevel: this.#logLevel,
      ...(probe ? { probe } : {}),
    } satisfies ControllerStart);
    const controller: ControllerProcess = Object.assign(started.process, {
      url: String(started.hello.url),
      checkpoint: async () => Number(await started.ask('checkpoint')),
      reloadJobs: async () => void (await started.ask('reload-jobs')),
      leads: async () => (await started.ask('leads')) === true,
    });
    this.controllers.set(id, controller);
    return controller;
  }

  /** Starts an agent, or starts it again under its name with the directory that it had; it has joined when it resolves. */
  async startAgent(options: AgentProcessOptions): Promise<FarmProcess> {
    const { name, slots = 4, queues = ['default'], trust = 'any', graceMs = 10_000, executor = 'scripted' } = options;
    const started = await this.#spawn(name, 'agent-process.ts', {
      settings: {
        name,
        urls: options.urls ?? [...this.controllers.values()].map((c) => c.url),
        joinToken: keys(this.settings.farmKey).joinToken({ queues, trust, expiresAtMs: Date.now() + 3_600_000 }),
        dataDir: options.dataDir ?? join(this.dir, `agent-${name}`),
        slots,
        times: options.times ?? this.settings.times,
        host: 'test',
        version: '0.0.0',
        graceMs,
        ...(executor === 'process' ? { stepUser: defaultStepUser() } : {}),
      },
      executor,
      logLevel: this.#logLevel,
    } satisfies AgentStart);
    this.agents.set(name, started.process);
    return started.process;
  }

  /** @returns the controller that leads, once one does */
  leader(withinMs?: number): Promise<ControllerProcess> {
    return this.until(
      'a controller leads',
      async () => {
        for (const c of this.controllers.values()) if (c.running && (await c.leads())) return c;
        return undefined;
      },
      withinMs,
    );
  }

  /** Writes job files; running controllers notice by themselves. */
  async putJobs(files: Record<string, string>): Promise<void> {
    for (const [name, text] of Object.entries(files)) await writeFile(join(this.settings.jobsDir, name), text);
  }

  /** An empty file in the farm's directory, for steps that wait for it. */
  putFile(name: string): Promise<void> {
    return writeFile(join(this.dir, name), '');
  }

  /** Runs that are open, or ended and not archived, as the first running controller sees it. */
  async openRuns(): Promise<number> {
    return (await this.api<FarmSummary>('GET', '/api/farm')).openRuns;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#all.map((p) => p.kill()));
    await killBelow(this.dir);
    await this.nats.stop();
    await rm(this.dir, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** @returns the process, and the first line that it said */
  async #spawn(name: string, program: string, start: object) {
    const child = spawn(process.execPath, [join(import.meta.dirname, program)], { stdio: ['pipe', 'pipe', 'inherit'] });
    const exited = new Promise<NodeJS.Signals | number>((resolve) => {
      child.once('exit', (code, signal) => resolve(signal ?? code ?? 0));
      child.once('error', () => resolve(-1));
    });
    let isStopped = false;
    const made: FarmProcess = {
      name,
      pid: child.pid ?? 0,
      exited,
      get running() {
        return child.exitCode === null && child.signalCode === null && !isStopped;
      },
      kill: async (signal = 'SIGKILL') => {
        child.kill(signal);
        await exited;
      },
      stop: async () => {
        isStopped = true;
        child.kill('SIGSTOP');
        await made.stopped();
      },
      stopped: async (withinMs) => {
        await until(`${name} stands still`, async () => (await stateOf(made.pid)) === 'T', withinMs);
        isStopped = true;
      },
      cont: () => {
        isStopped = false;
        child.kill('SIGCONT');
      },
    };
    this.#all.push(made);

    const hello = Promise.withResolvers<Record<string, unknown>>();
    const asked = new Map<number, PromiseWithResolvers<unknown>>();
    createInterface({ input: child.stdout }).on('line', (line) => {
      const said: Record<string, unknown> = JSON.parse(line);
      const waiting = asked.get(Number(said.id));
      if (!waiting) return hello.resolve(said);
      asked.delete(Number(said.id));
      if (said.error === undefined) waiting.resolve(said.value);
      else waiting.reject(new Error(`${name}: ${said.error}`));
    });
    const gone = exited.then((how) => {
      const error = new Error(`${name} has ended (${how})`);
      hello.reject(error);
      for (const waiting of asked.values()) waiting.reject(error);
    });
    // What is written to a process that has just died is nobody's loss.
    child.stdin.on('error', () => {});
    child.stdin.write(`${JSON.stringify(start)}\n`);
    let last = 0;
    const ask = (command: ControllerCommand['do']): Promise<unknown> => {
      last += 1;
      const answer = Promise.withResolvers<unknown>();
      asked.set(last, answer);
      child.stdin.write(`${JSON.stringify({ id: last, do: command } satisfies ControllerCommand)}\n`);
      return child.exitCode === null && child.signalCode === null ? answer.promise : gone.then(() => answer.promise);
    };
    return { process: made, hello: await hello.promise, ask };
  }
}

const stateOf = async (pid: number): Promise<string> => {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3);
};

/** Kills what works in a directory or below: steps that their killed agent has left. */
async function killBelow(dir: string): Promise<void> {
  for (const name of await readdir('/proc')) {
    if (!/^[0-9]+$/.test(name)) continue;
    const cwd = await readlink(`/proc/${name}/cwd`).catch(() => '');
    if (!cwd.startsWith(`${dir}/`)) continue;
    try {
      process.kill(Number(name), 'SIGKILL');
    } catch {
      // it has just ended
    }
  }
}
