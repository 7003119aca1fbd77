import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { VerdictAnswer } from '../../../protocol/api.ts';
import { quickTimes, TestFarm } from '../../support/farm.ts';
import { tempDir } from '../../support/temp-dir.ts';

const jobs = (dir: string) => `
manual:
- name: two-at-once
  max_concurrency: 2
  steps: [{name: main, script: "append ${dir}/order begin\\nwait-file ${dir}/go\\nappend ${dir}/order end"}]
- name: other
  steps: [{name: main, script: "append ${dir}/order other"}]
${['high', 'normal', 'low'].map((priority) => `- {name: ${priority}, priority: ${priority}, steps: [{name: main, script: "append ${dir}/order ${priority}"}]}`).join('\n')}
- name: nowhere
  queue: gpu
  steps: [{name: main, script: "print x"}]
`;

async function farmWith(slots: number) {
  await using stack = new AsyncDisposableStack();
  const { path: dir } = stack.use(await tempDir('queues'));
  const farm = stack.use(await TestFarm.start({ jobs: { 'jobs.yaml': jobs(dir) }, times: quickTimes }));
  await farm.addAgent({ name: 'a1', slots });
  const order = async () => (await readFile(join(dir, 'order'), 'utf8').catch(() => '')).split('\n').filter(Boolean);
  const go = () => writeFile(join(dir, 'go'), '');
  const oldestIn = async (queue: string) => (await farm.queues()).find((q) => q.queue === queue)?.oldest;
  const held = stack.move();
  return { farm, order, go, oldestIn, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

test('no more runs of a job than its max_concurrency are under way, others go past them, and the queue says why', async () => {
  await using t = await farmWith(8);
  const ids = [];
  for (let i = 0; i < 5; i += 1) ids.push(await t.farm.run('two-at-once'));
  await t.farm.until('two have begun', async () => (await t.order()).length === 2);
  const waiting = await t.oldestIn('default');
  assert.deepEqual([waiting?.run, waiting?.why], [ids[2], "2 of at most 2 runs of job 'two-at-once' are under way"]);
  await t.farm.ended(await t.farm.run('other'));
  assert.deepEqual(await t.order(), ['begin', 'begin', 'other']);
  await t.go();
  for (const id of ids) assert.equal((await t.farm.ended(id)).state, 'passed');
  let running = 0;
  for (const what of (await t.order()).filter((o) => o !== 'other')) {
    running += what === 'begin' ? 1 : -1;
    assert.ok(running <= 2, 'a third one began');
  }
});

test('a run that waits for its job to have room is cancelled without disturbing the others', async () => {
  await using t = await farmWith(8);
  const [first = '', second = '', third = ''] = [
    await t.farm.run('two-at-once'),
    await t.farm.run('two-at-once'),
    await t.farm.run('two-at-once'),
  ];
  await t.farm.until('two have begun', async () => (await t.order()).length === 2);
  await t.farm.api<VerdictAnswer>('POST', `/api/runs/${third}/cancel`, {});
  assert.equal((await t.farm.ended(third, 1_000)).state, 'cancelled');
  await t.go();
  assert.deepEqual([(await t.farm.ended(first)).state, (await t.farm.ended(second)).state], ['passed', 'passed']);
});

test('of what waits the highest priority goes first, and of one priority the oldest', async () => {
  await using t = await farmWith(1);
  await t.farm.api('POST', '/api/queues/default', { paused: true, reason: 'a test' });
  const ids = [];
  for (const job of ['low', 'normal', 'high', 'other', 'high']) ids.push(await t.farm.run(job));
  await t.farm.api('POST', '/api/queues/default', { paused: false });
  for (const id of ids) await t.farm.ended(id);
  assert.deepEqual(await t.order(), ['high', 'high', 'normal', 'other', 'low']);
});

test('a paused queue gives nothing out and says by whom and why; what runs goes on', async () => {
  await using t = await farmWith(4);
  const before = await t.farm.run('two-at-once');
  await t.farm.until('it runs', async () => (await t.order()).length === 1);
  await t.farm.api('POST', '/api/queues/default', { paused: true, reason: 'new switches' });
  const id = await t.farm.run('other');
  const [queue] = (await t.farm.queues()).filter((q) => q.queue === 'default');
  assert.deepEqual(queue?.paused, { by: 'admin', reason: 'new switches' });
  assert.deepEqual([queue?.ready, queue?.running, queue?.agents], [1, 1, 1]);
  assert.deepEqual([queue?.oldest?.run, queue?.oldest?.why], [id, "queue 'default' is paused by admin: new switches"]);
  await t.go();
  assert.equal((await t.farm.ended(before)).state, 'passed');
  assert.equal((await t.farm.getRun(id)).state, 'queued');
  await t.farm.api('POST', '/api/queues/default', { paused: false });
  assert.equal((await t.farm.ended(id)).state, 'passed');
});

test('a run for a queue that nobody serves says so, and goes when an agent comes', async () => {
  await using t = await farmWith(1);
  const id = await t.farm.run('nowhere');
  assert.equal((await t.oldestIn('gpu'))?.why, "no agent serves queue 'gpu'");
  await t.farm.addAgent({ name: 'g1', queues: ['gpu'] });
  assert.equal((await t.farm.ended(id)).home, 'g1');
});

test('with all slots taken the queue says that a task waits for one', async () => {
  await using t = await farmWith(1);
  await t.farm.run('two-at-once');
  await t.farm.until('it runs', async () => (await t.order()).length === 1);
  const id = await t.farm.run('other');
  const oldest = await t.oldestIn('default');
  assert.deepEqual([oldest?.run, oldest?.why], [id, 'waits for a free slot']);
  await t.go();
  assert.equal((await t.farm.ended(id)).state, 'passed');
});
