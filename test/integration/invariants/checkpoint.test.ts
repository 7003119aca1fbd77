import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Farm, later } from '../../../protocol/farm.ts';
import type { FarmRecord } from '../../../protocol/record.ts';
import type { ProbeAt } from '../../support/controller-process.ts';
import { quickTimes } from '../../support/farm.ts';
import { type ControllerProcess, ProcessFarm } from '../../support/processes.ts';
import { deliverAll } from '../../support/pushes.ts';
import { collectRecords, foldAll, readRecords, type Stored } from '../../support/read-streams.ts';

const pushes = 250;

/** Steps that wait for `go`; most of the runs wait for an agent, since there are few slots. */
const jobs = (dir: string) => `
postsubmits:
  acme/app:
  - name: one
    steps: [{name: main, script: "wait-file ${dir}/go"}]
  - name: two
    priority: low
    steps: [{name: main, script: "wait-file ${dir}/go"}]
`;

/** What must not differ between two readers of `RUNS`. */
const shown = (farm: Farm) => ({
  term: farm.term,
  leader: farm.leader,
  positions: farm.positions,
  lastRunId: farm.lastRunId,
  config: farm.config,
  runs: Object.fromEntries([...farm.runs].sort()),
  agents: Object.fromEntries([...farm.agents].sort()),
  pausedQueues: [...farm.pausedQueues].sort(),
  pulls: [...farm.pulls].sort(),
  openByPull: [...farm.openByPull].sort(),
  cancelAsked: [...farm.cancelAsked].sort(),
});

const upTo = (records: Stored<FarmRecord>[], seq: number) => records.filter((r) => r.seq <= seq);

/** A farm with 500 open runs of which 60 are at work, one is asked to end, and a queue that is paused. */
async function busyFarm(probe?: ProbeAt) {
  const farm = await ProcessFarm.start({ jobs: {}, times: quickTimes });
  try {
    await farm.putJobs({ 'jobs.yaml': jobs(farm.dir) });
    const leader = await farm.startController('c1', probe ? { probe } : {});
    await farm.leader();
    for (const name of ['a1', 'a2']) await farm.startAgent({ name, slots: 30 });
    await deliverAll(farm, pushes);
    await farm.until('all runs are open', async () => (await farm.openRuns()) === 2 * pushes);
    await farm.api('POST', '/api/queues/other', { paused: true, reason: 'a test' });
    const at = async () => foldAll(await readRecords(nc));
    const nc = await farm.nats.connect();
    await farm.until('60 are at work', async () => {
      const running = [...(await at()).runs.values()].filter((r) => r.at.some((s) => s.state === 'running'));
      return running.length === 60;
    });
    return { farm, leader, nc, [Symbol.asyncDispose]: () => farm.stop() };
  } catch (error) {
    await farm.stop();
    throw error;
  }
}

/** Lets all runs end and looks at what every record said that was ever there. */
async function endsWell(farm: ProcessFarm, all: () => Stored<FarmRecord>[], deliveries: number): Promise<void> {
  await farm.putFile('go');
  await farm.until('no run is open', async () => (await farm.openRuns()) === 0, 60_000);
  const end = await readRecords(await farm.nats.connect());
  await farm.until('all is collected', async () => (all().at(-1)?.seq ?? 0) >= (end.at(-1)?.seq ?? 0));
  const decided = new Map<string, string[]>();
  let lastId = '0';
  for (const { value } of all()) {
    if (value.type !== 'verdict' || value.source !== 'github') continue;
    assert.ok(!decided.has(value.id), `${value.id} was decided twice`);
    decided.set(
      value.id,
      value.verdict.creates.map((r) => r.id),
    );
    for (const { id } of value.verdict.creates) {
      assert.ok(later(id, lastId), `${id} does not grow`);
      lastId = id;
    }
  }
  assert.equal(decided.size, deliveries);
  const finished = all().flatMap(({ value }) =>
    value.type === 'run' ? value.events.flatMap((e) => (e.type === 'finished' ? [`${value.run} ${e.state}`] : [])) : [],
  );
  const wanted = [...decided.values()].flat().map((id) => `${id} passed`);
  assert.deepEqual(finished.sort(), wanted.sort());
}

test('a reader of the purged stream sees the farm as it was, and the next leader goes on from it', async () => {
  await using t = await busyFarm();
  const { farm, leader, nc } = t;
  await using collected = await collectRecords(nc);
  // Deliveries come in while the checkpoint is written.
  const sending = deliverAll(farm, 20, { from: pushes, atOnce: 4 });
  const first = await leader.checkpoint();
  await sending;
  await farm.until('they are decided', async () => (await farm.openRuns()) === 2 * (pushes + 20));

  const left = await readRecords(nc);
  assert.equal(left[0]?.seq, first);
  assert.ok(collected.records[0]?.seq === 1 && first > 2 * pushes);
  const seq = left.at(-1)?.seq ?? 0;
  await farm.until('all is collected', async () => (collected.records.at(-1)?.seq ?? 0) >= seq);
  const before = shown(foldAll(upTo(collected.records, seq)));
  const after = shown(foldAll(left));
  assert.deepEqual(after, before);
  assert.equal(Object.keys(after.runs).length, 2 * (pushes + 20));

  await leader.kill();
  const next = await farm.startController('c2');
  await farm.until('the next one leads', () => next.leads());
  assert.equal(foldAll(await readRecords(nc)).term, before.term + 1);
  await deliverAll(farm, 10, { from: pushes + 20 });
  await endsWell(farm, () => collected.records, pushes + 30);
});

const moments: ProbeAt[] = [
  { point: 'snapshot-stored', nth: 200 },
  { point: 'checkpoint-stored', nth: 1 },
];

for (const probe of moments)
  test(`a leader that dies in the middle of a checkpoint has lost nothing (${probe.point})`, async () => {
    await using t = await busyFarm(probe);
    const { farm, leader, nc } = t;
    await using collected = await collectRecords(nc);
    await assert.rejects(leader.checkpoint());
    assert.equal(await leader.exited, 'SIGKILL');
    const dying = shown(foldAll(await readRecords(nc)));
    const next = await successor(farm, 'c2');
    const first = await next.checkpoint();
    const left = await readRecords(nc);
    assert.equal(left[0]?.seq, first);
    const purged = shown(foldAll(left));
    assert.deepEqual(purged, { ...dying, term: 2, leader: 'c2' });
    await endsWell(farm, () => collected.records, pushes);
  });

async function successor(farm: ProcessFarm, id: string): Promise<ControllerProcess> {
  const controller = await farm.startController(id);
  await farm.until(`${id} leads`, () => controller.leads());
  return controller;
}
