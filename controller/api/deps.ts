import type { Readable } from 'node:stream';
import type { FastifyBaseLogger } from 'fastify';
import type { WebSocket } from 'ws';
import type { DeliverySummary, FarmCheck, RunQuery, RunSummary, VerdictAnswer } from '../../protocol/api.ts';
import type { ArtifactList, JUnitAnswer } from '../../protocol/artifact.ts';
import type { Request } from '../../protocol/delivery.ts';
import type { Farm } from '../../protocol/farm.ts';
import type { Run } from '../../protocol/run.ts';
import type { Uploaded } from '../../protocol/source.ts';
import type { Confirmed } from '../store/confirmed.ts';
import type { Keys } from '../store/keys.ts';
import type { LoginCodes } from './login-codes.ts';

/** What the routes need. Effects only; every function may be called at any time after `ready` was ok once. */
export type ApiDeps = {
  log: FastifyBaseLogger;
  keys: Keys;
  /** At least 32 characters: nothing but its length protects it from being guessed. */
  adminToken: string;
  /** Reads `/metrics` and nothing else. */
  metricsToken?: string | undefined;
  /** Hosts besides the loopback ones that this server answers for: `name` (any port) or `name:port`. */
  hosts: readonly string[];
  /** Monotonic milliseconds. */
  now: () => number;
  /** Milliseconds since the epoch. */
  wallMs: () => number;
  /** This replica's name. */
  id: string;
  /** This replica's confirmed state. */
  farm: () => Farm;
  ready: () => { ok: true } | { ok: false; why: string };
  /** Why deliveries are not accepted, though the rest works; absent or undefined: they are. */
  intakeProblem?: () => string | undefined;
  /** Absent: there is no `/metrics`. */
  metrics?: { contentType: string; text: () => Promise<string> };
  /** What this controller finds when it looks at itself; absent: nothing. */
  checks?: () => FarmCheck[];
  /** Told of every answer. `route`: as it was registered; undefined: there is none. */
  answered?: (answer: { method: string; route: string | undefined; status: number; ms: number }) => void;
  leads: () => boolean;
  /** Nobody is heard to lead. */
  leaderless: () => boolean;
  /** Calls `hear` after each fold of the confirmed state. @returns stops it */
  listen: Confirmed['listen'];
  loginCodes: LoginCodes;
  /** Where the built page is; absent: nowhere. */
  uiDir?: string | undefined;
  /** Stores a request and waits for its verdict (`intake/request.ts`). */
  ask: (request: Request, asker: { source: 'person' | 'agent'; by: string }) => Promise<VerdictAnswer>;
  index: RunIndex;
  /** Where an agent that reached this server as `host` (a host name without port) logs in to NATS. */
  natsUrlForAgents: (host: string) => string;
  /** Resolves when the agent's consumer on `TASKS` exists and the server knows its key. */
  ensureInbox: (agent: string) => Promise<void>;
  logs: Logs;
  artifacts: Artifacts;
  /** Stores a working tree that a person sends, or nothing when the body breaks off. @throws FarmError UNAVAILABLE */
  upload: (body: Readable) => Promise<Uploaded>;
};

/** The part of the index that lists need. Ended runs are in it, open ones may be. */
export type RunIndex = {
  /** Newest first, at most `query.limit`. `before`: a run id; only older ones are wanted. */
  runs: (query: RunQuery) => Promise<RunSummary[]> | RunSummary[];
  run: (id: string) => Promise<Run | undefined> | Run | undefined;
  /** Newest first, at most `limit`. `before`: `source/id` of a delivery; only older ones are wanted. */
  deliveries: (query: { before?: string; limit: number }) => Promise<DeliverySummary[]> | DeliverySummary[];
  delivery: (source: string, id: string) => Promise<DeliverySummary | undefined> | DeliverySummary | undefined;
};

/** `attempt`: absent: the newest. `offset`: bytes. `follow`: wait for more until the attempt ends. */
export type LogQuery = { run: string; step: string; attempt?: number; offset: number; follow: boolean };

/** Each takes over its socket. */
export type Logs = {
  ingest: (socket: WebSocket, agent: string) => void;
  view: (socket: WebSocket, query: LogQuery) => void;
  /** @throws FarmError NOT_FOUND when there is no such attempt */
  read: (query: LogQuery) => Promise<Readable>;
};

/** What may be seen of a run's artifacts. */
export type Artifacts = {
  list: (run: Run, step?: string) => Promise<ArtifactList>;
  /** `read`: from byte `start` to before `end`. @throws FarmError NOT_FOUND */
  file: (
    run: Run,
    step: string,
    path: string,
  ) => Promise<{ sizeBytes: number; sha256: string; read: (range?: { start: number; end?: number }) => Promise<Readable> }>;
  junit: (run: Run) => Promise<JUnitAnswer>;
};
