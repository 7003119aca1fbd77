import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Compile } from 'typebox/compile';
import { describeProblems } from '../../../controller/jobs/describe.ts';
import { loadJobs } from '../../../controller/jobs/load.ts';
import { Job } from '../../../protocol/job.ts';
import { directoryWith, presubmit, spec } from './harness.ts';

const job = Compile(Job);

async function jobsOf(t: TestContext, file: string): Promise<Job[]> {
  const loaded = await loadJobs(await directoryWith(t, { 'jobs.yaml': file }));
  assert.equal(describeProblems(loaded.problems), '');
  const jobs = loaded.config?.jobs ?? [];
  for (const j of jobs) assert.ok(job.Check(j), JSON.stringify(job.Errors(j)));
  return jobs;
}

async function onlyJob(t: TestContext, file: string): Promise<Job> {
  const [first, ...others] = await jobsOf(t, file);
  assert.ok(first && others.length === 0);
  return first;
}

const commonShapes = `presets:
- labels: {preset-cloud: "true"}
  env: [{name: CRED, value: /etc/cred/key.json}]
  volumes: [{name: cred, secret: {secretName: cred}}]
  volumeMounts: [{name: cred, mountPath: /etc/cred, readOnly: true}]
presubmits:
  my-org/my-repo:
  - name: pull-my-repo-unit
    cluster: build-a
    always_run: false
    run_if_changed: '^(pkg|cmd)/|^go\\.'
    branches: ['^main$', '^release-']
    decorate: true
    path_alias: example.io/my-repo
    labels: {preset-cloud: "true"}
    annotations: {testgrid-dashboards: my-team}
    spec:
      containers:
      - {image: golang:1.25, command: [make], args: [test], resources: {requests: {cpu: 2, memory: 4Gi}, limits: {cpu: 2, memory: 4Gi}}}
postsubmits:
  my-org/my-repo: [{name: post-my-repo-image, branches: ['^main$'], decorate: true, max_concurrency: 1, spec: {containers: [{image: builder, command: [/run.sh]}]}}]
periodics:
- {name: ci-nightly, cron: "0 3 * * *", decorate: true, extra_refs: [{org: my-org, repo: my-repo, base_ref: main, workdir: true}], spec: {containers: [{image: golang:1.25, command: [make, e2e]}]}}
`;

test("a file of Prow's common shapes gives a job of each type", async (t) => {
  const [pre, post, periodic] = await jobsOf(t, commonShapes);
  assert.deepEqual(pre, {
    name: 'pull-my-repo-unit',
    type: 'presubmit',
    repo: 'my-org/my-repo',
    source: { file: 'jobs.yaml', line: 8 },
    labels: { 'preset-cloud': 'true' },
    annotations: { 'testgrid-dashboards': 'my-team' },
    maxConcurrency: 0,
    priority: 'normal',
    workspace: 'local',
    trust: 'members',
    alwaysRun: false,
    runIfChanged: '^(pkg|cmd)/|^go\\.',
    branches: ['^main$', '^release-'],
    skipBranches: [],
    context: 'pull-my-repo-unit',
    optional: false,
    skipReport: false,
    pathAlias: 'example.io/my-repo',
    steps: [
      {
        name: 'test',
        image: 'golang:1.25',
        command: ['make'],
        args: ['test'],
        env: [{ name: 'CRED', value: '/etc/cred/key.json' }],
        secrets: {},
        needs: [],
        when: 'success',
        finally: false,
        timeoutMs: 86_400_000,
        graceMs: 15_000,
        retries: 0,
        queue: 'default',
        resources: { cpu: 2, memoryBytes: 4 * 1024 ** 3 },
      },
    ],
  });
  assert.deepEqual([post?.type, post?.alwaysRun, post?.maxConcurrency], ['postsubmit', true, 1]);
  assert.deepEqual([periodic?.type, periodic?.cron, periodic?.repo], ['periodic', '0 3 * * *', undefined]);
});

test('steps stand after those that they need, finally last, and take their defaults from the job', async (t) => {
  const j = await onlyJob(
    t,
    `manual:
- name: release
  queue: linux
  priority: high
  timeout: 10m
  env: {STAGE: dev, COLOUR: blue}
  steps:
  - {name: publish, image: pub, needs: [test, build], secrets: {TOKEN: npm-token}, grace_period: 2m}
  - {name: test, image: t, needs: [build], when: always, retries: 2, timeout: 1h30m, env: [{name: STAGE, value: test}]}
  - name: build
    workdir: src
    script: |
      make
  finally:
  - {name: notify, image: notifier, needs: [collect]}
  - {name: collect, image: c}
  - {name: alarm, image: a, when: failure}
`,
  );
  const of = (name: string) => j.steps.find((s) => s.name === name);
  assert.deepEqual(
    j.steps.map((s) => s.name),
    ['build', 'test', 'publish', 'collect', 'notify', 'alarm'],
  );
  assert.deepEqual(
    j.steps.map((s) => s.finally),
    [false, false, false, true, true, true],
  );
  assert.deepEqual(of('test')?.env, [
    { name: 'COLOUR', value: 'blue' },
    { name: 'STAGE', value: 'test' },
  ]);
  assert.deepEqual([of('test')?.timeoutMs, of('build')?.timeoutMs], [5_400_000, 600_000]);
  assert.deepEqual([of('publish')?.graceMs, of('publish')?.secrets], [120_000, { TOKEN: 'npm-token' }]);
  assert.deepEqual([of('build')?.script, of('build')?.workdir, of('build')?.queue], ['make\n', 'src', 'linux']);
  assert.deepEqual([of('collect')?.when, of('collect')?.needs], ['always', []]);
  assert.deepEqual([of('notify')?.when, of('notify')?.needs], ['success', ['collect']]);
  assert.deepEqual([of('alarm')?.when, of('alarm')?.needs], ['failure', ['build', 'test', 'publish']]);
  assert.equal(j.priority, 'high');
});

test('always_run has the default of its type', async (t) => {
  const jobs = await jobsOf(
    t,
    `presubmits: {o/r: [{name: a, ${spec}}]}
postsubmits:
  o/r:
  - {name: plain, ${spec}}
  - {name: never, always_run: false, ${spec}}
  - {name: changed, run_if_changed: x, ${spec}}
  - {name: changed-only-skip, skip_if_only_changed: x, ${spec}}
`,
  );
  assert.deepEqual(
    jobs.map((j) => [j.name, j.alwaysRun]),
    [
      ['a', false],
      ['plain', true],
      ['never', false],
      ['changed', false],
      ['changed-only-skip', false],
    ],
  );
});

test('trust is that of the job, else that of its repository in any file, else members', async (t) => {
  const dir = await directoryWith(t, {
    'a.yaml': `presubmits:\n  o/open: [{name: a, ${spec}}, {name: b, trust: members, ${spec}}]\n  o/closed: [{name: a, ${spec}}]\n`,
    'b/c.yml': 'repositories: {o/open: {trust: all}}\n',
  });
  const { config } = await loadJobs(dir);
  assert.deepEqual(
    config?.jobs.map((j) => j.trust),
    ['all', 'members', 'members'],
  );
});

test('a preset is for jobs that carry all of its labels, and one without labels for every job', async (t) => {
  const jobs = await jobsOf(
    t,
    `presets:
- {env: [{name: ALL, value: 1}]}
- {labels: {a: "1", b: "2"}, env: [{name: BOTH, value: x}]}
manual:
- {name: both, labels: {a: "1", b: "2", c: "3"}, steps: [{name: s, image: i}, {name: t, image: i}]}
- {name: one, labels: {a: "1"}, ${spec}}
`,
  );
  assert.deepEqual(
    jobs.map((j) => j.steps.map((s) => s.env.map((v) => `${v.name}=${v.value}`))),
    [
      [
        ['ALL=1', 'BOTH=x'],
        ['ALL=1', 'BOTH=x'],
      ],
      [['ALL=1']],
    ],
  );
});

test("values that Go reads as text are read as text, and fields of Prow's that are not used yet are read over", async (t) => {
  const j = await onlyJob(
    t,
    `${presubmit('nonsense: {a: [1]}', 'extra_refs:', 'hidden: true', 'decoration_config: {timeout: 3600000000000, gcs_configuration: {bucket: b}}')}    spec:
      serviceAccountName: robot
      volumes: [{name: v, emptyDir: {}}]
      containers:
      - image: i
        command: [make]
        securityContext: {privileged: true}
        volumeMounts: [{name: v, mountPath: /v}]
        env:
        - {name: NUMBER, value: 7}
        - {name: FLAG, value: yes}
        - {NAME: ANY_CASE, Value: x}
        - {name: EMPTY}
        - {name: ELSEWHERE, valueFrom: {secretKeyRef: {name: s, key: k}}}
`,
  );
  assert.deepEqual(
    j.steps[0]?.env.map((v) => `${v.name}=${v.value}`),
    ['NUMBER=7', 'FLAG=true', 'ANY_CASE=x', 'EMPTY='],
  );
  assert.equal(j.steps[0]?.timeoutMs, 3_600_000);
});

test('anchors and merge keys are resolved, and a mistake in one is reported where it was written, once', async (t) => {
  const file = (priority: string) => `prow_ignored:
  common: &common
    priority: ${priority}
    ${spec}
manual:
- {<<: *common, name: a}
- {<<: *common, name: b}
`;
  assert.deepEqual(
    (await jobsOf(t, file('low'))).map((j) => [j.name, j.priority]),
    [
      ['a', 'low'],
      ['b', 'low'],
    ],
  );
  const { problems } = await loadJobs(await directoryWith(t, { 'bad.yaml': file('lowest') }));
  assert.deepEqual(
    problems.map((p) => [p.line, p.column]),
    [[3, 15]],
  );
});

test('jobs of one name are fine where nothing runs both: other branches, another repository, another type', async (t) => {
  const jobs = await jobsOf(
    t,
    `presubmits:
  o/a:
  - {name: unit, branches: [main], ${spec}}
  - {name: unit, branches: ['^main$'], ${spec}}
  - {name: unit, skip_branches: ['^main$', 'main'], ${spec}}
  o/b: [{name: unit, ${spec}}]
postsubmits:
  o/a: [{name: unit, ${spec}}]
periodics:
- {name: unit, interval: 1h, ${spec}}
`,
  );
  assert.equal(jobs.length, 6);
});

test('empty files, empty maps and values left out hold no jobs', async (t) => {
  for (const empty of ['', '# only a comment\n', '{}\n', 'presubmits:\nperiodics:\n', '\u{feff}manual: []\n', '---\n'])
    assert.deepEqual(await jobsOf(t, empty), []);
});

test('steps on a shared workspace may be of several queues', async (t) => {
  const j = await onlyJob(
    t,
    'manual:\n- {name: a, workspace: shared, steps: [{name: a, image: x, queue: arm64}, {name: b, image: x, needs: [a]}]}\n',
  );
  assert.deepEqual(
    j.steps.map((s) => s.queue),
    ['arm64', 'default'],
  );
});

test('the example in deploy/ loads', async () => {
  const { config, problems } = await loadJobs(fileURLToPath(new URL('../../../deploy/examples/jobs', import.meta.url)));
  assert.equal(describeProblems(problems), '');
  const hello = config?.jobs.find((j) => j.name === 'hello');
  assert.deepEqual(
    hello?.steps.map((s) => s.name),
    ['greet', 'answer', 'goodbye'],
  );
});
