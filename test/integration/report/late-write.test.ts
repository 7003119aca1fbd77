import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestGitHub } from '../../support/github.ts';
import { pushOf } from '../../support/pushes.ts';
import { shaOf } from './harness.ts';
import { finish, isBy, knows, twoControllers } from './two-controllers.ts';

test('a write of a leader that was stopped arrives after its successor has told the end: in the end the end stands', async () => {
  await using github = await TestGitHub.start();
  const held = Promise.withResolvers<void>();
  github.before = async ({ method, by }) => {
    if (method !== 'POST' || !isBy('c1')({ by })) return undefined;
    await held.promise;
    return undefined;
  };
  const { farm, old, next } = await twoControllers(github);
  await using _farm = farm;
  await farm.hook('push', pushOf(0));
  await github.until('a write has arrived', (g) => g.requests.some((r) => r.method === 'POST'));
  await old.stop();
  await finish(farm, next, github);
  // Its successor has read both back by now, and would not look again for ten seconds.
  await farm.until('both runs are put away', async () => (await farm.openRuns()) === 0);

  held.resolve();
  await github.until('the late write has taken effect', (g) => g.statuses.some(isBy('c1')));
  const [late] = github.statuses.filter(isBy('c1'));
  assert.equal(github.standing(shaOf(0), late?.context ?? '')?.state, 'pending', 'it has overwritten the end');
  old.cont();
  const stands = () => github.standing(shaOf(0), late?.context ?? '')?.state === 'success';
  await github.until('the end stands again', stands, 7_000);
  await knows(farm, old);
  assert.equal(github.statuses.filter(isBy('c1')).length, 1);
  assert.ok(['unit', 'lint'].every((context) => github.standing(shaOf(0), context)?.state === 'success'));
});
