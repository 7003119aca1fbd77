import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Times } from '../protocol/times.ts';
import { loginCodes } from './api/login-codes.ts';
import type { GitHubSettings } from './github/client.ts';
import { keepHouse } from './housekeeping.ts';
import { jobsInForce } from './jobs-in-force.ts';
import { leading } from './leading.ts';
import { controllerMetrics } from './metrics.ts';
import { openReplica } from './replica.ts';
import { reporting } from './reporting.ts';
import type { Layout } from './results/paths.ts';
import { Elect } from './schedule/elect.ts';
import type { Probe } from './schedule/lead.ts';
import { closeServer, makeServer } from './serve.ts';
import { watchDisks } from './store/disk-watch.ts';
import type { S3Settings } from './store/s3-objects.ts';
import { runsWriter } from './store/writer.ts';
import { tell } from './tell.ts';

export type ControllerSettings = {
  /** This controller's name; the same after a restart. */
  id: string;
  listen: { host: string; port: number };
  /** Hosts besides the loopback ones that it answers for. */
  hosts: string[];
  nats: { url: string; seed: string; curveSeed: string /** The server's directory, when it is on this machine. */; dir?: string };
  /** Where agents reach NATS, when not at `nats.url`. */
  agentsNatsUrl?: string;
  /** Only agents of this machine can reach NATS: others are told so when they want to join. */
  natsIsLocal?: boolean;
  /** Shared by all controllers. */
  objectsDir: string;
  /** Objects are here instead. */
  s3?: S3Settings;
  /** Where in object storage the results of runs lie; defaults as in Prow, below `results/`. */
  results?: Partial<Layout> & { prefix?: string };
  indexFile: string;
  jobsDir: string;
  /** Where the built page is; absent: this controller shows none. */
  uiDir?: string;
  secretsDir?: string;
  webhookSecrets: () => string[];
  adminToken: string;
  /** How GitHub is reached; absent: nothing is reported there. */
  github?: GitHubSettings;
  /** Under which people reach the farm, without a slash at its end; absent: the address of the leader. */
  publicUrl?: string;
  /** Reads `/metrics` and nothing else. A secret. */
  metricsToken?: string;
  /** Free space of a disk below which nothing new is accepted; see store/disk-watch.ts for what is usual. */
  leastFreeBytes?: number;
  /** How long a controller that stops says so on `/readyz` and still takes requests, milliseconds; usual: 0. */
  lameDuckMs?: number;
  farmKey: Uint8Array;
  times: Times;
  maxLogBytes: number;
  /** Records of `RUNS` after which what came before is folded into a checkpoint. */
  checkpointEvery: number;
};

export type ControllerDeps = {
  log: Logger;
  /** Monotonic milliseconds. */
  now: () => number;
  /** Milliseconds since the epoch. */
  wallMs: () => number;
  /** Called at named moments; a test ends the process there. */
  probe?: (point: Probe | 'delivery-stored' | 'artifact-half-received') => void;
};

export type Controller = AsyncDisposable & {
  url: string;
  leads: () => boolean;
  /** @throws when this controller does not lead */
  checkpoint: () => Promise<number>;
  reloadJobs: () => Promise<void>;
  /** Logs a browser in once, within ten minutes. */
  loginLink: () => string;
  stop: () => Promise<void>;
};

/** How long an append may stay unanswered before it counts as unknown, milliseconds. */
const appendTimeoutMs = 5_000;

/** Builds all parts of a controller, starts them, and stops them in reverse order. */
export async function startController(settings: ControllerSettings, deps: ControllerDeps): Promise<Controller> {
  const { log, now, wallMs } = deps;
  const { id, times } = settings;
  const stopping = new AbortController();
  const replica = await openReplica(settings, deps);
  const { nc, js, confirmed } = replica;

  const jobs = jobsInForce(replica, settings.jobsDir, () => void elect.lead?.reloadJobs(), stopping.signal);
  const disks = await watchDisks({
    disks: [
      ...(settings.s3 ? [] : [{ name: 'objects', dir: settings.objectsDir }]),
      ...(settings.nats.dir ? [{ name: 'nats', dir: settings.nats.dir }] : []),
    ],
    leastFreeBytes: settings.leastFreeBytes,
    log,
  });
  const metrics = controllerMetrics({
    farm: () => confirmed.farm,
    leads: () => elect.lead !== undefined,
    disks: disks.disks,
    wallMs,
  });
  confirmed.listen(metrics.folded);
  confirmed.listen((folded) => elect.lead && tell(folded, log));
  const openWriter = (afterSeq: number) => runsWriter({ js, afterSeq, now, timeoutMs: appendTimeoutMs, count: metrics.appended });
  const report = reporting(replica, settings, deps);
  const lead = leading(replica, settings, deps, jobs.load, report);
  const elect: Elect = new Elect({ nc, confirmed, id, times, log, now, wallMs, openWriter, lead });
  let leaving = false;
  const logins = loginCodes(wallMs);
  const operations = { metrics, disks, leaving: () => leaving, leaderless: () => elect.leaderless, loginCodes: logins };
  const http = await makeServer(replica, settings, deps, () => elect.lead !== undefined, operations);
  const stopHousekeeping = keepHouse(replica, () => elect.lead, { checkpointEvery: settings.checkpointEvery, now, wallMs });

  await http.server.listen(settings.listen);
  const url = urlOf(http.server.addresses()[0] as AddressInfo);
  elect.start(url);
  log.info({ url, id }, 'listening');

  // Whoever asked something still gets the answer, so the leader's part goes after the server.
  const stop = async () => {
    leaving = true;
    if (settings.lameDuckMs) await sleep(settings.lameDuckMs);
    await closeServer(http.server);
    stopping.abort();
    stopHousekeeping();
    await elect.stop();
    report.stop();
    http.stop();
    disks.stop();
    await jobs.ended;
    await replica.stop();
  };
  return {
    url,
    leads: () => elect.lead !== undefined,
    checkpoint: async () => {
      if (!elect.lead) throw new Error('this controller does not lead');
      return elect.lead.checkpoint();
    },
    reloadJobs: jobs.reload,
    loginLink: () => `${url.replace(/\/\/(0\.0\.0\.0|\[::\])/, '//localhost')}/login#${logins.make().code}`,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

const urlOf = ({ address, family, port }: AddressInfo): string =>
  `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
