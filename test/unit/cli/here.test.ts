import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { packHere } from '../../../controller/cli/here.ts';
import { GitRemote } from '../../support/git-remote.ts';
import { need } from '../../support/need.ts';
import { fakeFarm, runId, someDir, thresh } from './harness.ts';

const skip = need('git');
const env = { PATH: process.env.PATH, GIT_CONFIG_NOSYSTEM: '1', GIT_CONFIG_GLOBAL: '/dev/null' };
const run = (cwd: string, ...args: string[]): string => execFileSync('git', args, { cwd, env, encoding: 'utf8' });

/** A checkout with a changed, a staged, a removed, a new, an ignored and a tracked ignored file, and a farm's data. */
async function dirty(dir: string): Promise<GitRemote> {
  const git = await GitRemote.make(dir);
  await git.commit({
    '.gitignore': '*.o\n',
    changed: 'old\n',
    staged: 'old\n',
    removed: 'x\n',
    same: 'same\n',
    'dir/deep': 'x\n',
  });
  await writeFile(join(dir, 'kept.o'), 'kept\n');
  await git.git('add', '--force', 'kept.o');
  await git.git('commit', '--quiet', '--message', 'tracked although ignored');
  await writeFile(join(dir, 'staged'), 'new\n');
  await git.git('add', 'staged');
  await writeFile(join(dir, 'changed'), 'new\n');
  await rm(join(dir, 'removed'));
  await writeFile(join(dir, 'dir', 'untracked ü'), 'hello\n', { mode: 0o755 });
  await symlink('same', join(dir, 'link'));
  await writeFile(join(dir, 'out.o'), 'ignored\n');
  await mkdir(join(dir, '.thresh'));
  await writeFile(join(dir, '.thresh', 'admin.token'), 'secret\n');
  return git;
}

test('a working tree is packed as it is, and nothing in its repository changes', { skip }, async () => {
  await using at = await someDir();
  const dir = join(at.dir, 'my: "app');
  await dirty(dir);
  const look = () => [
    run(dir, 'status', '--porcelain=v2'),
    run(dir, 'count-objects', '-v'),
    run(dir, 'for-each-ref'),
    execFileSync('find', ['.git', '-type', 'f', '-exec', 'sha256sum', '{}', '+'], { cwd: dir, encoding: 'utf8' })
      .split('\n')
      .sort(),
  ];
  const before = look();
  const clone = join(at.dir, 'clone');
  {
    await using packed = await packHere({ cwd: join(dir, 'dir'), env });
    assert.deepEqual(look(), before);
    assert.deepEqual([packed.org, packed.repo, packed.baseRef], ['local', 'my---app', 'main']);
    await mkdir(clone);
    run(clone, 'init', '--quiet');
    run(clone, 'fetch', '--quiet', packed.file, 'refs/thresh/here');
    assert.equal(run(clone, 'rev-parse', 'FETCH_HEAD').trim(), packed.sha);
    run(clone, 'checkout', '--quiet', packed.sha);
  }
  const names = run(clone, '-c', 'core.quotePath=false', 'ls-files').trim().split('\n');
  assert.deepEqual(names, ['.gitignore', 'changed', 'dir/deep', 'dir/untracked ü', 'kept.o', 'link', 'same', 'staged']);
  const differs = ['--recursive', '--brief', '--no-dereference', '--exclude=.git', '--exclude=.thresh', '--exclude=out.o'];
  execFileSync('diff', [...differs, dir, clone]);
});

test('a change that only its content tells from what the index has is packed', { skip }, async () => {
  await using at = await someDir();
  const git = await GitRemote.make(at.dir);
  await git.git('config', 'core.trustctime', 'false');
  const file = join(at.dir, 'file');
  const write = async (text: string) => {
    await writeFile(file, text);
    await utimes(file, 1_700_000_000, 1_700_000_000);
  };
  await write('old\n');
  await git.git('add', 'file');
  // Index and change in the same tick of the clock.
  await utimes(join(at.dir, '.git', 'index'), 1_700_000_000, 1_700_000_000);
  await write('new\n');
  await using packed = await packHere({ cwd: at.dir, env });
  await git.git('fetch', '--quiet', packed.file, 'refs/thresh/here');
  assert.equal(await git.git('show', 'FETCH_HEAD:file'), 'new');
});

test('a checkout without a commit, and one without a branch, can be packed', { skip }, async () => {
  await using at = await someDir();
  const git = await GitRemote.make(at.dir);
  await writeFile(join(at.dir, 'first'), 'x\n');
  {
    await using packed = await packHere({ cwd: at.dir, env });
    assert.equal(packed.baseRef, 'main');
  }
  await git.commit({});
  await git.git('checkout', '--quiet', '--detach');
  await using packed = await packHere({ cwd: at.dir, env });
  assert.equal(packed.baseRef, 'here');
});

test('what is no checkout, too large, or has no git is told so', { skip }, async () => {
  await using at = await someDir();
  await assert.rejects(packHere({ cwd: at.dir, env }), /--here wants a git checkout: .*not a git repository/);
  await assert.rejects(packHere({ cwd: at.dir, env: { PATH: at.dir } }), /--here wants a git checkout: git is not installed/);
  const git = await GitRemote.make(join(at.dir, 'app'));
  await git.commit({ file: 'x\n' });
  await writeFile(join(git.dir, 'data'), 'x'.repeat(1_000));
  await assert.rejects(
    packHere({ cwd: git.dir, env, maxBytes: 100 }),
    /new has 1000 bytes, more than 400 \(the biggest is data\)/,
  );
  await rm(join(git.dir, 'data'));
  await assert.rejects(packHere({ cwd: git.dir, env, maxBytes: 100 }), /bytes packed, more than 100; let \.gitignore name/);
});

test('run --here sends the tree, then asks for a run of it', { skip }, async () => {
  await using at = await someDir();
  await using farm = await fakeFarm();
  await dirty(join(at.dir, 'app'));
  const upload = 'a'.repeat(64);
  farm.on('POST /api/uploads', { status: 201, body: { upload, sizeBytes: 1 } });
  const verdict = { decision: 'runs', reason: '', event: 'run', by: 'ada', rules: [], creates: [], cancels: [], changes: [] };
  farm.on('POST /api/runs', { status: 201, body: { delivery: 'person/d1', verdict, runs: [runId] } });
  const { code, err } = await thresh(['run', 'unit', '--here', '--url', farm.url], { cwd: join(at.dir, 'app'), env });
  assert.equal(code, 0, err);
  const [sent, asked] = farm.asked;
  assert.equal(sent?.headers['content-type'], 'application/octet-stream');
  assert.match(sent?.body ?? '', /^# v2 git bundle\n[0-9a-f]{40} refs\/thresh\/here\n/);
  const { job, here } = JSON.parse(asked?.body ?? '');
  assert.deepEqual({ job, ...here, sha: '' }, { job: 'unit', upload, sha: '', org: 'local', repo: 'app', baseRef: 'main' });
  assert.ok(sent?.body.includes(`${here.sha} refs/thresh/here`));
});

test('run --here without a login, and with another source, is refused', { skip }, async () => {
  await using at = await someDir();
  await using farm = await fakeFarm();
  await dirty(join(at.dir, 'app'));
  farm.on('POST /api/uploads', { status: 401, body: { error: { code: 'UNAUTHORIZED', message: 'not logged in' } } });
  const refused = await thresh(['run', 'unit', '--here', '--url', farm.url], { cwd: join(at.dir, 'app'), env });
  assert.deepEqual([refused.code, /not logged in/.test(refused.err)], [4, true]);
  const wrong = await thresh(['run', 'unit', '--here', '--repo', 'o/r', '--ref', 'main', '--url', farm.url]);
  assert.deepEqual([wrong.code, /leave out --ref/.test(wrong.err)], [2, true]);
});
