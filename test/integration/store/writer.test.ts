import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jetstream } from '@nats-io/jetstream';
import { connectFarm } from '../../../controller/store/connect.ts';
import { runsWriter } from '../../../controller/store/writer.ts';
import { isFarmError } from '../../../protocol/errors.ts';
import { Farm } from '../../../protocol/farm.ts';
import { type FarmRecord, recordVersion } from '../../../protocol/record.ts';
import { verdictOf } from '../../support/api.ts';
import { cableTo } from '../../support/cable.ts';
import { startTestNats } from '../../support/nats.ts';
import { readRecords } from '../../support/read-streams.ts';
import { newRun } from '../../support/runs.ts';

const alive = (term: number, nth = 1) => ({ v: recordVersion, type: 'alive' as const, term, nth, atMs: 1_000 });
const created = (term: number, nth: number): FarmRecord => ({
  ...alive(term, nth),
  type: 'verdict',
  source: 'person',
  id: `${nth}`,
  positions: { deliveries: nth, notices: 0 },
  verdict: verdictOf({ decision: 'runs', creates: [newRun(undefined, { id: `${nth}` })] }),
});
const refused = (error: unknown) => isFarmError(error, 'WRITE_REFUSED');
const unknown = (error: unknown) => isFarmError(error, 'WRITE_UNKNOWN');

test('appends sent together are stored in the order of sending', async () => {
  await using nats = await startTestNats();
  const nc = await nats.connect();
  const writer = runsWriter({ js: jetstream(nc), afterSeq: 0, now: () => 7, timeoutMs: 5_000 });
  await Promise.all(Array.from({ length: 200 }, (_, i) => writer.append(alive(i))));
  assert.deepEqual(
    (await readRecords(nc)).map((r) => r.value.term),
    Array.from({ length: 200 }, (_, i) => i),
  );
  assert.deepEqual([writer.pending, writer.provenAtMs, writer.broken], [0, 7, undefined]);
});

test('the first append of a second writer ends the first one: nothing that it sends counts, though some may be stored', async () => {
  await using nats = await startTestNats();
  const nc = await nats.connect();
  const options = { js: jetstream(nc), now: () => 0, timeoutMs: 5_000 };
  const stale = runsWriter({ ...options, afterSeq: 0 });
  const farm = new Farm();
  await stale.append({ ...alive(1, 1), type: 'leader', id: 'c1', url: '' });
  for (let nth = 2; nth <= 3; nth += 1) await stale.append(alive(1, nth));
  const next = runsWriter({ ...options, afterSeq: 3 });
  await next.append({ ...alive(2, 1), type: 'leader', id: 'c2', url: '' });
  for (let nth = 2; nth <= 5; nth += 1) await next.append(alive(2, nth));
  // Sent before it knows; the sixth expects the sequence at which the other stands.
  const all = await Promise.allSettled(Array.from({ length: 50 }, (_, i) => stale.append(created(1, 4 + i))));
  assert.ok(all.every((a) => a.status === 'rejected' && refused(a.reason)));
  await assert.rejects(stale.append(alive(1, 54)), refused);
  assert.equal(stale.provenAtMs, 0);
  const records = await readRecords(nc);
  assert.ok(records.length > 8, 'this test lacks what it is about: some are stored');
  for (const { seq, value } of records) farm.fold(value, seq);
  assert.deepEqual([farm.term, farm.leader, farm.nth, farm.runs.size, farm.positions.deliveries], [2, 'c2', 5, 0, 0]);

  await assert.rejects(next.append(alive(2, 6)), refused, 'it has to begin a new term');
  const again = runsWriter({ ...options, afterSeq: records.length });
  await again.append({ ...alive(3, 1), type: 'leader', id: 'c2', url: '' });
  await again.append(created(3, 2));
  for (const { seq, value } of await readRecords(nc, records.length + 1)) farm.fold(value, seq);
  assert.deepEqual([farm.term, farm.nth, farm.runs.size], [3, 2, 1]);
});

test('a record of another in between ends a writer: nothing that it had sent after that counts', async () => {
  await using nats = await startTestNats();
  const nc = await nats.connect();
  const js = jetstream(nc);
  const writer = runsWriter({ js, afterSeq: 0, now: () => 0, timeoutMs: 5_000 });
  await writer.append({ ...alive(2, 1), type: 'leader', id: 'c2', url: '' });
  const first = writer.append(alive(2, 2));
  await js.publish('leader', JSON.stringify(alive(1, 9)));
  const sending = [first, ...Array.from({ length: 20 }, (_, i) => writer.append(created(2, 3 + i)))];
  const all = await Promise.allSettled(sending);
  assert.deepEqual(
    all.map((a) => a.status),
    ['fulfilled', ...Array.from({ length: 20 }, () => 'rejected')],
  );
  const farm = new Farm();
  const records = await readRecords(nc);
  for (const { seq, value } of records) farm.fold(value, seq);
  assert.ok(records.length > 3, 'this test lacks what it is about: some are stored');
  assert.deepEqual([farm.nth, farm.runs.size], [2, 0]);
});

test('of two writers that begin at the same place one is the writer', async () => {
  await using nats = await startTestNats();
  const nc = await nats.connect();
  const writers = [1, 2].map((term) => ({
    term,
    writer: runsWriter({ js: jetstream(nc), afterSeq: 0, now: () => 0, timeoutMs: 5_000 }),
  }));
  await Promise.allSettled(writers.flatMap(({ term, writer }) => Array.from({ length: 20 }, () => writer.append(alive(term)))));
  const stored = (await readRecords(nc)).map((r) => r.value.term);
  assert.equal(stored.length, 20);
  assert.equal(new Set(stored).size, 1);
});

test('an append without an answer breaks the writer, and what is stored is a beginning of what was sent', async () => {
  await using nats = await startTestNats();
  await using cable = await cableTo(nats.url);
  const nc = await connectFarm({ url: cable.url, seed: nats.controllerSeed, name: 'writer' });
  const writer = runsWriter({ js: jetstream(nc), afterSeq: 0, now: () => 0, timeoutMs: 500 });
  for (let i = 0; i < 5; i += 1) await writer.append(alive(i));
  const sending = Array.from({ length: 20 }, (_, i) => writer.append(alive(5 + i)));
  setImmediate(cable.cut);
  const all = await Promise.allSettled(sending);
  assert.ok(all.some((a) => a.status === 'rejected' && unknown(a.reason)));
  cable.mend();
  await assert.rejects(writer.append(alive(99)), unknown);
  const stored = (await readRecords(await nats.connect())).map((r) => r.value.term);
  assert.deepEqual(
    stored,
    Array.from({ length: stored.length }, (_, i) => i),
  );
  const acknowledged = all.filter((a) => a.status === 'fulfilled').length;
  assert.ok(stored.length >= 5 + acknowledged);
  await nc.close();
});
