import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultTimes } from '../../../protocol/times.ts';
import { ProcessFarm } from '../../support/processes.ts';
import { readRecords } from '../../support/read-streams.ts';

const jobs = 'manual:\n- name: hello\n  steps: [{name: main, script: "print hello"}]\n';

test('a standby leads within 5 s of the death of the leader, with the times as they come', async (t) => {
  await using farm = await ProcessFarm.start({ jobs: { 'jobs.yaml': jobs }, times: defaultTimes });
  const leader = await farm.startController('c1');
  await farm.leader();
  const standby = await farm.startController('c2');
  await farm.startAgent({ name: 'a1' });
  await farm.ended(await farm.run('hello'));
  const nc = await farm.nats.connect();

  await leader.kill();
  const diedAtMs = Date.now();
  const id = await farm.run('hello');
  const decidedMs = Date.now() - diedAtMs;
  const run = await farm.ended(id);
  assert.equal(run.state, 'passed');
  const taken = (await readRecords(nc)).findLast((r) => r.value.type === 'leader');
  assert.ok(taken?.value.type === 'leader' && taken.value.id === 'c2' && taken.value.term === 2);
  assert.ok(await standby.leads());
  const tookMs = Math.round(taken.atMs - diedAtMs);
  t.diagnostic(
    `taken over after ${tookMs} ms, a request was decided after ${decidedMs} ms, its run ended after ${Date.now() - diedAtMs} ms`,
  );
  assert.ok(tookMs < 5_000 && decidedMs < 5_000);
});
