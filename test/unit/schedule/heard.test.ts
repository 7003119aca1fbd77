import assert from 'node:assert/strict';
import { test } from 'node:test';
import { heard } from '../../../controller/schedule/heard.ts';
import { decide } from '../../../protocol/dag.ts';
import type { Notice } from '../../../protocol/notice.ts';
import { attemptOf, openRun, type Run, type RunEvent } from '../../../protocol/run.ts';
import { newRun } from '../../support/runs.ts';

const created = openRun(newRun());
const address = { agent: 'a', run: created.id, step: 'test', attempt: 1, n: 1 };
const after = (run: Run, ...events: RunEvent[]): Run => events.reduce((r, e) => decide(r, e, 2_000).run, run);
const attempt = (event: Extract<RunEvent, { type: 'attempt' }>['event']): RunEvent => ({
  type: 'attempt',
  step: 'test',
  attempt: 1,
  event,
  atMs: 3_000,
});
const assigned = after(created, { type: 'assigned', step: 'test', attempt: 1, agent: 'a', atMs: 2_000 });
const running = after(assigned, attempt('start'));
const start: Notice = { v: 1, type: 'start', atMs: 99 };
const end = (outcome: Extract<Notice, { type: 'end' }>['outcome']): Notice => ({
  v: 1,
  type: 'end',
  atMs: 99,
  outcome,
  logBytes: 7,
});

test('a start makes an assigned attempt run, at the time of the leader and not of the agent', () => {
  assert.deepEqual(heard(assigned, address, start, 5_000), {
    type: 'attempt',
    step: 'test',
    attempt: 1,
    event: 'start',
    atMs: 5_000,
  });
  assert.equal(heard(running, address, start, 5_000), 'unchanged');
});

test('an end says how it ended, how long the log is, and nothing of the agent’s clock', () => {
  const notice: Notice = { v: 1, type: 'end', atMs: 99, outcome: 'fail', exitCode: 3, message: 'no', logBytes: 12 };
  assert.deepEqual(heard(running, address, notice, 5_000), {
    type: 'attempt',
    step: 'test',
    attempt: 1,
    event: 'fail',
    atMs: 5_000,
    end: { exitCode: 3, message: 'no', logBytes: 12 },
  });
});

test('each outcome has its event, whether the start was heard or not', () => {
  const events = { pass: 'pass', fail: 'fail', error: 'error', stopped: 'stopped', lost: 'expire' } as const;
  for (const [outcome, event] of Object.entries(events))
    for (const run of [assigned, running]) {
      const cause = heard(run, address, end(outcome as keyof typeof events), 5_000);
      assert.equal(typeof cause === 'object' && cause.type === 'attempt' && cause.event, event);
    }
  const back = heard(running, address, { v: 1, type: 'return', atMs: 99, reason: 'leaving', logBytes: 0 }, 5_000);
  assert.ok(typeof back === 'object' && back.type === 'attempt');
  assert.deepEqual([back.event, back.end?.message], ['return', 'leaving']);
});

test('refused: another agent, another attempt, another step, a run that is not known', () => {
  for (const other of [{ agent: 'b' }, { attempt: 2 }, { step: 'other' }])
    assert.equal(heard(running, { ...address, ...other }, end('pass'), 5_000), 'refused');
  assert.equal(heard(undefined, address, end('pass'), 5_000), 'refused');
});

test('refused: whatever comes of an attempt that was lost, before and after the next one has begun', () => {
  const lost = after(running, attempt('expire'));
  const next = after(lost, { type: 'assigned', step: 'test', attempt: 2, agent: 'a', atMs: 4_000 });
  for (const run of [lost, next])
    for (const notice of [start, end('pass'), end('fail'), end('lost')])
      assert.equal(heard(run, address, notice, 5_000), 'refused');
  assert.equal(attemptOf(next, 'test', 2)?.state, 'assigned');
});

test('unchanged: the end of an attempt that has ended', () => {
  const passed = after(running, attempt('pass'));
  assert.equal(heard(passed, address, end('fail'), 5_000), 'unchanged');
});
