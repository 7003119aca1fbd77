import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import WebSocket, { WebSocketServer } from 'ws';
import { archiveLog } from '../../../controller/logs/archive.ts';
import { purgeLogs } from '../../../controller/logs/purge.ts';
import { type Tails, tails } from '../../../controller/logs/tails.ts';
import { type LogEnd, type ReadLog, readLog, type ViewDeps } from '../../../controller/logs/view.ts';
import { logReadable, type ServeViewer, serveViewer, type ViewerLimits } from '../../../controller/logs/view-socket.ts';
import { fileObjects } from '../../../controller/store/file-objects.ts';
import type { Objects } from '../../../controller/store/objects.ts';
import type { ToViewer } from '../../../protocol/log.ts';
import { type AttemptKey, keyOf } from '../../../protocol/task.ts';
import { buildOutput, eventually, logWorld, newKey, sha256, storeOn, within } from '../../support/log-farm.ts';
import { startTestNats, type TestNats } from '../../support/nats.ts';

let nats: TestNats;
let edge: Awaited<ReturnType<typeof storeOn>>;
let dir: string;
let objects: Objects;
let shared: Tails;
let deps: ViewDeps;
const world = logWorld();
const running: { stop: () => Promise<void> }[] = [];

before(async () => {
  nats = await startTestNats();
  edge = await storeOn(await nats.connect(), 2_000);
  dir = await mkdtemp(path.join(tmpdir(), 'thresh-view-'));
  objects = fileObjects(dir);
  shared = tails({ js: edge.js });
  deps = { store: edge.store, objects, tails: shared, lookup: (k) => world.view.get(keyOf(k)), changed: world.changed };
});
afterEach(async () => {
  for (const part of running.splice(0).reverse()) await part.stop();
});
after(async () => {
  await shared.stop();
  await nats.stop();
  await rm(dir, { recursive: true, force: true });
});

/** A log that the test writes itself. */
function writer(key = newKey()) {
  let [seq, end] = [0, 0];
  world.view.set(keyOf(key), { state: 'running', open: true });
  return {
    key,
    get end() {
      return end;
    },
    write: async (bytes: Uint8Array | string) => {
      const body = Buffer.from(bytes as Uint8Array);
      seq = (await edge.store.last(key))?.seq ?? seq;
      const stored = await edge.store.append(key, { offset: end, atMs: 1 }, body, seq);
      assert.ok(typeof stored === 'object' && 'seq' in stored, JSON.stringify(stored));
      end += body.length;
      return stored.seq;
    },
    finish: (total = end) => {
      world.view.set(keyOf(key), { state: 'passed', open: false, total });
      world.change();
    },
  };
}

async function read(options: ReadLog, { perPiece = async () => {} }: { perPiece?: (at: number) => Promise<void> } = {}) {
  const hash = createHash('sha256');
  let at = options.offset ?? 0;
  let text = '';
  const pieces = readLog(options, deps);
  for (;;) {
    const { done, value }: IteratorResult<{ offset: number; bytes: Uint8Array }, LogEnd | undefined> = await pieces.next();
    if (done) return { end: value, at, sha256: hash.digest('hex'), text };
    assert.equal(value.offset, at);
    at += value.bytes.length;
    hash.update(value.bytes);
    if (at < 10_000) text += Buffer.from(value.bytes).toString();
    await perPiece(at);
  }
}

const purge = (upTo: number, isDone: (key: AttemptKey) => boolean = () => false) =>
  purgeLogs(upTo, { jsm: edge.jsm, store: edge.store, objects, isDone, now: Date.now, segmentBytes: 1024 * 1024 });

/** Resolves when `LOGS` has so many consumers. */
const consumers = (count: number) => eventually(async () => (await edge.jsm.streams.info('LOGS')).state.consumer_count === count);

test('who does not follow gets what is stored now, from any offset', async () => {
  const log = writer();
  for (const text of ['abc', 'def', 'ghi']) await log.write(text);
  assert.partialDeepStrictEqual(await read({ key: log.key }), { text: 'abcdefghi', end: undefined });
  assert.partialDeepStrictEqual(await read({ key: log.key, offset: 4 }), { text: 'efghi' });
  assert.partialDeepStrictEqual(await read({ key: log.key, offset: 9 }), { text: '' });
  log.finish();
  assert.partialDeepStrictEqual(await read({ key: log.key }), {
    text: 'abcdefghi',
    end: { state: 'passed', total: 9, missing: 0 },
  });
});

test('a follower gets each byte as it comes and ends with the log', async () => {
  const log = writer();
  await log.write('first ');
  let seen = Promise.withResolvers<void>();
  const reading = read({ key: log.key, follow: true }, { perPiece: async () => seen.resolve() });
  for (const text of ['second ', 'third']) {
    await within(2_000, text, seen.promise);
    seen = Promise.withResolvers();
    await log.write(text);
  }
  log.finish();
  assert.partialDeepStrictEqual(await within(2_000, 'the end', reading), {
    text: 'first second third',
    end: { total: 18, missing: 0 },
  });
});

test('followers of one log share a consumer, which goes with the last of them', async () => {
  const log = writer();
  const stop = new AbortController();
  const seen = [0, 0, 0];
  const allSeen = Promise.withResolvers<void>();
  const readers = seen.map((_, i) =>
    read(
      { key: log.key, follow: true, signal: stop.signal },
      {
        perPiece: async (at) => {
          seen[i] = at;
          if (seen.every((n) => n === 4)) allSeen.resolve();
        },
      },
    ),
  );
  try {
    await consumers(1);
    await log.write('live');
    await within(2_000, 'all', allSeen.promise);
    await consumers(1);
  } finally {
    stop.abort();
    await Promise.all(readers);
  }
  await consumers(0);
});

test('a viewer that lags behind what is remembered loses nothing', async () => {
  const log = writer();
  const quick = read({ key: log.key, follow: true });
  let release = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  const slow = read({ key: log.key, follow: true }, { perPiece: (at) => (at < 100_000 ? held : Promise.resolve()) });
  const written: Buffer[] = [];
  for (const piece of buildOutput(5_000_000)) {
    written.push(piece);
    await log.write(piece);
  }
  log.finish();
  assert.equal((await within(5_000, 'the quick one', quick)).sha256, sha256(...written));
  release();
  assert.equal((await within(5_000, 'the slow one', slow)).sha256, sha256(...written));
});

test('what was purged is read from object storage, also by one who had read half of it', async () => {
  const log = writer();
  const half = Promise.withResolvers<void>();
  let release = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  const reading = read(
    { key: log.key, follow: true },
    {
      perPiece: async (at) => {
        if (at < 1_000_000) return;
        half.resolve();
        await held;
      },
    },
  );
  const written: Buffer[] = [];
  let seq = 0;
  for (const piece of buildOutput(4_000_000)) {
    written.push(piece);
    seq = await log.write(piece);
  }
  await within(5_000, 'half of it', half.promise);
  assert.ok((await purge(seq + 1)) > 50, 'all of it goes, and an empty message stays');
  const marker = await edge.store.last(log.key);
  assert.partialDeepStrictEqual(marker, { offset: log.end });
  assert.equal(marker?.bytes.length, 0);
  release();
  for (const piece of buildOutput(300_000)) {
    written.push(piece);
    await log.write(piece);
  }
  log.finish();
  const all = sha256(...written);
  assert.equal((await within(5_000, 'the follower', reading)).sha256, all);
  assert.equal((await read({ key: log.key })).sha256, all);
  assert.equal((await read({ key: log.key, offset: 1_234_567 })).sha256, sha256(Buffer.concat(written).subarray(1_234_567)));
  assert.equal((await archiveLog(log.key, { total: log.end }, { store: edge.store, objects }))?.sha256, all);
  await purge((await edge.store.bounds()).lastSeq + 1, () => true);
  assert.equal(await edge.store.last(log.key), undefined);
  assert.equal((await read({ key: log.key, follow: true })).sha256, all, 'nothing of it is left in the stream');
});

test('nothing is purged when object storage fails', async () => {
  const log = writer();
  const seq = await log.write('precious');
  const failing = { ...objects, put: () => Promise.reject(new Error('disk full')) };
  const before = (await edge.jsm.streams.info('LOGS')).state.messages;
  await assert.rejects(
    purgeLogs(seq + 1, { jsm: edge.jsm, store: edge.store, objects: failing, isDone: () => false, now: Date.now }),
    /disk full/,
  );
  assert.equal((await edge.jsm.streams.info('LOGS')).state.messages, before);
});

test('a follower of a log whose end never came is told how much is missing', async () => {
  const log = writer();
  await log.write('only this');
  log.finish(100);
  const reading = read({ key: log.key, follow: true });
  await archiveLog(log.key, { total: 100, giveUp: true }, { store: edge.store, objects });
  world.change();
  assert.partialDeepStrictEqual(await within(3_000, 'the end', reading), { text: 'only this', end: { total: 100, missing: 91 } });
});

test('a follower survives the death of NATS', async () => {
  const log = writer();
  await log.write('before ');
  const first = Promise.withResolvers<void>();
  const reading = read({ key: log.key, follow: true }, { perPiece: async () => first.resolve() });
  await first.promise;
  await nats.restart();
  await eventually(async () => (await edge.store.last(log.key).catch(() => undefined)) !== undefined);
  await log.write('after');
  log.finish();
  assert.partialDeepStrictEqual(await within(8_000, 'the end', reading), { text: 'before after' });
});

async function viewerServer(
  request: ServeViewer,
  options: { limits?: Partial<ViewerLimits>; newest?: () => { attempt: number; more: boolean } } = {},
) {
  const http = createServer();
  const server = new WebSocketServer({ server: http });
  const served = Promise.withResolvers<void>();
  const { limits = {}, newest = () => ({ attempt: 1, more: false }) } = options;
  server.on('connection', (socket) => void serveViewer(socket, request, { ...deps, newest, limits }).then(served.resolve));
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const socket = new WebSocket(`ws://127.0.0.1:${(http.address() as AddressInfo).port}`);
  const heard: (ToViewer | string)[] = [];
  const closed = new Promise<number>((resolve) => socket.on('close', resolve));
  socket.on('message', (data, isBinary) => heard.push(isBinary ? data.toString() : JSON.parse(data.toString())));
  await new Promise((resolve) => socket.on('open', resolve));
  running.push({
    stop: async () => {
      socket.terminate();
      for (const client of server.clients) client.terminate();
      server.close();
      await new Promise((resolve) => http.close(resolve));
    },
  });
  return { socket, heard, closed, served: served.promise };
}

test('a viewer hears where it stands, the bytes, and the end', async () => {
  const log = writer();
  await log.write('some output');
  log.finish();
  const viewer = await viewerServer({ ...log.key, offset: 5, follow: true });
  assert.equal(await within(3_000, 'closing', viewer.closed), 1000);
  assert.deepEqual(viewer.heard, [
    { type: 'at', attempt: 1, offset: 5 },
    'output',
    { type: 'end', attempt: 1, total: 11, missing: 0, state: 'passed' },
  ]);
});

test('a viewer of a step goes on with the attempt that follows a lost one', async () => {
  const [first, second] = [writer(), writer()];
  const key = { ...first.key, attempt: 2 };
  await first.write('lost');
  world.view.set(keyOf(first.key), { state: 'lost', open: false });
  let newest = { attempt: 1, more: true };
  const viewer = await viewerServer({ run: key.run, step: key.step, follow: true }, { newest: () => newest });
  const lost = await edge.store.last(first.key);
  assert.ok(lost && second);
  const retry = writer(key);
  await retry.write('retried');
  retry.finish();
  newest = { attempt: 2, more: false };
  world.change();
  await within(4_000, 'closing', viewer.closed);
  assert.deepEqual(viewer.heard, [
    { type: 'at', attempt: 1, offset: 0 },
    'lost',
    { type: 'at', attempt: 2, offset: 0 },
    'retried',
    { type: 'end', attempt: 2, total: 7, missing: 0, state: 'passed' },
  ]);
});

test('a viewer that takes nothing and answers nothing is cut off', async () => {
  const log = writer();
  for (const piece of buildOutput(30_000_000)) await log.write(piece);
  const viewer = await viewerServer({ ...log.key, follow: true }, { limits: { stuckMs: 500, pingEveryMs: 100 } });
  viewer.socket.pause();
  await within(5_000, 'being cut off', viewer.served);
});

test('a plain HTTP reader gets the same bytes', async () => {
  const log = writer();
  const written = [...buildOutput(1_000_000)];
  for (const piece of written) await log.write(piece);
  log.finish();
  const parts: Buffer[] = [];
  for await (const part of logReadable({ key: log.key, follow: true }, deps)) parts.push(part as Buffer);
  assert.equal(sha256(...parts), sha256(...written));
});
