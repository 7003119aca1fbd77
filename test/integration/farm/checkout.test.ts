import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { processExecutor } from '../../../agent/executor/process.ts';
import { checkoutExecutor } from '../../../agent/workspace/checkout.ts';
import { withCheckout } from '../../../agent/workspace/with-checkout.ts';
import { quickTimes, TestFarm } from '../../support/farm.ts';
import { GitRemote } from '../../support/git-remote.ts';
import { need } from '../../support/need.ts';

const skip = need('nats-server', 'git');

const jobs = (remote: string) => `
presubmits:
  org/repo:
  - name: unit
    clone_uri: ${remote}
    steps:
    - {name: build, script: "cat file; echo built > $THRESH_OUTPUTS/what"}
    - {name: use, needs: [build], script: "cat $THRESH_OUTPUTS/what; pwd"}
    - {name: above, needs: [build], workdir: outputs, script: "cat what"}
`;

async function farmWithRemote() {
  const dir = await mkdtemp(join(tmpdir(), 'thresh-remote-'));
  await chmod(dir, 0o711);
  const remote = await GitRemote.make(join(dir, 'remote'));
  const farm = await TestFarm.start({ jobs: { 'jobs.yaml': jobs(remote.dir) }, times: quickTimes });
  await chmod(farm.dir, 0o711);
  const checkout = checkoutExecutor({ git: processExecutor(), allowFile: true, retryMs: [] });
  await farm.addAgent({ name: 'a1', executor: withCheckout(processExecutor(), checkout) });
  return {
    farm,
    remote,
    [Symbol.asyncDispose]: async () => {
      await farm.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

const bySomeone = { baseRef: 'main', org: 'org', repo: 'repo' };

test('steps run in the merged source, after the checkout, and read what steps before them have left', { skip }, async () => {
  await using at = await farmWithRemote();
  const { farm, remote } = at;
  const base = await remote.commit({ file: 'old\n' });
  const sha = await remote.pull(5, base, { file: 'new\n' });
  const asked = { repo: 'org/repo', refs: { ...bySomeone, pulls: [] } };
  const id = await farm.run('unit', asked);
  const run = await farm.ended(id);
  assert.deepEqual(
    run.at.map((s) => [s.name, s.state]),
    [
      ['checkout', 'passed'],
      ['build', 'passed'],
      ['use', 'passed'],
      ['above', 'passed'],
    ],
    await farm.logOf(id, 'checkout'),
  );
  assert.equal(await farm.logOf(id, 'build'), 'old\n');
  assert.match(await farm.logOf(id, 'use'), /^built\n.*\/src\/org\/repo\n$/);
  assert.equal(await farm.logOf(id, 'above'), 'built\n');
  assert.match(await farm.logOf(id, 'checkout'), new RegExp(`# src/org/repo is at ${base}`));
  assert.notEqual(sha, base);
});

test('a run whose source cannot be had ends with the reason, and none of its steps start', { skip }, async () => {
  await using at = await farmWithRemote();
  await at.remote.commit({ file: 'old\n' });
  const run = await at.farm.ended(
    await at.farm.run('unit', { repo: 'org/repo', refs: { ...bySomeone, baseRef: 'gone', pulls: [] } }),
  );
  assert.equal(run.state, 'failed');
  assert.match(run.reason ?? '', /step 'checkout' failed: .*couldn't find remote ref gone/);
  assert.deepEqual(
    run.at.slice(1).map((s) => s.state),
    ['skipped', 'skipped', 'skipped'],
  );
});
