import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jetstream } from '@nats-io/jetstream';
import { runsWriter } from '../../../controller/store/writer.ts';
import { decide } from '../../../protocol/dag.ts';
import type { Farm } from '../../../protocol/farm.ts';
import type { FarmRecord } from '../../../protocol/record.ts';
import { openRun, stepOf } from '../../../protocol/run.ts';
import { agentOf, verdictOf } from '../../support/api.ts';
import { quickTimes } from '../../support/farm.ts';
import { ProcessFarm } from '../../support/processes.ts';
import { foldAll, readRecords } from '../../support/read-streams.ts';
import { newRun } from '../../support/runs.ts';
import { stepWith } from '../../support/steps.ts';

const base = { v: 1, term: 1, atMs: 1_000 };
const positions = { deliveries: 0, notices: 0 };
const created = newRun(undefined, { workspace: 'local', spec: { inline: [stepWith({ script: 'print hello' })] } });
const assigned = decide(openRun(created), { type: 'assigned', step: 'test', attempt: 1, agent: 'a1', atMs: 1_000 }, 1_000);
const verdict = (id: string, over: Parameters<typeof verdictOf>[0]): FarmRecord => ({
  ...base,
  type: 'verdict',
  source: 'person',
  id,
  positions,
  verdict: verdictOf(over),
});

/** What a leader had stored when it died: one run, given to agent a1; then `last`. */
const left = (last: FarmRecord): FarmRecord[] => [
  { ...base, type: 'leader', id: 'c0', url: '' },
  verdict('1', { changes: [{ type: 'agent', agent: agentOf('a1') }] }),
  verdict('2', { decision: 'runs', creates: [created] }),
  { ...base, type: 'run', run: created.id, n: 2, positions, events: assigned.events },
  last,
];

/** Lets a controller take over after these records. @returns how its state becomes, until `isDone` */
async function takenUp(records: FarmRecord[], isDone: (farm: Farm) => boolean): Promise<Farm> {
  await using farm = await ProcessFarm.start({ jobs: {}, times: { ...quickTimes, leaseMs: 600_000 } });
  const nc = await farm.nats.connect();
  const writer = runsWriter({ js: jetstream(nc), afterSeq: 0, now: () => 0, timeoutMs: 5_000 });
  for (const [i, record] of records.entries()) await writer.append({ ...record, nth: i + 1 });
  await farm.startController('c1');
  return await farm.until('it is taken up', async () => {
    const state = foldAll(await readRecords(nc));
    return isDone(state) && state;
  });
}

test('what a revoked agent held is given away, though the leader died right after deciding so', async () => {
  const revoked = verdict('3', { changes: [{ type: 'agent-state', agent: 'a1', state: 'revoked', by: 'anna' }] });
  const farm = await takenUp(left(revoked), (f) => (f.runs.get(created.id)?.n ?? 0) > 2);
  const run = farm.runs.get(created.id);
  assert.ok(run);
  assert.deepEqual([run.round, stepOf(run, 'test')?.state], [2, 'ready']);
  assert.deepEqual(
    stepOf(run, 'test')?.attempts.map((a) => [a.agent, a.state, a.message]),
    [['a1', 'lost', "agent 'a1' was revoked"]],
  );
});

test('what a person has cancelled is cancelled, though the leader died right after deciding so', async () => {
  const cancelled = verdict('3', { cancels: [{ run: created.id, by: 'anna', reason: 'no', force: false }] });
  const farm = await takenUp(left(cancelled), (f) => f.runs.get(created.id)?.cancel !== undefined);
  const run = farm.runs.get(created.id);
  assert.ok(run);
  assert.deepEqual([run.state, stepOf(run, 'test')?.attempts[0]?.state, farm.cancelAsked.size], ['stopping', 'stopping', 0]);
});
