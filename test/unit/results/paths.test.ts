import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { isNewer, type Layout, prowLayout, resultPaths } from '../../../controller/results/paths.ts';
import { keyParts } from '../../../controller/store/object-key.ts';
import type { JobType } from '../../../protocol/job.ts';

const k8s: Layout = { ...prowLayout, defaultOrg: 'kubernetes', defaultRepo: 'kubernetes' };
const id = '1958000000000000001';

/** A run of `job`; `repo` as org/repo, with pull requests of these numbers. */
const run = (type: JobType, repo?: string, pulls: number[] = [], job = 'job') => {
  const slash = repo?.lastIndexOf('/') ?? 0;
  const refs =
    repo === undefined
      ? undefined
      : {
          org: repo.slice(0, slash),
          repo: repo.slice(slash + 1),
          baseRef: 'main',
          pulls: pulls.map((number) => ({ number, author: 'a', sha: '2'.repeat(40) })),
        };
  return { id, job, type, ...(refs ? { refs } : {}) };
};

/** [section of Prow's description, run, layout, directory without the id]. */
const directories: [section: string, run: ReturnType<typeof run>, layout: Layout, dir: string][] = [
  ['6.1 periodic', run('periodic'), k8s, 'logs/job'],
  ['6.1 periodic of no layout', run('periodic'), prowLayout, 'logs/job'],
  ['6.1 periodic with refs', run('periodic', 'kubernetes/kubernetes'), k8s, 'logs/job'],
  ['6.1 postsubmit', run('postsubmit', 'kubernetes/kubernetes'), k8s, 'logs/job'],
  ['6.1 postsubmit elsewhere', run('postsubmit', 'org/repo'), k8s, 'logs/job'],
  ['6.1 batch', run('batch', 'kubernetes/kubernetes', [1, 2]), k8s, 'pr-logs/pull/batch/job'],
  ['6.1 batch of one', run('batch', 'org/repo', [1]), k8s, 'pr-logs/pull/batch/job'],
  ['6.1 legacy, default org and repo', run('presubmit', 'kubernetes/kubernetes', [5]), k8s, 'pr-logs/pull/5/job'],
  ['6.1 legacy, default org', run('presubmit', 'kubernetes/kops', [5]), k8s, 'pr-logs/pull/kops/5/job'],
  ['6.1 legacy, other org', run('presubmit', 'kubernetes-sigs/kind', [5]), k8s, 'pr-logs/pull/kubernetes-sigs_kind/5/job'],
  ['6.1 legacy, default repo in another org', run('presubmit', 'x/kubernetes', [5]), k8s, 'pr-logs/pull/x_kubernetes/5/job'],
  ['6.1 legacy, no defaults', run('presubmit', 'org/repo', [7]), prowLayout, 'pr-logs/pull/org_repo/7/job'],
  ['6.1 single, default', run('presubmit', 'kubernetes/kubernetes', [5]), { ...k8s, strategy: 'single' }, 'pr-logs/pull/5/job'],
  [
    '6.1 single, default org',
    run('presubmit', 'kubernetes/kops', [5]),
    { ...k8s, strategy: 'single' },
    'pr-logs/pull/kubernetes_kops/5/job',
  ],
  ['6.1 single, other org', run('presubmit', 'a/b', [5]), { ...k8s, strategy: 'single' }, 'pr-logs/pull/a_b/5/job'],
  [
    '6.1 explicit, default',
    run('presubmit', 'kubernetes/kubernetes', [5]),
    { ...k8s, strategy: 'explicit' },
    'pr-logs/pull/kubernetes_kubernetes/5/job',
  ],
  [
    '6.1 explicit, default org',
    run('presubmit', 'kubernetes/kops', [5]),
    { ...k8s, strategy: 'explicit' },
    'pr-logs/pull/kubernetes_kops/5/job',
  ],
  ['6.1 explicit, other org', run('presubmit', 'a/b', [5]), { ...k8s, strategy: 'explicit' }, 'pr-logs/pull/a_b/5/job'],
  ['6.1 Gerrit', run('presubmit', 'https://foo.googlesource.com/bar', [5]), k8s, 'pr-logs/pull/foo.googlesource.com_bar/5/job'],
  ['6.1 a job with dots', run('presubmit', 'a/b', [5], 'pull-x.y_z-1'), k8s, 'pr-logs/pull/a_b/5/pull-x.y_z-1'],
  ['6.1 path_prefix', run('presubmit', 'a/b', [5]), { ...k8s, pathPrefix: 'pre/fix/' }, 'pre/fix/pr-logs/pull/a_b/5/job'],
  ['6.1 path_prefix of a periodic', run('periodic'), { ...k8s, pathPrefix: 'p/' }, 'p/logs/job'],
  ['ours: by hand, nothing tested', run('manual'), k8s, 'logs/job'],
  ['ours: by hand, a branch', run('manual', 'a/b'), k8s, 'logs/job'],
  ['ours: by hand, a pull request', run('manual', 'a/b', [5]), k8s, 'pr-logs/pull/a_b/5/job'],
  ['ours: by hand, several', run('manual', 'a/b', [5, 6]), k8s, 'pr-logs/pull/batch/job'],
];

/** Names that no path can hold as they are: `..`, and so on. */
const odd = ['a/..', '../b', './.', 'a/\0', 'a\\..\\b/c', `a/${'x'.repeat(300)}`, 'a/\ud800', 'kubernetes/..', 'a/b\nc'];

describe('where results lie', () => {
  for (const [section, of, layout, dir] of directories)
    test(`${section}: ${dir}`, () => assert.equal(resultPaths(of, layout).dir, `${dir}/${id}`));

  const pointers: [section: string, run: ReturnType<typeof run>, layout: Layout, latest: string[], alias: string | undefined][] =
    [
      ['6.1 periodic', run('periodic'), k8s, ['logs/job/latest-build.txt'], undefined],
      ['6.1 postsubmit', run('postsubmit', 'a/b'), k8s, ['logs/job/latest-build.txt'], undefined],
      [
        '6.1 presubmit',
        run('presubmit', 'a/b', [5]),
        k8s,
        ['pr-logs/directory/job/latest-build.txt', 'pr-logs/pull/a_b/5/job/latest-build.txt'],
        `pr-logs/directory/job/${id}.txt`,
      ],
      [
        '6.1 presubmit of the default',
        run('presubmit', 'kubernetes/kubernetes', [5]),
        k8s,
        ['pr-logs/directory/job/latest-build.txt', 'pr-logs/pull/5/job/latest-build.txt'],
        `pr-logs/directory/job/${id}.txt`,
      ],
      ['6.1 batches leave no alias', run('batch', 'a/b', [5, 6]), k8s, ['pr-logs/directory/job/latest-build.txt'], undefined],
      [
        '6.1 path_prefix stands before directories only',
        run('presubmit', 'a/b', [5]),
        { ...k8s, pathPrefix: 'p/' },
        ['pr-logs/directory/job/latest-build.txt', 'pr-logs/pull/a_b/5/job/latest-build.txt'],
        `pr-logs/directory/job/${id}.txt`,
      ],
      ['6.1 path_prefix of a periodic', run('periodic'), { ...k8s, pathPrefix: 'p/' }, ['logs/job/latest-build.txt'], undefined],
    ];
  for (const [section, of, layout, latest, alias] of pointers)
    test(`pointers: ${section}`, () => {
      const paths = resultPaths(of, layout);
      assert.deepEqual([paths.latest, paths.alias], [latest, alias]);
    });

  test('whatever a repository is called, its results have a place of their own below the directory of pull requests', () => {
    const dirs = odd.map((repo) => resultPaths(run('presubmit', repo, [5]), k8s).dir);
    for (const dir of dirs) {
      keyParts(dir);
      assert.match(dir, /^pr-logs\/pull\/[^/]+\/5\/job\/\d+$/);
    }
    assert.equal(new Set(dirs).size, odd.length);
  });

  test('a newer run is the one with the greater number, however many digits it has', () => {
    assert.ok(isNewer('1958000000000000001', '1958000000000000000'));
    assert.ok(!isNewer('1958000000000000000', '1958000000000000000'));
    assert.ok(!isNewer('9', '10'));
    assert.ok(isNewer('1', 'not a number'));
  });

  const dir = process.env.THRESH_PROW_ANSWERS ?? '';
  const answers = join(dir, 'environment.jsonl.gz');
  const skip = !(dir && existsSync(answers)) && 'needs the answers of Prow; say in THRESH_PROW_ANSWERS where they are';
  test("it is where Prow's own code puts it", { skip }, () => {
    const rows = gunzipSync(readFileSync(answers))
      .toString('utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.ok(rows.length > 6_000);
    for (const row of rows) {
      const of = {
        ...run(row.type, row.repo || undefined, row.type === 'presubmit' ? [42] : [], row.name),
        id: '1234567890123456789',
      };
      const layout = { ...k8s, strategy: row.strategy };
      const { dir, latest, alias = '', root } = resultPaths(of, layout);
      assert.deepEqual(
        { dir, latest, alias, root },
        { dir: row.path, latest: row.latest, alias: row.alias, root: row.root },
        row.name,
      );
    }
  });
});
