import assert from 'node:assert/strict';
import { access, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Executor, StepEnd } from '../../../agent/executor/executor.ts';
import type { VerdictAnswer } from '../../../protocol/api.ts';
import { lastAttempt, type Run, stepOf } from '../../../protocol/run.ts';
import type { Times } from '../../../protocol/times.ts';
import { quickTimes, TestFarm } from '../../support/farm.ts';
import { tempDir } from '../../support/temp-dir.ts';

/** Steps hold until a file appears in the test's own directory; GO stands for it. */
const jobs = (dir: string, grace: string) => `
manual:
- name: hold
  steps:
  - {name: main, script: "print begun\\nwait-file ${dir}/go", grace_period: ${grace}}
  - {name: never, needs: [main], script: "append ${dir}/never x"}
  finally:
  - {name: clean, script: "append ${dir}/clean x"}
- name: stubborn
  steps:
  - {name: main, script: "ignore-term\\nprint begun\\nwait-file ${dir}/go", grace_period: ${grace}}
- name: unserved
  queue: nobody
  steps: [{name: main, script: "append ${dir}/never x"}]
- name: between
  steps:
  - {name: first, script: "print begun\\nwait-file ${dir}/go"}
  - {name: main, needs: [first], script: "append ${dir}/never x"}
- name: tidy
  steps: [{name: main, script: "print done"}]
  finally:
  - {name: clean, script: "print begun\\nwait-file ${dir}/go", grace_period: ${grace}}
- name: short
  steps: [{name: main, script: "print done"}]
`;

type With = { executor?: Executor; times?: Partial<Times>; grace?: string };

async function farmWith({ executor, times = quickTimes, grace = '300ms' }: With = {}) {
  await using stack = new AsyncDisposableStack();
  const { path: dir } = stack.use(await tempDir('cancel'));
  const farm = stack.use(await TestFarm.start({ jobs: { 'jobs.yaml': jobs(dir, grace) }, times }));
  await farm.addAgent({ name: 'a1', ...(executor ? { executor } : {}) });
  const cancel = (run: string, body: object = {}) => farm.api<VerdictAnswer>('POST', `/api/runs/${run}/cancel`, body);
  const isThere = (name: string) =>
    access(join(dir, name)).then(
      () => true,
      () => false,
    );
  const when = (run: string, step: string, what: 'assigned' | 'stopping' | 'ready') =>
    farm.until(`step ${step} is ${what}`, async () => {
      const found = stepOf(await farm.getRun(run), step);
      return found && (what === 'ready' ? found.state : lastAttempt(found)?.state) === what;
    });
  /** It has come to the line behind the one that says so. */
  const begun = (run: string, step: string) =>
    farm.until(`step ${step} has begun`, async () => (await farm.logOf(run, step)) === 'begun\n');
  const go = () => writeFile(join(dir, 'go'), '');
  const held = stack.move();
  return { farm, cancel, go, isThere, when, begun, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

const states = (run: Run) => run.at.map((s) => [s.name, s.state, s.attempts.map((a) => a.state).join()]);

test('a run that waits for an agent is cancelled at once and was never given out', async () => {
  await using t = await farmWith();
  const id = await t.farm.run('unserved');
  await t.when(id, 'main', 'ready');
  await t.cancel(id, { reason: 'a mistake' });
  const run = await t.farm.ended(id, 1_000);
  assert.deepEqual([run.state, run.reason], ['cancelled', 'cancelled by admin: a mistake']);
  assert.deepEqual(states(run), [['main', 'cancelled', '']]);
});

test('a step that is on its way into the executor is stopped there', async () => {
  const ended = Promise.withResolvers<StepEnd>();
  await using t = await farmWith({
    executor: {
      kind: 'scripted',
      reap: async () => false,
      start: () => ({ ended: ended.promise, stop: () => ended.resolve({ outcome: 'stopped' }), kill: () => {} }),
    },
  });
  const id = await t.farm.run('short');
  await t.when(id, 'main', 'assigned');
  await t.cancel(id);
  assert.deepEqual(states(await t.farm.ended(id, 2_000)), [['main', 'cancelled', 'cancelled']]);
});

test('a running step hears of its cancel within a second, though beats are held longer; finally steps still run', async () => {
  await using t = await farmWith({ times: {} });
  const id = await t.farm.run('hold');
  await t.begun(id, 'main');
  const askedAtMs = performance.now();
  await t.cancel(id);
  const run = await t.farm.until('the step ends', async () => {
    const now = await t.farm.getRun(id);
    return stepOf(now, 'main')?.state === 'cancelled' && now;
  });
  const tookMs = performance.now() - askedAtMs;
  assert.ok(tookMs < 1_000, `it took ${tookMs} ms`);
  assert.equal(lastAttempt(stepOf(run, 'main'))?.signal, 'SIGTERM');
  const over = await t.farm.ended(id);
  assert.deepEqual(states(over), [
    ['main', 'cancelled', 'cancelled'],
    ['never', 'cancelled', ''],
    ['clean', 'passed', 'passed'],
  ]);
  assert.deepEqual([over.state, await t.isThere('clean'), await t.isThere('never')], ['cancelled', true, false]);
  assert.equal(await t.farm.logOf(id, 'main'), 'begun\n');
});

test('a forced cancel does not wait for finally steps', async () => {
  await using t = await farmWith();
  const id = await t.farm.run('hold');
  await t.begun(id, 'main');
  await t.cancel(id, { force: true });
  const run = await t.farm.ended(id);
  assert.deepEqual(states(run), [
    ['main', 'cancelled', 'cancelled'],
    ['never', 'cancelled', ''],
    ['clean', 'cancelled', ''],
  ]);
});

test('a step that ignores TERM is killed when its grace is over', async () => {
  await using t = await farmWith();
  const id = await t.farm.run('stubborn');
  await t.begun(id, 'main');
  await t.cancel(id);
  const run = await t.farm.ended(id, 3_000);
  const last = lastAttempt(stepOf(run, 'main'));
  assert.deepEqual([last?.state, last?.signal], ['cancelled', 'SIGKILL']);
  assert.match(last?.message ?? '', /did not end within 300ms of TERM and was killed/);
});

test('cancelling what is being cancelled changes nothing, unless it is by force', async () => {
  await using t = await farmWith({ grace: '1500ms' });
  const id = await t.farm.run('tidy');
  await t.begun(id, 'clean');
  await t.cancel(id);
  const { verdict } = await t.cancel(id);
  assert.match(verdict?.reason ?? '', /is being cancelled already/);
  assert.equal(stepOf(await t.farm.getRun(id), 'clean')?.state, 'running', 'a finally step is left alone');
  await t.cancel(id, { force: true });
  assert.deepEqual(states(await t.farm.ended(id)), [
    ['main', 'passed', 'passed'],
    ['clean', 'cancelled', 'cancelled'],
  ]);
});

test('a step that is being stopped stops once, however often it is cancelled', async () => {
  await using t = await farmWith();
  const id = await t.farm.run('stubborn');
  await t.begun(id, 'main');
  await t.cancel(id);
  await t.when(id, 'main', 'stopping');
  await t.cancel(id);
  await t.cancel(id, { force: true });
  assert.deepEqual(states(await t.farm.ended(id)), [['main', 'cancelled', 'cancelled']]);
});

test('a run between two steps is cancelled without starting the next one', async () => {
  await using t = await farmWith();
  const id = await t.farm.run('between');
  await t.begun(id, 'first');
  await t.farm.api('POST', '/api/queues/default', { paused: true });
  await t.go();
  await t.when(id, 'main', 'ready');
  await t.cancel(id);
  assert.deepEqual(states(await t.farm.ended(id, 1_000)), [
    ['first', 'passed', 'passed'],
    ['main', 'cancelled', ''],
  ]);
});

test('a run that has ended cannot be cancelled; a retry of it is a new run that names it', async () => {
  await using t = await farmWith();
  const before = await t.farm.ended(await t.farm.run('short'));
  const { verdict } = await t.cancel(before.id);
  assert.match(verdict?.reason ?? '', /had ended already: it passed/);
  const { runs } = await t.farm.api<VerdictAnswer>('POST', `/api/runs/${before.id}/retry`);
  const again = await t.farm.ended(runs[0] ?? '');
  assert.deepEqual([again.state, again.retryOf, again.id > before.id], ['passed', before.id, true]);
  assert.equal((await t.farm.getRun(before.id)).state, 'passed');
});
