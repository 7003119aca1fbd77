import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import WebSocket, { WebSocketServer } from 'ws';
import { type Shipping, startShipping } from '../../../agent/ship/ship.ts';
import { openSpool, type Spool } from '../../../agent/ship/spool.ts';
import { appendLog } from '../../../controller/logs/append-log.ts';
import type { LogStore } from '../../../controller/logs/log-store.ts';
import { tails } from '../../../controller/logs/tails.ts';
import { readLog } from '../../../controller/logs/view.ts';
import { fileObjects } from '../../../controller/store/file-objects.ts';
import { keys } from '../../../controller/store/keys.ts';
import type { Objects } from '../../../controller/store/objects.ts';
import { packChunk, type ToAgent } from '../../../protocol/log.ts';
import { type AttemptKey, keyOf } from '../../../protocol/task.ts';
import {
  buildOutput,
  type IngestReplica,
  ingestReplica,
  logWorld,
  newKey,
  sha256,
  storeOn,
  within,
} from '../../support/log-farm.ts';
import { startTestNats, type TestNats } from '../../support/nats.ts';

let nats: TestNats;
let edge: Awaited<ReturnType<typeof storeOn>>;
let store: LogStore;
let dir: string;
let objects: Objects;
const farmKey = randomBytes(32);
const farm = keys(farmKey);
const world = logWorld();
const running: { stop: () => Promise<void> }[] = [];

before(async () => {
  nats = await startTestNats();
  edge = await storeOn(await nats.connect());
  store = edge.store;
  dir = await mkdtemp(path.join(tmpdir(), 'thresh-logs-'));
  objects = fileObjects(path.join(dir, 'objects'));
});
afterEach(async () => {
  for (const part of running.splice(0).reverse()) await part.stop();
});
after(async () => {
  await nats.stop();
  await rm(dir, { recursive: true, force: true });
});

const started = <T extends { stop: () => Promise<void> }>(part: T): T => {
  running.push(part);
  return part;
};
const replica = async (options: { unknownMs?: number; laterMs?: number; store?: LogStore } = {}): Promise<IngestReplica> => {
  const { store: other, ...limits } = options;
  const lookup = (_: string, key: AttemptKey) => world.right.get(keyOf(key)) ?? 'unknown';
  return started(await ingestReplica({ store: other ?? store, objects, farmKey, lookup, changed: world.changed, limits }));
};
const shipping = (urls: string[], agent = 'node-1'): Shipping =>
  started(
    startShipping({ urls, agent, token: farm.agentToken(agent), times: { backoffMs: 20, maxBackoffMs: 100, flushMs: 20 } }),
  );
const spoolOf = (key: AttemptKey, segmentBytes = 256 * 1024): Promise<Spool> =>
  openSpool({ root: path.join(dir, 'spool'), key, maxBytes: 1e9, now: Date.now, segmentBytes });
const add = (s: Shipping, key: AttemptKey, spool: Spool, agent = 'node-1') => s.add(key, farm.attemptToken(agent, key), spool);

async function stored(key: AttemptKey): Promise<Buffer> {
  const viewing = { store, objects, tails: tails({ js: edge.js }), lookup: () => undefined, changed: world.changed };
  const parts: Uint8Array[] = [];
  for await (const piece of readLog({ key }, viewing)) parts.push(piece.bytes);
  return Buffer.concat(parts);
}

/** An agent that says exactly what the test says. */
async function rawAgent(url: string, agent = 'node-1') {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/api/agents/${agent}/logs`, {
    headers: { authorization: `Bearer ${farm.agentToken(agent)}` },
  });
  const heard: ToAgent[] = [];
  let wake = () => {};
  socket.on('message', (data) => {
    heard.push(JSON.parse(data.toString()));
    wake();
  });
  const closed = new Promise<{ code: number; reason: string }>((resolve) =>
    socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() })),
  );
  await new Promise((resolve) => socket.on('open', resolve));
  started({
    stop: async () => {
      socket.terminate();
      await closed;
    },
  });
  return {
    socket,
    closed,
    say: (message: object) => socket.send(JSON.stringify(message)),
    open: (key: AttemptKey, stream = 0, token = farm.attemptToken(agent, key)) => {
      socket.send(JSON.stringify({ type: 'open', stream, ...key, token }));
    },
    chunk: (stream: number, offset: number, text: string) => socket.send(packChunk(stream, offset, 1, Buffer.from(text))),
    next: () =>
      within(
        5_000,
        'an answer',
        (async () => {
          while (heard.length === 0) await new Promise<void>((resolve) => (wake = resolve));
          return heard.shift() as ToAgent;
        })(),
      ),
  };
}

test('an agent ships a log while it is written, and its spool is gone when all of it is stored', async () => {
  const key = newKey();
  world.right.set(keyOf(key), 'open');
  const spool = await spoolOf(key);
  const ship = shipping([(await replica()).url]);
  const shipped = add(ship, key, spool);
  const written: Buffer[] = [];
  for (const piece of buildOutput(3_000_000)) {
    written.push(piece);
    await spool.write(piece);
  }
  assert.deepEqual(
    ship.pending().map((p) => p.key),
    [key],
  );
  await spool.end();
  assert.deepEqual(await within(5_000, 'shipping', shipped), { key, outcome: 'complete' });
  assert.deepEqual(ship.pending(), []);
  assert.equal(sha256(await stored(key)), sha256(...written));
});

test('a step without output is complete at once', async () => {
  const key = newKey();
  world.right.set(keyOf(key), 'open');
  const spool = await spoolOf(key);
  await spool.end();
  assert.equal((await within(5_000, 'shipping', add(shipping([(await replica()).url]), key, spool))).outcome, 'complete');
});

test('a line is stored soon after it is written', async () => {
  const key = newKey();
  world.right.set(keyOf(key), 'open');
  const spool = await spoolOf(key);
  void add(shipping([(await replica()).url]), key, spool);
  await spool.write(Buffer.from('hello\n'));
  const viewing = { store, objects, tails: started(tails({ js: edge.js })), lookup: () => undefined, changed: world.changed };
  const reading = readLog({ key, follow: true }, viewing);
  const first = await within(2_000, 'the line', reading.next());
  assert.ok(!first.done);
  assert.equal(Buffer.from(first.value.bytes).toString(), 'hello\n');
  await reading.return(undefined);
});

test('an agent that starts again in the middle of a log goes on at the right byte', async () => {
  const key = newKey();
  world.right.set(keyOf(key), 'open');
  const { url } = await replica();
  const first = startShipping({ urls: [url], agent: 'node-1', token: farm.agentToken('node-1') });
  const spool = await spoolOf(key);
  void add(first, key, spool);
  const written = [...buildOutput(4_000_000)];
  for (const piece of written.slice(0, 50)) await spool.write(piece);
  await first.stop();
  const again = await spoolOf(key);
  const shipped = add(shipping([url]), key, again);
  for (const piece of written.slice(50)) await again.write(piece);
  await again.end();
  assert.equal((await within(5_000, 'shipping', shipped)).outcome, 'complete');
  assert.equal(sha256(await stored(key)), sha256(...written));
});

test('a connection that breaks all the time loses and repeats nothing', async () => {
  const key = newKey();
  world.right.set(keyOf(key), 'open');
  const [a, b] = [await replica(), await replica()];
  const spool = await spoolOf(key);
  const shipped = add(shipping([a.url, b.url]), key, spool);
  const breaking = setInterval(() => {
    a.drop();
    b.drop();
  }, 40);
  const written: Buffer[] = [];
  for (const piece of buildOutput(8_000_000)) {
    written.push(piece);
    await spool.write(piece);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await spool.end();
  setTimeout(() => clearInterval(breaking), 400);
  assert.equal((await within(10_000, 'shipping', shipped)).outcome, 'complete');
  assert.equal(sha256(await stored(key)), sha256(...written));
});

test('a controller that has stopped answering is left for the next', async () => {
  const key = newKey();
  world.right.set(keyOf(key), 'open');
  const mute = createServer();
  const sockets = new WebSocketServer({ server: mute, autoPong: false });
  await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
  started({
    stop: async () => {
      for (const client of sockets.clients) client.terminate();
      sockets.close();
      await new Promise((resolve) => mute.close(resolve));
    },
  });
  const urls = [`http://127.0.0.1:${(mute.address() as AddressInfo).port}`, (await replica()).url];
  const times = { pingEveryMs: 50, deadMs: 200, backoffMs: 20 };
  const ship = started(startShipping({ urls, agent: 'node-1', token: farm.agentToken('node-1'), times }));
  const spool = await spoolOf(key);
  await spool.write(Buffer.from('hello'));
  await spool.end();
  assert.equal((await within(5_000, 'shipping', add(ship, key, spool))).outcome, 'complete');
});

test('the log of a revoked attempt is refused, at its opening and at every chunk', async () => {
  const [key, other] = [newKey(), newKey()];
  world.right.set(keyOf(key), 'open');
  world.right.set(keyOf(other), 'revoked');
  const agent = await rawAgent((await replica()).url);
  agent.open(other, 0);
  assert.partialDeepStrictEqual(await agent.next(), { type: 'refused', stream: 0, code: 'LOG_REVOKED' });
  agent.open(key, 1);
  assert.deepEqual(await agent.next(), { type: 'go', stream: 1, offset: 0 });
  agent.chunk(1, 0, 'before');
  assert.deepEqual(await agent.next(), { type: 'stored', stream: 1, offset: 6 });
  world.right.set(keyOf(key), 'revoked');
  agent.chunk(1, 6, 'after');
  agent.chunk(1, 11, 'and after');
  assert.partialDeepStrictEqual(await agent.next(), { type: 'refused', stream: 1, code: 'LOG_REVOKED' });
  assert.equal((await stored(key)).toString(), 'before');
});

test('a shipped log that is revoked is dropped, and the step may go on writing', async () => {
  const key = newKey();
  world.right.set(keyOf(key), 'revoked');
  const spool = await spoolOf(key);
  await spool.write(Buffer.from('stale'));
  const shipped = await within(5_000, 'refusal', add(shipping([(await replica()).url]), key, spool));
  assert.partialDeepStrictEqual(shipped, { outcome: 'refused', code: 'LOG_REVOKED' });
  await spool.write(Buffer.from('more'));
  assert.equal((await stored(key)).length, 0);
});

test('a token of another attempt or agent opens nothing', async () => {
  const [key, other] = [newKey(), newKey()];
  world.right.set(keyOf(key), 'open');
  const agent = await rawAgent((await replica()).url);
  agent.open(key, 0, farm.attemptToken('node-1', other));
  assert.partialDeepStrictEqual(await agent.next(), { type: 'refused', code: 'LOG_TOKEN' });
  agent.open(key, 1, farm.attemptToken('node-2', key));
  assert.partialDeepStrictEqual(await agent.next(), { type: 'refused', code: 'LOG_TOKEN' });
});

test('an ended attempt may send up to the total of its final notice, and no byte more', async () => {
  const key = newKey();
  world.right.set(keyOf(key), { ended: 5 });
  const agent = await rawAgent((await replica()).url);
  agent.open(key, 0);
  await agent.next();
  agent.chunk(0, 0, '123456');
  assert.partialDeepStrictEqual(await agent.next(), { type: 'refused', code: 'LOG_TOO_LONG' });
  agent.open(key, 1);
  assert.deepEqual(await agent.next(), { type: 'go', stream: 1, offset: 0 });
  agent.chunk(1, 0, '12345');
  assert.deepEqual(await agent.next(), { type: 'stored', stream: 1, offset: 5 });
  assert.deepEqual(await agent.next(), { type: 'complete', stream: 1 });
  agent.open(key, 2);
  assert.deepEqual(await agent.next(), { type: 'go', stream: 2, offset: 5 });
  assert.deepEqual(await agent.next(), { type: 'complete', stream: 2 });
});

test('an attempt that is not known yet is waited for, and put off when it stays unknown', async () => {
  const [soon, never] = [newKey(), newKey()];
  const agent = await rawAgent((await replica({ unknownMs: 300, laterMs: 7 })).url);
  agent.open(never, 0);
  assert.partialDeepStrictEqual(await agent.next(), { type: 'later', stream: 0, waitMs: 7 });
  agent.open(soon, 1);
  world.right.set(keyOf(soon), 'open');
  world.change();
  assert.deepEqual(await agent.next(), { type: 'go', stream: 1, offset: 0 });
});

test('a chunk that does not follow is not stored, and the agent is told where to go on', async () => {
  const key = newKey();
  world.right.set(keyOf(key), 'open');
  const agent = await rawAgent((await replica()).url);
  agent.open(key, 0);
  await agent.next();
  agent.chunk(0, 0, 'abc');
  await agent.next();
  agent.chunk(0, 5, 'fgh');
  agent.chunk(0, 8, 'ijk');
  assert.deepEqual(await agent.next(), { type: 'go', stream: 0, offset: 3 });
  agent.chunk(0, 3, 'de');
  assert.deepEqual(await agent.next(), { type: 'stored', stream: 0, offset: 5 });
  assert.equal((await stored(key)).toString(), 'abcde');
});

for (const [what, frame] of [
  ['a text that is no message', 'nonsense'],
  ['a message of an unknown kind', '{"type":"close"}'],
  ['an opening with a step that is no token', '{"type":"open","stream":0,"run":"1","step":"../x","attempt":1,"token":""}'],
  ['a very long text', JSON.stringify({ type: 'open', stream: 0, run: '1', step: 'a', attempt: 1, token: 'x'.repeat(5_000) })],
  ['a chunk of a stream that is not open', packChunk(7, 0, 0, Buffer.from('x'))],
  ['a chunk that is too short', Buffer.from('short')],
  ['a chunk that is too long', packChunk(0, 0, 0, Buffer.alloc(64 * 1024 + 1))],
] as const)
  test(`${what} closes the socket with a reason`, async () => {
    const agent = await rawAgent((await replica()).url);
    agent.socket.send(frame);
    const { code, reason } = await within(5_000, 'closing', agent.closed);
    assert.equal(code, 1008);
    assert.ok(reason.length > 0);
  });

test('a frame larger than any chunk closes the socket', async () => {
  const agent = await rawAgent((await replica()).url);
  agent.socket.send(Buffer.alloc(1024 * 1024));
  assert.equal((await within(5_000, 'closing', agent.closed)).code, 1009);
});

test('two writers of one log at once repeat and reorder nothing', async () => {
  const key = newKey();
  const written = Buffer.concat([...buildOutput(2_000_000, 9_000)]);
  let conflicts = 0;
  const writer = () => {
    const done = Promise.withResolvers<void>();
    let turns = 0;
    let sentTo = 0;
    const feed = () => {
      while (appender.want === sentTo && sentTo < written.length && appender.queuedCost < 60_000) {
        const bytes = written.subarray(sentTo, sentTo + 1_000 + (sentTo % 20_000));
        sentTo += bytes.length;
        appender.push(1, bytes);
      }
    };
    const appender = appendLog(
      key,
      { store, archivedEnd: async () => 0 },
      {
        go: (offset) => {
          conflicts += turns++ > 0 ? 1 : 0;
          sentTo = offset;
          if (offset >= written.length) return done.resolve();
          setImmediate(feed);
        },
        stored: (offset) => (offset >= written.length ? done.resolve() : setImmediate(feed)),
        later: (message) => done.reject(new Error(message)),
      },
    );
    return done.promise;
  };
  await within(15_000, 'both writers', Promise.all([writer(), writer()]));
  assert.ok(conflicts > 0, 'they met');
  assert.equal(sha256(await stored(key)), sha256(written));
});

test('a full stream pushes back and drops nothing', async () => {
  const key = newKey();
  world.right.set(keyOf(key), 'open');
  let full = true;
  let refused = 0;
  const pushedBack = Promise.withResolvers<void>();
  const flaky: LogStore = {
    ...store,
    append: async (...args) => {
      if (full && args[1].offset > 500_000) {
        if (++refused === 3) pushedBack.resolve();
        return 'full';
      }
      return store.append(...args);
    },
  };
  const { url } = await replica({ store: flaky, laterMs: 20 });
  const spool = await spoolOf(key);
  const shipped = add(shipping([url]), key, spool);
  const written = [...buildOutput(2_000_000)];
  for (const piece of written) await spool.write(piece);
  await spool.end();
  await within(5_000, 'being pushed back', pushedBack.promise);
  full = false;
  assert.equal((await within(5_000, 'shipping', shipped)).outcome, 'complete');
  assert.equal(sha256(await stored(key)), sha256(...written));
});

test('an append of which nobody knows whether it was stored is neither lost nor repeated', async () => {
  const key = newKey();
  world.right.set(keyOf(key), 'open');
  let n = 0;
  const doubtful: LogStore = {
    ...store,
    append: async (...args) => {
      n++;
      if (n % 5 === 0) await store.append(...args);
      return n % 5 === 0 || n % 7 === 0 ? { unknown: 'TIMEOUT' } : store.append(...args);
    },
  };
  const spool = await spoolOf(key);
  const shipped = add(shipping([(await replica({ store: doubtful })).url]), key, spool);
  const written = [...buildOutput(3_000_000)];
  for (const piece of written) await spool.write(piece);
  await spool.end();
  assert.equal((await within(5_000, 'shipping', shipped)).outcome, 'complete');
  assert.equal(sha256(await stored(key)), sha256(...written));
});
