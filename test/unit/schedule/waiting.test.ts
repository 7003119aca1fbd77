import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Ready, type Taker, Waiting } from '../../../controller/schedule/waiting.ts';
import { decide } from '../../../protocol/dag.ts';
import type { Priority } from '../../../protocol/job.ts';
import {
  hasEnded,
  lastAttempt,
  type NewRun,
  openAttempts,
  openRun,
  type Run,
  type StepShape,
  stepOf,
} from '../../../protocol/run.ts';
import { newRun, stepShape } from '../../support/runs.ts';

const taker = (over: Partial<Taker> = {}): Taker => ({
  agent: 'a',
  queues: ['default'],
  trust: 'trusted',
  shared: true,
  homeOnly: false,
  ...over,
});

/** Runs that wait, and what tests do with them; ids grow with each run. */
class Room {
  readonly paused = new Set<string>();
  readonly waiting = new Waiting((queue) => this.paused.has(queue));
  readonly runs = new Map<string, Run>();
  #last = 1_700_000_000_000_000_000n;

  add(over: Partial<NewRun> = {}, steps?: StepShape[]): string {
    this.#last += 1n;
    const run = openRun(newRun(steps, { id: String(this.#last), ...over }));
    this.#put(run);
    return run.id;
  }

  assign({ run: id, step }: Ready, agent: string): void {
    const run = this.#get(id);
    const attempt = (lastAttempt(stepOf(run, step))?.attempt ?? 0) + 1;
    this.#put(decide(run, { type: 'assigned', step, attempt, agent, atMs: 2_000 }, 2_000).run);
  }

  end(id: string, event: 'pass' | 'expire'): void {
    for (const { step, attempt } of openAttempts(this.#get(id)))
      this.#put(decide(this.#get(id), { type: 'attempt', step, attempt: attempt.attempt, event, atMs: 3_000 }, 3_000).run);
  }

  /** Gives out all that it can. @returns the ids in that order */
  all(to: Taker): string[] {
    const given: string[] = [];
    for (let next = this.waiting.next(to); next; next = this.waiting.next(to)) {
      given.push(next.run);
      this.assign(next, to.agent);
    }
    return given;
  }

  #get(id: string): Run {
    const run = this.runs.get(id);
    assert.ok(run);
    return run;
  }

  #put(run: Run): void {
    this.runs.set(run.id, run);
    this.waiting.put(run);
  }
}

test('tasks go out by priority, then age', () => {
  const room = new Room();
  const [low, old, young, high] = [room.add({ priority: 'low' }), room.add(), room.add(), room.add({ priority: 'high' })];
  assert.equal(room.waiting.size, 4);
  assert.deepEqual(room.all(taker()), [high, old, young, low]);
  assert.equal(room.waiting.size, 0);
});

test('a task stays until it is given out, and is there again when it is retried', () => {
  const room = new Room();
  const id = room.add();
  const first = room.waiting.next(taker());
  assert.deepEqual(room.waiting.next(taker()), first);
  room.assign({ run: id, step: 'test' }, 'a');
  assert.equal(room.waiting.next(taker()), undefined);
  room.end(id, 'expire');
  assert.deepEqual(room.waiting.next(taker()), first);
});

test('an agent gets tasks of its queues only, and none of a paused one', () => {
  const room = new Room();
  const gpu = room.add({}, [stepShape('test', { queue: 'gpu' })]);
  assert.equal(room.waiting.next(taker()), undefined);
  room.paused.add('gpu');
  assert.equal(room.waiting.next(taker({ queues: ['default', 'gpu'] })), undefined);
  room.paused.delete('gpu');
  assert.deepEqual(room.all(taker({ queues: ['default', 'gpu'] })), [gpu]);
});

test('untrusted runs go only to agents that take them', () => {
  const room = new Room();
  const [untrusted, trusted] = [room.add({ trusted: false }), room.add()];
  assert.deepEqual(room.all(taker()), [trusted]);
  assert.deepEqual(room.all(taker({ trust: 'any' })), [untrusted]);
});

test('a run on a shared workspace goes only to agents that have it', () => {
  const room = new Room();
  const [shared, local] = [room.add({ workspace: 'shared' }), room.add({ workspace: 'local' })];
  assert.deepEqual(room.all(taker({ shared: false })), [local]);
  assert.deepEqual(room.all(taker()), [shared]);
});

test('the steps of a run with a local workspace go to its home, also when that takes nothing else', () => {
  const room = new Room();
  const steps = [stepShape('x'), stepShape('y', { needs: ['x'] })];
  const id = room.add({ workspace: 'local' }, steps);
  room.assign({ run: id, step: 'x' }, 'a');
  room.end(id, 'pass');
  const other = room.add();
  assert.equal(room.waiting.next(taker({ agent: 'b' }))?.run, other);
  assert.deepEqual(room.waiting.next(taker({ homeOnly: true })), { run: id, step: 'y' });
  assert.deepEqual(room.all(taker({ homeOnly: true })), [id]);
});

test('a job has so many runs at work as it says, and the next begins when one ends', () => {
  const room = new Room();
  const limited = { job: 'slow', maxConcurrency: 2 };
  const [first, second, third] = [room.add(limited), room.add(limited), room.add(limited)];
  const other = room.add({ job: 'other', priority: 'low' });
  assert.deepEqual(room.all(taker()), [first, second, other]);
  room.end(first, 'pass');
  assert.deepEqual(room.all(taker()), [third]);
});

test('a limit holds back new runs, not the further steps of those at work', () => {
  const room = new Room();
  const steps = [stepShape('x'), stepShape('y')];
  const limited = { job: 'slow', maxConcurrency: 1 };
  const [first, second] = [room.add(limited, steps), room.add(limited, steps)];
  assert.deepEqual(room.all(taker()), [first, first]);
  room.end(first, 'pass');
  assert.deepEqual(room.all(taker()), [second, second]);
});

/** What the rules say in plain words, looked up among all runs. */
function fitting(room: Room, to: Taker): { run: Run; step: string }[] {
  const atWork = (job: string) =>
    [...room.runs.values()].filter((r) => r.job === job && r.state !== 'queued' && !hasEnded(r)).length;
  return [...room.runs.values()].flatMap((run) =>
    run.at.flatMap((at, i) => {
      const queue = run.steps[i]?.queue ?? '';
      const fits =
        at.state === 'ready' &&
        !hasEnded(run) &&
        to.queues.includes(queue) &&
        !room.paused.has(queue) &&
        (run.trusted || to.trust === 'any') &&
        (run.workspace === 'local' && run.home !== undefined
          ? run.home === to.agent
          : !to.homeOnly &&
            (run.workspace === 'local' || to.shared) &&
            (run.state !== 'queued' || run.maxConcurrency === 0 || atWork(run.job) < run.maxConcurrency));
      return fits ? [{ run, step: at.name }] : [];
    }),
  );
}

const anyStep = (name: string) =>
  fc
    .record({ queue: fc.constantFrom('default', 'gpu'), needs: fc.constantFrom<string[]>([], name === 'x' ? [] : ['x']) })
    .map((s) => stepShape(name, s));
const anyAdd = fc.record({
  type: fc.constant('add' as const),
  over: fc.record({
    job: fc.constantFrom('one', 'two'),
    priority: fc.constantFrom<Priority>('high', 'normal', 'low'),
    trusted: fc.boolean(),
    workspace: fc.constantFrom('local' as const, 'shared' as const),
  }),
  steps: fc.tuple(anyStep('x'), anyStep('y')),
});
const anyTaker = fc.record<Taker>({
  agent: fc.constantFrom('a', 'b'),
  queues: fc.constantFrom(['default'], ['gpu'], ['gpu', 'default']),
  trust: fc.constantFrom('trusted' as const, 'any' as const),
  shared: fc.boolean(),
  homeOnly: fc.boolean(),
});
const anyMove = fc.oneof(
  anyAdd,
  fc.record({ type: fc.constant('take' as const), taker: anyTaker }),
  fc.record({ type: fc.constant('end' as const), run: fc.nat(20), event: fc.constantFrom('pass' as const, 'expire' as const) }),
  fc.record({ type: fc.constant('pause' as const), queue: fc.constantFrom('default', 'gpu') }),
);

test('what is handed out always fits, is the first of all that fit, and there is something whenever anything fits', () => {
  const ranks = { high: 0, normal: 1, low: 2 };
  fc.assert(
    fc.property(fc.array(anyMove, { maxLength: 80 }), (moves) => {
      const room = new Room();
      for (const move of moves) {
        if (move.type === 'add') room.add({ ...move.over, maxConcurrency: move.over.job === 'one' ? 2 : 0 }, move.steps);
        else if (move.type === 'end') {
          const id = [...room.runs.keys()][move.run];
          if (id) room.end(id, move.event);
        } else if (move.type === 'pause') room.paused[room.paused.has(move.queue) ? 'delete' : 'add'](move.queue);
        else {
          const fit = fitting(room, move.taker);
          const next = room.waiting.next(move.taker);
          assert.equal(next === undefined, fit.length === 0);
          if (!next) continue;
          assert.ok(fit.some((f) => f.run.id === next.run && f.step === next.step));
          const [first] = fit.sort((a, b) => ranks[a.run.priority] - ranks[b.run.priority] || (a.run.id < b.run.id ? -1 : 1));
          assert.equal(next.run, first?.run.id);
          room.assign(next, move.taker.agent);
        }
        const ready = [...room.runs.values()].flatMap((r) => (hasEnded(r) ? [] : r.at.filter((s) => s.state === 'ready')));
        assert.equal(room.waiting.size, ready.length);
      }
    }),
    { numRuns: 500 },
  );
});
