import { type JetStreamClient, type JetStreamManager, jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Logger } from 'pino';
import { hasEnded, lastAttempt, type Run, stepOf } from '../protocol/run.ts';
import type { ControllerDeps, ControllerSettings } from './controller.ts';
import { type LogStore, logStore } from './logs/log-store.ts';
import { viewOf } from './logs/rights.ts';
import { type Tails, tails } from './logs/tails.ts';
import type { ViewerDeps } from './logs/view-socket.ts';
import { type Confirmed, follow } from './store/confirmed.ts';
import { connectFarm } from './store/connect.ts';
import type { RunIndex } from './store/index.ts';
import { followIndex } from './store/index-follow.ts';
import { type Keys, keys } from './store/keys.ts';
import type { Objects } from './store/objects.ts';
import { openObjects } from './store/open-objects.ts';
import { readRunDocument } from './store/run-documents.ts';
import { ensureStreams } from './store/streams.ts';

/** What every controller has, whether it leads or not: the broker, object storage, the confirmed state and its projections. */
export type Replica = {
  nc: NatsConnection;
  js: JetStreamClient;
  jsm: JetStreamManager;
  objects: Objects;
  keys: Keys;
  confirmed: Confirmed;
  index: () => RunIndex;
  logs: LogStore;
  viewing: ViewerDeps;
  log: Logger;
  /** A run in the confirmed state or, once it is archived, in the index. */
  findRun: (id: string) => Run | undefined;
  /** The same, and in object storage when the index has forgotten it. */
  archivedRun: (id: string) => Promise<Run | undefined>;
  /** Resolves at the next change of the confirmed state. */
  changed: () => Promise<void>;
  stop: () => Promise<void>;
};

const keep = { keepRuns: 1_000_000, keepDeliveries: 200_000 };

/** Connects, makes sure of the streams, and folds `RUNS` to its end. */
export async function openReplica(settings: ControllerSettings, { log }: Pick<ControllerDeps, 'log'>): Promise<Replica> {
  const { nats } = settings;
  const nc = await connectFarm({ url: nats.url, seed: nats.seed, name: `controller ${settings.id}`, log });
  await ensureStreams(nc, { replicas: 1, ...(nats.dir ? { storeDir: nats.dir } : {}) });
  const js = jetstream(nc);
  const jsm = await jetstreamManager(nc);
  const { objects, close } = await openObjects(settings);
  const confirmed = await follow({ js, jsm, log });
  const changed = nextChange(confirmed);
  const indexed = followIndex({ file: settings.indexFile, confirmed, objects, log, keep });
  await confirmed.toEnd();

  const findRun = (id: string) => confirmed.farm.runs.get(id) ?? indexed.index().run(id);
  const logs = logStore({ js, jsm });
  const following: Tails = tails({ js, log });
  return {
    nc,
    js,
    jsm,
    objects,
    keys: keys(settings.farmKey),
    confirmed,
    index: indexed.index,
    logs,
    log,
    findRun,
    archivedRun: async (id) => indexed.index().run(id) ?? (await readRunDocument(objects, id)),
    changed,
    viewing: {
      store: logs,
      objects,
      tails: following,
      lookup: (key) => viewOf(findRun, key),
      changed,
      newest: (run, step) => newestAttempt(findRun(run), step),
      log,
    },
    stop: async () => {
      await following.stop();
      indexed.stop();
      await confirmed.stop();
      await nc.close();
      close();
    },
  };
}

function newestAttempt(run: Run | undefined, name: string): { attempt: number; more: boolean } | undefined {
  const step = run && stepOf(run, name);
  return step && { attempt: lastAttempt(step)?.attempt ?? 0, more: !hasEnded(run) };
}

/** One promise for everybody who waits for the next fold. */
function nextChange(confirmed: Pick<Confirmed, 'listen'>): () => Promise<void> {
  let waiting = Promise.withResolvers<void>();
  confirmed.listen(() => {
    waiting.resolve();
    waiting = Promise.withResolvers<void>();
  });
  return () => waiting.promise;
}
