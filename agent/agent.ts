import { join as pathJoin } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { jetstream } from '@nats-io/jetstream';
import type { Logger } from 'pino';
import type { Beat } from '../protocol/beat.ts';
import { FarmError, messageOf } from '../protocol/errors.ts';
import { type JoinAnswer, type JoinRequest, protocolRange } from '../protocol/join.ts';
import type { Times } from '../protocol/times.ts';
import { Attempts, reap } from './attempts.ts';
import { startBeats } from './beats.ts';
import { connectAgent, reconnects } from './connect.ts';
import { freeBytes } from './disk.ts';
import type { Executor } from './executor/executor.ts';
import { Guard, heardFile } from './guard.ts';
import { loadIdentity } from './identity.ts';
import { readInbox } from './inbox.ts';
import { join } from './join.ts';
import { openJournal } from './journal.ts';
import { Notices } from './notices.ts';
import { openSecrets } from './secrets.ts';
import { collectArtifacts } from './ship/artifacts/collect.ts';
import type { WalkLimits } from './ship/artifacts/walk.ts';
import { startShipping } from './ship/ship.ts';
import { openSpool } from './ship/spool.ts';
import { fetchSource } from './workspace/fetch-source.ts';
import { Forgetting } from './workspace/forgetting.ts';
import { localWorkspaces } from './workspace/local.ts';
import { fenceMs, sharedWorkspaces } from './workspace/shared.ts';

export type AgentSettings = {
  name: string;
  /** Controllers. */
  urls: string[];
  /** A secret. Empty: it has joined before. */
  joinToken: string;
  /** What it got when it joined before; taken where the join token is not, or there is none. A secret. */
  agentToken?: string;
  dataDir: string;
  slots: number;
  /** Of the queues that the token allows; absent: all. */
  queues?: string[];
  times: Times;
  host: string;
  version: string;
  /** As whom steps run, if not as the agent itself. */
  stepUser?: { uid: number; gid: number } | undefined;
  /** Storage that several agents have mounted, for shared workspaces: an absolute path. */
  sharedDir?: string | undefined;
  /** How long a step may go on after the agent was asked to stop, milliseconds; then it is given back. */
  graceMs: number;
  /** How long a step's files are offered to controllers of which none takes them, milliseconds; default 15 min. */
  artifactPatienceMs?: number;
  /** What a step may leave, where less than the farm takes. */
  artifactLimits?: Partial<WalkLimits>;
};

export type AgentDeps = {
  log: Logger;
  executor: Executor;
  fetch: typeof fetch;
  /** Milliseconds since the epoch. */
  wallMs: () => number;
  /** The agent cannot go on; its process should end. */
  failed: (error: Error) => void;
  /** Ends an agent that has not joined yet. */
  signal?: AbortSignal;
  /** Called when the farm has taken it in, before it serves. */
  joined?: (answer: JoinAnswer) => Promise<void>;
};

export type Agent = {
  id: string;
  /** Starts nothing new, lets steps end within the grace period, gives back the rest, tells the farm all of it. */
  drain: () => Promise<void>;
  /** Ends at once, without telling anybody; steps are left to the next start. For tests that need a crash without one, use SIGKILL. */
  stop: () => Promise<void>;
};

/** What the watchdog looks at. */
export const watchDirIn = (dataDir: string): string => pathJoin(dataDir, 'watch');

/** How long a stopping agent waits for its last notices and logs to be stored, milliseconds. */
const farewellMs = 15_000;
const artifactPatienceMs = 15 * 60_000;

/**
 * Joins the farm and serves it.
 * @throws what `signal` was aborted with, while no controller has answered; FarmError JOIN_REFUSED
 */
export async function startAgent(settings: AgentSettings, deps: AgentDeps): Promise<Agent> {
  const { log, executor, wallMs } = deps;
  const { dataDir, slots, times } = settings;
  const stopping = new AbortController();
  const starting = deps.signal ? AbortSignal.any([deps.signal, stopping.signal]) : stopping.signal;
  const identity = await loadIdentity(dataDir);
  const journal = openJournal(dataDir, wallMs);
  const workspaces = await localWorkspaces({ root: pathJoin(dataDir, 'workspaces'), owner: settings.stepUser });
  const takesUntrusted = executor.kind !== 'process';
  if (journal.unreadable > 0)
    log.warn({ lines: journal.unreadable }, 'lines of the journal could not be read: the last one of a crash, or a broken disk');
  for (const problem of workspaces.problems)
    log.warn({ reason: messageOf(problem) }, 'what is left of an old workspace could not be removed');
  const shared =
    settings.sharedDir === undefined ? undefined : sharedWorkspaces({ root: settings.sharedDir, owner: settings.stepUser });
  const guard = new Guard(watchDirIn(dataDir));
  const killed = await reap({ executor, journal, log });
  guard.keepOnly(journal.held().map(({ task }) => task));

  const request: JoinRequest = {
    name: settings.name,
    publicKey: identity.user.getPublicKey(),
    curveKey: identity.curve.getPublicKey(),
    ...(settings.queues ? { queues: settings.queues } : {}),
    executor: executor.kind,
    shared: settings.sharedDir !== undefined,
    host: settings.host,
    version: settings.version,
    protocol: protocolRange,
  };
  const joined = await join({
    fetch: deps.fetch,
    urls: settings.urls,
    joinToken: settings.joinToken,
    ...(settings.agentToken === undefined ? {} : { agentToken: settings.agentToken }),
    request,
    log,
    signal: starting,
  });
  const { agent: id, nats, token } = joined;
  await deps.joined?.(joined);
  log.info({ agent: id, nats }, 'joined the farm');
  const login = { url: nats, seed: new TextDecoder().decode(identity.user.getSeed()), agent: id };
  const nc = await connectAgent(
    { ...login, name: id, refused: (detail) => log.info({ detail }, 'NATS does not let this agent in yet') },
    starting,
  );
  const js = jetstream(nc);

  const notices = new Notices({
    js,
    agent: id,
    log,
    journal,
    settled: (key) => attempts.noticesStored(key),
  });
  const ship = startShipping({
    urls: settings.urls,
    agent: id,
    token,
    log: (facts, message) => log.info(facts, message),
  });
  let kept = await workspaces.list();
  let freeDiskBytes: number | undefined;
  const say = (): Beat => ({
    v: 1,
    term: journal.highestTerm(),
    ...attempts.said(),
    workspaces: kept.slice(0, 1_000),
    health: freeDiskBytes === undefined ? {} : { freeDiskBytes },
  });
  const attempts: Attempts = new Attempts({
    agent: id,
    slots,
    log,
    wallMs,
    executor,
    takesUntrusted,
    journal,
    openWorkspace: async (task) => {
      const workspace = await workspaces.open(task.run, task.round);
      kept = await workspaces.list();
      const own = await workspace.attempt(task.step, task.attempt);
      if (task.workspace === 'local') return { workspace: workspace.dir, ...own };
      if (!shared) throw new FarmError('SHARED_WORKSPACE', { id: workspace.id, detail: 'this agent has no shared storage' });
      const { dir, marks, before } = await shared.open(task.run, task.round, task.step, task.attempt);
      if (before === 'may be alive') await sleep(fenceMs, undefined, { signal: stopping.signal });
      return { workspace: dir, ...own, marks };
    },
    guard,
    leftWorkspace: ({ workspace, run, round, step, attempt }) => {
      if (workspace === 'shared') void shared?.over(run, round, step, attempt);
    },
    openSecrets: (task) => openSecrets(task, identity.curve),
    openSpool: (task) => openSpool({ root: pathJoin(dataDir, 'spool'), key: task, maxBytes: task.maxLogBytes, now: wallMs }),
    fetchSource: ({ source, ...task }) =>
      source &&
      ((file, signal) =>
        fetchSource({ ...task, source }, file, AbortSignal.any([signal, stopping.signal]), {
          fetch: deps.fetch,
          urls: settings.urls,
          agent: id,
        })),
    ship,
    collect: (what) =>
      collectArtifacts(what, {
        fetch: deps.fetch,
        urls: settings.urls,
        agent: id,
        now: () => performance.now(),
        patienceMs: settings.artifactPatienceMs ?? artifactPatienceMs,
        ...(settings.artifactLimits ? { limits: settings.artifactLimits } : {}),
        log: (facts, message) => log.warn(facts, message),
      }),
    sendNotices: (key) => notices.push(key),
    stopping: stopping.signal,
    changed: () => beats?.update(say()),
  });
  const forgetting = new Forgetting({
    forget: async (names) => {
      if (shared) for (const name of names) await shared.forget(name);
      await workspaces.forget(...names);
    },
    isUsed: (name) => {
      const [run = '', round = ''] = name.split('.');
      return attempts.usesWorkspace(run, Number(round));
    },
    failed: (names, error) => log.warn({ workspaces: names, reason: messageOf(error) }, 'a workspace could not be removed'),
    changed: async () => {
      kept = await workspaces.list();
      beats?.update(say());
    },
  });
  let beats: ReturnType<typeof startBeats> | undefined;
  await executor.prepare?.({ farm: [...settings.urls, nats], warn: (sentence) => log.warn(sentence) });
  await attempts.recover(killed);
  beats = startBeats({
    ...login,
    timeoutMs: times.beatTimeoutMs,
    beat: say(),
    heardFile: pathJoin(watchDirIn(dataDir), heardFile),
    heed: (orders) => {
      try {
        attempts.heed(orders);
        forgetting.put(orders.forget);
      } catch (error) {
        log.error({ err: error }, 'orders could not be carried out; they are given again');
      }
    },
    failed: deps.failed,
  });
  const reading = readInbox(
    {
      js,
      agent: id,
      log,
      slot: (signal) => attempts.slot(signal),
      reconnected: reconnects(nc),
      take: (task) => attempts.take(task),
    },
    stopping.signal,
  );
  const measuring = setInterval(() => {
    void freeBytes(dataDir).then((bytes) => {
      freeDiskBytes = bytes;
      beats?.update(say());
    });
  }, 30_000);

  const stop = async () => {
    if (stopping.signal.aborted) return;
    stopping.abort();
    clearInterval(measuring);
    await beats?.stop();
    notices.stop();
    await ship.stop();
    await nc.close();
    await reading;
    journal.close();
  };
  return {
    id,
    stop,
    drain: async () => {
      attempts.drain();
      await attempts.idle(AbortSignal.timeout(settings.graceMs));
      await attempts.giveBack();
      const farewell = AbortSignal.timeout(farewellMs);
      // Until a leader has heard that nothing is held here, it may have given us something more.
      do {
        await attempts.allTold(farewell);
        await beats?.heard(farewell);
      } while (attempts.said().held.length > 0 && !farewell.aborted);
      await stop();
    },
  };
}
