import assert from 'node:assert/strict';
import { test } from 'node:test';
import pino from 'pino';
import { quickTimes, TestFarm } from '../../support/farm.ts';
import { need } from '../../support/need.ts';

const jobs = { 'jobs.yaml': 'manual:\n- name: hello\n  steps:\n  - {name: only, script: "print hello", env: {}}\n' };
const metricsToken = 'a-token-that-reads-metrics-only';

test('a run shows in the metrics, which their own token reads and nothing else', { skip: need('nats-server') }, async () => {
  await using farm = await TestFarm.start({ jobs, times: quickTimes, controllers: 0 });
  farm.settings.metricsToken = metricsToken;
  await farm.addController('c1');
  await farm.addAgent({ name: 'a1' });
  const run = await farm.ended(await farm.run('hello'));
  assert.equal(run.state, 'passed');
  await farm.logOf(run.id, 'only');

  const ask = (path: string, token?: string) =>
    fetch(`${farm.url}${path}`, token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } });
  assert.equal((await ask('/metrics')).status, 401);
  assert.equal((await ask('/metrics', 'wrong')).status, 401);
  assert.equal((await ask('/api/farm', metricsToken)).status, 401);
  assert.equal((await ask('/metrics', farm.adminToken)).status, 200);
  const answer = await ask('/metrics', metricsToken);
  assert.match(answer.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
  const text = await answer.text();
  const value = (name: string) => Number(new RegExp(`^${name.replace(/[{}"/.]/g, '\\$&')} (\\S+)$`, 'm').exec(text)?.[1]);
  assert.equal(value('thresh_runs_ended_total{state="passed",type="manual"}'), 1);
  assert.equal(value('thresh_attempts_ended_total{state="passed"}'), 1);
  assert.equal(value('thresh_task_wait_seconds_count{queue="default"}'), 1);
  assert.equal(value('thresh_delivery_to_task_seconds_count'), 1);
  assert.equal(value('thresh_agents{state="serving"}'), 1);
  assert.equal(value('thresh_leader'), 1);
  assert.equal(value('thresh_log_stored_bytes_total'), 6);
  assert.equal(value('thresh_appends_total{outcome="refused"}'), 0);
  assert.ok(value('thresh_appends_total{outcome="stored"}') >= value('thresh_runs_sequence') - 1);
  assert.ok(value('process_resident_memory_bytes') > 0);
  assert.ok(value('thresh_http_requests_total{method="GET",route="/metrics",status="401"}') === 2);
});

test('every line about an attempt names run, step, attempt and agent, and no line holds a secret', {
  skip: need('nats-server'),
}, async () => {
  const lines: Record<string, unknown>[] = [];
  const log = pino({ level: 'debug' }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  const secret = 'a-secret-of-the-tests-0123456789';
  const secretJobs = {
    'jobs.yaml': 'manual:\n- name: hello\n  steps:\n  - {name: only, script: "print-env", secrets: {TOKEN: tok}}\n',
  };
  await using farm = await TestFarm.start({ jobs: secretJobs, secrets: { tok: secret }, times: quickTimes, log });
  await farm.addAgent({ name: 'a1' });
  const run = await farm.ended(await farm.run('hello'));
  const about = lines.filter((line) => line.run === run.id && line.step !== undefined);
  assert.deepEqual([...new Set(about.map((l) => l.msg))].sort(), [
    'a step has ended',
    'a step has started',
    'an attempt has ended',
    'an attempt was given to an agent',
  ]);
  for (const { run: id, step, attempt, agent } of about)
    assert.deepEqual({ id, step, attempt, agent }, { id: run.id, step: 'only', attempt: 1, agent: 'a1' });
  const whole = lines.map((l) => JSON.stringify(l)).join('\n');
  for (const hidden of [
    secret,
    farm.adminToken,
    Buffer.from(farm.settings.farmKey).toString('base64'),
    farm.nats.controllerSeed,
    farm.nats.curveSeed,
  ])
    assert.ok(!whole.includes(hidden));
  assert.doesNotMatch(whole, /Bearer [A-Za-z0-9]/);
});
