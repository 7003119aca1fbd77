import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Holdings } from '../../../controller/schedule/holdings.ts';
import { decide } from '../../../protocol/dag.ts';
import { hasEnded, openAttempts, openRun, type Run, type RunEvent } from '../../../protocol/run.ts';
import { keyOf } from '../../../protocol/task.ts';
import { newRun, stepShape } from '../../support/runs.ts';

const after = (run: Run, ...events: RunEvent[]): Run => events.reduce((r, e) => decide(r, e, 2_000).run, run);
const assign = (step: string, attempt: number, agent: string): RunEvent => ({
  type: 'assigned',
  step,
  attempt,
  agent,
  atMs: 2_000,
});
const ended = (step: string, attempt: number, event: 'pass' | 'expire'): RunEvent => ({
  type: 'attempt',
  step,
  attempt,
  event,
  atMs: 3_000,
});

test('an agent holds the open attempts that it was given, until they end', () => {
  const holdings = new Holdings();
  let run = openRun(newRun([stepShape('x'), stepShape('y')]));
  holdings.put(run);
  assert.equal(holdings.any, false);
  run = after(run, assign('x', 1, 'a'), assign('y', 1, 'b'));
  holdings.put(run);
  assert.deepEqual([holdings.count('a'), holdings.attempts('b').map(keyOf)], [1, [`${run.id}.y.1`]]);
  run = after(run, ended('x', 1, 'pass'));
  holdings.put(run);
  assert.deepEqual([holdings.count('a'), holdings.count('b'), holdings.any], [0, 1, true]);
  holdings.put(after(run, ended('y', 1, 'pass')));
  assert.equal(holdings.any, false);
});

test('an agent is home to the runs whose workspace it has, also between two steps, until they end or move', () => {
  const holdings = new Holdings();
  const steps = [stepShape('x'), stepShape('y', { needs: ['x'] })];
  const between = after(openRun(newRun(steps, { workspace: 'local' })), assign('x', 1, 'a'), ended('x', 1, 'pass'));
  holdings.put(between);
  assert.deepEqual([holdings.homeOf('a'), holdings.count('a')], [[between.id], 0]);
  const moved = after(between, { type: 'homeless', why: '', spent: true }, assign('x', 2, 'b'));
  holdings.put(moved);
  assert.deepEqual([holdings.homeOf('a'), holdings.homeOf('b')], [[], [moved.id]]);
  holdings.put(after(moved, ended('x', 2, 'pass'), assign('y', 1, 'b'), ended('y', 1, 'pass')));
  assert.deepEqual(holdings.homeOf('b'), []);
});

test('whatever the order of changes, it shows what the runs say now', () => {
  const agents = ['a', 'b', 'c'];
  const change = fc.record({ run: fc.nat(3), agent: fc.nat(2), event: fc.constantFrom('assign', 'pass', 'expire', 'homeless') });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 60 }), (changes) => {
      const holdings = new Holdings();
      const runs = [0, 1, 2, 3].map((i) =>
        openRun(newRun([stepShape('x', { retries: 3 }), stepShape('y')], { id: `${i}`, workspace: i < 2 ? 'local' : 'shared' })),
      );
      for (const { run: i, agent, event } of changes) {
        const run = runs[i];
        if (!run) continue;
        const ready = run.at.find((s) => s.state === 'ready');
        const [open] = openAttempts(run);
        if (event === 'assign' && ready)
          runs[i] = after(run, assign(ready.name, ready.attempts.length + 1, agents[agent] ?? 'a'));
        else if (event === 'homeless') runs[i] = after(run, { type: 'homeless', why: '', spent: false });
        else if (event !== 'assign' && open) runs[i] = after(run, ended(open.step, open.attempt.attempt, event));
        holdings.put(runs[i] ?? run);
      }
      for (const agent of agents) {
        const held = runs.flatMap((r) =>
          openAttempts(r).flatMap(({ step, attempt }) =>
            attempt.agent === agent ? keyOf({ run: r.id, step, attempt: attempt.attempt }) : [],
          ),
        );
        assert.deepEqual(holdings.attempts(agent).map(keyOf).sort(), held.sort());
        assert.equal(holdings.count(agent), held.length);
        const home = runs.filter((r) => !hasEnded(r) && r.home === agent).map((r) => r.id);
        assert.deepEqual(holdings.homeOf(agent).sort(), home.sort());
      }
      assert.equal(
        holdings.any,
        runs.some((r) => openAttempts(r).length > 0),
      );
    }),
  );
});
