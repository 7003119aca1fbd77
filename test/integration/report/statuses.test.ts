import assert from 'node:assert/strict';

import { Writable } from 'node:stream';
import { test } from 'node:test';
import pino from 'pino';
import { quickTimes, TestFarm } from '../../support/farm.ts';
import { secondaryLimit } from '../../support/github.ts';
import { pushOf } from '../../support/pushes.ts';
import { playing, publicUrl, reportingFarm, shaOf } from './harness.ts';

const jobs = (dir = '/none') => `
postsubmits:
  acme/app:
  - name: good
    steps: [{name: a, script: "print hello"}]
  - name: bad
    context: ci/bad
    steps: [{name: a, script: "exit 3"}]
  - name: broken
    steps: [{name: a, script: "no such thing"}]
  - name: held
    steps: [{name: a, script: "wait-file ${dir}/go"}]
  - name: quiet
    skip_report: true
    steps: [{name: a, script: "print hush"}]
`;
const only = (name: string, script: string) => `
postsubmits:
  acme/app:
  - name: ${name}
    steps: [{name: a, script: "${script}"}]
`;

test('every run of a push ends on GitHub with what it came to, and a link to it; what says so stays quiet', async () => {
  await using at = await reportingFarm({ jobs: { 'jobs.yaml': jobs() } });
  const runs = await at.push(0, 5);
  const held = runs.get('held') ?? '';
  await at.farm.until('it runs', async () => (await at.farm.getRun(held)).state === 'running');
  await at.github.until('it is pending', (g) => g.states('held').length > 0);
  await at.farm.api('POST', `/api/runs/${held}/cancel`, { reason: 'enough' });
  for (const id of runs.values()) await at.archived(id);

  const ends = ['good', 'ci/bad', 'broken', 'held'].map((context) => at.github.standing(shaOf(0), context));
  assert.deepEqual(
    ends.map((s) => s?.state),
    ['success', 'failure', 'error', 'failure'],
  );
  assert.match(ends[1]?.description ?? '', /^Failed after .*: step 'a' failed/);
  assert.match(ends[3]?.description ?? '', /^Cancelled by .*: enough$/);
  for (const [i, job] of ['good', 'bad', 'broken', 'held'].entries())
    assert.equal(ends[i]?.targetUrl, `${publicUrl}/runs/${runs.get(job)}`);
  for (const context of ['good', 'ci/bad', 'broken', 'held']) {
    const states = at.github.states(context);
    assert.ok(
      states.slice(0, -1).every((s) => s === 'pending'),
      `${context}: ${states}`,
    );
  }
  assert.deepEqual(at.github.states('held').slice(0, 1), ['pending']);
  assert.deepEqual(at.github.states('quiet'), []);
  assert.partialDeepStrictEqual(await at.farm.getRun(runs.get('good') ?? ''), {
    report: { outcome: 'made', state: 'success', sha: shaOf(0), context: 'good' },
  });
  assert.equal((await at.farm.getRun(runs.get('quiet') ?? '')).report, undefined);
});

test('while GitHub is down runs go on and none is put away; then all ends are told, and nothing that was overtaken', async () => {
  await using at = await reportingFarm({ jobs: { 'jobs.yaml': only('good', 'print hello') } });
  let down = true;
  at.github.before = () => (down ? { status: 502, body: { message: 'Server Error' } } : undefined);
  const ids: string[] = [];
  for (let i = 0; i < 3; i += 1) ids.push(...(await at.push(i, 1)).values());
  for (const id of ids) {
    assert.equal((await at.farm.ended(id)).state, 'passed');
    assert.equal((await at.farm.getRun(id)).archived, false);
  }
  assert.equal(at.github.statuses.length, 0);
  down = false;
  for (const id of ids) await at.archived(id);
  assert.deepEqual(
    at.github.statuses.map((s) => s.state),
    ['success', 'success', 'success'],
  );
});

test('a leader that is gone leaves nothing unsaid: the next one reports what had ended and what still ran', async () => {
  await using at = await reportingFarm({ jobs: { 'jobs.yaml': only('good', 'print hello') }, controllers: 2 });
  let down = true;
  at.github.before = () => (down ? 'hang up' : undefined);
  const [id = ''] = (await at.push(0, 1)).values();
  assert.equal((await at.farm.ended(id)).archived, false);
  const leader = at.farm.controllers.find((c) => c.leads());
  assert.ok(leader);
  await leader.stop();
  at.farm.controllers.splice(at.farm.controllers.indexOf(leader), 1);
  await at.farm.until('the other leads', async () => at.farm.controllers[0]?.leads());
  down = false;
  await at.archived(id);
  assert.equal(at.github.standing(shaOf(0), 'good')?.state, 'success');
});

test('after 403 for going too fast nothing is sent before GitHub allows it, and then all of it', async () => {
  await using at = await reportingFarm({ jobs: { 'jobs.yaml': only('good', 'print hello') } });
  at.github.before = () => (at.github.requests.length === 1 ? secondaryLimit(2) : undefined);
  const [id = ''] = (await at.push(0, 1)).values();
  await at.archived(id);
  const [first, second] = at.github.requests;
  assert.ok(first && second && second.atMs - first.atMs >= 1_990);
  assert.equal(at.github.standing(shaOf(0), 'good')?.state, 'success');
});

test('what GitHub refuses for good is given up with its reason, which the run shows', async () => {
  await using at = await reportingFarm({ jobs: { 'jobs.yaml': only('good', 'print hello') } });
  const message = 'This SHA and context has reached the maximum number of statuses.';
  at.github.before = ({ method }) => (method === 'POST' ? { status: 422, body: { message } } : undefined);
  const [id = ''] = (await at.push(0, 1)).values();
  const run = await at.archived(id);
  assert.equal(run.state, 'passed');
  assert.equal(run.report?.outcome, 'given-up');
  assert.match(run.report?.why ?? '', /acme\/app.*\(422\): This SHA and context/);
});

test('an end that somebody overwrites is put right when it is read back', async () => {
  await using at = await reportingFarm({ jobs: { 'jobs.yaml': only('good', 'print hello') } });
  let overwritten = false;
  at.github.before = ({ method }) => {
    const last = at.github.standing(shaOf(0), 'good');
    if (method === 'GET' && last?.state === 'success' && !overwritten) {
      overwritten = true;
      at.github.statuses.push({ ...last, state: 'pending', by: 'a late one' });
    }
    return undefined;
  };
  const [id = ''] = (await at.push(0, 1)).values();
  await at.archived(id);
  assert.ok(overwritten);
  assert.deepEqual(at.github.states('good').slice(-3), ['success', 'pending', 'success']);
});

test('without credentials the farm works, and says once that nothing is reported', async () => {
  const lines: { msg: string }[] = [];
  const sink = new Writable({
    write: (chunk, _, done) => {
      lines.push(JSON.parse(String(chunk)));
      done();
    },
  });
  await using farm = await TestFarm.start({
    jobs: { 'jobs.yaml': only('good', 'print hello') },
    times: quickTimes,
    log: pino({ level: 'info' }, sink),
  });
  await farm.addAgent({ name: 'a1', executor: playing() });
  await farm.hook('push', pushOf(0));
  const run = await farm.until('it is archived', async () => {
    const [summary] = await farm.runs();
    const found = summary && (await farm.getRun(summary.id));
    return found?.archived && found;
  });
  assert.equal(run.report, undefined);
  assert.equal(lines.filter((l) => /reports to GitHub are off/.test(l.msg)).length, 1);
});
