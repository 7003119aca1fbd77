import type { AddressInfo } from 'node:net';
import type { Logger } from 'pino';
import type { Times } from '../protocol/times.ts';
import { keepHouse } from './housekeeping.ts';
import { jobsInForce } from './jobs-in-force.ts';
import { leading } from './leading.ts';
import { openReplica } from './replica.ts';
import { Elect } from './schedule/elect.ts';
import type { Probe } from './schedule/lead.ts';
import { makeServer } from './serve.ts';
import { runsWriter } from './store/writer.ts';

export type ControllerSettings = {
  /** This controller's name; the same after a restart. */
  id: string;
  listen: { host: string; port: number };
  /** Hosts besides the loopback ones that it answers for. */
  hosts: string[];
  nats: { url: string; seed: string; curveSeed: string /** The server's directory, when it is on this machine. */; dir?: string };
  /** Where agents reach NATS, when not at `nats.url`. */
  agentsNatsUrl?: string;
  /** Shared by all controllers. */
  objectsDir: string;
  indexFile: string;
  jobsDir: string;
  secretsDir?: string;
  webhookSecrets: () => string[];
  adminToken: string;
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
  probe?: (point: Probe | 'delivery-stored') => void;
};

export type Controller = AsyncDisposable & {
  url: string;
  leads: () => boolean;
  /** @throws when this controller does not lead */
  checkpoint: () => Promise<number>;
  reloadJobs: () => Promise<void>;
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
  const openWriter = (afterSeq: number) => runsWriter({ js, afterSeq, now, timeoutMs: appendTimeoutMs });
  const lead = leading(replica, settings, deps, jobs.load);
  const elect: Elect = new Elect({ nc, confirmed, id, times, log, now, wallMs, openWriter, lead });
  const http = await makeServer(replica, settings, deps, () => elect.lead !== undefined);
  const stopHousekeeping = keepHouse(replica, () => elect.lead, { checkpointEvery: settings.checkpointEvery, now });

  await http.server.listen(settings.listen);
  const url = urlOf(http.server.addresses()[0] as AddressInfo);
  elect.start(url);
  log.info({ url, id }, 'listening');

  const stop = async () => {
    stopping.abort();
    stopHousekeeping();
    await elect.stop();
    await http.server.close();
    http.stop();
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
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

const urlOf = ({ address, family, port }: AddressInfo): string =>
  `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
