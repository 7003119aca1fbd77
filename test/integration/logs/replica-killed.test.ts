import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { startShipping } from '../../../agent/ship/ship.ts';
import { openSpool } from '../../../agent/ship/spool.ts';
import { archiveLog } from '../../../controller/logs/archive.ts';
import { purgeLogs } from '../../../controller/logs/purge.ts';
import { tails } from '../../../controller/logs/tails.ts';
import { readLog } from '../../../controller/logs/view.ts';
import { fileObjects } from '../../../controller/store/file-objects.ts';
import { keys } from '../../../controller/store/keys.ts';
import { type AttemptKey, keyOf } from '../../../protocol/task.ts';
import { buildOutput, logWorld, newKey, storeOn, within } from '../../support/log-farm.ts';
import type { ReplicaStart } from '../../support/log-replica.ts';
import { startTestNats, type TestNats } from '../../support/nats.ts';

let nats: TestNats;
let dir: string;
const farmKey = randomBytes(32);
const children = new Set<ChildProcess>();

before(async () => {
  nats = await startTestNats();
  dir = await mkdtemp(path.join(tmpdir(), 'thresh-logs-'));
});
after(async () => {
  for (const child of children) await kill(child);
  await nats.stop();
  await rm(dir, { recursive: true, force: true });
});

const objectsDir = () => path.join(dir, 'objects');

async function replica(): Promise<{ url: string; child: ChildProcess }> {
  const child = fork(path.join(import.meta.dirname, '../../support/log-replica.ts'));
  children.add(child);
  child.send({
    nats: nats.url,
    seed: nats.controllerSeed,
    objectsDir: objectsDir(),
    farmKey: farmKey.toString('base64'),
  } satisfies ReplicaStart);
  const [{ url }] = (await once(child, 'message')) as [{ url: string }];
  return { url, child };
}

async function kill(child: ChildProcess): Promise<void> {
  if (!children.delete(child)) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

const totalBytes = 50_000_000;

/** Ships 50 MB while two viewers follow; the replica that stores them is killed half way, when `halfWay` is done too. */
async function scenario(key: AttemptKey, halfWay: () => Promise<void>): Promise<void> {
  const [first, second] = await Promise.all([replica(), replica()]);
  const world = logWorld();
  world.view.set(keyOf(key), { state: 'running', open: true });
  const { js, store } = await storeOn(await nats.connect());
  const shared = tails({ js });
  const objects = fileObjects(objectsDir());
  const deps = { store, objects, tails: shared, lookup: (k: AttemptKey) => world.view.get(keyOf(k)), changed: world.changed };
  const middle = Promise.withResolvers<void>();
  const viewer = async () => {
    const hash = createHash('sha256');
    let at = 0;
    const pieces = readLog({ key, follow: true }, deps);
    for (;;) {
      const { done, value } = await pieces.next();
      if (done) return { sha256: hash.digest('hex'), bytes: at, end: value };
      assert.equal(value.offset, at);
      hash.update(value.bytes);
      at += value.bytes.length;
      if (at > totalBytes / 2) middle.resolve();
    }
  };
  const viewers = [viewer(), viewer()];

  const farm = keys(farmKey);
  const shipping = startShipping({
    urls: [first.url, second.url],
    agent: 'node-1',
    token: farm.agentToken('node-1'),
    times: { backoffMs: 50 },
  });
  const spool = await openSpool({ root: path.join(dir, 'spool'), key, maxBytes: 1e9, now: Date.now });
  const shipped = shipping.add(key, farm.attemptToken('node-1', key), spool);
  const disturbed = middle.promise.then(async () => {
    await kill(first.child);
    await halfWay();
  });
  const written = createHash('sha256');
  for (const piece of buildOutput(totalBytes)) {
    written.update(piece);
    await spool.write(piece);
  }
  const total = await spool.end();
  assert.equal((await within(15_000, 'shipping', shipped)).outcome, 'complete');
  await disturbed;
  world.view.set(keyOf(key), { state: 'passed', open: false, total });
  world.change();

  const sha256 = written.digest('hex');
  const end = { state: 'passed', total, missing: 0 };
  for (const seen of await within(10_000, 'viewers', Promise.all(viewers))) assert.deepEqual(seen, { sha256, bytes: total, end });
  assert.deepEqual(await archiveLog(key, { total }, { store, objects }), {
    bytes: total,
    sha256,
    missing: 0,
  });
  await shipping.stop();
  await shared.stop();
  await kill(second.child);
}

test('50 MB arrive whole at the store and at two viewers although the storing replica is killed half way', async () => {
  await scenario(newKey(), async () => {});
});

test('the same while LOGS is purged up to the middle', async () => {
  const { jsm, store } = await storeOn(await nats.connect());
  await scenario(newKey(), async () => {
    const { firstSeq, lastSeq } = await store.bounds();
    const deps = { jsm, store, objects: fileObjects(objectsDir()), isDone: () => false, now: Date.now };
    assert.ok((await purgeLogs(lastSeq - 50, deps)) > 0);
    assert.equal((await store.bounds()).firstSeq, lastSeq - 50);
    assert.ok(firstSeq < lastSeq - 50);
  });
});
