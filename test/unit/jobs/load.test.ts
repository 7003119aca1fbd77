import assert from 'node:assert/strict';
import { mkdir, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { describeProblems, summarise } from '../../../controller/jobs/describe.ts';
import { jobsText } from '../../../controller/jobs/hash.ts';
import { loadJobs } from '../../../controller/jobs/load.ts';
import { directoryWith, presubmit, spec } from './harness.ts';

const good = (name: string) => `manual:\n- name: ${name}\n  ${spec}\n`;

test('a file of 10 MB is refused by its size, without being read', async (t) => {
  const dir = await directoryWith(t, { 'big.yaml': `#${'x'.repeat(10_000_000)}`, 'small.yaml': good('a') });
  const { problems, config } = await loadJobs(dir);
  assert.equal(
    describeProblems(problems),
    'big.yaml: the file has 10000001 bytes; at most 8388608 (8 MiB) are read, so split it',
  );
  assert.equal(config, undefined);
});

test('the problems of all files are reported at once, in the order of files and lines', async (t) => {
  const dir = await directoryWith(t, {
    'b.yaml': presubmit('max_concurrency: x', 'branches: ["("]', spec),
    'a.yaml': `manual:\n- name: one\n  priority: x\n  queue: y/z\n  ${spec}\n- name: two\n  ${spec}\n  cron: "* * * * *"\n`,
    'c.yaml': 'a: [',
    'd.yaml': good('fine'),
  });
  const loaded = await loadJobs(dir);
  assert.deepEqual(
    loaded.problems.map((p) => `${p.file}:${p.line}`),
    ['a.yaml:3', 'a.yaml:4', 'a.yaml:8', 'b.yaml:4', 'c.yaml:1'],
  );
  assert.equal(summarise(loaded), '4 files, 5 problems');
});

test('a job twice is found over files', async (t) => {
  const { problems } = await loadJobs(await directoryWith(t, { 'a.yaml': good('x'), 'b.yaml': good('x') }));
  assert.equal(
    describeProblems(problems),
    "b.yaml:2:9: job 'x': a manual job 'x' already stands in a.yaml:2; rename one of them",
  );
});

test('two files of one base name are a problem wherever they are', async (t) => {
  const { problems } = await loadJobs(await directoryWith(t, { 'a/x.yaml': good('x'), 'b/c/x.yaml': good('z') }));
  assert.equal(describeProblems(problems), 'b/c/x.yaml: a/x.yaml has the same base name; rename one of them');
});

test('only .yaml and .yml are read, and entries that begin with two dots are not', async (t) => {
  const dir = await directoryWith(t, {
    'a.yaml': good('a'),
    'deep/er/b.yml': good('b'),
    'README.md': '{',
    'c.yaml.bak': '{',
    '..2026/a.yaml': good('a'),
    '.hidden/d.yaml': good('d'),
  });
  const loaded = await loadJobs(dir);
  assert.deepEqual(
    loaded.config?.jobs.map((j) => j.source.file),
    ['.hidden/d.yaml', 'a.yaml', 'deep/er/b.yml'],
  );
  assert.equal(summarise(loaded), '3 files, 3 jobs (3 manual), 0 repositories');
});

test('.prowignore leaves files out below its directory', async (t) => {
  const dir = await directoryWith(t, {
    'values.yaml': good('kept'),
    'sub/.prowignore': '# not ours\nvalues*\n!values-kept.yml\n/only-here.yaml\ngenerated/\n',
    'sub/values.yml': '{',
    'sub/values-kept.yml': good('kept-too'),
    'sub/deep/values2.yaml': '{',
    'sub/only-here.yaml': '{',
    'sub/deep/only-here.yaml': good('deep'),
    'sub/generated/x.yaml': '{',
  });
  const { config, problems } = await loadJobs(dir);
  assert.equal(describeProblems(problems), '');
  assert.deepEqual(config?.jobs.map((j) => j.name).sort(), ['deep', 'kept', 'kept-too']);
});

test('a link is followed inside the directory, as a mounted ConfigMap needs it, and never out of it', async (t) => {
  const outside = await directoryWith(t, { 'secret.yaml': good('secret') });
  const dir = await directoryWith(t, { '..2026_1/a.yaml': good('a') });
  await symlink('..2026_1', join(dir, '..data'));
  await symlink('..data/a.yaml', join(dir, 'a.yaml'));
  assert.equal(describeProblems((await loadJobs(dir)).problems), '');

  await symlink(join(outside, 'secret.yaml'), join(dir, 'b.yaml'));
  await symlink(outside, join(dir, 'elsewhere'));
  await symlink('gone.yaml', join(dir, 'c.yaml'));
  await symlink('.', join(dir, 'again'));
  assert.equal(
    describeProblems((await loadJobs(dir)).problems),
    [
      'b.yaml: this link leads out of the job directory; put the file itself here',
      'c.yaml: cannot be read: ENOENT; check its permissions and, if it is a link, its target',
      'elsewhere: this link leads out of the job directory; put the file itself here',
    ].join('\n'),
  );
});

test('a directory that is not there is a problem and not an exception', async () => {
  const { problems, files } = await loadJobs('/nonexistent/jobs');
  assert.match(describeProblems(problems), /^\/nonexistent\/jobs: the job directory cannot be read: ENOENT/);
  assert.equal(files, 0);
});

test('bytes that are not UTF-8 are a problem of that file', async (t) => {
  const { problems } = await loadJobs(await directoryWith(t, { 'a.yaml': new Uint8Array([0x1f, 0x8b, 0x08, 0xff]) }));
  assert.equal(
    describeProblems(problems),
    'a.yaml: the file is not text in UTF-8; save it as UTF-8, and unpack it if it is compressed',
  );
});

test('too many files and too many problems are cut', async (t) => {
  const files = Object.fromEntries(Array.from({ length: 6 }, (_, i) => [`f${i}.yaml`, good(`j${i}`)]));
  const dir = await directoryWith(t, files);
  const { problems, config } = await loadJobs(dir, { maxFiles: 5 });
  assert.match(describeProblems(problems), /there are more than 5 job files; remove some/);
  assert.equal(config, undefined);

  const many = await loadJobs(await directoryWith(t, { 'a.yaml': `manual:\n${'- a\n'.repeat(1_200)}` }));
  assert.equal(many.problems.length, 1_001);
  assert.equal(many.problems.at(-1)?.message, '200 more problems are not shown; mend these first');
});

test('the hash is that of the jobs: equal for equal jobs however they are spelt, another for other jobs', async (t) => {
  const hashOf = async (file: string) => (await loadJobs(await directoryWith(t, { 'a.yaml': file }))).config?.hash;
  const one = await hashOf(`manual:\n- name: x\n  labels: {a: "1", b: "2"}\n  ${spec}\n`);
  assert.equal(one, await hashOf(`manual:\n- {labels: {b: '2', a: '1'}, name: 'x', ${spec}} # the same\n`));
  assert.notEqual(one, await hashOf(`manual:\n- name: x\n  labels: {a: "1", b: "3"}\n  ${spec}\n`));
  assert.match(one ?? '', /^[0-9a-f]{64}$/);
});

test('what is stored reads back as the same jobs', async (t) => {
  const { config } = await loadJobs(await directoryWith(t, { 'a.yaml': good('a') }));
  assert.deepEqual(JSON.parse(jobsText(config?.jobs ?? [])), config?.jobs);
});

test('with a cache only what has changed is read again, and what has gone is forgotten', async (t) => {
  const dir = await directoryWith(t, { 'a.yaml': good('a'), 'b.yaml': good('b') });
  const cache = new Map();
  await loadJobs(dir, { cache });
  const before = new Set(cache.values());
  await writeFile(join(dir, 'b.yaml'), good('b2'));
  const { config } = await loadJobs(dir, { cache });
  assert.deepEqual(
    config?.jobs.map((j) => j.name),
    ['a', 'b2'],
  );
  assert.equal([...cache.values()].filter((f) => before.has(f)).length, 1);
  await mkdir(join(dir, '..gone'));
  await rename(join(dir, 'a.yaml'), join(dir, '..gone/a.yaml'));
  await loadJobs(dir, { cache });
  assert.equal(cache.size, 1);
});

test('a big file is read like a small one while other work goes on', async (t) => {
  const jobs = Array.from(
    { length: 6_000 },
    (_, i) => `- name: job-${i}\n  ${spec}\n  annotations: {text: "${'x'.repeat(40)}"}\n`,
  );
  const dir = await directoryWith(t, { 'big.yaml': `manual:\n${jobs.join('')}- name: last\n  priority: x\n  ${spec}\n` });
  const before = performance.eventLoopUtilization();
  const { problems } = await loadJobs(dir);
  assert.equal(
    describeProblems(problems),
    "big.yaml:18003:13: job 'last': priority must be one of high, normal, low, but is the text 'x'",
  );
  assert.ok(performance.eventLoopUtilization(before).utilization < 0.5);
});
