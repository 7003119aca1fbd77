import { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import pino from 'pino';
import type { ApiDeps } from '../../controller/api/deps.ts';
import { loginCodes } from '../../controller/api/login-codes.ts';
import { createServer } from '../../controller/api/server.ts';
import { keys } from '../../controller/store/keys.ts';
import type { VerdictAnswer } from '../../protocol/api.ts';
import type { Request } from '../../protocol/delivery.ts';
import { FarmError } from '../../protocol/errors.ts';
import { Farm } from '../../protocol/farm.ts';
import type { Agent, Verdict } from '../../protocol/record.ts';

export const adminToken = 'an-admin-token-of-at-least-32-characters';
export const asAdmin = { authorization: `Bearer ${adminToken}` };

export const verdictOf = (over: Partial<Verdict> = {}): Verdict => ({
  decision: 'done',
  reason: 'carried out',
  event: 'run',
  by: 'admin',
  rules: [],
  creates: [],
  cancels: [],
  changes: [],
  ...over,
});

export const agentOf = (id: string, over: Partial<Agent> = {}): Agent => ({
  id,
  publicKey: `U${'A'.repeat(55)}`,
  curveKey: `X${'A'.repeat(55)}`,
  queues: ['default'],
  trust: 'trusted',
  executor: 'process',
  host: 'node-1',
  version: '0.1.0',
  joinedAtMs: 1_000,
  state: 'serving',
  ...over,
});

export type TestApi = {
  app: FastifyInstance;
  deps: ApiDeps;
  farm: Farm;
  /** What was asked, in order. */
  asked: { request: Request; by: string; source: string }[];
  /** Lines of the log, parsed. */
  logged: Record<string, unknown>[];
};

/** A server over plain objects, not listening; every request asked of it is `done` unless `answer` says otherwise. */
export function testApi(
  over: Partial<ApiDeps> & { answer?: (request: Request) => VerdictAnswer | Promise<VerdictAnswer> } = {},
): TestApi {
  const farm = new Farm();
  const asked: TestApi['asked'] = [];
  const logged: TestApi['logged'] = [];
  const { answer = () => ({ delivery: 'person/1', verdict: verdictOf(), runs: [] }), ...rest } = over;
  const deps: ApiDeps = {
    log: pino({ level: 'debug' }, { write: (line: string) => void logged.push(JSON.parse(line)) }),
    keys: keys(Buffer.alloc(32, 7)),
    adminToken,
    hosts: [],
    now: () => performance.now(),
    wallMs: () => Date.now(),
    id: 'replica-1',
    farm: () => farm,
    ready: () => ({ ok: true }),
    leads: () => true,
    leaderless: () => false,
    listen: () => () => {},
    loginCodes: loginCodes(() => Date.now()),
    ask: async (request, asker) => {
      asked.push({ request, ...asker });
      return answer(request);
    },
    index: { runs: () => [], run: () => undefined, deliveries: () => [], delivery: () => undefined },
    natsUrlForAgents: (host) => `nats://${host}:4222`,
    ensureInbox: async () => {},
    logs: {
      ingest: (socket, agent) => socket.send(`ingest ${agent}`),
      view: (socket, query) => socket.send(JSON.stringify(query)),
      read: async (query) => Readable.from([JSON.stringify(query)]),
    },
    artifacts: {
      list: async () => ({ files: [], truncated: false, refused: [], refusedCount: 0 }),
      file: async (run, step, path) => {
        throw new FarmError('NOT_FOUND', { what: `artifact ${step}/${path} of ${run.id}` });
      },
      junit: async () => ({ tests: 0, failures: 0, errors: 0, skipped: 0, timeS: 0, files: [] }),
    },
    upload: async (body) => {
      let sizeBytes = 0;
      for await (const piece of body) sizeBytes += piece.length;
      return { upload: 'a'.repeat(64), sizeBytes };
    },
    ...rest,
  };
  return { app: createServer(deps), deps, farm, asked, logged };
}
