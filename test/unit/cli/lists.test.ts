import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fakeFarm, nowMs, runId, someAttempt, someRun, thresh } from './harness.ts';

const verdict = {
  decision: 'runs',
  reason: 'two jobs match',
  event: 'push',
  by: 'ada',
  rules: [],
  creates: [],
  cancels: [],
  changes: [],
};

test('runs are listed with state, source, age and time taken', async () => {
  await using farm = await fakeFarm();
  const common = { type: 'presubmit', by: 'ada', trusted: true, delivery: 'github/d' };
  const runs = [
    {
      ...common,
      id: runId,
      job: 'unit',
      state: 'running',
      createdAtMs: nowMs - 90_000,
      startedAtMs: nowMs - 65_000,
      repo: 'o/r',
      pull: 12,
    },
    {
      ...common,
      id: '1905522071432466431',
      job: 'nightly',
      state: 'passed',
      createdAtMs: nowMs - 7_200_000,
      startedAtMs: nowMs - 7_200_000,
      endedAtMs: nowMs - 7_195_800,
    },
    {
      ...common,
      id: '1905522071432466430',
      job: 'post',
      state: 'queued',
      createdAtMs: nowMs,
      repo: 'o/r',
      sha: 'abcdef0123456789',
    },
  ];
  farm.on('GET /api/runs', { body: { runs, before: '1905522071432466430' } });
  const { code, out, err } = await thresh([
    'runs',
    '--url',
    farm.url,
    '--state',
    'open',
    '--repo',
    'o/r',
    '--pull',
    '12',
    '--limit',
    '3',
  ]);
  assert.equal(code, 0);
  assert.match(out, new RegExp(`${runId} +running +unit +o/r#12 +ada +1m ago +1m 05s`));
  assert.match(out, /nightly +- +ada +2h ago +4\.2s/);
  assert.match(out, /queued +post +o\/r@abcdef0 +ada +now +-/);
  assert.match(err, /--before 1905522071432466430/);
  assert.equal(farm.asked[0]?.query.toString(), 'state=open&repo=o%2Fr&pull=12&limit=3');
  const json = await thresh(['runs', '--url', farm.url, '--json']);
  assert.deepEqual(JSON.parse(json.out), { runs, before: '1905522071432466430' });
  assert.equal(json.err, '');
});

test('no runs is said to people and is an empty list for scripts', async () => {
  await using farm = await fakeFarm();
  farm.on('GET /api/runs', { body: { runs: [] } });
  assert.deepEqual(await thresh(['runs', '--url', farm.url]).then((r) => [r.code, r.out, r.err]), [0, '', 'no runs\n']);
  assert.deepEqual(JSON.parse((await thresh(['runs', '--url', farm.url, '--json'])).out), { runs: [] });
});

test('show explains a run: what it tests and why each step is where it is', async () => {
  await using farm = await fakeFarm();
  const sha = '0123456789abcdef0123456789abcdef01234567';
  const run = someRun(
    {
      checkout: { state: 'passed', attempts: [someAttempt(1, 'passed')] },
      test: { state: 'failed', attempts: [someAttempt(1, 'lost'), { ...someAttempt(2, 'failed'), exitCode: 3 }] },
      deploy: { state: 'skipped', why: "needs 'test', which failed" },
      notify: { state: 'waiting' },
    },
    {
      state: 'failed',
      reason: "step 'test' failed",
      endedAtMs: nowMs,
      trusted: false,
      refs: { org: 'o', repo: 'r', baseRef: 'main', baseSha: sha, pulls: [{ number: 12, author: 'eve', sha }] },
    },
  );
  run.steps = run.steps.map((s) => (s.name === 'notify' ? { ...s, needs: ['test', 'deploy'] } : s));
  farm.on(`GET /api/runs/${runId}`, { body: run });
  const { code, out } = await thresh(['show', runId, '--url', farm.url]);
  assert.equal(code, 0);
  assert.match(out, new RegExp(`^run ${runId} of unit: failed`));
  assert.match(out, /o\/r main at 0123456789ab \+ #12 \(0123456789ab by eve\)/);
  assert.match(out, /not trusted: no secrets/);
  assert.match(out, /waited +5\.0s/);
  assert.match(out, /took +1m 00s/);
  assert.match(out, /test +failed +2 +node-1 +10s +exit code 3/);
  assert.match(out, /deploy +skipped +- +- +- +needs 'test', which failed/);
  assert.match(out, /notify +waiting +- +- +- +needs test, deploy/);
  assert.deepEqual(JSON.parse((await thresh(['show', runId, '--url', farm.url, '--json'])).out), run);
});

test('queues say what waits and why', async () => {
  await using farm = await fakeFarm();
  const queues = [
    {
      queue: 'default',
      ready: 3,
      running: 2,
      agents: 1,
      oldest: { run: runId, step: 'test', sinceMs: nowMs - 42_000, why: 'all slots are taken' },
    },
    { queue: 'gpu', ready: 0, running: 0, agents: 0, paused: { by: 'ada', reason: 'driver update' } },
  ];
  farm.on('GET /api/queues', { body: { queues } });
  const { out } = await thresh(['queues', '--url', farm.url]);
  assert.match(out, new RegExp(`default +open +3 +2 +1 +42s +${runId}/test: all slots are taken`));
  assert.match(out, /gpu +paused +0 +0 +0 +- +paused by ada: driver update/);
  assert.deepEqual(JSON.parse((await thresh(['queues', '--json', '--url', farm.url])).out), { queues });
});

test('agents say what they do, and that they are silent', async () => {
  await using farm = await fakeFarm();
  const common = { queues: ['default', 'gpu'], executor: 'process', host: 'h1', version: '0.1.0', joinedAtMs: 0 };
  const agents = [
    {
      ...common,
      id: 'node-1',
      trust: 'any',
      state: 'serving',
      running: [{ run: runId, step: 'test', attempt: 1, sinceMs: nowMs }],
    },
    { ...common, id: 'node-2', trust: 'trusted', state: 'serving', silentSinceMs: nowMs - 60_000, running: [] },
    { ...common, id: 'node-3', trust: 'trusted', state: 'draining', silentSinceMs: nowMs - 60_000, running: [] },
  ];
  farm.on('GET /api/agents', { body: { agents } });
  const { out } = await thresh(['agents', '--url', farm.url]);
  assert.match(out, new RegExp(`node-1 +serving +default,gpu +any run +process +h1 +0\\.1\\.0 +${runId}/test`));
  assert.match(out, /node-2 +silent .* not heard for 1m 00s/);
  assert.match(out, /node-3 +draining/);
});

test('deliveries are listed, and one is explained rule by rule', async () => {
  await using farm = await fakeFarm();
  const delivery = {
    source: 'github',
    id: 'a1',
    atMs: nowMs - 12_000,
    verdict: {
      ...verdict,
      repo: 'o/r',
      pull: 7,
      rules: [
        { job: 'unit', runs: true, why: 'always_run' },
        { job: 'docs', runs: false, why: 'run_if_changed: no file under docs/ changed' },
      ],
      creates: [{ ...someRun({}), id: runId, job: 'unit' }],
    },
  };
  farm.on('GET /api/deliveries', { body: { deliveries: [delivery] } });
  farm.on('GET /api/deliveries/github/a1', { body: delivery });
  assert.match((await thresh(['deliveries', '--url', farm.url])).out, /github\/a1 +12s ago +push +ada +runs +two jobs match/);
  const { out } = await thresh(['deliveries', 'github/a1', '--url', farm.url]);
  assert.match(out, /github\/a1: push of o\/r#7 by ada, 12s ago/);
  assert.match(out, new RegExp(`run ${runId} of unit`));
  assert.match(out, /docs +no +run_if_changed: no file under docs\/ changed/);
  assert.equal((await thresh(['deliveries', 'a1', '--url', farm.url])).code, 2);
  assert.equal((await thresh(['deliveries', '../a1', '--url', farm.url])).code, 2);
  assert.equal((await thresh(['deliveries', 'github/zz', '--url', farm.url])).code, 3);
});
