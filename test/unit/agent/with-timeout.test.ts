import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Engine, Exit } from '../../../agent/executor/executor.ts';
import { type After, durationText, withTimeout } from '../../../agent/executor/with-timeout.ts';
import { stepWith } from '../../support/steps.ts';

/** An engine without a step and a clock without time: the test says when what happens. */
function pretend({ timeoutMs = 5_400_000, graceMs = 15_000 } = {}) {
  const asked: string[] = [];
  const timers: { ms: number; act: () => void }[] = [];
  const after: After = (ms, act) => {
    const timer = { ms, act };
    timers.push(timer);
    return () => {
      timers.splice(timers.indexOf(timer), 1);
    };
  };
  let exit: (exit: Exit) => void = () => {};
  let begin = async () => {};
  let gone = false;
  const engine: Engine = {
    kind: 'scripted',
    reap: async () => false,
    run: (job) => {
      begin = async () => job.handle({ kind: 'scripted' });
      const ask = (what: string) => () => {
        if (!gone) asked.push(what);
        return !gone;
      };
      return {
        exit: new Promise((resolve) => {
          exit = resolve;
        }),
        term: ask('term'),
        kill: ask('kill'),
      };
    },
  };
  const started = withTimeout(engine, after).start({
    key: { run: '1', step: 'test', attempt: 1 },
    spec: stepWith({ timeoutMs, graceMs }),
    env: {},
    workspace: '/w',
    scratch: '/s',
    output: () => {},
    handle: () => {},
  });
  return {
    started,
    asked,
    timers: () => timers.map(({ ms }) => ms),
    begin: () => begin(),
    exit: (how: Exit) => exit(how),
    /** The step is gone, its output is not wholly taken yet. */
    exited: () => {
      gone = true;
    },
    timeIsUp: () => timers.shift()?.act(),
  };
}

test('the timeout counts from when the step begins, not from when it is being prepared', async () => {
  const p = pretend();
  assert.deepEqual(p.timers(), []);
  await p.begin();
  assert.deepEqual(p.timers(), [5_400_000]);
});

test('a step that exits in time leaves no timer behind', async () => {
  const p = pretend();
  await p.begin();
  p.exit({ exitCode: 0 });
  assert.deepEqual(await p.started.ended, { outcome: 'pass', exitCode: 0 });
  assert.deepEqual(p.timers(), []);
});

test('at the timeout comes TERM, after the grace KILL, and the step has failed', async () => {
  const p = pretend();
  await p.begin();
  p.timeIsUp();
  assert.deepEqual([p.asked, p.timers()], [['term'], [15_000]]);
  p.timeIsUp();
  assert.deepEqual(p.asked, ['term', 'kill']);
  p.exit({ exitCode: 137, signal: 'SIGKILL' });
  assert.deepEqual(await p.started.ended, {
    outcome: 'fail',
    exitCode: 137,
    signal: 'SIGKILL',
    message: 'timed out after 90m; did not end within 15s of TERM and was killed',
  });
});

test('a step that exits 0 after its timeout has failed, and one that exits 0 after a stop was stopped', async () => {
  const late = pretend();
  await late.begin();
  late.timeIsUp();
  late.exit({ exitCode: 0 });
  assert.deepEqual(await late.started.ended, { outcome: 'fail', exitCode: 0, message: 'timed out after 90m' });

  const stopped = pretend();
  await stopped.begin();
  stopped.started.stop();
  stopped.exit({ exitCode: 0 });
  assert.deepEqual(await stopped.started.ended, { outcome: 'stopped', exitCode: 0 });
});

test('a stop ends the timeout: what counts is which came first', async () => {
  const p = pretend();
  await p.begin();
  p.started.stop();
  p.started.stop();
  assert.deepEqual([p.asked, p.timers()], [['term'], [15_000]]);
  const q = pretend();
  await q.begin();
  q.timeIsUp();
  q.started.stop();
  q.exit({ exitCode: 143, signal: 'SIGTERM' });
  assert.equal((await q.started.ended).outcome, 'fail');
});

test('kill comes at once, also within the grace', async () => {
  const p = pretend();
  await p.begin();
  p.started.stop();
  p.started.kill();
  assert.deepEqual(p.asked, ['term', 'kill']);
  p.exit({ exitCode: 137, signal: 'SIGKILL' });
  assert.deepEqual(await p.started.ended, { outcome: 'stopped', exitCode: 137, signal: 'SIGKILL' });
  assert.deepEqual(p.timers(), []);
});

test('a step that has exited keeps its result, whatever is asked while its output is taken', async () => {
  const p = pretend();
  await p.begin();
  p.exited();
  p.started.stop();
  p.timeIsUp();
  p.started.kill();
  p.exit({ exitCode: 2 });
  assert.deepEqual(await p.started.ended, { outcome: 'fail', exitCode: 2 });
});

test('what could not be run is an error, also when it was asked to stop', async () => {
  const p = pretend();
  p.started.stop();
  p.exit({ error: 'the image is not there' });
  assert.deepEqual(await p.started.ended, { outcome: 'error', message: 'the image is not there' });
});

test('what was lost by no fault of its own is neither an error nor a failure', async () => {
  const p = pretend();
  await p.begin();
  p.exit({ lost: 'the engine was stopped' });
  assert.deepEqual(await p.started.ended, { outcome: 'lost', message: 'the engine was stopped' });
});

test('an engine that tells the beginning itself is timed from then on, less what has passed already', async () => {
  const set: number[] = [];
  const after: After = (ms) => {
    set.push(ms);
    return () => {};
  };
  const running = { exit: Promise.resolve({ exitCode: 0 }), term: () => true, kill: () => true };
  const engine: Engine = {
    kind: 'docker',
    tellsBegin: true,
    reap: async () => false,
    run: (job, begun) => ({
      ...running,
      exit: Promise.resolve(job.handle({ kind: 'scripted' }))
        .then(() => begun())
        .then(() => running.exit),
    }),
    adopt: async (_, __, begun) => {
      begun(1_000);
      return running;
    },
  };
  const executor = withTimeout(engine, after);
  const job = {
    key: { run: '1', step: 's', attempt: 1 },
    spec: stepWith({ timeoutMs: 5_000 }),
    env: {},
    workspace: '/w',
    scratch: '/s',
    output: () => {},
    handle: () => {},
  };
  await executor.start(job).ended;
  await (await executor.adopt?.({ kind: 'scripted' }, job))?.ended;
  assert.deepEqual(set, [5_000, 4_000]);
});

test('durations are said in the largest unit that fits', () => {
  assert.deepEqual([5_400_000, 7_200_000, 15_000, 1_500, 0].map(durationText), ['90m', '2h', '15s', '1500ms', '0ms']);
});
