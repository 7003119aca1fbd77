import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { farmWith, job, nowMs, periodic } from './given.ts';

describe('a tick', () => {
  test('runs its periodic job, trusted and without refs', () => {
    const [run, ...others] = farmWith(periodic('weekly'), periodic('nightly')).tick('nightly').creates;
    assert.deepEqual([run?.job, run?.type, run?.trusted, run?.by, run?.refs], ['nightly', 'periodic', true, 'clock', undefined]);
    assert.deepEqual([others, run?.createdAtMs], [[], nowMs]);
  });

  test('of a job that has gone runs nothing', () => {
    const verdict = farmWith(periodic('weekly')).tick('nightly');
    assert.deepEqual([verdict.decision, verdict.creates], ['nothing', []]);
    assert.match(verdict.reason, /no periodic job 'nightly' \(any more\)/);
  });

  test('runs no presubmit of that name', () => {
    assert.equal(farmWith(job('nightly')).tick('nightly').decision, 'nothing');
  });

  for (const payload of [undefined, null, 'nightly', { job: 'nightly' }, { job: 7, atMs: 1 }]) {
    test(`such as ${JSON.stringify(payload)} is refused`, () => {
      const world = farmWith(periodic('nightly'));
      const verdict = world.decide({ v: 1, source: 'clock', id: 'c', atMs: 1, by: 'clock', event: 'tick', payload });
      assert.equal(verdict.decision, 'refused');
    });
  }
});
