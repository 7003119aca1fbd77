import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { execa } from 'execa';
import { processExecutor } from '../../../agent/executor/process.ts';
import { defaultStepUser } from '../../../agent/executor/user.ts';
import { checkoutExecutor } from '../../../agent/workspace/checkout.ts';
import { localWorkspaces } from '../../../agent/workspace/local.ts';
import { sourceDir } from '../../../agent/workspace/source.ts';
import type { Refs } from '../../../protocol/change.ts';
import { stepWith } from '../../support/steps.ts';

/** Checkouts that Prow's own clonerefs made: a directory with `clone.jsonl.gz` and `clone-remote.bundle`. */
const dir = process.env.THRESH_PROW_ANSWERS ?? '';
const file = join(dir, 'clone.jsonl.gz');
const skip = !(dir && existsSync(file)) && 'needs the answers of Prow; say in THRESH_PROW_ANSWERS where they are';

type Answer = {
  question: {
    name: string;
    refs: Record<string, unknown> & { pulls?: { number: number; author: string; sha?: string; ref?: string }[] };
  };
  failed: boolean;
  final_sha: string;
  branch: string;
  tree: string;
};

/** What our refs cannot say: a pull request without its SHA, or by a name that is not its own. */
const isOurs = ({ question: { refs } }: Answer) => (refs.pulls ?? []).every((p) => p.sha && !p.ref);

const refsOf = (r: Answer['question']['refs'], remote: string): Refs => ({
  org: String(r.org),
  repo: String(r.repo),
  baseRef: String(r.base_ref),
  ...(r.base_sha ? { baseSha: String(r.base_sha) } : {}),
  pulls: (r.pulls ?? []).map(({ number, author, sha = '' }) => ({ number, author, sha })),
  cloneUri: remote,
  ...(r.path_alias ? { pathAlias: String(r.path_alias) } : {}),
  ...(r.skip_submodules ? { skipSubmodules: true } : {}),
  ...(r.clone_depth ? { cloneDepth: Number(r.clone_depth) } : {}),
  ...(r.skip_fetch_head ? { skipFetchHead: true } : {}),
});

test('checkouts are those of Prow, to the SHA of the merge commits', { skip, concurrency: 4 }, async (t) => {
  const answers = gunzipSync(readFileSync(file))
    .toString()
    .trim()
    .split('\n')
    .map((line): Answer => JSON.parse(line));
  const at = await mkdtemp(join(tmpdir(), 'thresh-clone-'));
  try {
    await chmod(at, 0o711);
    const remote = join(at, 'remote.git');
    await execa('git', ['clone', '--quiet', '--mirror', join(dir, 'clone-remote.bundle'), remote]);
    for (const option of ['uploadpack.allowAnySHA1InWant', 'uploadpack.allowFilter'])
      await execa('git', ['-C', remote, 'config', option, 'true']);
    const workspaces = await localWorkspaces({ root: join(at, 'workspaces'), owner: defaultStepUser() });
    const asked = answers.filter(isOurs).map(async (answer, i) => {
      const workspace = await workspaces.open('1', i + 1);
      await t.test(answer.question.name, async () => {
        const { scratch } = await workspace.attempt('checkout', 1);
        const refs = refsOf(answer.question.refs, remote);
        let output = '';
        const { ended } = checkoutExecutor({
          git: processExecutor(),
          allowFile: true,
          retryMs: [],
          identity: { name: 'farm', email: 'farm@example.org' },
        }).start({
          key: { run: '1', step: 'checkout', attempt: 1 },
          spec: stepWith({ name: 'checkout', builtin: 'checkout' }),
          refs,
          env: {},
          workspace: workspace.dir,
          scratch,
          handle: () => {},
          output: (bytes) => {
            output += bytes.toString();
          },
        });
        const end = await ended;
        assert.equal(end.outcome, answer.failed ? 'fail' : 'pass', output);
        if (answer.failed) return;
        const cwd = join(workspace.dir, sourceDir(refs));
        const git = async (...args: string[]) => (await execa('git', ['-c', 'safe.directory=*', ...args], { cwd })).stdout;
        assert.equal(await git('rev-parse', 'HEAD'), answer.final_sha, output);
        assert.equal(await git('rev-parse', '--abbrev-ref', 'HEAD'), answer.branch);
        assert.equal(await git('rev-parse', 'HEAD^{tree}'), answer.tree);
      });
    });
    await Promise.all(asked);
  } finally {
    await rm(at, { recursive: true, force: true });
  }
});
