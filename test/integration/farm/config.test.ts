import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { FarmSummary } from '../../../protocol/api.ts';
import { quickTimes, TestFarm } from '../../support/farm.ts';

const job = (name: string) => `manual:\n- {name: ${name}, steps: [{name: main, script: "print ${name}"}]}\n`;
const broken = 'manual:\n- name: good\n  steps: [{name: main, scrpt: "print x"}]\n';

async function farmWith() {
  await using stack = new AsyncDisposableStack();
  const farm = stack.use(await TestFarm.start({ jobs: { 'a.yaml': job('good') }, times: quickTimes, controllers: 2 }));
  await farm.addAgent({ name: 'a1' });
  const put = (name: string, text: string) => writeFile(join(farm.jobsDir, name), text);
  const seenBy = async (url: string): Promise<FarmSummary> => {
    const response = await fetch(`${url}/api/farm`, { headers: { authorization: `Bearer ${farm.adminToken}` } });
    return (await response.json()) as FarmSummary;
  };
  /** What all replicas say of the configuration, once it is what is looked for. */
  const whenAll = (what: string, is: (config: FarmSummary['config']) => boolean) =>
    farm.until(what, async () => {
      const all = await Promise.all(farm.controllers.map(async (c) => (await seenBy(c.url)).config));
      return all.every(is) && all;
    });
  const held = stack.move();
  return { farm, put, whenAll, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

test('a bad job file leaves the last good configuration in force, every replica says so, and a fixed one is picked up', async () => {
  await using t = await farmWith();
  const [before] = await t.whenAll('the first configuration', (c) => c.hash !== null && c.problems.length === 0);
  await t.put('a.yaml', broken);
  const [one, other] = await t.whenAll('the problem is told', (c) => c.problems.length > 0);
  assert.deepEqual(one, other);
  assert.deepEqual([one?.hash, one?.jobs], [before?.hash, 1]);
  assert.match(one?.problems.join('\n') ?? '', /^a\.yaml:3:\d+: .*scrpt/);
  assert.equal((await t.farm.ended(await t.farm.run('good'))).state, 'passed', 'the last good one is in force');
  await t.put('b.yaml', job('more'));
  await t.put('a.yaml', job('good'));
  const [fixed] = await t.whenAll('the fixed files', (c) => c.problems.length === 0 && c.jobs === 2);
  assert.notEqual(fixed?.hash, before?.hash);
  assert.equal((await t.farm.ended(await t.farm.run('more'))).state, 'passed');
});

test('a controller that takes over with bad files before it keeps the last good configuration', async () => {
  await using t = await farmWith();
  const [before] = await t.whenAll('the first configuration', (c) => c.hash !== null);
  await t.put('a.yaml', broken);
  await t.whenAll('the problem is told', (c) => c.problems.length > 0);
  const leader = t.farm.controllers.findIndex((c) => c.leads());
  await t.farm.controllers.splice(leader, 1)[0]?.stop();
  await t.farm.until('another leads', async () => t.farm.controllers[0]?.leads());
  const [after] = await t.whenAll('its configuration', () => true);
  assert.deepEqual([after?.hash, (after?.problems.length ?? 0) > 0], [before?.hash, true]);
  assert.equal((await t.farm.ended(await t.farm.run('good'))).state, 'passed');
});

test('a job that is taken out of the files runs no more; a run that has begun is not touched by it', async () => {
  await using t = await farmWith();
  await t.put(
    'b.yaml',
    `manual:\n- {name: long, steps: [{name: first, script: "wait-file go"}, {name: second, needs: [first], script: "print x"}]}\n`,
  );
  await t.whenAll('both jobs', (c) => c.jobs === 2);
  const id = await t.farm.run('long');
  await t.farm.until('it runs', async () => (await t.farm.getRun(id)).at[0]?.attempts[0]?.state === 'running');
  await rm(join(t.farm.jobsDir, 'b.yaml'));
  await t.whenAll('one job', (c) => c.jobs === 1);
  await assert.rejects(t.farm.run('long'), /there is no job 'long'/);
  await writeFile(join(t.farm.dir, 'agent-a1', 'workspaces', `${id}.1`, 'workspace', 'go'), '');
  assert.equal((await t.farm.ended(id)).state, 'passed');
});
