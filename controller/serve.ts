import type { FastifyInstance } from 'fastify';
import { createServer } from './api/server.ts';
import type { ControllerDeps, ControllerSettings } from './controller.ts';
import { accepting } from './intake/accept.ts';
import { ask } from './intake/request.ts';
import { webhook } from './intake/webhook.ts';
import { ingest } from './logs/ingest.ts';
import { rightTo } from './logs/rights.ts';
import { archivedSegments } from './logs/segments.ts';
import { logReadable, serveViewer } from './logs/view-socket.ts';
import type { Replica } from './replica.ts';
import { admitAgents } from './store/admit-agents.ts';
import { ensureInbox } from './store/inboxes.ts';

/** The HTTP side of a replica: webhooks, API and logs. Any replica takes all of it. */
export async function makeServer(
  replica: Replica,
  settings: ControllerSettings,
  { now, wallMs, probe }: ControllerDeps,
  leads: () => boolean,
): Promise<{ server: FastifyInstance; stop: () => void }> {
  const { nc, js, jsm, objects, confirmed, findRun, viewing, log } = replica;
  const { nats } = settings;
  const store = accepting({ js, objects, maxPayloadBytes: () => nc.info?.max_payload ?? 1024 * 1024, now });
  const accept: typeof store = async (delivery, body) => {
    const answer = await store(delivery, body);
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
    hosts: settings.hosts,
    now,
    wallMs,
    id: settings.id,
    farm: () => confirmed.farm,
    ready: () => (connected ? { ok: true } : { ok: false, why: 'NATS is away' }),
    leads,
    ask: (request, asker) => ask(request, asker, { accept, awaitVerdict: confirmed.awaitVerdict, wallMs }),
    index: {
      runs: (query) => replica.index().runs(query),
      run: replica.archivedRun,
      deliveries: (query) => replica.index().deliveries(query),
      delivery: (source, id) => replica.index().delivery(source, id),
    },
    natsUrlForAgents: (host) => settings.agentsNatsUrl ?? reachableAs(nats.url, host),
    ensureInbox: async (agent) => {
      await ensureInbox(jsm, agent);
      await admission.admitted(agent);
    },
    logs: {
      ingest: (socket, agent) =>
        ingest(socket, agent, {
          store: replica.logs,
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
  });
  await server.register(webhook, { accept, secrets: settings.webhookSecrets, wallMs });
  return { server, stop: admission.stop };
}

/** The address of a local NATS server as an agent sees it that reached this controller as `host`. */
function reachableAs(natsUrl: string, host: string): string {
  const url = new URL(natsUrl);
  if (!isLoopback(host) && isLoopback(url.hostname)) url.hostname = host;
  return url.href.replace(/\/$/, '');
}

const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || host === '[::1]' || host.startsWith('127.');
