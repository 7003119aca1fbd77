import type { AddressInfo } from 'node:net';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { Logger } from 'pino';
import { Compile } from 'typebox/compile';
import { Delivery } from '../protocol/delivery.ts';
import { messageOf } from '../protocol/errors.ts';
import type { JobConfig } from '../protocol/job.ts';
import { Notice, parseNoticeSubject } from '../protocol/notice.ts';
import { hasEnded, lastAttempt, type Run, stepOf } from '../protocol/run.ts';
import type { Times } from '../protocol/times.ts';
import { createServer } from './api/server.ts';
import { accepting } from './intake/accept.ts';
import { ask } from './intake/request.ts';
import { webhook } from './intake/webhook.ts';
import { describeProblem } from './jobs/describe.ts';
import type { Loaded } from './jobs/load.ts';
import { watchJobs } from './jobs/watch.ts';
import { archiveLog } from './logs/archive.ts';
import { ingest } from './logs/ingest.ts';
import { logStore } from './logs/log-store.ts';
import { purgeLogs } from './logs/purge.ts';
import { rightTo, viewOf } from './logs/rights.ts';
import { archivedSegments } from './logs/segments.ts';
import { tails } from './logs/tails.ts';
import { logReadable, serveViewer } from './logs/view-socket.ts';
import { archiveRun } from './results/archive-run.ts';
import { Elect } from './schedule/elect.ts';
import { Lead, type Probe } from './schedule/lead.ts';
import { makeTask } from './schedule/make-task.ts';
import { admitAgents } from './store/admit-agents.ts';
import { hearBeats } from './store/beats.ts';
import { follow } from './store/confirmed.ts';
import { connectFarm } from './store/connect.ts';
import { fileObjects } from './store/file-objects.ts';
import { ensureInbox } from './store/inboxes.ts';
import { followIndex } from './store/index-follow.ts';
import { readStream } from './store/inputs.ts';
import { keys } from './store/keys.ts';
import { readRunDocument } from './store/run-documents.ts';
import { secretsIn } from './store/secrets.ts';
import { stepsOf } from './store/specs.ts';
import { ensureStreams } from './store/streams.ts';
import { publishTask } from './store/tasks.ts';
import { runsWriter } from './store/writer.ts';
import { judge } from './trigger/judge.ts';

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

const logPatienceMs = 10 * 60_000;
const housekeepingMs = 60_000;
/** Output stays in `LOGS` for so many rounds of housekeeping. */
const keepLogsRounds = 10;
const keep = { keepRuns: 1_000_000, keepDeliveries: 200_000 };

/** Builds all parts of a controller, starts them, and stops them in reverse order. */
export async function startController(settings: ControllerSettings, deps: ControllerDeps): Promise<Controller> {
  const { log, now, wallMs, probe } = deps;
  const { nats, times } = settings;
  const stopping = new AbortController();
  const nc = await connectFarm({ url: nats.url, seed: nats.seed, name: `controller ${settings.id}`, log });
  await ensureStreams(nc, { replicas: 1, ...(nats.dir ? { storeDir: nats.dir } : {}) });
  const js = jetstream(nc);
  const jsm = await jetstreamManager(nc);
  const objects = fileObjects(settings.objectsDir);
  const farmKeys = keys(settings.farmKey);
  const confirmed = await follow({ js, jsm, log });
  const changes = nextChange(confirmed.listen);
  const indexed = followIndex({ file: settings.indexFile, confirmed, objects, log, keep });
  const admission = admitAgents({ confirmed, jsm, log, ...(nats.dir ? { natsDir: nats.dir } : {}) });

  const accept = accepting({ js, objects, maxPayloadBytes: () => nc.info?.max_payload ?? 1024 * 1024, now });
  const acceptProbed: typeof accept = async (delivery, body) => {
    const answer = await accept(delivery, body);
    probe?.('delivery-stored');
    return answer;
  };

  const findRun = (id: string): Run | undefined => confirmed.farm.runs.get(id) ?? indexed.index().run(id);
  const logs = logStore({ js, jsm });
  const following = tails({ js, log });
  const viewing = {
    store: logs,
    objects,
    tails: following,
    lookup: (key: Parameters<typeof viewOf>[1]) => viewOf(findRun, key),
    changed: changes.next,
    newest: (run: string, step: string) => {
      const found = findRun(run);
      const at = found && stepOf(found, step);
      return at && { attempt: lastAttempt(at)?.attempt ?? 0, more: !hasEnded(found) };
    },
    log,
  };

  let url = '';
  const server = createServer({
    log,
    keys: farmKeys,
    adminToken: settings.adminToken,
    hosts: settings.hosts,
    now,
    wallMs,
    id: settings.id,
    farm: () => confirmed.farm,
    ready: () => (nc.isClosed() || nc.isDraining() ? { ok: false, why: 'NATS is away' } : { ok: true }),
    leads: () => elect.lead !== undefined,
    ask: (request, asker) => ask(request, asker, { accept: acceptProbed, awaitVerdict: confirmed.awaitVerdict, wallMs }),
    index: {
      runs: (query) => indexed.index().runs(query),
      run: async (id) => indexed.index().run(id) ?? (await readRunDocument(objects, id)),
      deliveries: (query) => indexed.index().deliveries(query),
      delivery: (source, id) => indexed.index().delivery(source, id),
    },
    natsUrlForAgents: (host) => settings.agentsNatsUrl ?? reachableAs(nats.url, host),
    ensureInbox: async (agent) => {
      await ensureInbox(jsm, agent);
      await admission.admitted(agent);
    },
    logs: {
      ingest: (socket, agent) =>
        ingest(socket, agent, {
          store: logs,
          archivedEnd: async (key) => (await archivedSegments(objects, key)).end,
          isAttemptToken: farmKeys.isAttemptToken,
          lookup: (a, key) => rightTo(findRun, a, key),
          changed: changes.next,
          now,
          log,
        }),
      view: (socket, query) => void serveViewer(socket, query, viewing),
      read: async ({ run, step, attempt = viewing.newest(run, step)?.attempt ?? 0, ...how }) =>
        logReadable({ key: { run, step, attempt }, ...how }, viewing),
    },
  });
  await server.register(webhook, { accept: acceptProbed, secrets: settings.webhookSecrets, wallMs });

  const readSteps = (run: Pick<Run, 'spec'>) => stepsOf(run, objects);
  const secret = secretsIn(settings.secretsDir);
  const stored = async (seq: number) => {
    const message = await jsm.streams.getMessage('DELIVERIES', { seq }).catch(() => null);
    return message ? parsed(deliveries, message) : undefined;
  };
  const isDone = (key: { run: string }) => !confirmed.farm.runs.has(key.run) && findRun(key.run) !== undefined;

  const elect = new Elect({
    nc,
    confirmed,
    id: settings.id,

    times,
    log,
    now,
    wallMs,
    openWriter: (afterSeq) => runsWriter({ js, afterSeq, now, timeoutMs: 5_000 }),
    lead: (term, writer) =>
      new Lead({
        term,
        confirmed,
        writer,
        times,
        log: log.child({ term }),
        now,
        wallMs,
        ...(probe ? { probe } : {}),
        loadJobs: () => jobsInForce(),
        judge: (delivery, seq, farm, jobs, signal) =>
          judge(delivery, seq, farm, jobs, {
            objects,
            stepsOf: readSteps,
            archivedRun: async (id) => indexed.index().run(id) ?? (await readRunDocument(objects, id)),
            storedDelivery: stored,
            log,
            wallMs,
            signal,
          }),
        deliveries: async function* (fromSeq, signal) {
          for await (const m of readStream(js, 'DELIVERIES', fromSeq, { signal, log })) {
            const delivery = parsed(deliveries, m);
            if (delivery) yield { seq: m.seq, delivery };
            else log.error({ subject: m.subject, seq: m.seq }, 'a delivery that is not understood was passed over');
          }
        },
        notices: async function* (fromSeq, signal) {
          for await (const m of readStream(js, 'NOTICES', fromSeq, { signal, log })) {
            const address = parseNoticeSubject(m.subject);
            const notice = parsed(notices, m);
            yield { seq: m.seq, ...(address ? { address } : {}), ...(notice ? { notice } : {}) };
          }
        },
        beats: (hear) => hearBeats(nc, log, hear),
        makeTask: (run, agent, key, atTerm) =>
          makeTask(run, agent, key, atTerm, {
            agent: (id) => confirmed.farm.agents.get(id),
            stepsOf: readSteps,
            secret,
            keys: farmKeys,
            curveSeed: nats.curveSeed,
            maxLogBytes: settings.maxLogBytes,
          }),
        publishTask: async (task, again) => void (await publishTask(js, jsm, task, { again })),
        archive: (run) =>
          archiveRun(run, {
            objects,
            archiveLog: (key, how) => archiveLog(key, how, { store: logs, objects }),
            wallMs,
            logPatienceMs,
          }),
        purge: async (seq, settled) => {
          await jsm.streams.purge('RUNS', { seq });
          if (settled > 0) await jsm.streams.purge('NOTICES', { seq: settled + 1 });
        },
      }),
  });

  /** The newest job configuration that is good: from the directory, or the one in force while the directory's is not. */
  let jobs: JobConfig | undefined;
  /** What the directory holds, good or not. */
  let loaded: Loaded | undefined;
  const jobsInForce = async () => {
    if (!loaded) await watching.reloadNow();
    const config = loaded?.config;
    if (config && config !== jobs) {
      jobs = config;
      await objects
        .put(`config/${config.hash}`, Buffer.from(JSON.stringify(config)))
        .catch((error) => log.error({ err: error }, 'the job configuration was not stored'));
    }
    const { hash } = confirmed.farm.config;
    if (!jobs && hash !== null) {
      const kept = await objects.get(`config/${hash}`).catch(() => undefined);
      if (kept) jobs = JSON.parse(kept.toString('utf8')) as JobConfig;
    }
    return { ...(jobs ? { config: jobs } : {}), problems: (loaded?.problems ?? []).map(describeProblem) };
  };
  const watching = watchJobs(
    settings.jobsDir,
    (next) => {
      loaded = next;
      void elect.lead?.reloadJobs();
    },
    { signal: stopping.signal },
  );

  /** The leader frees the streams of what is kept elsewhere. */
  const logEnds: number[] = [];
  const housekeeping = setInterval(() => {
    void (async () => {
      const { lead } = elect;
      if (!lead) return;
      const runs = await jsm.streams.info('RUNS');
      if (runs.state.messages > settings.checkpointEvery) await lead.checkpoint();
      logEnds.push((await logs.bounds()).lastSeq);
      const upTo = logEnds.length > keepLogsRounds ? logEnds.shift() : undefined;
      if (upTo !== undefined) await purgeLogs(upTo, { store: logs, objects, jsm, isDone, now });
    })().catch((error) => log.warn({ reason: messageOf(error) }, 'housekeeping failed; it is tried again in a minute'));
  }, housekeepingMs);

  await server.listen(settings.listen);
  url = urlOf(server.addresses()[0] as AddressInfo);
  elect.start(url);
  log.info({ url, id: settings.id }, 'listening');

  const stop = async () => {
    stopping.abort();
    clearInterval(housekeeping);
    await elect.stop();
    await server.close();
    await watching.ended;
    await following.stop();
    admission.stop();
    indexed.stop();
    await confirmed.stop();
    await nc.close();
  };
  return {
    get url() {
      return url;
    },
    leads: () => elect.lead !== undefined,
    checkpoint: async () => {
      if (!elect.lead) throw new Error('this controller does not lead');
      return elect.lead.checkpoint();
    },
    reloadJobs: () => watching.reloadNow(),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

const deliveries = Compile(Delivery);
const notices = Compile(Notice);

function parsed<T>(schema: { Check: (value: unknown) => value is T }, message: { json: () => unknown }): T | undefined {
  try {
    const value = message.json();
    return schema.Check(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The address of a local NATS server as an agent sees it that reached this controller as `host`. */
function reachableAs(natsUrl: string, host: string): string {
  const url = new URL(natsUrl);
  if (!isLoopback(host) && isLoopback(url.hostname)) url.hostname = host;
  return url.href.replace(/\/$/, '');
}

const urlOf = ({ address, family, port }: AddressInfo): string =>
  `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;

const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || host === '[::1]' || host.startsWith('127.');

/** One promise for everybody who waits for the next fold. */
function nextChange(listen: (hear: () => void) => () => void): { next: () => Promise<void> } {
  let waiting = Promise.withResolvers<void>();
  listen(() => {
    waiting.resolve();
    waiting = Promise.withResolvers<void>();
  });
  return { next: () => waiting.promise };
}
