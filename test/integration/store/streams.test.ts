import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { jetstream, jetstreamManager, RetentionPolicy, StorageType, type StreamConfig } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { ensureStreams } from '../../../controller/store/streams.ts';
import { isFarmError } from '../../../protocol/errors.ts';
import { streams } from '../../../protocol/streams.ts';
import { startTestNats } from '../../support/nats.ts';

const mib = 1024 * 1024;

async function configs(nc: NatsConnection): Promise<Map<string, StreamConfig>> {
  const found = new Map<string, StreamConfig>();
  for await (const info of (await jetstreamManager(nc)).streams.list()) found.set(info.config.name, info.config);
  return found;
}

test('every stream is on disk, bounded, and refuses instead of dropping', async () => {
  await using nats = await startTestNats();
  const found = await configs(await nats.connect());
  assert.deepEqual([...found.keys()].sort(), streams.map((s) => s.name).sort());
  for (const spec of streams) {
    const c = found.get(spec.name);
    assert.ok(c);
    assert.deepEqual(c.subjects, spec.subjects);
    assert.equal(c.storage, StorageType.File);
    assert.equal(c.retention, RetentionPolicy.Limits);
    assert.equal(c.discard, 'new');
    assert.ok(c.max_bytes > 0);
    assert.equal(c.max_age, spec.maxAgeMs * 1e6);
    assert.equal(c.max_msg_size, spec.maxMsgBytes);
    assert.equal(c.duplicate_window, 100e6);
    assert.equal(c.allow_rollup_hdrs, false);
    assert.equal(c.deny_purge, false);
    assert.equal(c.max_msgs_per_subject, spec.onePerSubject ? 1 : -1);
    assert.equal(c.discard_new_per_subject ?? false, spec.onePerSubject);
  }
});

test('a second call changes nothing and loses nothing', async () => {
  await using nats = await startTestNats();
  const nc = await nats.connect();
  await jetstream(nc).publish('run.1', 'kept');
  const before = await configs(nc);
  await Promise.all([ensureStreams(nc, { replicas: 1 }), ensureStreams(nc, { replicas: 1 })]);
  assert.deepEqual(await configs(nc), before);
  assert.equal((await (await jetstreamManager(nc)).streams.info('RUNS')).state.messages, 1);
});

test('two controllers that start at once make the streams once', async () => {
  await using nats = await startTestNats({ streams: false });
  const [a, b] = [await nats.connect(), await nats.connect()];
  const maxBytes = { DELIVERIES: 32 * mib, RUNS: 32 * mib, TASKS: 32 * mib, NOTICES: 32 * mib, LOGS: 32 * mib };
  await Promise.all([ensureStreams(a, { replicas: 1, maxBytes }), ensureStreams(b, { replicas: 1, maxBytes })]);
  assert.equal((await configs(a)).size, streams.length);
});

test('a stream that differs is corrected, and its size changes only when it is named', async () => {
  await using nats = await startTestNats();
  const nc = await nats.connect();
  const jsm = await jetstreamManager(nc);
  const before = await configs(nc);
  await jsm.streams.update('NOTICES', { max_msg_size: 1024, max_bytes: 48 * mib });
  await ensureStreams(nc, { replicas: 1, maxBytes: { LOGS: 300 * mib } });
  const after = await configs(nc);
  assert.equal(after.get('NOTICES')?.max_msg_size, 64 * 1024);
  assert.equal(after.get('NOTICES')?.max_bytes, 48 * mib);
  assert.equal(after.get('LOGS')?.max_bytes, 300 * mib);
  assert.equal(after.get('RUNS')?.max_bytes, before.get('RUNS')?.max_bytes);
});

test('on a small disk all streams are there, smaller, and take messages', async () => {
  await using nats = await startTestNats({ streams: false, files: { maxFileStoreBytes: 500 * mib } });
  const nc = await nats.connect();
  await ensureStreams(nc, { replicas: 1 });
  const found = await configs(nc);
  assert.equal(found.size, streams.length);
  const sum = [...found.values()].reduce((all, c) => all + c.max_bytes, 0);
  assert.ok(sum <= 500 * mib && sum > 400 * mib, `${sum / mib} MiB`);
  await jetstream(nc).publish('log.1.s.1', Buffer.alloc(100_000));
});

test('streams are there after a kill of the server that followed their making', async () => {
  await using nats = await startTestNats({ streams: false, files: { maxFileStoreBytes: 500 * mib } });
  await ensureStreams(await nats.connect(), { replicas: 1, storeDir: join(nats.dir, 'jetstream') });
  await nats.restart();
  assert.equal((await configs(await nats.connect())).size, streams.length);
});

test('a stream whose files the server could not read is not made anew over them', async () => {
  await using nats = await startTestNats();
  const before = await nats.connect();
  await jetstream(before).publish('run.1', 'precious');
  await before.close();
  await nats.crash();
  await rm(join(nats.dir, 'jetstream/FARM/streams/RUNS/meta.inf'));
  // Newer servers do not become ready; older ones start without the stream.
  const error = await (async () => {
    await nats.restart();
    await ensureStreams(await nats.connect(), { replicas: 1, storeDir: join(nats.dir, 'jetstream') });
  })().catch((e: unknown) => e);
  assert.ok(isFarmError(error, 'STREAM_UNUSABLE') || isFarmError(error, 'NATS_SERVER_FAILED'), String(error));
  assert.match(error.message, /RUNS/);
});

test('a stream of another program is refused, not taken', async () => {
  await using nats = await startTestNats({ streams: false });
  const nc = await nats.connect();
  const jsm = await jetstreamManager(nc);
  await jsm.streams.add({ name: 'OTHER', subjects: ['run.*'], max_bytes: mib });
  await assert.rejects(ensureStreams(nc, { replicas: 1 }), (e) => isFarmError(e, 'STREAM_UNUSABLE') && /RUNS/.test(e.message));
  await jsm.streams.delete('OTHER');
  await jsm.streams.add({ name: 'TASKS', subjects: ['task.>'], retention: RetentionPolicy.Workqueue, max_bytes: mib });
  await assert.rejects(ensureStreams(nc, { replicas: 1 }), (e) => isFarmError(e, 'STREAM_UNUSABLE') && /TASKS/.test(e.message));
});

test('replicas are refused below 2.10', async (t) => {
  await using nats = await startTestNats({ streams: false });
  const nc = await nats.connect();
  if (!nc.info?.version.startsWith('2.9.')) return t.skip(`server ${nc.info?.version}`);
  await assert.rejects(ensureStreams(nc, { replicas: 3 }), (e) => isFarmError(e, 'NATS_TOO_OLD'));
});
