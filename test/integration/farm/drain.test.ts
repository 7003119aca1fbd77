import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { lastAttempt, type Run, stepOf } from '../../../protocol/run.ts';
import { quickTimes } from '../../support/farm.ts';
import { type AgentProcessOptions, ProcessFarm } from '../../support/processes.ts';

/** A lease that no test waits for: whatever goes on at once does so because the leaving agent has said so. */
const times = { ...quickTimes, leaseMs: 60_000 };

const jobs = (dir: string) => `
manual:
- name: two
  steps:
  - {name: first, script: "print begun\\nwait-file ${dir}/go"}
  - {name: second, needs: [first], script: "print on"}
- name: quick
  steps: [{name: main, script: "append ${dir}/quick @attempt"}]
`;

/** One agent, `a1`. */
async function farmWith(options: Partial<AgentProcessOptions> = {}) {
  const farm = await ProcessFarm.start({ jobs: {}, times });
  try {
    await farm.putJobs({ 'jobs.yaml': jobs(farm.dir) });
    await farm.startController('c1');
    await farm.leader();
    const agent = await farm.startAgent({ name: 'a1', ...options });
    const go = () => writeFile(join(farm.dir, 'go'), '');
    const when = (id: string, step: string, what: string) =>
      farm.until(`step ${step} is ${what}`, async () => {
        const found = stepOf(await farm.getRun(id), step);
        return found?.state === what || lastAttempt(found)?.state === what;
      });
    return { farm, agent, go, when, [Symbol.asyncDispose]: () => farm.stop() };
  } catch (error) {
    await farm.stop();
    throw error;
  }
}

const attempts = (run: Run) =>
  run.at.map((s) => `${s.name}: ${s.attempts.map((a) => `${a.round} ${a.agent} ${a.state}`).join(', ')}`);

test('an agent that is asked to end lets its step end; the run goes on elsewhere in a new round that costs nothing', async () => {
  await using t = await farmWith();
  const id = await t.farm.run('two');
  await t.when(id, 'first', 'running');
  const ended = t.agent.kill('SIGTERM');
  await t.farm.startAgent({ name: 'a2' });
  const other = await t.farm.ended(await t.farm.run('quick'));
  assert.deepEqual(attempts(other), ['main: 1 a2 passed'], 'it takes nothing new');
  await t.go();
  await ended;
  assert.equal(await t.agent.exited, 0);
  const run = await t.farm.ended(id);
  assert.deepEqual(attempts(run), ['first: 1 a1 passed, 2 a2 passed', 'second: 2 a2 passed']);
  assert.deepEqual([run.state, run.lostRounds ?? []], ['passed', []]);
});

test('a step that does not end within the grace period is given back and runs elsewhere, and no retry is spent', async () => {
  await using t = await farmWith({ graceMs: 300 });
  const id = await t.farm.run('two');
  await t.when(id, 'first', 'running');
  await t.farm.startAgent({ name: 'a2' });
  const askedAtMs = performance.now();
  await t.agent.kill('SIGTERM');
  const tookMs = performance.now() - askedAtMs;
  assert.ok(tookMs > 300 && tookMs < 5_000, `it took ${tookMs} ms`);
  assert.equal(await t.agent.exited, 0);
  await t.when(id, 'first', 'running');
  await t.go();
  const run = await t.farm.ended(id);
  assert.deepEqual(attempts(run), ['first: 1 a1 returned, 2 a2 passed', 'second: 2 a2 passed']);
  assert.equal(run.at[0]?.attempts[0]?.message, "agent 'a1' is leaving");
  assert.deepEqual([run.state, run.lostRounds ?? []], ['passed', []]);
  assert.equal(await t.farm.logOf(id, 'first'), 'begun\n');
});

test('an agent that leaves while nothing runs on it gives up the runs whose workspace it has', async () => {
  await using t = await farmWith();
  const id = await t.farm.run('two');
  await t.when(id, 'first', 'running');
  await t.farm.api('POST', '/api/queues/default', { paused: true });
  await t.go();
  await t.when(id, 'second', 'ready');
  await t.agent.kill('SIGTERM');
  assert.equal(await t.agent.exited, 0);
  await t.farm.startAgent({ name: 'a2' });
  await t.farm.api('POST', '/api/queues/default', { paused: false });
  const run = await t.farm.ended(id);
  assert.deepEqual(attempts(run), ['first: 1 a1 passed, 2 a2 passed', 'second: 2 a2 passed']);
  assert.deepEqual(run.lostRounds ?? [], []);
});

test('what is on its way to an agent that leaves in the middle of much work is given back, not lost', async () => {
  await using t = await farmWith({ slots: 8 });
  await t.farm.startAgent({ name: 'a2', slots: 2 });
  const asked = Array.from({ length: 60 }, () => t.farm.run('quick'));
  await t.farm.ended((await asked[0]) ?? '');
  await t.agent.kill('SIGTERM');
  assert.equal(await t.agent.exited, 0);
  const runs = await Promise.all(asked.map(async (id) => t.farm.ended(await id)));
  const states = new Set(runs.flatMap((r) => r.at.flatMap((s) => s.attempts.map((a) => a.state))));
  assert.ok(!states.has('lost'), 'no attempt is lost');
  assert.ok(runs.every((r) => r.state === 'passed' && (r.lostRounds ?? []).length === 0));
});

test('an agent that is drained finishes the runs whose workspace it has, takes nothing new, and serves again when asked to', async () => {
  await using t = await farmWith();
  const id = await t.farm.run('two');
  await t.when(id, 'first', 'running');
  await t.farm.api('POST', '/api/agents/a1', { state: 'draining' });
  const other = await t.farm.run('quick');
  await t.go();
  const run = await t.farm.ended(id);
  assert.deepEqual(attempts(run), ['first: 1 a1 passed', 'second: 1 a1 passed']);
  assert.equal((await t.farm.getRun(other)).state, 'queued');
  const [queue] = await t.farm.queues();
  assert.match(queue?.oldest?.why ?? '', /no agent of queue 'default' takes work now: 'a1' is draining/);
  await t.farm.api('POST', '/api/agents/a1', { state: 'serving' });
  assert.equal((await t.farm.ended(other)).state, 'passed');
});
