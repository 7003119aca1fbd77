import { createHmac, randomBytes, randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino, { type Logger } from 'pino';
import { type Agent, startAgent } from '../../agent/agent.ts';
import type { Executor } from '../../agent/executor/executor.ts';
import { scriptedExecutor } from '../../agent/executor/scripted.ts';
import { type Controller, type ControllerSettings, startController } from '../../controller/controller.ts';
import { keys } from '../../controller/store/keys.ts';
import type { AgentSummary, QueueSummary, RunSummary, VerdictAnswer } from '../../protocol/api.ts';
import { hasEnded, type Run } from '../../protocol/run.ts';
import { defaultTimes, type Times } from '../../protocol/times.ts';
import { startTestNats, type TestNats } from './nats.ts';

export type TestFarmOptions = {
  /** File name -> content of the job directory. */
  jobs: Record<string, string>;
  secrets?: Record<string, string>;
  times?: Partial<Times>;
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
};

export const testWebhookSecret = 'a webhook secret of the tests';

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

/** A whole farm in this process, but for the real nats-server beside it: controllers, and agents with the scripted executor. */
export class TestFarm implements AsyncDisposable {
  readonly nats: TestNats;
  readonly dir: string;
  readonly settings: ControllerSettings;
  readonly log: Logger;
  readonly controllers: Controller[] = [];
  readonly agents: Agent[] = [];
  readonly jobsDir: string;

  private constructor(nats: TestNats, dir: string, settings: ControllerSettings, log: Logger) {
    this.nats = nats;
    this.dir = dir;
    this.settings = settings;
    this.log = log;
    this.jobsDir = settings.jobsDir;
  }

  static async start(options: TestFarmOptions): Promise<TestFarm> {
    const nats = await startTestNats();
    const dir = await mkdtemp(join(tmpdir(), 'thresh-farm-'));
    const at = { jobs: join(dir, 'jobs'), secrets: join(dir, 'secrets') };
    for (const path of Object.values(at)) await mkdir(path);
    for (const [name, text] of Object.entries(options.jobs)) await writeFile(join(at.jobs, name), text);
    for (const [name, text] of Object.entries(options.secrets ?? {})) await writeFile(join(at.secrets, name), text);
    const log = options.log ?? pino({ level: process.env.THRESH_TEST_LOG ?? 'silent' });
    const settings: ControllerSettings = {
      id: 'c1',
      listen: { host: '127.0.0.1', port: 0 },
      hosts: [],
      nats: { url: nats.url, seed: nats.controllerSeed, curveSeed: nats.curveSeed, dir: nats.dir },
      objectsDir: join(dir, 'objects'),
      indexFile: join(dir, 'c1.db'),
      jobsDir: at.jobs,
      secretsDir: at.secrets,
      webhookSecrets: () => [testWebhookSecret],
      adminToken: randomBytes(24).toString('hex'),
      farmKey: randomBytes(32),
      times: { ...defaultTimes, ...options.times },
      maxLogBytes: 256 * 1024 * 1024,
      checkpointEvery: 1_000_000,
    };
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
      },
      {
        log: this.log.child({ agent: name }),
        executor,
        fetch,
        wallMs: () => Date.now(),
        failed: (error) => this.log.error({ err: error }, 'an agent failed'),
      },
    );
    this.agents.push(agent);
    return agent;
  }

  /** Calls the API as its administrator. */
  async api<T>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.settings.adminToken}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const answer: unknown = await response.json();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${JSON.stringify(answer)}`);
    return answer as T;
  }

  /** Sends a signed webhook. @returns the status */
  async hook(
    event: string,
    payload: unknown,
    { id = randomUUID(), url = this.url }: { id?: string; url?: string } = {},
  ): Promise<number> {
    const body = JSON.stringify(payload);
    const signature = `sha256=${createHmac('sha256', testWebhookSecret).update(body).digest('hex')}`;
    const response = await fetch(`${url}/hook`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'x-github-event': event,
        'x-github-delivery': id,
        'x-hub-signature-256': signature,
      },
      body,
    });
    await response.arrayBuffer();
    return response.status;
  }

  /** Starts a job by hand. @returns the run's id */
  async run(job: string): Promise<string> {
    const { runs } = await this.api<VerdictAnswer>('POST', '/api/runs', { job });
    const [id] = runs;
    if (id === undefined) throw new Error(`job ${job} led to no run`);
    return id;
  }

  getRun(id: string): Promise<Run> {
    return this.api('GET', `/api/runs/${id}`);
  }

  async runs(query = ''): Promise<RunSummary[]> {
    return (await this.api<{ runs: RunSummary[] }>('GET', `/api/runs?limit=1000${query}`)).runs;
  }

  async agentList(): Promise<AgentSummary[]> {
    return (await this.api<{ agents: AgentSummary[] }>('GET', '/api/agents')).agents;
  }

  async queues(): Promise<QueueSummary[]> {
    return (await this.api<{ queues: QueueSummary[] }>('GET', '/api/queues')).queues;
  }

  /** Waits until `look` gives something, asking again every few milliseconds. */
  async until<T>(what: string, look: () => Promise<T | undefined | false>, withinMs = 15_000): Promise<T> {
    for (const deadline = performance.now() + withinMs; performance.now() < deadline; ) {
      const found = await look();
      if (found !== undefined && found !== false) return found;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error(`not within ${withinMs} ms: ${what}`);
  }

  ended(id: string, withinMs?: number): Promise<Run> {
    return this.until(
      `run ${id} ends`,
      async () => {
        const run = await this.getRun(id);
        return hasEnded(run) && run;
      },
      withinMs,
    );
  }

  async logOf(run: string, step: string): Promise<string> {
    const response = await fetch(`${this.url}/api/runs/${run}/steps/${step}/log`, {
      headers: { authorization: `Bearer ${this.settings.adminToken}` },
    });
    return response.text();
  }

  async stop(): Promise<void> {
    await Promise.all(this.agents.map((a) => a.stop()));
    await Promise.all(this.controllers.map((c) => c.stop()));
    await this.nats.stop();
    await rm(this.dir, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}
