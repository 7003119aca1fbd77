import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decide, following, maxAttempts, maxLosses, maxRounds } from '../../../protocol/dag.ts';
import {
  attemptOf,
  hasEnded,
  lastAttempt,
  type NewRun,
  openAttempts,
  openRun,
  type Run,
  type RunEvent,
  type StepShape,
  stepOf,
} from '../../../protocol/run.ts';
import { newRun, stepShape } from '../../support/runs.ts';

/** A run that is told, sentence by sentence, what happens to it. */
function story(steps: StepShape[], over: Partial<NewRun> = {}) {
  let run: Run = openRun(newRun(steps, over));
  let atMs = 2_000;
  const tell = (cause: RunEvent): RunEvent[] => {
    const decided = decide(run, cause, ++atMs);
    run = decided.run;
    return decided.events.slice(1);
  };
  const attempt = (step: string) => lastAttempt(stepOf(run, step))?.attempt ?? 0;
  const says =
    (event: Extract<RunEvent, { type: 'attempt' }>['event']) =>
    (step: string, message = '') =>
      tell({ type: 'attempt', step, attempt: attempt(step), event, atMs, end: message ? { message } : {} });
  return {
    get run() {
      return run;
    },
    states: () => run.at.map((s) => `${s.name} ${s.state}`).join(', '),
    step: (name: string) => stepOf(run, name),
    assign: (step: string, agent = 'a1') => tell({ type: 'assigned', step, attempt: attempt(step) + 1, agent, atMs }),
    start: says('start'),
    pass: says('pass'),
    fail: says('fail'),
    error: says('error'),
    stopped: says('stopped'),
    giveBack: says('return'),
    lose: says('expire'),
    homeless: (spent: boolean) => tell({ type: 'homeless', why: 'agent a1 has left', spent }),
    cancel: (force = false) => tell({ type: 'cancel', by: 'anna', reason: 'enough', force, atMs }),
    tell,
  };
}

const buildTestClean = () => [stepShape('build'), stepShape('test', { needs: ['build'] }), stepShape('clean', { finally: true })];

describe('order', () => {
  test('steps that need nothing are ready at once, the others wait', () => {
    const s = story(buildTestClean());
    assert.equal(s.states(), 'build ready, test waiting, clean waiting');
    assert.equal(s.run.state, 'queued');
  });

  test('a step becomes ready when the last of its needs has passed', () => {
    const s = story([stepShape('a'), stepShape('b'), stepShape('c', { needs: ['a', 'b'] })]);
    s.assign('a');
    s.assign('b');
    s.pass('a');
    assert.equal(s.step('c')?.state, 'waiting');
    assert.deepEqual(
      s.pass('b').map((e) => e.type),
      ['settled', 'ready'],
    );
  });

  test('a run of two steps passes when both have passed', () => {
    const s = story([stepShape('a'), stepShape('b', { needs: ['a'] })]);
    s.assign('a');
    assert.equal(s.run.state, 'running');
    s.start('a');
    s.pass('a');
    s.assign('b');
    const last = s.pass('b').at(-1);
    assert.equal(last?.type, 'finished');
    assert.equal(s.run.state, 'passed');
    assert.equal(s.run.reason, 'all steps passed');
    assert.ok(s.run.endedAtMs);
  });

  test('what depends on a failed step is skipped, and says which', () => {
    const s = story([stepShape('a'), stepShape('b', { needs: ['a'] }), stepShape('c', { needs: ['b'] }), stepShape('d')]);
    s.assign('a');
    s.fail('a', 'exit code 1');
    assert.equal(s.states(), 'a failed, b skipped, c skipped, d ready');
    assert.equal(s.step('b')?.why, "needs 'a', which failed");
    assert.equal(s.step('c')?.why, "needs 'b', which was skipped");
    assert.equal(s.run.state, 'running', 'd does not depend on it');
    s.assign('d');
    s.pass('d');
    assert.equal(s.run.state, 'failed');
    assert.equal(s.run.reason, "step 'a' failed: exit code 1");
  });

  test('a step with when: failure runs after a failure only, one with when: always in any case', () => {
    const steps = [
      stepShape('a'),
      stepShape('rescue', { needs: ['a'], when: 'failure' }),
      stepShape('tell', { needs: ['a'], when: 'always' }),
    ];
    const bad = story(steps);
    bad.assign('a');
    bad.fail('a');
    assert.equal(bad.states(), 'a failed, rescue ready, tell ready');
    const good = story(steps);
    good.assign('a');
    good.pass('a');
    assert.equal(good.states(), 'a passed, rescue skipped, tell ready');
    assert.equal(good.step('rescue')?.why, 'nothing that it needs has failed');
  });

  test('an error counts as a failure for when: failure, and makes the run errored rather than failed', () => {
    const s = story([stepShape('a'), stepShape('b'), stepShape('rescue', { needs: ['a'], when: 'failure' })]);
    s.assign('a');
    s.error('a', 'no such image');
    s.assign('b');
    s.fail('b');
    s.assign('rescue');
    s.pass('rescue');
    assert.equal(s.run.state, 'errored');
    assert.equal(s.run.reason, "step 'a' ended in an error: no such image");
    assert.equal(s.step('a')?.why, 'no such image');
  });

  test('finally steps wait for all others and run after a failure too', () => {
    const s = story(buildTestClean());
    s.assign('build');
    s.fail('build');
    assert.equal(s.states(), 'build failed, test skipped, clean ready');
    s.assign('clean');
    s.pass('clean');
    assert.equal(s.run.state, 'failed');
  });

  test('a finally step with when: failure and no needs watches the whole run', () => {
    const steps = [stepShape('a'), stepShape('alarm', { finally: true, when: 'failure' })];
    const bad = story(steps);
    bad.assign('a');
    bad.fail('a');
    assert.equal(bad.step('alarm')?.state, 'ready');
    const good = story(steps);
    good.assign('a');
    good.pass('a');
    assert.equal(good.step('alarm')?.state, 'skipped');
    assert.equal(good.run.state, 'passed');
  });

  test('a run of nothing but finally steps starts', () => {
    const s = story([stepShape('a', { finally: true }), stepShape('b', { finally: true, needs: ['a'] })]);
    assert.equal(s.states(), 'a ready, b waiting');
  });

  test('an attempt that stopped without being asked makes its step cancelled and the run too', () => {
    const s = story([stepShape('a')]);
    s.assign('a');
    s.stopped('a', 'the machine is shut down');
    assert.equal(s.run.state, 'cancelled');
    assert.equal(s.run.reason, "step 'a' was cancelled");
  });
});

describe('retries', () => {
  test('a failed step is tried again as often as it says, with the next attempt number', () => {
    const s = story([stepShape('a', { retries: 2 })]);
    for (const n of [1, 2]) {
      s.assign('a');
      s.fail('a');
      assert.equal(s.step('a')?.state, 'ready', `after failure ${n}`);
    }
    s.assign('a');
    assert.deepEqual(
      s.step('a')?.attempts.map((a) => a.attempt),
      [1, 2, 3],
    );
    s.fail('a', 'exit code 1');
    assert.equal(s.run.state, 'failed');
    assert.equal(s.step('a')?.why, 'exit code 1');
  });

  test('a step without retries fails at its first failure', () => {
    const s = story([stepShape('a')]);
    s.assign('a');
    s.fail('a');
    assert.equal(s.run.state, 'failed');
  });

  test('an error is not retried: the step could not be run at all', () => {
    const s = story([stepShape('a', { retries: 2 })]);
    s.assign('a');
    s.error('a');
    assert.equal(s.run.state, 'errored');
  });

  test('an attempt given back by a draining agent spends no retry', () => {
    const s = story([stepShape('a', { retries: 1 })]);
    for (let i = 0; i < 5; i++) {
      s.assign('a');
      s.giveBack('a');
      assert.equal(s.step('a')?.state, 'ready');
    }
    s.assign('a');
    s.fail('a');
    assert.equal(s.step('a')?.state, 'ready', 'its one retry is still there');
    s.assign('a');
    s.fail('a');
    assert.equal(s.run.state, 'failed');
  });

  test('a lost agent spends no retry either, but only so many may be lost', () => {
    const s = story([stepShape('a')]);
    for (let i = 1; i < maxLosses; i++) {
      s.assign('a', `a${i}`);
      s.lose('a');
      assert.equal(s.step('a')?.state, 'ready');
    }
    s.assign('a');
    s.lose('a');
    assert.equal(s.run.state, 'errored');
    assert.equal(s.step('a')?.why, `lost its agent ${maxLosses} times`);
  });

  test('a step that is always given back ends after its last attempt', () => {
    const s = story([stepShape('a')]);
    for (let i = 1; i <= maxAttempts; i++) {
      assert.equal(hasEnded(s.run), false, `before attempt ${i}`);
      s.assign('a');
      s.giveBack('a');
    }
    assert.equal(s.run.state, 'errored');
  });

  test('a lost step of a shared workspace leaves the others alone', () => {
    const s = story([stepShape('a'), stepShape('b')]);
    s.assign('a', 'a1');
    s.assign('b', 'a2');
    s.lose('a');
    assert.equal(s.states(), 'a ready, b running');
    assert.equal(s.run.round, 1);
  });
});

describe('rounds of a local workspace', () => {
  const local = (steps = buildTestClean()) => story(steps, { workspace: 'local' });

  test('the first agent becomes the home of the run', () => {
    const s = local();
    s.assign('build', 'a7');
    assert.equal(s.run.home, 'a7');
  });

  test('a lost agent means a new round: all steps again, numbers go on, no home yet', () => {
    const s = local();
    s.assign('build');
    s.pass('build');
    s.assign('test');
    s.lose('test');
    assert.equal(s.run.round, 2);
    assert.equal(s.run.home, undefined);
    assert.equal(s.states(), 'build ready, test waiting, clean waiting');
    s.assign('build', 'a2');
    assert.deepEqual(
      s.step('build')?.attempts.map((a) => [a.attempt, a.round]),
      [
        [1, 1],
        [2, 2],
      ],
    );
  });

  test('what else runs in a lost workspace is lost with it', () => {
    const s = local([stepShape('a'), stepShape('b')]);
    s.assign('a');
    s.assign('b');
    s.lose('a');
    assert.equal(attemptOf(s.run, 'b', 1)?.state, 'lost');
    assert.deepEqual(openAttempts(s.run), []);
  });

  test(`after ${maxRounds} lost rounds the run ends in an error`, () => {
    const s = local();
    for (let round = 1; round <= maxRounds; round++) {
      assert.equal(s.run.round, round);
      s.assign('build');
      s.lose('build');
    }
    assert.equal(s.run.state, 'errored');
    assert.match(s.step('build')?.why ?? '', /3 rounds were lost/);
  });

  test('a workspace lost between two steps counts as a lost round', () => {
    const s = local();
    for (let round = 1; round <= maxRounds; round++) {
      assert.equal(s.run.round, round);
      s.assign('build');
      s.pass('build');
      s.homeless(true);
    }
    assert.equal(s.run.state, 'errored');
  });

  test('a drained home costs no round', () => {
    const s = local();
    for (let round = 1; round <= maxRounds + 2; round++) {
      assert.equal(s.run.round, round);
      s.assign('build');
      s.pass('build');
      s.homeless(false);
    }
    assert.equal(s.run.state, 'running');
  });

  test('an attempt given back by the home moves the run elsewhere without a lost round', () => {
    const s = local();
    for (let i = 0; i < maxRounds + 2; i++) {
      s.assign('build');
      s.giveBack('build');
    }
    assert.equal(s.run.round, maxRounds + 3);
    assert.equal(s.step('build')?.state, 'ready');
  });

  test('each round has its own retries', () => {
    const s = local([stepShape('a', { retries: 1 })]);
    s.assign('a');
    s.fail('a');
    s.assign('a');
    s.lose('a');
    s.assign('a');
    s.fail('a');
    assert.equal(s.step('a')?.state, 'ready');
  });

  test('a run that has no home yet cannot lose it', () => {
    const s = local();
    assert.deepEqual(s.homeless(true), []);
    assert.equal(s.run.round, 1);
  });
});

describe('cancel', () => {
  test('a queued run skips to its finally steps', () => {
    const s = story(buildTestClean());
    s.cancel();
    assert.equal(s.run.state, 'stopping');
    assert.equal(s.states(), 'build cancelled, test cancelled, clean ready');
    s.assign('clean');
    s.pass('clean');
    assert.equal(s.run.state, 'cancelled');
    assert.equal(s.run.reason, 'cancelled by anna: enough');
  });

  test('a queued run without finally steps ends at once', () => {
    const s = story([stepShape('a'), stepShape('b', { needs: ['a'] })]);
    s.cancel();
    assert.equal(s.run.state, 'cancelled');
  });

  test('an assigned attempt is asked to stop, and its end ends the step', () => {
    const s = story([stepShape('a')]);
    s.assign('a');
    const [asked] = s.cancel();
    assert.deepEqual([asked?.type, asked?.type === 'attempt' && asked.event], ['attempt', 'cancel']);
    assert.equal(attemptOf(s.run, 'a', 1)?.state, 'stopping');
    assert.equal(s.run.state, 'stopping');
    s.stopped('a');
    assert.equal(s.run.state, 'cancelled');
  });

  test('a running attempt is asked to stop, and is not tried again', () => {
    const s = story([stepShape('a', { retries: 3 })]);
    s.assign('a');
    s.start('a');
    s.cancel();
    s.fail('a');
    assert.equal(attemptOf(s.run, 'a', 1)?.state, 'cancelled');
    assert.equal(s.run.state, 'cancelled');
  });

  test('a step that passes although it was asked to stop has passed, the run is cancelled', () => {
    const s = story([stepShape('a')]);
    s.assign('a');
    s.cancel();
    s.pass('a');
    assert.equal(s.step('a')?.state, 'passed');
    assert.equal(s.run.state, 'cancelled');
  });

  test('a stopping run whose agent is lost ends when the attempt does', () => {
    for (const workspace of ['local', 'shared'] as const) {
      const s = story([stepShape('a')], { workspace });
      s.assign('a');
      s.cancel();
      s.lose('a');
      assert.equal(s.run.state, 'cancelled', workspace);
      assert.equal(s.run.round, 1);
    }
  });

  test('between two steps what is ready is cancelled and finally steps run', () => {
    const s = story(buildTestClean());
    s.assign('build');
    s.pass('build');
    assert.equal(s.step('test')?.state, 'ready');
    s.cancel();
    assert.equal(s.states(), 'build passed, test cancelled, clean ready');
  });

  test('during finally steps it does not stop them', () => {
    const s = story(buildTestClean());
    s.assign('build');
    s.fail('build');
    s.assign('clean');
    s.cancel();
    assert.equal(attemptOf(s.run, 'clean', 1)?.state, 'assigned');
    s.pass('clean');
    assert.equal(s.run.state, 'cancelled');
    assert.equal(s.step('clean')?.state, 'passed');
  });

  test('by force it stops finally steps too', () => {
    const s = story(buildTestClean());
    s.assign('build');
    s.fail('build');
    s.assign('clean');
    s.cancel(true);
    assert.equal(attemptOf(s.run, 'clean', 1)?.state, 'stopping');
    s.stopped('clean');
    assert.equal(s.run.state, 'cancelled');
  });

  test('by force a queued run ends at once, finally steps and all', () => {
    const s = story(buildTestClean());
    s.cancel(true);
    assert.equal(s.states(), 'build cancelled, test cancelled, clean cancelled');
    assert.equal(s.run.state, 'cancelled');
  });

  test('force can be added to a cancel, and is not taken back by another one', () => {
    const s = story(buildTestClean());
    s.assign('build');
    s.cancel();
    s.stopped('build');
    assert.equal(s.step('clean')?.state, 'ready');
    s.cancel(true);
    assert.equal(s.run.state, 'cancelled');
    const other = story([stepShape('a')]);
    other.assign('a');
    other.cancel(true);
    other.cancel(false);
    assert.equal(other.run.cancel?.force, true);
  });

  test('after the end it changes nothing', () => {
    const s = story([stepShape('a')]);
    s.assign('a');
    s.pass('a');
    const ended = s.run;
    assert.deepEqual(s.cancel(true), []);
    assert.equal(s.run, ended);
  });

  test('a cancelled run whose local workspace is gone ends without its finally steps', () => {
    const s = story(buildTestClean(), { workspace: 'local' });
    s.assign('build');
    s.cancel();
    s.lose('build');
    assert.equal(s.run.state, 'cancelled');
    assert.equal(s.step('clean')?.state, 'cancelled');
    assert.match(s.step('clean')?.why ?? '', /the run is cancelled/);
  });
});

describe('events that do not fit', () => {
  test('an attempt number that is not the next one is not assigned', () => {
    const s = story([stepShape('a')]);
    s.tell({ type: 'assigned', step: 'a', attempt: 2, agent: 'a1', atMs: 1 });
    assert.equal(s.step('a')?.state, 'ready');
    assert.equal(s.run.state, 'queued');
  });

  test('a step that is with an agent is not assigned again', () => {
    const s = story([stepShape('a')]);
    s.assign('a', 'a1');
    s.tell({ type: 'assigned', step: 'a', attempt: 2, agent: 'a2', atMs: 1 });
    assert.equal(s.step('a')?.attempts.length, 1);
  });

  test('what an attempt says after its end, and what an older attempt says, is not heard', () => {
    const s = story([stepShape('a', { retries: 1 })]);
    s.assign('a');
    s.fail('a');
    s.assign('a');
    s.tell({ type: 'attempt', step: 'a', attempt: 1, event: 'pass', atMs: 1 });
    assert.equal(s.step('a')?.state, 'running');
    assert.equal(attemptOf(s.run, 'a', 1)?.state, 'failed');
  });

  test('archived counts for ended runs only', () => {
    const s = story([stepShape('a')]);
    s.tell({ type: 'archived' });
    assert.equal(s.run.archived, false);
    s.assign('a');
    s.pass('a');
    s.tell({ type: 'archived' });
    assert.equal(s.run.archived, true);
  });

  test('nothing follows an event of a step that the run does not have', () => {
    const run = openRun(newRun());
    assert.deepEqual(following(run, 1), []);
    assert.equal(decide(run, { type: 'settled', step: 'nobody', state: 'passed' }, 1).run, run);
  });
});
