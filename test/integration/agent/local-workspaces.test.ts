import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, chown, lstat, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { processExecutor } from '../../../agent/executor/process.ts';
import { nobody } from '../../../agent/executor/user.ts';
import { localWorkspaces } from '../../../agent/workspace/local.ts';
import { isFarmError } from '../../../protocol/errors.ts';
import { run } from '../../support/executor-suite.ts';

const isRoot = process.getuid?.() === 0;
const owner = isRoot ? nobody : undefined;

async function rootDir(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'thresh-workspaces-'));
  await chmod(dir, 0o711);
  t.after(() => rm(dir, { recursive: true, force: true }));
  return join(dir, 'root');
}

const isThere = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => true,
    () => false,
  );

test('a workspace has what the design says, belongs to the step user, and is the same when it is opened again', async (t) => {
  const workspaces = await localWorkspaces({ root: await rootDir(t), owner });
  const { id, dir } = await workspaces.open('7', 1);
  assert.equal(id, '7.1');
  await writeFile(join(dir, 'outputs/artifacts/kept'), 'x');
  assert.deepEqual(await readdir(dir), ['outputs']);
  for (const part of ['.', 'outputs', 'outputs/artifacts'])
    assert.equal((await stat(join(dir, part))).uid, owner?.uid ?? process.getuid?.());
  assert.equal((await workspaces.open('7', 1)).dir, dir);
  assert.equal(await readFile(join(dir, 'outputs/artifacts/kept'), 'utf8'), 'x');
  assert.notEqual((await workspaces.open('7', 2)).dir, dir);
});

test('each attempt has directories of its own, outside the workspace', async (t) => {
  const workspaces = await localWorkspaces({ root: await rootDir(t), owner });
  const workspace = await workspaces.open('7', 1);
  const first = await workspace.attempt('build', 1);
  const second = await workspace.attempt('build', 2);
  const all = [first.artifacts, first.scratch, second.artifacts, second.scratch];
  assert.equal(new Set(all).size, 4);
  for (const dir of all) {
    assert.ok(!dir.startsWith(workspace.dir));
    assert.ok((await stat(dir)).isDirectory());
  }
  assert.deepEqual(await workspace.attempt('build', 1), first);
});

test('many that open the same workspace at once get the same one, whole', async (t) => {
  const root = await rootDir(t);
  const workspaces = await localWorkspaces({ root, owner });
  const dirs = await Promise.all([1, 2, 3, 4, 5].map(async () => (await workspaces.open('7', 1)).dir));
  assert.equal(new Set(dirs).size, 1);
  assert.deepEqual(await readdir(join(root, '.trash')), []);
});

test('the list is of workspaces only, in the order of their numbers', async (t) => {
  const root = await rootDir(t);
  const workspaces = await localWorkspaces({ root, owner });
  for (const [runId, round] of [
    ['10', 1],
    ['9', 10],
    ['9', 2],
  ] as const)
    await workspaces.open(runId, round);
  await mkdir(join(root, 'lost+found'));
  assert.deepEqual(await workspaces.list(), ['9.2', '9.10', '10.1']);
});

test('what does not name a workspace is refused, for every call', async (t) => {
  const root = await rootDir(t);
  const workspaces = await localWorkspaces({ root, owner });
  const refused = (error: unknown) => isFarmError(error, 'BAD_WORKSPACE');
  for (const id of ['', '.', '..', '../x', '7', '7.', '7.0', '7.1/', '7.1/../8.1', '.trash', '7.1\n', `${'9'.repeat(21)}.1`])
    await assert.rejects(workspaces.forget(id), refused, id);
  await assert.rejects(workspaces.open('../7', 1), refused);
  await assert.rejects(workspaces.open('7', 1.5), refused);
  const workspace = await workspaces.open('7', 1);
  for (const step of ['..', 'a/b', '']) await assert.rejects(workspace.attempt(step, 1), refused);
  await assert.rejects(workspace.attempt('build', 0), refused);
  assert.deepEqual(await workspaces.list(), ['7.1']);
});

test('forgetting removes what steps left behind, whoever owns it and whatever it forbids, and nothing that a link names', async (t) => {
  const root = await rootDir(t);
  const workspaces = await localWorkspaces({ root, owner });
  const { dir } = await workspaces.open('7', 1);
  const outside = join(root, '..', 'outside');
  await mkdir(outside);
  await writeFile(join(outside, 'precious'), 'x');
  await symlink(outside, join(dir, 'link'));
  await symlink(join(outside, 'precious'), join(dir, 'file-link'));
  await mkdir(join(dir, 'closed/deep'), { recursive: true });
  await writeFile(join(dir, 'closed/deep/file'), 'x');
  if (isRoot) await chown(join(dir, 'closed/deep/file'), 12_345, 12_345);
  await chmod(join(dir, 'closed/deep'), 0o000);
  await chmod(join(dir, 'closed'), 0o555);
  await workspaces.forget('7.1');
  assert.deepEqual(await workspaces.list(), []);
  assert.deepEqual(await readdir(join(root, '.trash')), []);
  assert.equal(await readFile(join(outside, 'precious'), 'utf8'), 'x');
  await workspaces.forget('7.1');
});

test('a tree deeper than the longest path can be forgotten', async (t) => {
  const root = await rootDir(t);
  const workspaces = await localWorkspaces({ root, owner });
  const { dir } = await workspaces.open('7', 1);
  const name = 'd'.repeat(200);
  const script = `i=0; while [ $i -lt 60 ]; do mkdir ${name}; cd -P ${name}; i=$((i+1)); done`;
  await promisify(execFile)('/bin/sh', ['-c', script], { cwd: dir });
  await workspaces.forget('7.1');
  assert.deepEqual(await readdir(join(root, '.trash')), []);
});

test('a link in place of a workspace is removed and not followed', async (t) => {
  const root = await rootDir(t);
  const workspaces = await localWorkspaces({ root, owner });
  const outside = join(root, '..', 'outside');
  await mkdir(outside, { mode: 0o750 });
  await symlink(outside, join(root, '7.1'));
  await workspaces.forget('7.1');
  assert.equal(await isThere(join(root, '7.1')), false);
  assert.equal((await stat(outside)).mode & 0o777, 0o750);
});

test('what an earlier process did not finish removing is gone after the next start', async (t) => {
  const root = await rootDir(t);
  await localWorkspaces({ root, owner });
  await mkdir(join(root, '.trash/7.1.abc/workspace'), { recursive: true });
  await writeFile(join(root, '.trash/7.1.abc/workspace/file'), 'x');
  const { problems, list } = await localWorkspaces({ root, owner });
  assert.deepEqual(problems, []);
  assert.deepEqual(await readdir(join(root, '.trash')), []);
  assert.deepEqual(await list(), []);
});

test('a step runs in such a workspace, writes where it may and nowhere else', async (t) => {
  const workspaces = await localWorkspaces({ root: await rootDir(t), owner });
  const workspace = await workspaces.open('7', 1);
  const { artifacts, scratch } = await workspace.attempt('build', 1);
  const script = 'echo x > outputs/artifacts/a; echo y > "$ARTIFACTS/b"; mkdir src; cat outputs/artifacts/a "$ARTIFACTS/b"';
  const ran = run(processExecutor(), { workspace: workspace.dir, scratch }, { script }, { env: { ARTIFACTS: artifacts } });
  assert.deepEqual(await ran.started.ended, { outcome: 'pass', exitCode: 0 });
  assert.equal(ran.output().toString(), 'x\ny\n');
});
