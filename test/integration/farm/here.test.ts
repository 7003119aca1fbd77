import assert from 'node:assert/strict';
import { openAsBlob } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { processExecutor } from '../../../agent/executor/process.ts';
import { checkoutExecutor } from '../../../agent/workspace/checkout.ts';
import { withCheckout } from '../../../agent/workspace/with-checkout.ts';
import { packHere } from '../../../controller/cli/here.ts';
import { keys } from '../../../controller/store/keys.ts';
import { sourcePath, type Uploaded } from '../../../protocol/source.ts';
import { quickTimes, TestFarm } from '../../support/farm.ts';
import { GitRemote } from '../../support/git-remote.ts';
import { need } from '../../support/need.ts';

const skip = need('nats-server', 'git');
const env = { PATH: process.env.PATH };

const jobs = `
presubmits:
  org/repo:
  - name: unit
    steps:
    - {name: look, script: "cat changed new; ls; git status --porcelain; pwd"}
manual:
- name: wait
  steps:
  - {name: wait, script: "cat changed; exec sleep 600"}
`;

async function farmWithTree() {
  const dir = await mkdtemp(join(tmpdir(), 'thresh-tree-'));
  const git = await GitRemote.make(join(dir, 'app'));
  await git.commit({ '.gitignore': '*.o\n', changed: 'old\n', removed: 'x\n' });
  await writeFile(join(git.dir, 'changed'), 'new\n');
  await writeFile(join(git.dir, 'new'), 'untracked\n');
  await writeFile(join(git.dir, 'out.o'), 'ignored\n');
  await rm(join(git.dir, 'removed'));
  const farm = await TestFarm.start({ jobs: { 'jobs.yaml': jobs }, times: quickTimes });
  await chmod(farm.dir, 0o711);
  // Without leave to clone from this disk.
  const checkout = checkoutExecutor({ git: processExecutor(), retryMs: [] });
  await farm.addAgent({ name: 'a1', executor: withCheckout(processExecutor(), checkout) });
  const send = async () => {
    await using packed = await packHere({ cwd: git.dir, env });
    const { file, sizeBytes: _, [Symbol.asyncDispose]: __, ...here } = packed;
    const response = await fetch(`${farm.url}/api/uploads`, {
      method: 'POST',
      headers: { authorization: `Bearer ${farm.adminToken}`, 'content-type': 'application/octet-stream' },
      body: await openAsBlob(file),
    });
    assert.equal(response.status, 201);
    return { ...here, upload: ((await response.json()) as Uploaded).upload };
  };
  return {
    farm,
    send,
    [Symbol.asyncDispose]: async () => {
      await farm.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

test('a working tree is tested as it is: changed and new files, no removed and no ignored ones', { skip }, async () => {
  await using at = await farmWithTree();
  const { farm } = at;
  const here = await at.send();
  const id = await farm.run('unit', { here });
  const run = await farm.ended(id);
  assert.equal(run.state, 'passed', `${run.reason}\n${await farm.logOf(id, 'checkout')}`);
  assert.match(await farm.logOf(id, 'look'), /^new\nuntracked\nchanged\nnew\n\/.*\/src\/org\/repo\n$/);
  assert.deepEqual([run.refs?.baseSha, run.source, run.trusted, run.skipReport], [here.sha, { upload: here.upload }, true, true]);
  // The same again, from the same source.
  const { runs } = await farm.api<{ runs: string[] }>('POST', `/api/runs/${id}/retry`);
  assert.equal((await farm.ended(runs[0] ?? '')).state, 'passed');
});

test('a source that was never sent ends the checkout with the reason', { skip }, async () => {
  await using at = await farmWithTree();
  const id = await at.farm.run('unit', { here: { ...(await at.send()), upload: '0'.repeat(64) } });
  const run = await at.farm.ended(id);
  assert.match(run.reason ?? '', /the uploaded source cannot be had: there is no uploaded source of run/);
});

test('only the agent that has an open attempt of the run may read its source', { skip }, async () => {
  await using at = await farmWithTree();
  const { farm } = at;
  const id = await farm.run('wait', { here: await at.send() });
  await farm.until('the step runs', async () => (await farm.logOf(id, 'wait')) === 'new\n');
  const { attemptToken } = keys(farm.settings.farmKey);
  const [open, over] = ['wait', 'checkout'].map((step) => ({ run: id, step, attempt: 1 }));
  assert.ok(open && over);
  const status = async (key: typeof open, agent: string, token: string) => {
    const headers = { authorization: `Bearer ${token}`, 'thresh-agent': agent };
    const response = await fetch(farm.url + sourcePath(key), { headers });
    await response.arrayBuffer();
    return response.status;
  };
  assert.equal(await status(open, 'a1', attemptToken('a1', open)), 200);
  assert.equal(await status(open, 'a2', attemptToken('a1', open)), 403);
  assert.equal(await status(open, 'a2', attemptToken('a2', open)), 409);
  assert.equal(await status(over, 'a1', attemptToken('a1', over)), 409);
  assert.equal(await status(open, 'a1', attemptToken('a1', { ...open, run: '17' })), 403);
  assert.equal(await status(open, 'a1', farm.adminToken), 403);
  await farm.api('POST', `/api/runs/${id}/cancel`, { force: true });
  await farm.ended(id);
});
