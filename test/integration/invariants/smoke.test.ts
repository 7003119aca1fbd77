import assert from 'node:assert/strict';
import { test } from 'node:test';
import { quickTimes } from '../../support/farm.ts';
import { ProcessFarm } from '../../support/processes.ts';
test('x', async () => {
  await using farm = await ProcessFarm.start({ jobs: { 'j.yaml': 'manual:\n- name: hello\n  steps:\n  - {name: a, script: "print hi"}\n' }, times: quickTimes });
  const c = await farm.startController('c1');
  await farm.leader();
  const a = await farm.startAgent({ name: 'a1' });
  const r = await farm.ended(await farm.run('hello'));
  assert.equal(r.state, 'passed');
  assert.equal(await farm.logOf(r.id, 'a'), 'hi\n');
  await c.stop(); c.cont();
  console.log(await c.checkpoint());
  await a.kill('SIGTERM');
});
