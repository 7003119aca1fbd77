import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Deciding } from '../../../controller/schedule/deciding.ts';
import type { RunsWriter } from '../../../controller/store/writer.ts';
import { FarmError } from '../../../protocol/errors.ts';
import { Farm } from '../../../protocol/farm.ts';
import type { FarmRecord } from '../../../protocol/record.ts';
import { verdictOf } from '../../support/api.ts';
import { newRun } from '../../support/runs.ts';

/** A writer whose appends a test acknowledges, in order, or refuses. */
function heldWriter() {
  const sent: FarmRecord[] = [];
  const waiting: PromiseWithResolvers<void>[] = [];
  let broken: FarmError | undefined;
  const writer: RunsWriter = {
    append: (record) => {
      if (broken) return Promise.reject(broken);
      sent.push(record);
      const acknowledged = Promise.withResolvers<void>();
      waiting.push(acknowledged);
      return acknowledged.promise;
    },
    get pending() {
      return waiting.length;
    },
    provenAtMs: 0,
    get broken() {
      return broken;
    },
  };
  const acknowledge = (count = 1) => {
    for (const one of waiting.splice(0, count)) one.resolve();
  };
  const refuse = () => {
    broken = new FarmError('WRITE_REFUSED', { seq: 1 });
    for (const one of waiting.splice(0)) one.reject(broken);
  };
  return { writer, sent, acknowledge, refuse };
}

function decidingWith() {
  const held = heldWriter();
  const touched: string[] = [];
  const failures: string[] = [];
  const farm = new Farm();
  farm.term = 3;
  farm.positions = { deliveries: 7, notices: 8 };
  const deciding = new Deciding({
    farm,
    term: 3,
    writer: held.writer,
    wallMs: () => 5_000,
    touched: (run) => touched.push(`${run.id} ${run.state}`),
    failed: (error) => failures.push(error.code),
  });
  const create = (id: string) =>
    deciding.commit({
      type: 'verdict',
      source: 'person',
      id,
      verdict: verdictOf({ decision: 'runs', creates: [newRun(undefined, { id })] }),
    });
  return { ...held, deciding, touched, failures, create };
}

test('a decision is in the leader’s state at once, and counts when it is stored', async () => {
  const { deciding, touched, create, acknowledge } = decidingWith();
  let stored = false;
  const done = create('1').then((ok) => {
    stored = ok;
  });
  assert.deepEqual([touched, deciding.farm.runs.has('1')], [['1 queued'], true]);
  await Promise.resolve();
  assert.equal(stored, false);
  acknowledge();
  await done;
  assert.equal(stored, true);
});

test('every record carries term, time and how far the inputs were settled when it was decided', () => {
  const { deciding, sent, create } = decidingWith();
  void create('1');
  deciding.positions.deliveries = 9;
  void create('2');
  assert.deepEqual(
    sent.map((r) => [r.term, r.atMs, r.type === 'verdict' && r.positions]),
    [
      [3, 5_000, { deliveries: 7, notices: 8 }],
      [3, 5_000, { deliveries: 9, notices: 8 }],
    ],
  );
});

test('what happens to a run is one record with all that follows from it, numbered after the one before', () => {
  const { deciding, sent, create } = decidingWith();
  void create('1');
  const run = deciding.farm.runs.get('1');
  assert.ok(run);
  void deciding.act(run, { type: 'cancel', by: 'anna', reason: 'no', force: false, atMs: 5_000 });
  const last = sent.at(-1);
  assert.ok(last?.type === 'run');
  assert.deepEqual([last.n, last.events.map((e) => e.type)], [2, ['cancel', 'settled', 'finished']]);
  assert.equal(deciding.farm.runs.get('1')?.state, 'cancelled');
});

test('an append that fails is told, and the decision did not happen', async () => {
  const { create, refuse, failures } = decidingWith();
  const both = Promise.all([create('1'), create('2')]);
  refuse();
  assert.deepEqual(await both, [false, false]);
  assert.equal(await create('3'), false);
  assert.deepEqual(failures, ['WRITE_REFUSED', 'WRITE_REFUSED', 'WRITE_REFUSED']);
});

test('a leader is at most 1,000 appends ahead of what is stored', async () => {
  const { deciding, create, acknowledge } = decidingWith();
  for (let i = 1; i < 1_000; i += 1) void create(String(i));
  await deciding.room();
  void create('1000');
  let there = false;
  const room = deciding.room().then(() => {
    there = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(there, false);
  acknowledge(1_000);
  await room;
});

test('who waits for room is let go when the writer breaks', async () => {
  const { deciding, create, refuse } = decidingWith();
  for (let i = 0; i < 1_000; i += 1) void create(String(i));
  const room = deciding.room();
  refuse();
  await room;
});
