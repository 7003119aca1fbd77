import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GitHub, Write } from '../../../controller/github/client.ts';
import { Reporter, type ReportTimes } from '../../../controller/report/reporter.ts';
import { silent } from '../../../controller/store/log.ts';
import { FarmError } from '../../../protocol/errors.ts';
import { openRun, type Run } from '../../../protocol/run.ts';
import { newRun, pullRefs } from '../../support/runs.ts';

const refs = pullRefs('octo/hello', 7);
const runOf = (id: string, over: Partial<Run> = {}): Run => ({
  ...openRun(newRun(undefined, { id, type: 'presubmit', refs, context: 'unit' })),
  ...over,
});
const passed = (id: string): Run => runOf(id, { state: 'passed', reason: 'all steps passed', n: 9, endedAtMs: Date.now() });
const running = (id: string): Run => runOf(id, { state: 'running', startedAtMs: 0, n: 2 });
const times: ReportTimes = { patienceMs: 3_600_000, retryMs: { first: 1, most: 2 }, lateMs: [] };

type Shown = { state: string; description: string; target_url: string; context: string };

/** A reporter, and a GitHub of which a test says when a write has its turn and what comes of it. */
function setUp(over: { times?: Partial<ReportTimes>; proven?: () => boolean; runs?: Run[] } = {}) {
  const at = {
    shown: undefined as Shown | undefined,
    sent: [] as string[],
    reads: 0,
    doubts: [] as string[],
    /** Writes wait for it. */
    turn: Promise.resolve(),
    /** Thrown by writes, the first by the first. */
    failures: [] as Error[],
    readFailures: [] as Error[],
    /** What somebody else writes right after a write of the reporter. */
    overwrites: [] as Shown[],
  };
  const changed = new Set<() => void>();
  const tell = () => {
    for (const look of [...changed]) look();
  };
  const proven = over.proven ?? (() => true);
  const github: Pick<GitHub, 'get' | 'write'> = {
    get: async () => {
      at.reads += 1;
      const failure = at.readFailures.shift();
      if (failure) throw failure;
      const statuses = at.shown ? [at.shown] : [];
      setImmediate(tell);
      return { total_count: statuses.length, statuses };
    },
    write: async (_, make, { may, urgent, signal }) => {
      await Promise.race([urgent ? undefined : at.turn, new Promise((resolve) => signal.addEventListener('abort', resolve))]);
      if (signal.aborted) return false;
      const write: Write | undefined = await make();
      if (!write || !may()) return false;
      const failure = at.failures.shift();
      if (failure) throw failure;
      at.shown = write.parameters as Shown;
      at.sent.push(`${at.shown.state} of ${at.shown.target_url.split('/').at(-1)}`);
      at.shown = at.overwrites.shift() ?? at.shown;
      setImmediate(tell);
      return true;
    },
  };
  const reporter = new Reporter({
    github,
    publicUrl: () => 'https://ci.example.org',
    proven: async () => proven(),
    isProven: proven,
    findRun: async (id) => over.runs?.find((r) => r.id === id),
    settled: () => {},
    doubt: (run) => void at.doubts.push(run),
    times: { ...times, ...over.times },
    log: silent,
    wallMs: () => Date.now(),
    now: () => performance.now(),
  });
  const until = (isTrue: () => boolean) =>
    new Promise<void>((resolve) => {
      const look = () => {
        if (isTrue()) resolve();
        else setTimeout(look, 1);
      };
      look();
    });
  const outcome = async (run: Run) => {
    await until(() => reporter.outcomeOf(run) !== 'not yet');
    const made = reporter.outcomeOf(run);
    return typeof made === 'string' ? made : made.outcome;
  };
  return Object.assign(at, { reporter, until, outcome, [Symbol.dispose]: () => reporter.stop() });
}

const away = () => new FarmError('GITHUB_AWAY', { detail: '502', afterS: 1 });
const refused = () => new FarmError('GITHUB_REFUSED', { what: 'it', status: 422, detail: 'too many statuses' });

test('a run is pending, then what it came to, and that is read back before it counts as made', async () => {
  using at = setUp();
  at.reporter.want(runOf('1'));
  await at.until(() => at.sent.length === 1);
  assert.equal(at.reads, 0);
  at.reporter.want(passed('1'));
  assert.equal(await at.outcome(passed('1')), 'made');
  assert.deepEqual(at.sent, ['pending of 1', 'success of 1']);
  assert.equal(at.reads, 1);
});

test('a pending one that was overtaken before its turn is never sent', async () => {
  using at = setUp();
  const turn = Promise.withResolvers<void>();
  at.turn = turn.promise;
  at.reporter.want(runOf('1'));
  at.reporter.want(running('1'));
  turn.resolve();
  await at.until(() => at.sent.length === 1);
  assert.match(at.shown?.description ?? '', /^Running/);
});

test('an end does not wait behind pending ones: not even behind its own', async () => {
  using at = setUp();
  at.turn = new Promise(() => {});
  at.reporter.want(runOf('1'));
  await new Promise(setImmediate);
  at.reporter.want(passed('1'));
  assert.equal(await at.outcome(passed('1')), 'made');
  assert.deepEqual(at.sent, ['success of 1']);
});

test('of two runs for the same commit and context the newer speaks, whichever ends last', async () => {
  using at = setUp();
  at.reporter.want(running('1'));
  at.reporter.want(running('2'));
  at.reporter.want(passed('2'));
  assert.equal(await at.outcome(passed('2')), 'made');
  at.reporter.want(passed('1'));
  assert.equal(await at.outcome(passed('1')), 'overtaken');
  assert.ok(at.sent.every((s) => s.endsWith('of 2') || s === 'pending of 1'));
  assert.equal(at.sent.at(-1), 'success of 2');
});

test('what a new leader finds as it should be is left; what it does not is put right', async () => {
  using first = setUp();
  first.reporter.takeUp([passed('1')]);
  assert.equal(await first.outcome(passed('1')), 'made');
  assert.deepEqual(first.sent, ['success of 1']);
  using second = setUp();
  second.shown = first.shown;
  second.reporter.takeUp([passed('1')]);
  assert.equal(await second.outcome(passed('1')), 'made');
  assert.deepEqual(second.sent, []);
});

test('a new leader leaves to a newer run what it says, although it has left the farm’s state', async () => {
  using at = setUp();
  at.shown = { context: 'unit', state: 'success', description: 'Passed.', target_url: 'https://elsewhere/runs/5' };
  at.reporter.takeUp([runOf('1', { state: 'stopping' })]);
  await at.until(() => at.reads === 1);
  at.reporter.want(runOf('1', { state: 'cancelled', reason: 'cancelled by trigger', n: 9 }));
  assert.equal(await at.outcome(passed('1')), 'overtaken');
  assert.deepEqual(at.sent, []);
});

test('an end that was overwritten after it was sent is sent again', async () => {
  using at = setUp();
  at.overwrites = [{ context: 'UNIT', state: 'pending', description: 'Queued.', target_url: 'https://ci.example.org/runs/1' }];
  at.reporter.want(passed('1'));
  assert.equal(await at.outcome(passed('1')), 'made');
  assert.deepEqual(at.sent, ['success of 1', 'success of 1']);
  assert.equal(at.shown?.state, 'success');
});

test('a doubt of a former leader is looked into, for runs in the farm’s state and those that have left it', async () => {
  using at = setUp({ runs: [passed('1'), passed('2')] });
  at.reporter.want(passed('1'));
  await at.outcome(passed('1'));
  at.reporter.forget('1');
  const pending = { context: 'unit', state: 'pending', description: 'Queued.', target_url: 'https://ci.example.org/runs/1' };
  at.shown = pending;
  await at.reporter.doubted('1');
  await at.until(() => at.sent.length === 2 && at.reads === 3);
  assert.deepEqual(at.sent, ['success of 1', 'success of 1']);

  using later = setUp({ runs: [passed('1')] });
  later.shown = pending;
  await later.reporter.doubted('1');
  await later.until(() => later.sent.length === 1);
  assert.deepEqual(later.sent, ['success of 1']);
  await later.reporter.doubted('3');
});

test('the end of a run that another leader began is looked at again later', async () => {
  using at = setUp({ times: { lateMs: [5, 5] } });
  at.reporter.takeUp([running('1')]);
  at.reporter.want(passed('1'));
  assert.equal(await at.outcome(passed('1')), 'made');
  const reads = at.reads;
  at.shown = { context: 'unit', state: 'pending', description: 'Queued.', target_url: 'https://ci.example.org/runs/1' };
  await at.until(() => at.reads > reads && at.shown?.state === 'success');
  assert.equal(at.sent.at(-1), 'success of 1');
});

test('GitHub that is away is asked until it is there; what is not possible is given up with the reason', async () => {
  using at = setUp();
  at.failures = [away(), away(), away()];
  at.readFailures = [away(), away()];
  at.reporter.want(passed('1'));
  assert.equal(await at.outcome(passed('1')), 'made');
  using never = setUp();
  never.failures = [refused()];
  never.reporter.want(passed('1'));
  assert.equal(await never.outcome(passed('1')), 'given-up');
  assert.partialDeepStrictEqual(never.reporter.outcomeOf(passed('1')), { why: 'GitHub refused it (422): too many statuses' });
});

test('a refused pending one is not sent again and again, and the end is still tried', async () => {
  using at = setUp();
  at.failures = [refused()];
  at.reporter.want(running('1'));
  await at.until(() => at.failures.length === 0);
  for (let n = 3; n < 10; n += 1) at.reporter.want({ ...running('1'), n });
  at.reporter.want(passed('1'));
  assert.equal(await at.outcome(passed('1')), 'made');
  assert.deepEqual(at.sent, ['success of 1']);
});

test('an end that GitHub has not taken for too long is given up', async () => {
  using at = setUp({ times: { patienceMs: 20 } });
  at.failures = Array.from({ length: 1_000 }, away);
  at.reporter.want(passed('1'));
  assert.equal(await at.outcome(passed('1')), 'given-up');
});

test('who is not proven to lead sends nothing', async () => {
  let leads = false;
  using at = setUp({ proven: () => leads });
  at.reporter.want(passed('1'));
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(at.sent, []);
  leads = true;
  assert.equal(await at.outcome(passed('1')), 'made');
});

test('a leader that ends with a write on its way, or just made, tells its successor', async () => {
  const at = setUp();
  at.reporter.want(passed('1'));
  await at.outcome(passed('1'));
  at.reporter.stop();
  assert.deepEqual(at.doubts, ['1']);
  at.reporter.want(passed('2'));
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(at.sent, ['success of 1']);
});

test('a run that is not reported has nothing to wait for', () => {
  using at = setUp();
  assert.equal(at.reporter.outcomeOf(runOf('1', { skipReport: true })), 'nothing');
});
