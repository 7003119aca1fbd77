import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { controllerMetrics } from '../../../controller/metrics.ts';
import { decide } from '../../../protocol/dag.ts';
import { Farm } from '../../../protocol/farm.ts';
import type { FarmRecord, Verdict } from '../../../protocol/record.ts';
import type { RunEvent } from '../../../protocol/run.ts';
import { agentOf, verdictOf } from '../../support/api.ts';
import { newRun } from '../../support/runs.ts';

/** A farm whose records are counted as they are folded, with a clock that the test moves. */
function counting() {
  const farm = new Farm();
  const clock = { wallMs: 1_000_000 };
  const metrics = controllerMetrics({
    farm: () => farm,
    leads: () => true,
    disks: () => [{ name: 'objects', totalBytes: 100, freeBytes: 7, leastFreeBytes: 10, full: true }],
    wallMs: () => clock.wallMs,
  });
  const fold = (record: FarmRecord, seq = farm.seq + 1) => {
    const changedRuns = farm.fold(record, seq).flatMap((id) => farm.runs.get(id) ?? []);
    metrics.folded({ record, seq, changedRuns });
  };
  const base = { v: 1, term: 3, positions: { deliveries: 0, notices: 0 } };
  return {
    farm,
    clock,
    metrics,
    fold,
    verdict: (id: string, verdict: Partial<Verdict>) =>
      fold({ ...base, type: 'verdict', atMs: clock.wallMs, source: 'github', id, verdict: verdictOf(verdict) }),
    act: (id: string, event: RunEvent) => {
      const run = farm.runs.get(id);
      assert.ok(run);
      fold({ ...base, type: 'run', atMs: clock.wallMs, run: id, n: run.n + 1, events: decide(run, event, clock.wallMs).events });
    },
    /** Name and labels -> value. */
    read: async (): Promise<Record<string, number>> => {
      const lines = (await metrics.text()).split('\n').filter((line) => line.startsWith('thresh_'));
      return Object.fromEntries(
        lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
      );
    },
  };
}

test('a run is counted from its delivery to its end, each record once', async () => {
  const { metrics, clock, farm, verdict, act, fold, read } = counting();
  metrics.accepted({ source: 'github', id: 'd1' });
  clock.wallMs += 100;
  const run = newRun(undefined, { createdAtMs: clock.wallMs });
  verdict('d1', { decision: 'runs', creates: [run] });
  const step = run.steps[0]?.name ?? '';
  clock.wallMs += 150;
  act(run.id, { type: 'assigned', step, attempt: 1, agent: 'a1', atMs: clock.wallMs });
  const before = { record: { v: 1, term: 3, type: 'alive', atMs: 0 } as const, seq: 1, changedRuns: [] };
  metrics.folded(before);
  let told = await read();
  assert.equal(told['thresh_deliveries_accepted_total{source="github"}'], 1);
  assert.equal(told['thresh_deliveries_decided_total{source="github",decision="runs"}'], 1);
  assert.equal(told['thresh_task_wait_seconds_sum{queue="default"}'], 0.15);
  assert.equal(told.thresh_delivery_to_task_seconds_sum, 0.25);
  assert.equal(told['thresh_tasks{queue="default",state="running"}'], 1);
  assert.equal(told['thresh_open_runs{state="running"}'], 1);
  assert.equal(told['thresh_records_total{type="alive"}'], undefined, 'a record that was counted before is not counted again');

  const pass: RunEvent = { type: 'attempt', step, attempt: 1, event: 'pass', atMs: clock.wallMs };
  act(run.id, pass);
  // The same notice again, as a leader of the past might have stored it.
  fold({
    v: 1,
    term: 3,
    type: 'run',
    atMs: clock.wallMs + 5,
    run: run.id,
    n: 99,
    positions: farm.positions,
    events: [{ ...pass, atMs: clock.wallMs + 5 }],
  });
  told = await read();
  assert.equal(told['thresh_attempts_ended_total{state="passed"}'], 1);
  assert.equal(told['thresh_attempts_ended_total{state="lost"}'], 0);
  assert.equal(told[`thresh_runs_ended_total{state="passed",type="${run.type}"}`], 1);
  assert.equal(told.thresh_unarchived_runs, 1);
  assert.equal(told['thresh_open_runs{state="running"}'], 0);
});

test('tasks that no free slot would help are told as held, and how long the oldest has waited', async () => {
  const { farm, clock, verdict, act, read } = counting();
  farm.agents.set('a1', agentOf('a1', { queues: ['default'] }));
  farm.agents.set('a2', agentOf('a2', { queues: ['default'], silentSinceMs: 1 }));
  const limited = [1, 2, 3].map((n) =>
    newRun(undefined, { id: `170000000000000000${n}`, maxConcurrency: 1, createdAtMs: clock.wallMs }),
  );
  verdict('d1', { decision: 'runs', creates: limited });
  act(limited[0]?.id ?? '', {
    type: 'assigned',
    step: limited[0]?.steps[0]?.name ?? '',
    attempt: 1,
    agent: 'a1',
    atMs: clock.wallMs,
  });
  clock.wallMs += 2_500;
  const told = await read();
  assert.equal(told['thresh_tasks{queue="default",state="ready"}'], 2);
  assert.equal(told['thresh_tasks{queue="default",state="held"}'], 2);
  assert.equal(told['thresh_oldest_task_wait_seconds{queue="default"}'], 2.5);
  assert.equal(told['thresh_agents{state="serving"}'], 1);
  assert.equal(told['thresh_agents{state="silent"}'], 1);
  assert.equal(told['thresh_queue_agents{queue="default"}'], 1);
  assert.equal(told['thresh_disk_free_bytes{disk="objects"}'], 7);
  assert.equal(told.thresh_intake_open, 0);
  assert.equal(told.thresh_leader, 1);
});

test('queues that strangers name do not grow the answer without bound', async () => {
  const { clock, verdict, act, read } = counting();
  const runs = Array.from({ length: 200 }, (_, i) => {
    const run = newRun(undefined, { id: String(1_700_000_000_000_000_000n + BigInt(i)), createdAtMs: clock.wallMs });
    return { ...run, steps: run.steps.map((s) => ({ ...s, queue: `q${i}` })) };
  });
  verdict('d1', { decision: 'runs', creates: runs });
  for (const run of runs)
    act(run.id, { type: 'assigned', step: run.steps[0]?.name ?? '', attempt: 1, agent: 'a1', atMs: clock.wallMs });
  const told = await read();
  const queuesOf = (name: string) => Object.keys(told).filter((k) => k.startsWith(`${name}{`)).length;
  assert.equal(queuesOf('thresh_oldest_task_wait_seconds'), 51);
  assert.equal(queuesOf('thresh_task_wait_seconds_count'), 51);
  assert.equal(told['thresh_tasks{queue="other",state="running"}'], 150);
  assert.equal(told['thresh_task_wait_seconds_count{queue="other"}'], 150);
});

test('requests are counted by route and status; what has no route is one', async () => {
  const { metrics, read } = counting();
  metrics.answered({ method: 'GET', route: '/api/runs/:run', status: 200, ms: 3 });
  metrics.answered({ method: 'BREW', route: undefined, status: 404, ms: 1 });
  metrics.answered({ method: 'GET', route: undefined, status: 404, ms: 1 });
  const told = await read();
  assert.equal(told['thresh_http_requests_total{method="GET",route="/api/runs/:run",status="200"}'], 1);
  assert.equal(told['thresh_http_requests_total{method="other",route="none",status="404"}'], 1);
  assert.equal(told['thresh_http_request_seconds_count{route="none"}'], 2);
});

test('the list of metrics for people is the one that is told', async () => {
  const { metrics } = counting();
  const told = [...(await metrics.text()).matchAll(/^# HELP (thresh_\S+) (.*)\n# TYPE \S+ (\S+)$/gm)].map(
    ([, name, help, type]) => `| \`${name}\` | ${type} | ${help} |`,
  );
  assert.ok(told.length > 20);
  const page = await readFile(new URL('../../../deploy/metrics.md', import.meta.url), 'utf8');
  const listed = page
    .split('\n')
    .filter((line) => line.startsWith('| `thresh_'))
    .map((line) => line.replaceAll(/ +\|/g, ' |'));
  assert.deepEqual(listed, told.sort());
});
