import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FarmSummary } from '../../../protocol/api.ts';
import { quickTimes } from '../../support/farm.ts';
import { TestGitHub } from '../../support/github.ts';
import { type ControllerProcess, ProcessFarm } from '../../support/processes.ts';
import { pushOf } from '../../support/pushes.ts';
import { noLimits, reportTo, shaOf } from './harness.ts';

const jobs = (dir: string) => `
postsubmits:
  acme/app:
  - name: unit
    steps: [{name: a, script: "wait-file ${dir}/go"}]
  - name: lint
    steps: [{name: a, script: "wait-file ${dir}/go"}]
`;

/** Two controllers in processes of their own, c1 leading; c1 is stopped in the middle of a report that a test chooses. */
async function twoControllers(github: TestGitHub, limits = noLimits) {
  const farm = await ProcessFarm.start({ jobs: {}, times: quickTimes });
  await farm.putJobs({ 'jobs.yaml': jobs(farm.dir) });
  await reportTo(farm, github, limits);
  const old = await farm.startController('c1');
  await farm.leader();
  const next = await farm.startController('c2');
  await farm.startAgent({ name: 'a1' });
  return { farm, old, next };
}

const isBy = (id: string) => (request: { by: string }) => request.by.endsWith(`(controller ${id})`);

/** Resolves when the old leader has heard that it is none any more. */
const knows = (farm: ProcessFarm, old: ControllerProcess) =>
  farm.until('the old leader has heard of the new one', async () => {
    const response = await fetch(`${old.url}/api/farm`, { headers: { authorization: `Bearer ${farm.adminToken}` } });
    const { leader, replica } = (await response.json()) as FarmSummary;
    return leader.id === 'c2' && !replica.leads;
  });

/** The one that leads now lets both runs end. */
async function finish(farm: ProcessFarm, next: ControllerProcess, github: TestGitHub): Promise<void> {
  await farm.until('the other leads', () => next.leads());
  await farm.putFile('go');
  await github.until('both ends are told', (g) => ['unit', 'lint'].every((c) => g.standing(shaOf(0), c)?.state === 'success'));
}

test('a write of a leader that was stopped arrives after its successor has told the end: in the end the end stands', async () => {
  await using github = await TestGitHub.start();
  const held = Promise.withResolvers<void>();
  const arrived = Promise.withResolvers<void>();
  github.before = async ({ method, by }) => {
    if (method !== 'POST' || !isBy('c1')({ by })) return undefined;
    arrived.resolve();
    await held.promise;
    return undefined;
  };
  const { farm, old, next } = await twoControllers(github);
  await using _farm = farm;
  await farm.hook('push', pushOf(0));
  await arrived.promise;
  await old.stop();
  await finish(farm, next, github);

  held.resolve();
  await github.until('the late write has taken effect', (g) => g.statuses.some(isBy('c1')));
  const [late] = github.statuses.filter(isBy('c1'));
  assert.equal(github.standing(shaOf(0), late?.context ?? '')?.state, 'pending', 'it has overwritten the end');
  old.cont();
  await github.until('the end stands again', (g) => g.standing(shaOf(0), late?.context ?? '')?.state === 'success');
  await knows(farm, old);
  assert.equal(github.statuses.filter(isBy('c1')).length, 1);
  assert.ok(['unit', 'lint'].every((context) => github.standing(shaOf(0), context)?.state === 'success'));
});

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
