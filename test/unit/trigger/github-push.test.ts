import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Job } from '../../../protocol/job.ts';
import { example, farmWith, job, periodic, postsubmit, push, ran, repo } from './given.ts';

const go = { alwaysRun: false, runIfChanged: '^pkg/|\\.go$' };
const docs = { alwaysRun: false, skipIfOnlyChanged: '^docs/|\\.md$' };
const commits = (count: number, files: string[]) =>
  Array.from({ length: count }, () => ({ added: [], modified: files, removed: [] }));

type Row = [name: string, job: Partial<Job>, payload: unknown, runs: boolean, why: RegExp];
const rows: Row[] = [
  ['a postsubmit without filters runs', {}, push(), true, /^runs always$/],
  ['one that is only asked for does not', { alwaysRun: false }, push(), false, /only when it is asked for/],
  ['a branch of branches runs', { branches: ['^master$'] }, push(), true, /always/],
  ['branches are alternatives', { branches: ['^release-', '^master$'] }, push(), true, /always/],
  ['branches are not anchored', { branches: ['aste'] }, push(), true, /always/],
  ['another branch does not run', { branches: ['^main$'] }, push(), false, /'master' matches none of branches \(\^main\$\)/],
  ['a branch of skip_branches does not run', { skipBranches: ['^mas'] }, push(), false, /'master' matches skip_branches/],
  ['skip_branches wins over branches', { branches: ['master'], skipBranches: ['master'] }, push(), false, /skip_branches/],
  ['other branches than skip_branches run', { skipBranches: ['^release-'] }, push(), true, /always/],
  [
    'a branch with slashes is matched whole',
    { branches: ['^feature/x$'] },
    push([], { ref: 'refs/heads/feature/x' }),
    true,
    /always/,
  ],
  ['a flag in front of branches is read', { branches: ['(?i)^MASTER$'] }, push(), true, /always/],
  ['an expression that RE2 does not read is named', { branches: ['(?=x)'] }, push(), false, /^branches: .*\(\?=x\).* RE2/],
  ['so it is in skip_branches', { skipBranches: ['('] }, push(), false, /^skip_branches: .*missing closing/],
  ['and in run_if_changed', { alwaysRun: false, runIfChanged: '(' }, push(), false, /^run_if_changed: /],
  ['and in skip_if_only_changed', { alwaysRun: false, skipIfOnlyChanged: '(' }, push(), false, /^skip_if_only_changed: /],
  [
    'a changed file that run_if_changed names runs it',
    go,
    push(['README.md', 'cmd/a.go']),
    true,
    /'cmd\/a.go' matches run_if_changed/,
  ],
  ['no such file does not', go, push(['README.md', 'Makefile']), false, /none of 2 changed files matches run_if_changed/],
  ['an added file counts', go, push([], { commits: [{ added: ['pkg/x'], modified: [], removed: [] }] }), true, /'pkg\/x'/],
  ['a removed file counts', go, push([], { commits: [{ added: [], modified: [], removed: ['pkg/x'] }] }), true, /'pkg\/x'/],
  [
    'only ignored files skip',
    docs,
    push(['docs/a.txt', 'README.md']),
    false,
    /all of 2 changed files match skip_if_only_changed/,
  ],
  ['one other file runs', docs, push(['docs/a.txt', 'main.c']), true, /'main.c' does not match skip_if_only_changed/],
  ['no changed file does not run run_if_changed', go, push([], { commits: [] }), false, /no file changed/],
  ['nor skip_if_only_changed', docs, push([], { commits: [] }), false, /no file changed/],
  ['no changed file runs a job without filters', {}, push([], { commits: [] }), true, /always/],
  [
    'a push of 20 commits may have more',
    go,
    push([], { commits: commits(20, ['README.md']) }),
    true,
    /20 commits and may have more\): runs/,
  ],
  [
    'a push of 2,048 commits may have more',
    go,
    push([], { commits: commits(2048, ['a']) }),
    true,
    /2048 commits and may have more/,
  ],
  ['21 commits are all of them', go, push([], { commits: commits(21, ['README.md']) }), false, /none of 1 changed file matches/],
  ['20 of 20 are all of them', go, push([], { size: 20, commits: commits(20, ['a']) }), false, /none of 1 changed file/],
  [
    'a push larger than its list is not known',
    docs,
    push([], { size: 3, commits: commits(2, ['a.md']) }),
    true,
    /not known \(the push lists 2 commits/,
  ],
  ['a commit without files makes them unknown', go, push([], { commits: [{ id: 'x' }] }), true, /a commit lists no files/],
  ['no list of commits makes them unknown', go, push([], { commits: undefined }), true, /the push lists no commits/],
  ['very many files are not matched', go, push(Array.from({ length: 20_001 }, (_, i) => `f${i}`)), true, /more than 20000/],
  ['jobs of another repository stay out', { repo: 'other/repo' }, push(), false, /absent/],
  ['the case of the repository does not matter', { repo: repo.toUpperCase() }, push(), true, /always/],
];

describe('push', () => {
  for (const [name, over, payload, runs, why] of rows) {
    test(name, () => {
      const verdict = farmWith(postsubmit('build', over)).github('push', payload);
      assert.equal(verdict.decision, runs ? 'runs' : 'nothing', verdict.reason);
      assert.deepEqual(ran(verdict), runs ? ['build'] : []);
      assert.match(verdict.rules[0]?.why ?? 'absent', why);
    });
  }

  test('the run tests the pushed commit, trusted, as the job says', () => {
    const verdict = farmWith(
      postsubmit('build', {
        cloneUri: 'https://git.example/x',
        pathAlias: 'example.io/x',
        group: 'g',
        maxConcurrency: 2,
        priority: 'high',
      }),
    ).github('push', push());
    const [run] = verdict.creates;
    assert.deepEqual(run?.refs, {
      org: 'Codertocat',
      repo: 'Hello-World',
      baseRef: 'master',
      baseSha: '6113728f27ae82c7b1a177c8d03f9e96e0adf246',
      pulls: [],
      cloneUri: 'https://git.example/x',
      pathAlias: 'example.io/x',
    });
    assert.deepEqual(
      [run?.trusted, run?.by, run?.delivery, run?.group, run?.maxConcurrency, run?.priority, run?.id.length],
      [true, 'Codertocat', 'github/d1', 'g', 2, 'high', 19],
    );
    assert.equal(verdict.config, 'f'.repeat(64));
    assert.equal(verdict.repo, repo);
  });

  test('a tag runs the postsubmits whose branches match its name', () => {
    const verdict = farmWith(
      postsubmit('release', { branches: ['^simple-'] }),
      postsubmit('build', { branches: ['^master$'] }),
    ).github('push', example('push', 0));
    assert.deepEqual(ran(verdict), ['release']);
    assert.equal(verdict.creates[0]?.refs?.baseRef, 'simple-tag');
  });

  test('presubmits and periodics do not run; only postsubmits are answered, in the order of the configuration', () => {
    const verdict = farmWith(
      job('p'),
      postsubmit('z'),
      periodic('n'),
      postsubmit('a', { branches: ['x'] }),
      postsubmit('m'),
    ).github('push', push());
    assert.deepEqual(
      verdict.rules.map((r) => [r.job, r.runs]),
      [
        ['z', true],
        ['a', false],
        ['m', true],
      ],
    );
    assert.match(verdict.reason, /2 of 3 postsubmits of Codertocat\/Hello-World run$/);
  });

  test('a newer push cancels nothing: each commit of a branch is tested', () => {
    const world = farmWith(postsubmit('build'));
    world.github('push', push());
    assert.deepEqual(world.github('push', push([], { after: 'b'.repeat(40) })).cancels, []);
  });

  const nothing: [string, unknown, 'nothing' | 'refused', RegExp][] = [
    ['a deleted tag', example('push', 1), 'nothing', /'simple-tag' was deleted/],
    ['a deletion that only the zeros tell', push([], { after: '0'.repeat(40) }), 'nothing', /was deleted/],
    ['a push of no commit', push([], { after: '' }), 'nothing', /was deleted/],
    ['a ref that is neither branch nor tag', push([], { ref: 'refs/notes/commits' }), 'nothing', /neither a branch nor a tag/],
    ['a ref without a name', push([], { ref: 'refs/heads/' }), 'nothing', /neither/],
    ['a commit that is no SHA', push([], { after: 'HEAD' }), 'refused', /baseSha must match pattern/],
    [
      'a branch name beyond all bounds',
      push([], { ref: `refs/heads/${'x'.repeat(2000)}` }),
      'refused',
      /baseRef must not have more/,
    ],
    [
      'a repository that leads out of the workspace',
      push([], { repository: { full_name: '../..' } }),
      'refused',
      /cannot be the name/,
    ],
    ['a repository without a name', push([], { repository: {} }), 'refused', /repository must have required/],
    ['no object', 'push', 'refused', /it must be object/],
    ['no payload', undefined, 'refused', /it must be object/],
  ];
  for (const [name, payload, decision, why] of nothing) {
    test(`${name} runs nothing and says why`, () => {
      const verdict = farmWith(postsubmit('build')).github('push', payload);
      assert.equal(verdict.decision, decision);
      assert.match(verdict.reason, why);
      assert.deepEqual(verdict.creates, []);
    });
  }

  test('without a configuration nothing runs and no hash is claimed', () => {
    const verdict = farmWith().github('push', push());
    assert.equal(verdict.decision, 'nothing');
    assert.match(verdict.reason, /no postsubmit of Codertocat\/Hello-World is configured/);
    assert.equal('config' in verdict, false);
  });
});
