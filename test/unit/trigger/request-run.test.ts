import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Refs, repoOf } from '../../../protocol/change.ts';
import type { RequestOf } from '../../../protocol/delivery.ts';
import type { Job } from '../../../protocol/job.ts';
import { farmWith, job, periodic, postsubmit, repo, shaA, shaB, shaC } from './given.ts';

const [org, name] = repo.split('/') as [string, string];
const refs: Refs = { org, repo: name, baseRef: 'master', baseSha: shaA, pulls: [] };
const pulls: Refs['pulls'] = [{ number: 2, author: 'eve', sha: shaB }];
const manual = job('deploy', { type: 'manual' });

type Ask = Omit<RequestOf<'run'>, 'kind'>;
const runs: [name: string, jobs: Job[], ask: Ask, trusted: boolean][] = [
  ['a manual job without refs', [manual], { job: 'deploy' }, true],
  ['a manual job with refs', [manual], { job: 'deploy', refs }, true],
  ['a periodic job before its time', [periodic('nightly')], { job: 'nightly' }, true],
  ['a periodic job for a repository', [periodic('nightly')], { job: 'nightly', refs }, true],
  ['a postsubmit with refs', [postsubmit('build')], { job: 'build', refs }, true],
  ['a postsubmit although its branches say no', [postsubmit('build', { branches: ['^x$'] })], { job: 'build', refs }, true],
  ['a presubmit on a branch', [job('unit')], { job: 'unit', refs }, true],
  ['a presubmit on a pull request, which gets no secrets', [job('unit')], { job: 'unit', refs: { ...refs, pulls } }, false],
  ['a manual job on a pull request, which gets no secrets', [manual], { job: 'deploy', refs: { ...refs, pulls } }, false],
  ['a job that only runs when it is asked for', [job('unit', { alwaysRun: false })], { job: 'unit', refs }, true],
  ['the job of the repository that is named', [job('unit', { repo: 'o/r' }), job('unit')], { job: 'unit', repo, refs }, true],
  ['the job of the repository in refs', [job('unit', { repo: 'o/r' }), job('unit')], { job: 'unit', refs }, true],
];

describe('run', () => {
  for (const [what, jobs, ask, trusted] of runs) {
    test(`${what} runs`, () => {
      const verdict = farmWith(...jobs).ask({ kind: 'run', ...ask });
      assert.equal(verdict.decision, 'runs', verdict.reason);
      const [run, ...others] = verdict.creates;
      assert.deepEqual([run?.job, run?.trusted, run?.by, run?.refs, others.length], [ask.job, trusted, 'ann', ask.refs, 0]);
      assert.equal(run?.delivery, 'person/p1');
    });
  }

  const here = { upload: 'd'.repeat(64), sha: shaC, org: 'local', repo: 'app', baseRef: 'topic' };
  const trees: [string, Job[], string, string][] = [
    ['of a job without a repository, under its own name', [periodic('nightly')], 'nightly', 'local/app'],
    ['of a presubmit, in its repository', [job('unit')], 'unit', repo],
    ['of a postsubmit rather than a presubmit', [job('t', { repo: 'o/pre' }), postsubmit('t', { repo: 'o/pre' })], 't', 'o/pre'],
    [
      'of a job of a Gerrit server',
      [job('g', { repo: 'https://review.example/tools/farm' })],
      'g',
      'https://review.example/tools/farm',
    ],
  ];
  for (const [what, jobs, name, of] of trees)
    test(`a working tree is the source ${what}, trusted and not reported`, () => {
      const [run] = farmWith(...jobs).ask({ kind: 'run', job: name, here }).creates;
      assert.ok(run?.refs);
      assert.deepEqual([repoOf(run.refs), run.refs.baseRef, run.refs.baseSha, run.refs.pulls], [of, 'topic', shaC, []]);
      assert.deepEqual([run.source, run.trusted, run.skipReport], [{ upload: here.upload }, true, true]);
      assert.equal('inline' in run.spec && run.spec.inline[0]?.builtin, 'checkout');
    });

  test('a working tree has no refs besides, and a name that leads nowhere else', () => {
    const ask = (more: Partial<Ask>) => farmWith(periodic('nightly')).ask({ kind: 'run', job: 'nightly', here, ...more }).reason;
    assert.match(ask({ refs }), /the working tree that was sent is what is tested/);
    assert.match(ask({ here: { ...here, repo: '..' } }), /cannot be the name of a repository/);
  });

  test('the priority that is asked for wins over the job’s', () => {
    const world = farmWith(job('deploy', { type: 'manual', priority: 'low' }));
    assert.equal(world.ask({ kind: 'run', job: 'deploy' }).creates[0]?.priority, 'low');
    assert.equal(world.ask({ kind: 'run', job: 'deploy', priority: 'high' }).creates[0]?.priority, 'high');
  });

  test('where the job says from where to clone, a request cannot say otherwise', () => {
    const world = farmWith(job('deploy', { type: 'manual', cloneUri: 'https://git.example/x' }));
    const [run] = world.ask({ kind: 'run', job: 'deploy', refs: { ...refs, cloneUri: 'https://evil.example/x' } }).creates;
    assert.equal(run?.refs?.cloneUri, 'https://git.example/x');
  });

  const chosen: [string, Job[], Refs, string][] = [
    [
      'for a pull request the presubmit',
      [postsubmit('t', { context: 'post' }), job('t', { context: 'pre' })],
      { ...refs, pulls },
      'pre',
    ],
    ['for a commit the postsubmit', [job('t', { context: 'pre' }), postsubmit('t', { context: 'post' })], refs, 'post'],
    [
      'for a branch the job of that branch',
      [job('t', { context: 'old', branches: ['^old$'] }), job('t', { context: 'new', skipBranches: ['^old$'] })],
      refs,
      'new',
    ],
  ];
  for (const [what, jobs, given, context] of chosen) {
    test(`of several jobs with one name, ${what} is chosen`, () => {
      assert.equal(farmWith(...jobs).ask({ kind: 'run', job: 't', refs: given }).creates[0]?.context, context);
    });
  }

  const both = [job('unit'), job('unit', { repo: 'o/r' })];
  const refused: [string, Job[], Ask, RegExp][] = [
    [
      'an unknown job',
      [job('unit-tests'), job('lint')],
      { job: 'unit-test' },
      /no job 'unit-test'; did you mean 'unit-tests'\?$/,
    ],
    ['a name in another case', [job('Unit')], { job: 'unit' }, /did you mean 'Unit'/],
    ['a part of a name', [job('pull-hello-unit')], { job: 'unit' }, /did you mean 'pull-hello-unit'/],
    ['a name that is like no other', [job('lint')], { job: 'zzzzzz' }, /^there is no job 'zzzzzz'$/],
    ['any job where none is configured', [], { job: 'unit' }, /no job is configured/],
    [
      'a presubmit without refs',
      [job('unit')],
      { job: 'unit' },
      /give refs with org 'Codertocat', repo 'Hello-World', baseRef, baseSha and pulls/,
    ],
    [
      'a postsubmit without refs',
      [postsubmit('build')],
      { job: 'build' },
      /postsubmit 'build' tests a change: .*baseRef, baseSha$/,
    ],
    ['a name that repositories share', both, { job: 'unit' }, /several repositories .*\(Codertocat\/Hello-World, o\/r\)/],
    ['a repository that the job is not of', [job('unit')], { job: 'unit', repo: 'o/r' }, /is not of 'o\/r'; it is of Codertocat/],
    ['refs of another repository', [job('unit')], { job: 'unit', refs: { ...refs, org: 'x' } }, /is not of 'x\/Hello-World'/],
    [
      'refs that contradict the repository',
      both,
      { job: 'unit', repo: 'o/r', refs },
      /refs are of 'Codertocat\/Hello-World', but repo says 'o\/r'/,
    ],
    ['two jobs that nothing tells apart', [job('t'), job('t')], { job: 't', refs }, /2 jobs are named 't': say which with refs/],
    [
      'refs that lead out of the workspace',
      [manual],
      { job: 'deploy', refs: { ...refs, org: '..' } },
      /cannot be the name of a repository/,
    ],
    ['refs with an absolute path', [manual], { job: 'deploy', refs: { ...refs, org: '/etc' } }, /cannot be the name/],
    ['refs that hide a way out', [manual], { job: 'deploy', refs: { ...refs, repo: 'a/../../b' } }, /cannot be the name/],
    ['refs with a line break', [manual], { job: 'deploy', refs: { ...refs, repo: 'a\nb' } }, /cannot be the name/],
    ['a commit that is no SHA', [manual], { job: 'deploy', refs: { ...refs, baseSha: 'main' } }, /not a request/],
  ];
  for (const [what, jobs, ask, why] of refused) {
    test(`${what} is refused with what to do`, () => {
      const verdict = farmWith(...jobs).ask({ kind: 'run', ...ask });
      assert.equal(verdict.decision, 'refused');
      assert.match(verdict.reason, why);
      assert.deepEqual(verdict.creates, []);
    });
  }

  test('a Gerrit server may be the organisation', () => {
    const gerrit = { ...refs, org: 'https://review.example', repo: 'tools/farm' };
    assert.equal(
      farmWith(manual, job('g', { type: 'manual', repo: 'https://review.example/tools/farm' })).ask({
        kind: 'run',
        job: 'g',
        refs: gerrit,
      }).decision,
      'runs',
    );
  });
});
