import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { defaultStepUser } from '../../../agent/executor/user.ts';
import { checkShared, mountNfs, parseNfsUrl } from '../../../agent/workspace/nfs-mount.ts';
import { sharedWorkspaces } from '../../../agent/workspace/shared.ts';

async function storage() {
  const root = await mkdtemp(join(tmpdir(), 'thresh-shared-'));
  const owner = defaultStepUser();
  return {
    root,
    owner,
    /** Each is another agent's. */
    agents: [sharedWorkspaces({ root, owner }), sharedWorkspaces({ root, owner })] as const,
    [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }),
  };
}

test('agents find the same workspace, which belongs to the user that steps run as', async () => {
  await using at = await storage();
  const [a, b] = at.agents;
  const [first, second] = await Promise.all([a.open('7', 1, 'build', 1), b.open('7', 1, 'test', 1)]);
  assert.equal(first.dir, second.dir);
  assert.deepEqual((await readdir(first.marks)).sort(), ['build.1', 'test.1']);
  assert.deepEqual(await readdir(join(at.root, '.trash')), []);
  if (at.owner) assert.equal((await stat(join(first.dir, 'outputs', 'artifacts'))).uid, at.owner.uid);
});

test('a new attempt is told whether the one before may be alive', async () => {
  await using at = await storage();
  const [a, b] = at.agents;
  assert.equal((await a.open('7', 1, 'build', 1)).before, 'none');
  assert.equal((await b.open('7', 1, 'build', 2)).before, 'may be alive');
  await a.over('7', 1, 'build', 1);
  await b.over('7', 1, 'build', 2);
  assert.equal((await b.open('7', 1, 'build', 3)).before, 'over');
  assert.equal((await b.open('7', 2, 'build', 4)).before, 'none');
});

test('an attempt that comes late does not start beside a newer one', async () => {
  await using at = await storage();
  const [a, b] = at.agents;
  await b.open('7', 1, 'build', 2);
  await assert.rejects(a.open('7', 1, 'build', 1), { code: 'SHARED_WORKSPACE' });
});

test('a workspace is removed once, without following what steps have laid in it, by whichever agents are told to', async () => {
  await using at = await storage();
  await using other = await storage();
  await writeFile(join(other.root, 'precious'), '');
  const [a, b] = at.agents;
  const { dir } = await a.open('7', 1, 'build', 1);
  await symlink(other.root, join(dir, 'link'));
  await Promise.all([a.forget('7.1'), b.forget('7.1')]);
  await a.forget('7.1');
  assert.deepEqual(
    (await readdir(at.root)).filter((n) => n !== '.trash'),
    [],
  );
  await stat(join(other.root, 'precious'));
  await assert.rejects(a.forget('../x'), { code: 'BAD_WORKSPACE' });
});

test('the address of an export is read strictly', () => {
  assert.deepEqual(parseNfsUrl('nfs://files.example.org:2049/farm'), { host: 'files.example.org', port: 2049, path: '/farm' });
  assert.deepEqual(parseNfsUrl('nfs://10.0.0.1/a/b'), { host: '10.0.0.1', port: undefined, path: '/a/b' });
  for (const bad of ['nfs://-o/x', 'nfs://host', 'http://host/x', 'nfs://host/x,soft', 'nfs://ho st/x', 'nfs:///x'])
    assert.equal(parseNfsUrl(bad), undefined, bad);
});

test('storage that cannot be used is refused with the reason', async () => {
  await using at = await storage();
  await checkShared(at.root);
  assert.deepEqual(await readdir(at.root), []);
  await assert.rejects(checkShared(join(at.root, 'absent')), { code: 'NFS_UNUSABLE', message: /cannot be written/ });
  await mkdir(join(at.root, 'mount'));
  await assert.rejects(mountNfs('nfs://127.0.0.1:1/farm', join(at.root, 'mount'), { timeoutMs: 4_000 }), {
    code: 'NFS_UNUSABLE',
  });
});
