import { createHash, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { WebSocketServer } from 'ws';
import { type IngestDeps, ingest, type LogRight, maxAgentFrameBytes } from '../../controller/logs/ingest.ts';
import { logStore } from '../../controller/logs/log-store.ts';
import { archivedSegments } from '../../controller/logs/segments.ts';
import type { ViewState } from '../../controller/logs/view.ts';
import { keys } from '../../controller/store/keys.ts';
import type { Objects } from '../../controller/store/objects.ts';
import type { AttemptKey } from '../../protocol/task.ts';

/** A state that tests write and replicas look up. */
export type LogWorld = {
  right: Map<string, LogRight>;
  view: Map<string, ViewState>;
  changed: () => Promise<void>;
  change: () => void;
};

export function logWorld(): LogWorld {
  let next = Promise.withResolvers<void>();
  return {
    right: new Map(),
    view: new Map(),
    changed: () => next.promise,
    change: () => {
      next.resolve();
      next = Promise.withResolvers();
    },
  };
}

export async function storeOn(nc: NatsConnection, timeoutMs = 5_000) {
  const jsm = await jetstreamManager(nc, { timeout: timeoutMs });
  const js = jetstream(nc, { timeout: timeoutMs });
  return { js, jsm, store: logStore({ js, jsm, timeoutMs }) };
}

export type IngestReplica = { url: string; drop: () => void; stop: () => Promise<void>; sockets: () => number };

/** A small WebSocket server in place of the controller's, with the ingest of one replica behind it. */
export async function ingestReplica(
  deps: Omit<IngestDeps, 'now' | 'archivedEnd' | 'isAttemptToken'> & { objects: Objects; farmKey: Uint8Array; port?: number },
): Promise<IngestReplica> {
  const { objects, farmKey, port = 0, ...rest } = deps;
  const farm = keys(farmKey);
  const http = createServer();
  const server = new WebSocketServer({ server: http, maxPayload: maxAgentFrameBytes });
  server.on('connection', (socket, request) => {
    const agent = decodeURIComponent(request.url?.split('/')[3] ?? '');
    if (!farm.isAgentToken(request.headers.authorization?.replace('Bearer ', '') ?? '', agent))
      return socket.close(1008, 'token');
    ingest(socket, agent, {
      ...rest,
      isAttemptToken: farm.isAttemptToken,
      archivedEnd: async (key) => (await archivedSegments(objects, key)).end,
      now: Date.now,
    });
  });
  await new Promise<void>((resolve) => http.listen(port, '127.0.0.1', resolve));
  const drop = () => {
    for (const client of server.clients) client.terminate();
  };
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    drop,
    sockets: () => server.clients.size,
    stop: async () => {
      drop();
      server.close();
      await new Promise((resolve) => http.close(resolve));
    },
  };
}

/** Output as a build writes it: lines of differing length that are nowhere the same. */
export function* buildOutput(totalBytes: number, pieceBytes = 48 * 1024): Generator<Buffer> {
  for (let left = totalBytes, i = 0; left > 0; i++) {
    const size = Math.min(left, pieceBytes - (i % 7) * 1_111);
    yield Buffer.from(
      randomBytes(Math.ceil(size / 2))
        .toString('hex')
        .slice(0, size - 1)
        .concat('\n'),
    );
    left -= size;
  }
}

export const sha256 = (...parts: Uint8Array[]): string => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
};

let lastRun = 1_000_000_000_000_000_000n + BigInt(Date.now() % 1_000_000) * 1_000n;
export const newKey = (step = 'unit'): AttemptKey => ({ run: String(++lastRun), step, attempt: 1 });

/** Rejects when it takes too long, so that a test that waits for what never comes says so. */
export async function within<T>(ms: number, what: string, work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`${what}: not within ${ms} ms`)), ms);
  return Promise.race([work, late.promise]).finally(() => clearTimeout(timer));
}

/** Resolves when a server, which does not tell, has come to a state; rejects after 5 s. */
export async function eventually(is: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await is()); tries++) {
    if (tries === 250) throw new Error('not within 5 s');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
