import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestGitHub } from '../../support/github.ts';
import { pushOf } from '../../support/pushes.ts';
import { noLimits, shaOf } from './harness.ts';
import { finish, isBy, knows, twoControllers } from './two-controllers.ts';

test('what a leader had still to write when it was stopped is never written', async () => {
  await using github = await TestGitHub.start();
  // The second write waits for its turn when the first has been made.
  const { farm, old, next } = await twoControllers(github, { ...noLimits, gapMs: 1_000 });
  await using _farm = farm;
  await farm.hook('push', pushOf(0));
  await github.until('one is told', (g) => g.statuses.length === 1);
  await old.stop();
  await finish(farm, next, github);
  const before = github.requests.filter(isBy('c1')).length;
  old.cont();
  await knows(farm, old);
  assert.equal(github.requests.filter(isBy('c1')).length, before);
  assert.ok(['unit', 'lint'].every((context) => github.standing(shaOf(0), context)?.state === 'success'));
});
