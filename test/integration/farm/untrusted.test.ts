import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Executor } from '../../../agent/executor/executor.ts';
import { processExecutor } from '../../../agent/executor/process.ts';
import { scriptedExecutor } from '../../../agent/executor/scripted.ts';
import { quickTimes, TestFarm } from '../../support/farm.ts';
import { recorded } from '../../support/webhooks.ts';

/** Payloads that GitHub really sent, with what a stranger's pull request has different. */
// biome-ignore lint/suspicious/noExplicitAny: a foreign document that each test changes where it likes
const example = (event: string, action: string): any =>
  structuredClone(recorded.find((r) => r.event === event && (r.payload as { action?: string }).action === action)?.payload);

const [shaA, shaB] = ['a'.repeat(40), 'b'.repeat(40)];

function pullRequest(action: 'opened' | 'synchronize', sha: string, association: 'NONE' | 'MEMBER') {
  const payload = example('pull_request', action);
  payload.pull_request.author_association = association;
  payload.pull_request.head.sha = sha;
  return payload;
}

function comment(association: 'NONE' | 'MEMBER') {
  const payload = example('issue_comment', 'created');
  payload.issue.number = 2;
  payload.issue.pull_request = { url: 'https://api.github.com/repos/Codertocat/Hello-World/pulls/2' };
  payload.issue.author_association = 'NONE';
  payload.comment.author_association = association;
  payload.comment.body = 'thank you\r\n/ok-to-test\r\n';
  return payload;
}

const jobs = `
presubmits:
  Codertocat/Hello-World:
  - name: unit
    always_run: true
    steps:
    - {name: main, secrets: {TOKEN: deploy}, script: "print-env"}
`;
const holding = jobs.replace('"print-env"', '"wait-file go"');

/** Steps without a script, such as the checkout, pass: these tests have no repository. */
const playing = (): Executor => {
  const inner = scriptedExecutor();
  return { ...inner, start: (job) => inner.start({ ...job, spec: { ...job.spec, script: job.spec.script ?? '' } }) };
};

async function farmWith(text: string, executor: Executor, trust: 'any' | 'trusted' = 'any') {
  await using stack = new AsyncDisposableStack();
  const farm = stack.use(
    await TestFarm.start({ jobs: { 'jobs.yaml': text }, secrets: { deploy: 'hush-hush' }, times: quickTimes }),
  );
  await farm.addAgent({ name: 'a1', executor, trust });
  stack.move();
  return farm;
}

const newest = (farm: TestFarm) =>
  farm.until('a run is there', async () => {
    const [run] = await farm.runs();
    return run && farm.getRun(run.id);
  });

test("a stranger's pull request waits for a member's word, then runs without secrets", async () => {
  await using farm = await farmWith(jobs, playing());
  const decision = async () => {
    const { deliveries } = await farm.api<{ deliveries: { verdict: { decision: string; reason: string } }[] }>(
      'GET',
      '/api/deliveries',
    );
    return deliveries[0]?.verdict.reason ?? '';
  };
  assert.equal(await farm.hook('pull_request', pullRequest('opened', shaA, 'NONE')), 202);
  await farm.until('it is decided', async () => (await decision()).includes('waiting for ok-to-test'));
  assert.equal(await farm.hook('issue_comment', comment('NONE')), 202);
  await farm.until('the stranger is not heard', async () => (await decision()).includes("only a member's /ok-to-test counts"));
  assert.deepEqual(await farm.runs(), []);
  assert.equal(await farm.hook('issue_comment', comment('MEMBER')), 202);
  const run = await farm.ended((await newest(farm)).id);
  assert.deepEqual([run.state, run.trusted, run.refs?.pulls[0]?.sha], ['passed', false, shaA]);
  const log = await farm.logOf(run.id, 'main');
  assert.match(log, /^PULL_NUMBER=2$/m);
  assert.doesNotMatch(log, /TOKEN|hush/);
});

test("a member's pull request runs at once and gets its secrets, which its log masks", async () => {
  await using farm = await farmWith(jobs, playing());
  await farm.hook('pull_request', pullRequest('opened', shaA, 'MEMBER'));
  const run = await farm.ended((await newest(farm)).id);
  assert.deepEqual([run.state, run.trusted], ['passed', true]);
  assert.match(await farm.logOf(run.id, 'main'), /^TOKEN=\*\*\*$/m);
});

test('the process executor refuses what is not trusted, whatever the controller sends it', async () => {
  await using farm = await farmWith(jobs, processExecutor());
  await farm.hook('pull_request', pullRequest('opened', shaA, 'NONE'));
  await farm.hook('issue_comment', comment('MEMBER'));
  const run = await farm.ended((await newest(farm)).id);
  assert.equal(run.state, 'errored');
  assert.match(run.reason ?? '', /the process executor of agent 'a1' takes trusted runs only/);
});

test('agents for trusted runs only are not given one that is not, and the queue says so', async () => {
  await using farm = await farmWith(jobs, playing(), 'trusted');
  await farm.hook('pull_request', pullRequest('opened', shaA, 'NONE'));
  await farm.hook('issue_comment', comment('MEMBER'));
  const { id } = await newest(farm);
  const [queue] = await farm.queues();
  assert.equal(queue?.oldest?.why, "its change is not trusted, and no agent of queue 'default' takes such runs");
  await farm.addAgent({ name: 'a2', executor: playing(), trust: 'any' });
  assert.equal((await farm.ended(id)).home, 'a2');
});

test('a newer push to a pull request cancels what runs for the older one', async () => {
  await using farm = await farmWith(holding, playing());
  await farm.hook('pull_request', pullRequest('opened', shaA, 'MEMBER'));
  const older = await newest(farm);
  await farm.until('it runs', async () =>
    (await farm.getRun(older.id)).at.some((s) => s.name === 'main' && s.attempts[0]?.state === 'running'),
  );
  await farm.hook('pull_request', pullRequest('synchronize', shaB, 'MEMBER'));
  const run = await farm.ended(older.id);
  assert.deepEqual([run.state, run.reason], ['cancelled', `cancelled by github: a newer push: ${shaB}`]);
  const newer = await newest(farm);
  assert.deepEqual([newer.refs?.pulls[0]?.sha, newer.id > older.id], [shaB, true]);
  assert.ok(newer.state !== 'cancelled');
});
