import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { lastAttempt, type Run, stepOf } from '../../../protocol/run.ts';
import { quickTimes } from '../../support/farm.ts';
import { printingIn } from '../../support/printing.ts';
import { ProcessFarm, runs, until } from '../../support/processes.ts';

const leaseMs = quickTimes.leaseMs ?? 0;

/** A run whose second step tells its process id and holds; the first one leaves a file in the workspace. */
const jobs = (dir: string) => `
manual:
- name: hold
  steps:
  - {name: first, script: "echo kept > file"}
  - {name: main, needs: [first], script: "cat file; echo $$ >> ${dir}/pids; while [ ! -e ${dir}/go ]; do sleep 0.05; done"}
`;

/** Agent `a1` runs step `main` when it resolves. */
async function heldFarm(times = quickTimes) {
  const farm = await ProcessFarm.start({ jobs: {}, times });
  try {
    const { letGo } = await printingIn(farm.dir);
    const dir = join(farm.dir, 'witness');
    await farm.putJobs({ 'jobs.yaml': jobs(dir) });
    await farm.startController('c1');
    await farm.leader();
    const agent = await farm.startAgent({ name: 'a1', executor: 'process' });
    const id = await farm.run('hold');
    const attempt = async () => lastAttempt(stepOf(await farm.getRun(id), 'main'));
    const pids = async () => (await readFile(join(dir, 'pids'), 'utf8').catch(() => '')).split('\n').filter(Boolean).map(Number);
    await farm.until('the step runs', async () => (await attempt())?.state === 'running' && (await pids()).length === 1);
    const onAgent = (name: string) =>
      farm.until(`${name} runs the step`, async () => {
        const now = await attempt();
        return now?.agent === name && now.state === 'running';
      });
    return { farm, agent, id, letGo, attempt, pids, onAgent, [Symbol.asyncDispose]: () => farm.stop() };
  } catch (error) {
    await farm.stop();
    throw error;
  }
}

const attempts = (run: Run, step: string) => stepOf(run, step)?.attempts.map((a) => `${a.round} ${a.agent} ${a.state}`);

test('another agent takes the run of one that was killed, in a new round, within a lease and 5 s', async () => {
  await using t = await heldFarm();
  await t.farm.startAgent({ name: 'a2', executor: 'process' });
  const killedAtMs = performance.now();
  await t.agent.kill();
  await t.onAgent('a2');
  const tookMs = performance.now() - killedAtMs;
  assert.ok(tookMs > leaseMs / 2 && tookMs < leaseMs + 5_000, `it took ${tookMs} ms`);
  await t.letGo();
  const run = await t.farm.ended(t.id);
  assert.deepEqual([run.state, run.round, run.home], ['passed', 2, 'a2']);
  assert.deepEqual(attempts(run, 'first'), ['1 a1 passed', '2 a2 passed']);
  assert.deepEqual(attempts(run, 'main'), ['1 a1 lost', '2 a2 passed']);
  assert.match(stepOf(run, 'main')?.attempts[0]?.message ?? '', /^agent 'a1' was not heard for 2 s$/);
  assert.equal(await t.farm.logOf(t.id, 'main'), 'kept\n');
});

test('an agent that is started again at once kills the step that it had left, and the run goes on without waiting for a lease', async () => {
  await using t = await heldFarm({ ...quickTimes, leaseMs: 60_000 });
  const [orphan = 0] = await t.pids();
  await t.agent.kill();
  assert.ok(await runs(orphan), 'a step survives its agent');
  await t.farm.startAgent({ name: 'a1', executor: 'process' });
  assert.ok(!(await runs(orphan)), 'it is dead before the agent has joined');
  await until('the step runs again', async () => (await t.pids()).length === 2);
  await t.letGo();
  const run = await t.farm.ended(t.id);
  assert.deepEqual([run.state, run.round], ['passed', 2]);
  assert.deepEqual(attempts(run, 'main'), ['1 a1 lost', '2 a1 passed']);
  assert.equal(stepOf(run, 'main')?.attempts[0]?.message, "agent 'a1' was started again and killed the step");
});

test('an agent kills what it left running although nobody answers when it is started again', async () => {
  await using t = await heldFarm();
  const [orphan = 0] = await t.pids();
  await t.agent.kill();
  await t.farm.controllers.get('c1')?.kill();
  void t.farm.startAgent({ name: 'a1', executor: 'process' }).catch(() => {});
  await until('the orphan is dead', async () => !(await runs(orphan)));
});

test('an agent that was only cut off finds its attempt given away, and kills it', async () => {
  await using t = await heldFarm();
  await t.farm.startAgent({ name: 'a2', executor: 'process' });
  await t.agent.stop();
  const [first = 0] = await t.pids();
  await t.onAgent('a2');
  assert.ok(await runs(first));
  t.agent.cont();
  await until('the stale step is dead', async () => !(await runs(first)));
  await t.letGo();
  const run = await t.farm.ended(t.id);
  assert.deepEqual([run.state, attempts(run, 'main')], ['passed', ['1 a1 lost', '2 a2 passed']]);
  await t.farm.until('a1 has forgotten it', async () => (await t.farm.agentList()).every((a) => a.running.length === 0));
});
