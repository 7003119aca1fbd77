import type { FastifyInstance } from 'fastify';
import { FarmError } from '../protocol/errors.ts';
import type { AttemptKey } from '../protocol/task.ts';
import type { LoginCodes } from './api/login-codes.ts';
import { createServer } from './api/server.ts';
import { farmChecks } from './checks.ts';
import type { ControllerDeps, ControllerSettings } from './controller.ts';
import { accepting } from './intake/accept.ts';
import { ask } from './intake/request.ts';
import { webhook } from './intake/webhook.ts';
import { ingest } from './logs/ingest.ts';
import type { LogStore } from './logs/log-store.ts';
import { rightTo } from './logs/rights.ts';
import { archivedSegments } from './logs/segments.ts';
import { logReadable, serveViewer } from './logs/view-socket.ts';
import type { Metrics } from './metrics.ts';
import { publishingOf } from './publishing.ts';
import type { Replica } from './replica.ts';
import { giveSource } from './results/give-source.ts';
import { receive } from './results/receive.ts';
import { artifactRight } from './results/right.ts';
import { artifactViews } from './results/view.ts';
import { admitAgents } from './store/admit-agents.ts';
import type { DiskWatch } from './store/disk-watch.ts';
import { ensureInbox } from './store/inboxes.ts';
import { storeUpload } from './store/uploads.ts';

export type Operations = {
  metrics: Metrics;
  disks: Pick<DiskWatch, 'problem' | 'disks'>;
  /** This controller is being stopped. */
  leaving: () => boolean;
  leaderless: () => boolean;
  loginCodes: LoginCodes;
};

/** The HTTP side of a replica: webhooks, API and logs. Any replica takes all of it. */
export async function makeServer(
  replica: Replica,
  settings: ControllerSettings,
  { now, wallMs, probe }: ControllerDeps,
  leads: () => boolean,
  { metrics, disks, leaving, leaderless, loginCodes }: Operations,
): Promise<{ server: FastifyInstance; stop: () => void }> {
  const { nc, js, jsm, objects, confirmed, findRun, viewing, log } = replica;
  const { nats } = settings;
  const store = accepting({ js, objects, maxPayloadBytes: () => nc.info?.max_payload ?? 1024 * 1024, now });
  const demandSpace = () => {
    const why = disks.problem();
    if (why !== undefined) throw new FarmError('UNAVAILABLE', { detail: `not stored: ${why}`, afterS: 30 });
  };
  const accept: typeof store = async (delivery, body) => {
    demandSpace();
    const answer = await store(delivery, body);
    if (!answer.duplicate) metrics.accepted(delivery);
    probe?.('delivery-stored');
    return answer;
  };
  const admission = admitAgents({ confirmed, jsm, log, ...(nats.dir ? { natsDir: nats.dir } : {}) });
  let connected = true;
  void (async () => {
    for await (const { type } of nc.status()) {
      if (type === 'disconnect') connected = false;
      else if (type === 'reconnect') connected = true;
    }
  })();

  const server = createServer({
    log,
    keys: replica.keys,
    adminToken: settings.adminToken,
    metricsToken: settings.metricsToken,
    hosts: settings.hosts,
    now,
    wallMs,
    id: settings.id,
    farm: () => confirmed.farm,
    ready: () => {
      if (leaving()) return { ok: false, why: 'this controller is stopping' };
      return connected ? { ok: true } : { ok: false, why: 'NATS is away' };
    },
    intakeProblem: disks.problem,
    checks: () => farmChecks({ settings, disks: disks.disks(), nats: nc.info }),
    metrics,
    answered: metrics.answered,
    leads,
    leaderless,
    listen: confirmed.listen,
    loginCodes,
    uiDir: settings.uiDir,
    ask: (request, asker) => ask(request, asker, { accept, awaitVerdict: confirmed.awaitVerdict, wallMs }),
    index: {
      runs: (query) => replica.index().runs(query),
      run: replica.archivedRun,
      deliveries: (query) => replica.index().deliveries(query),
      delivery: (source, id) => replica.index().delivery(source, id),
    },
    natsUrlForAgents: (host) => {
      if (settings.natsIsLocal && !isLoopback(host)) throw new FarmError('REFUSED', { why: natsIsLocal });
      return settings.agentsNatsUrl ?? reachableAs(nats.url, host);
    },
    ensureInbox: async (agent) => {
      await ensureInbox(jsm, agent);
      await admission.admitted(agent);
    },
    logs: {
      ingest: (socket, agent) =>
        ingest(socket, agent, {
          store: counted(replica.logs, metrics.logStored),
          archivedEnd: async (key) => (await archivedSegments(objects, key)).end,
          isAttemptToken: replica.keys.isAttemptToken,
          lookup: (a, key) => rightTo(findRun, a, key),
          changed: replica.changed,
          now,
          log,
        }),
      view: (socket, query) => void serveViewer(socket, query, viewing),
      read: async ({ run, step, attempt = viewing.newest(run, step)?.attempt ?? 0, ...how }) =>
        logReadable({ key: { run, step, attempt }, ...how }, viewing),
    },
    artifacts: artifactViews({ objects, publishing: publishingOf(settings) }),
    upload: async (body) => {
      demandSpace();
      return storeUpload(objects, body);
    },
  });
  await server.register(webhook, { accept, secrets: settings.webhookSecrets, wallMs });
  const attempts = {
    objects,
    isAttemptToken: replica.keys.isAttemptToken,
    right: (agent: string, key: AttemptKey) => artifactRight(findRun, agent, key),
    changed: replica.changed,
  };
  await server.register(receive, { ...attempts, ...(probe ? { probe } : {}) });
  await server.register(giveSource, { ...attempts, uploadOf: (run) => findRun(run)?.source?.upload });
  return { server, stop: admission.stop };
}

/** How long requests that are under way get to end when a controller stops, milliseconds. */
const lastAnswersMs = 6_000;

/** Takes nothing new, says goodbye to WebSockets, lets what is under way end, and cuts off what then still is. */
export async function closeServer(server: FastifyInstance): Promise<void> {
  const late = setTimeout(() => server.server.closeAllConnections(), lastAnswersMs);
  await server.close();
  clearTimeout(late);
}

const counted = (store: LogStore, count: (bytes: number) => void): LogStore => ({
  ...store,
  append: async (key, chunk, bytes, after) => {
    const appended = await store.append(key, chunk, bytes, after);
    if (typeof appended === 'object' && 'seq' in appended) count(bytes.length);
    return appended;
  },
});

/** The address of a local NATS server as an agent sees it that reached this controller as `host`. */
function reachableAs(natsUrl: string, host: string): string {
  const url = new URL(natsUrl);
  if (!isLoopback(host) && (isLoopback(url.hostname) || isOfAll(url.hostname))) url.hostname = host;
  return url.href.replace(/\/$/, '');
}

const natsIsLocal =
  "this farm's NATS listens on its own machine only, so agents of others cannot reach it; start it with 'thresh up --nats-listen :4222'";

const isOfAll = (host: string): boolean => host === '0.0.0.0' || host === '[::]';

export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || host === '[::1]' || host.startsWith('127.');
