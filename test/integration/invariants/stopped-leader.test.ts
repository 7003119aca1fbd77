import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { FarmSummary } from '../../../protocol/api.ts';
import { hasEnded } from '../../../protocol/run.ts';
import { keyOf, type Task } from '../../../protocol/task.ts';
import type { ProbeAt } from '../../support/controller-process.ts';
import { quickTimes } from '../../support/farm.ts';
import { ProcessFarm } from '../../support/processes.ts';
import { deliverAll } from '../../support/pushes.ts';
import { foldAll, lastSeqOf, readAll, readRecords } from '../../support/read-streams.ts';

const pushes = 20;

/** A push leads to a run whose step signs a witness and ends, and to one whose step signs and waits for `go`. */
const jobs = (dir: string) => `
manual:
- name: between
  steps: [{name: sign, script: "append ${dir}/witness @attempt"}]
postsubmits:
  acme/app:
  - name: short
    steps: [{name: sign, script: "append ${dir}/witness @attempt"}]
  - name: long
    steps: [{name: sign, script: "append ${dir}/witness @attempt\\nwait-file ${dir}/go"}]
`;

const moments: ProbeAt[] = [
  { point: 'assigned-stored', nth: 5, signal: 'SIGSTOP' },
  { point: 'verdict-stored', nth: 8, signal: 'SIGSTOP' },
];

for (const probe of moments)
  test(`nothing that a leader does counts after it stood still and another took over (${probe.point})`, async () => {
    await using farm = await ProcessFarm.start({ jobs: {}, times: quickTimes });
    await farm.putJobs({ 'jobs.yaml': jobs(farm.dir) });
    const old = await farm.startController('c1', { probe });
    await farm.leader();
    const next = await farm.startController('c2');
    for (const name of ['a1', 'a2']) await farm.startAgent({ name, slots: 30 });

    const sending = deliverAll(farm, pushes, { atOnce: 8, url: next.url });
    await old.stopped(10_000);
    await farm.until('the other leads', () => next.leads());
    await sending;
    const between = await farm.ended(await farm.run('between'));
    assert.equal(between.state, 'passed');

    const nc = await farm.nats.connect();
    const unseen = await lastSeqOf(nc, 'RUNS');
    old.cont();
    await farm.until('the old leader has heard of the new one', async () => {
      const response = await fetch(`${old.url}/api/farm`, { headers: { authorization: `Bearer ${farm.adminToken}` } });
      const { leader, replica } = (await response.json()) as FarmSummary;
      return leader.id === 'c2' && replica.seq >= unseen && !replica.leads;
    });
    const after = await farm.ended(await farm.run('between'));
    assert.equal(after.state, 'passed');
    await farm.putFile('go');
    await farm.until('no run is open', async () => (await farm.openRuns()) === 0);

    const records = await readRecords(nc);
    const takeOver = records.findLast((r) => r.value.type === 'leader');
    assert.ok(takeOver);
    assert.deepEqual([takeOver.value.term, records.filter((r) => r.value.type === 'leader').length], [2, 2]);
    const late = records.filter((r) => r.seq > takeOver.seq && r.value.term !== 2);
    const without = records.filter((r) => !late.includes(r));
    assert.deepEqual({ ...foldAll(records), seq: 0 }, { ...foldAll(without), seq: 0 });
    const tasks = await readAll<Task>(nc, 'TASKS');
    const lateTasks = tasks.filter((t) => t.value.term === 1 && t.atMs > takeOver.atMs);
    assert.deepEqual(
      lateTasks.map((t) => t.subject),
      [],
    );

    const created = records.flatMap(({ value }) => (value.type === 'verdict' ? value.verdict.creates.map((r) => r.id) : []));
    assert.equal(created.length, 2 * pushes + 2);
    const witness = (await readFile(join(farm.dir, 'witness'), 'utf8')).trimEnd().split('\n');
    assert.deepEqual(witness.sort(), created.map((run) => keyOf({ run, step: 'sign', attempt: 1 })).sort());
    const { runs } = foldAll(records);
    for (const run of runs.values()) assert.ok(hasEnded(run) && run.state === 'passed', run.id);
  });
