import assert from 'node:assert/strict';
import { test } from 'node:test';
import { quickTimes, TestFarm } from '../../support/farm.ts';

const jobs = `
manual:
- name: hello
  steps:
  - {name: first, script: "print hello"}
  - {name: second, needs: [first], script: "print-bytes 100000 7\\nprint bye"}
  finally:
  - {name: clean, script: "print clean"}
- name: bad
  steps:
  - {name: breaks, script: "exit 3"}
  - {name: never, needs: [breaks], script: "print no"}
`;

const farmWith = async (more: object = {}) => {
  const farm = await TestFarm.start({ jobs: { 'jobs.yaml': jobs }, times: quickTimes, ...more });
  await farm.addAgent({ name: 'a1' });
  return farm;
};

test('a job that a person starts runs its steps in order, and its logs are stored to the last byte', async () => {
  await using farm = await farmWith();
  const run = await farm.ended(await farm.run('hello'));
  assert.equal(run.state, 'passed');
  assert.deepEqual(
    run.at.map((s) => [s.name, s.state, s.attempts.length]),
    [
      ['first', 'passed', 1],
      ['second', 'passed', 1],
      ['clean', 'passed', 1],
    ],
  );
  assert.equal(await farm.logOf(run.id, 'first'), 'hello\n');
  assert.equal((await farm.logOf(run.id, 'second')).length, run.at[1]?.attempts[0]?.logBytes);
});

test('a step that fails ends the run as failed and skips what depends on it', async () => {
  await using farm = await farmWith();
  const run = await farm.ended(await farm.run('bad'));
  assert.equal(run.state, 'failed');
  assert.deepEqual(
    run.at.map((s) => [s.state, s.attempts[0]?.exitCode]),
    [
      ['failed', 3],
      ['skipped', undefined],
    ],
  );
});
