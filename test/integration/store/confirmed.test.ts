import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { follow } from '../../../controller/store/confirmed.ts';
import { connectFarm } from '../../../controller/store/connect.ts';
import { silent } from '../../../controller/store/log.ts';
import { runsWriter } from '../../../controller/store/writer.ts';
import { type FarmRecord, recordVersion } from '../../../protocol/record.ts';
import { openRun } from '../../../protocol/run.ts';
import { verdictOf } from '../../support/api.ts';
import { cableTo } from '../../support/cable.ts';
import { startTestNats } from '../../support/nats.ts';
import { newRun } from '../../support/runs.ts';

const base = { v: recordVersion, term: 1, atMs: 1_000 };
const positions = { deliveries: 0, notices: 0 };
const [ended, open] = [newRun(undefined, { id: '1700000000000000001' }), newRun(undefined, { id: '1700000000000000002' })];

const leader: FarmRecord = { ...base, type: 'leader', id: 'c1', url: '' };
const created = (run: typeof open): FarmRecord => ({
  ...base,
  type: 'verdict',
  source: 'person',
  id: run.id,
  positions,
  verdict: verdictOf({ decision: 'runs', creates: [run] }),
});
const archived: FarmRecord = {
  ...base,
  type: 'run',
  run: ended.id,
  n: 2,
  positions,
  events: [{ type: 'finished', state: 'passed', reason: '', atMs: 2_000 }, { type: 'archived' }],
};
const checkpoint: FarmRecord = {
  ...base,
  type: 'checkpoint',
  leader: 'c1',
  positions,
  lastRunId: open.id,
  agents: [],
  queues: [],
  pulls: [],
  config: { hash: null, loadedAtMs: 0, jobs: 0, problems: [] },
};

async function appendAll(nc: NatsConnection, records: FarmRecord[]): Promise<void> {
  const { state } = await (await jetstreamManager(nc)).streams.info('RUNS');
  const writer = runsWriter({ js: jetstream(nc), afterSeq: state.last_seq, now: () => 0, timeoutMs: 5_000 });
  for (const [i, record] of records.entries()) await writer.append({ ...record, nth: state.last_seq + i + 1 });
}

test('a reader from which records were purged while it was cut off begins anew, and keeps nothing that has ended', async () => {
  await using nats = await startTestNats();
  await using cable = await cableTo(nats.url);
  const writing = await nats.connect();
  const reading = await connectFarm({ url: cable.url, seed: nats.controllerSeed, name: 'reader' });
  const confirmed = await follow({ js: jetstream(reading), jsm: await jetstreamManager(reading), log: silent });
  try {
    await appendAll(writing, [leader, created(ended), created(open)]);
    await confirmed.until(3, AbortSignal.timeout(5_000));
    assert.deepEqual([...confirmed.farm.runs.keys()], [ended.id, open.id]);

    cable.cut();
    await appendAll(writing, [archived, { ...base, type: 'snapshot', run: openRun(open) }, checkpoint]);
    await (await jetstreamManager(writing)).streams.purge('RUNS', { seq: 5 });
    cable.mend();
    await confirmed.until(6, AbortSignal.timeout(15_000));
    assert.deepEqual([...confirmed.farm.runs.keys()], [open.id]);
  } finally {
    await confirmed.stop();
    await reading.close();
  }
});

test('a reader that begins with an old stream sees what one sees that was there all the time', async () => {
  await using nats = await startTestNats();
  const nc = await nats.connect();
  const deps = { js: jetstream(nc), jsm: await jetstreamManager(nc), log: silent };
  const early = await follow(deps);
  await appendAll(nc, [
    leader,
    created(ended),
    created(open),
    archived,
    { ...base, type: 'snapshot', run: openRun(open) },
    checkpoint,
  ]);
  await early.until(6, AbortSignal.timeout(5_000));
  await deps.jsm.streams.purge('RUNS', { seq: 5 });
  const late = await follow(deps);
  await late.until(6, AbortSignal.timeout(5_000));
  assert.deepEqual(late.farm, early.farm);
  await early.stop();
  await late.stop();
});
