import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino, { type Logger } from 'pino';
import { type Agent, type AgentSettings, startAgent } from '../../agent/agent.ts';
import type { Executor, Started } from '../../agent/executor/executor.ts';
import { scriptedExecutor } from '../../agent/executor/scripted.ts';
import { defaultStepUser } from '../../agent/executor/user.ts';
import { builtPage } from '../../controller/config.ts';
import { type Controller, type ControllerSettings, startController } from '../../controller/controller.ts';
import { keys } from '../../controller/store/keys.ts';
import { defaultTimes, type Times } from '../../protocol/times.ts';
import { FarmClient, testWebhookSecret } from './farm-client.ts';
import { startTestNats, type TestNats } from './nats.ts';

export { testWebhookSecret };

export type TestFarmOptions = {
  /** File name -> content of the job directory. */
  jobs: Record<string, string>;
  secrets?: Record<string, string>;
  times?: Partial<Times>;
  /** Of the controllers; over what is usual in tests. */
  settings?: Partial<ControllerSettings>;
  controllers?: number;
  log?: Logger;
};

export type TestAgentOptions = {
  name: string;
  slots?: number;
  executor?: Executor;
  queues?: string[];
  trust?: 'trusted' | 'any';
  urls?: string[];
  dataDir?: string;
  graceMs?: number;
  artifactPatienceMs?: number;
  artifactLimits?: AgentSettings['artifactLimits'];
  fetch?: typeof fetch;
};

/** Times with which a test of leases does not take half a minute. */
export const quickTimes: Partial<Times> = {
  beatHoldMs: 300,
  beatTimeoutMs: 1_000,
  silentMs: 900,
  leaseMs: 2_000,
  heartbeatMs: 100,
  takeoverMs: 600,
  unacceptedMs: 1_000,
};

/** A nats-server, directories with the given job files and secrets, and the settings of a first controller for them. */
export async function prepareFarm(
  options: Pick<TestFarmOptions, 'jobs' | 'secrets' | 'times' | 'settings'>,
): Promise<{ nats: TestNats; dir: string; settings: ControllerSettings }> {
  const nats = await startTestNats();
  const dir = await mkdtemp(join(tmpdir(), 'thresh-farm-'));
  const at = { jobs: join(dir, 'jobs'), secrets: join(dir, 'secrets') };
  for (const path of Object.values(at)) await mkdir(path);
  for (const [name, text] of Object.entries(options.jobs)) await writeFile(join(at.jobs, name), text);
  for (const [name, text] of Object.entries(options.secrets ?? {})) await writeFile(join(at.secrets, name), text);
  const settings: ControllerSettings = {
    id: 'c1',
    listen: { host: '127.0.0.1', port: 0 },
    hosts: [],
    nats: { url: nats.url, seed: nats.controllerSeed, curveSeed: nats.curveSeed, dir: nats.dir },
    objectsDir: join(dir, 'objects'),
    indexFile: join(dir, 'c1.db'),
    jobsDir: at.jobs,
    uiDir: builtPage,
    secretsDir: at.secrets,
    webhookSecrets: () => [testWebhookSecret],
    adminToken: randomBytes(24).toString('hex'),
    farmKey: randomBytes(32),
    times: { ...defaultTimes, ...options.times },
    // Tests do not depend on how full this machine is.
    leastFreeBytes: 0,
    maxLogBytes: 256 * 1024 * 1024,
    checkpointEvery: 1_000_000,
    ...options.settings,
  };
  return { nats, dir, settings };
}

/** A whole farm in this process, but for the real nats-server beside it: controllers, and agents with the scripted executor. */
export class TestFarm extends FarmClient implements AsyncDisposable {
  readonly nats: TestNats;
  readonly dir: string;
  readonly settings: ControllerSettings;
  readonly log: Logger;
  readonly controllers: Controller[] = [];
  readonly agents: Agent[] = [];
  readonly jobsDir: string;
  readonly #steps = new Set<Started>();

  private constructor(nats: TestNats, dir: string, settings: ControllerSettings, log: Logger) {
    super();
    this.nats = nats;
    this.dir = dir;
    this.settings = settings;
    this.log = log;
    this.jobsDir = settings.jobsDir;
  }

  static async start(options: TestFarmOptions): Promise<TestFarm> {
    const log = options.log ?? pino({ level: process.env.THRESH_TEST_LOG ?? 'silent' });
    const { nats, dir, settings } = await prepareFarm(options);
    const farm = new TestFarm(nats, dir, settings, log);
    for (let i = 1; i <= (options.controllers ?? 1); i += 1) await farm.addController(`c${i}`);
    return farm;
  }

  async addController(id: string, probe?: Parameters<typeof startController>[1]['probe']): Promise<Controller> {
    const settings = { ...this.settings, id, indexFile: join(this.dir, `${id}.db`) };
    const deps = { log: this.log.child({ controller: id }), now: () => performance.now(), wallMs: () => Date.now() };
    const controller = await startController(settings, { ...deps, ...(probe ? { probe } : {}) });
    this.controllers.push(controller);
    return controller;
  }

  get url(): string {
    return this.controllers[0]?.url ?? '';
  }

  get adminToken(): string {
    return this.settings.adminToken;
  }

  joinToken(queues: string[] = ['default'], trust: 'trusted' | 'any' = 'any'): string {
    return keys(this.settings.farmKey).joinToken({ queues, trust, expiresAtMs: Date.now() + 3_600_000 });
  }

  async addAgent({
    name,
    slots = 4,
    executor = scriptedExecutor(),
    queues,
    trust,
    urls,
    dataDir,
    graceMs = 10_000,
    artifactPatienceMs,
    artifactLimits,
    fetch: agentFetch = fetch,
  }: TestAgentOptions): Promise<Agent> {
    const agent = await startAgent(
      {
        name,
        urls: urls ?? this.controllers.map((c) => c.url),
        joinToken: this.joinToken(queues, trust),
        dataDir: dataDir ?? join(this.dir, `agent-${name}`),
        slots,
        times: this.settings.times,
        host: 'test',
        version: '0.0.0',
        graceMs,
        ...(artifactPatienceMs === undefined ? {} : { artifactPatienceMs }),
        ...(artifactLimits ? { artifactLimits } : {}),
        ...(executor.kind === 'process' ? { stepUser: defaultStepUser() } : {}),
      },
      {
        log: this.log.child({ agent: name }),
        executor: this.#watched(executor),
        fetch: agentFetch,
        wallMs: () => Date.now(),
        failed: (error) => this.log.error({ err: error }, 'an agent failed'),
      },
    );
    this.agents.push(agent);
    return agent;
  }

  async stop(): Promise<void> {
    await Promise.all(this.agents.map((a) => a.stop()));
    // An agent that is stopped leaves its steps; those of a test would keep its process alive.
    for (const step of this.#steps) step.kill();
    await Promise.all(this.controllers.map((c) => c.stop()));
    await this.nats.stop();
    // A leader that has just stopped may be in the middle of a file.
    await rm(this.dir, { recursive: true, force: true, maxRetries: 5 });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #watched(executor: Executor): Executor {
    return {
      ...executor,
      start: (job) => {
        const started = executor.start(job);
        this.#steps.add(started);
        void started.ended.then(() => this.#steps.delete(started));
        return started;
      },
    };
  }
}
