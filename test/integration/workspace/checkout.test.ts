import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, lstat, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import type { ExecutorJob, StepEnd } from '../../../agent/executor/executor.ts';
import { processExecutor } from '../../../agent/executor/process.ts';
import { defaultStepUser } from '../../../agent/executor/user.ts';
import { type CheckoutOptions, checkoutExecutor } from '../../../agent/workspace/checkout.ts';
import { localWorkspaces } from '../../../agent/workspace/local.ts';
import type { Refs } from '../../../protocol/change.ts';
import { GitRemote } from '../../support/git-remote.ts';
import { need } from '../../support/need.ts';
import { stepWith } from '../../support/steps.ts';

const skip = need('git');
const owner = defaultStepUser();

class Place implements AsyncDisposable {
  readonly dir: string;
  readonly remote: GitRemote;
  workspace = '';

  constructor(dir: string, remote: GitRemote) {
    this.dir = dir;
    this.remote = remote;
  }

  static async make(): Promise<Place> {
    const dir = await mkdtemp(join(tmpdir(), 'thresh-checkout-'));
    await chmod(dir, 0o711);
    return new Place(dir, await GitRemote.make(join(dir, 'remote')));
  }

  async checkOut(refs: Partial<Refs>, options: Partial<CheckoutOptions> = {}, stopWhen?: (text: string) => boolean) {
    const workspaces = await localWorkspaces({ root: join(this.dir, 'workspaces'), owner });
    const opened = await workspaces.open('1', 1);
    this.workspace = opened.dir;
    const { scratch } = await opened.attempt('checkout', 1);
    let output = '';
    const handles: unknown[] = [];
    const job: ExecutorJob = {
      key: { run: '1', step: 'checkout', attempt: 1 },
      spec: stepWith({ name: 'checkout', builtin: 'checkout' }),
      refs: { org: 'org', repo: 'repo', baseRef: 'main', pulls: [], cloneUri: this.remote.dir, ...refs },
      env: {},
      workspace: opened.dir,
      scratch,
      handle: (handle) => void handles.push(handle),
      output: (bytes) => {
        output += bytes.toString();
        if (stopWhen?.(output)) started.stop();
      },
    };
    const started = checkoutExecutor({ git: processExecutor(), allowFile: true, retryMs: [], ...options }).start(job);
    const end: StepEnd = await started.ended;
    return { end, output, handles };
  }

  async git(dir: string, ...args: string[]): Promise<string> {
    const { stdout } = await promisify(execFile)('git', ['-c', 'safe.directory=*', ...args], { cwd: join(this.workspace, dir) });
    return stdout.trim();
  }

  async records(): Promise<
    { refs: { base_sha: string; pulls?: unknown[] }; failed: boolean; final_sha?: string; commands: object[] }[]
  > {
    return JSON.parse(await readFile(join(this.workspace, 'outputs', 'clone-records.json'), 'utf8'));
  }

  async [Symbol.asyncDispose]() {
    await rm(this.dir, { recursive: true, force: true });
  }
}

describe('checkout', { skip }, () => {
  test('merges pull requests onto the base in their order and says exactly what it took', async () => {
    await using at = await Place.make();
    const base = await at.remote.commit({ 'README.md': 'hello\n' });
    const one = await at.remote.pull(1, base, { 'one.txt': '1\n' });
    const two = await at.remote.pull(2, base, { 'two.txt': '2\n' });
    const pulls = [
      { number: 2, author: 'u2', sha: two },
      { number: 1, author: 'u1', sha: one },
    ];
    const { end, output } = await at.checkOut({ pulls });
    assert.deepEqual(end, { outcome: 'pass', exitCode: 0 }, output);
    const head = await at.git('src/org/repo', 'rev-parse', 'HEAD');
    assert.deepEqual(
      (await at.git('src/org/repo', 'log', '--merges', '--format=%P')).split('\n').map((p) => p.split(' ')[1]),
      [one, two],
    );
    assert.equal(await at.git('src/org/repo', 'symbolic-ref', '--short', 'HEAD'), 'main');
    const [record, ...others] = await at.records();
    assert.equal(others.length, 0);
    assert.equal(record?.failed, false);
    assert.equal(record?.final_sha, head);
    assert.equal(record?.refs.base_sha, base);
    assert.equal(record?.refs.pulls?.length, 2);
    assert.match(output, /^# git merge --no-ff --no-edit /m);
  });

  test('makes the same commit of the same refs, whenever and wherever', async () => {
    await using at = await Place.make();
    const baseSha = await at.remote.commit({ a: '1\n' });
    const sha = await at.remote.pull(1, baseSha, { b: '2\n' });
    const heads = [];
    for (let i = 0; i < 2; i += 1) {
      await at.checkOut({ baseSha, pulls: [{ number: 1, author: 'u', sha }] });
      heads.push(await at.git('src/org/repo', 'rev-parse', 'HEAD'));
    }
    assert.equal(heads[0], heads[1]);
  });

  test('fails with the pull request that does not merge, and keeps a record of it', async () => {
    await using at = await Place.make();
    const first = await at.remote.commit({ a: '1\n' });
    const sha = await at.remote.pull(7, first, { a: 'theirs\n' });
    await at.remote.commit({ a: 'ours\n' });
    const { end } = await at.checkOut({ pulls: [{ number: 7, author: 'u', sha }] });
    assert.equal(end.outcome, 'fail');
    assert.match(end.message ?? '', /pull request #7 .* does not merge onto main: CONFLICT .* in a/);
    assert.equal((await at.records())[0]?.failed, true);
  });

  test('belongs to the user that steps run as, and holds neither hooks nor a remote', {
    skip: !owner && 'needs root',
  }, async () => {
    await using at = await Place.make();
    await at.remote.commit({ a: '1\n' });
    await at.checkOut({});
    for (const path of ['src', 'src/org/repo/a', 'src/org/repo/.git/config', 'outputs/clone-records.json'])
      assert.equal((await stat(join(at.workspace, path))).uid, owner?.uid, path);
    await assert.rejects(lstat(join(at.workspace, 'src/org/repo/.git/hooks')), { code: 'ENOENT' });
    assert.doesNotMatch(await readFile(join(at.workspace, 'src/org/repo/.git/config'), 'utf8'), /remote|url/);
  });

  test('starts afresh where an attempt before was stopped half-way, and never by a link that was left there', async () => {
    await using at = await Place.make();
    const base = await at.remote.commit({ a: '1\n' });
    await at.checkOut({});
    const source = join(at.workspace, 'src/org/repo');
    const witness = join(at.dir, 'witness');
    await mkdir(witness);
    await writeFile(join(witness, 'precious'), '');
    await rm(source, { recursive: true });
    await symlink(witness, source);
    const { end } = await at.checkOut({});
    assert.equal(end.outcome, 'pass');
    assert.equal((await lstat(source)).isDirectory(), true);
    assert.equal(await at.git('src/org/repo', 'rev-parse', 'HEAD'), base);
    await stat(join(witness, 'precious'));
  });

  test('runs no program that the repository asks for', async () => {
    await using at = await Place.make();
    const base = await at.remote.commit({
      '.gitattributes': '*.x filter=evil diff=evil merge=evil\n',
      'a.x': '1\n',
      '.gitmodules':
        '[submodule "evil"]\n\tpath = evil\n\turl = ext::sh -c "touch /tmp/thresh-evil"\n\tupdate = !touch /tmp/thresh-evil\n',
    });
    await at.remote.git('update-index', '--add', '--cacheinfo', `160000,${base},evil`);
    await at.remote.git('commit', '--quiet', '--message', 'evil');
    const { end, output } = await at.checkOut({});
    assert.equal(end.outcome, 'fail', output);
    await assert.rejects(lstat('/tmp/thresh-evil'), { code: 'ENOENT' });
  });

  test('is stopped in the middle', async () => {
    await using at = await Place.make();
    await at.remote.commit({ a: '1\n' });
    const { end } = await at.checkOut({}, {}, (text) => text.includes('# git fetch'));
    assert.equal(end.outcome, 'stopped');
  });

  test('tries a fetch again that failed for a passing reason, and not one that cannot succeed', async () => {
    await using at = await Place.make();
    await at.remote.commit({ a: '1\n' });
    const passing = await at.checkOut({ cloneUri: 'https://127.0.0.1:1/org/repo.git' }, { retryMs: [1, 1] });
    assert.equal(passing.end.outcome, 'fail');
    assert.equal(passing.output.match(/^# git fetch/gm)?.length, 3);
    const lasting = await at.checkOut({ baseRef: 'nope' }, { retryMs: [1, 1] });
    assert.equal(lasting.output.match(/^# git fetch .* nope$/gm)?.length, 1);
    assert.match(lasting.end.message ?? '', /couldn't find remote ref nope/);
  });

  test('takes repositories of its own disk only when the operator says so', async () => {
    await using at = await Place.make();
    await at.remote.commit({ a: '1\n' });
    const { end } = await at.checkOut({}, { allowFile: false });
    assert.equal(end.outcome, 'error');
    assert.match(end.message ?? '', /--allow-file-clone/);
  });

  test('fetches by the head of a pull request where a server does not give out other commits', async () => {
    await using at = await Place.make();
    const base = await at.remote.commit({ a: '1\n' });
    const sha = await at.remote.pull(3, base, { b: '2\n' });
    await at.remote.git('config', 'uploadpack.allowAnySHA1InWant', 'false');
    await at.remote.git('config', 'protocol.version', '0');
    const { end, output } = await at.checkOut({ pulls: [{ number: 3, author: 'u', sha }] });
    assert.equal(end.outcome, 'pass', output);
  });
});
