import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Compile } from 'typebox/compile';
import { loadJobs } from '../../../controller/jobs/load.ts';
import { Job } from '../../../protocol/job.ts';
import { directoryWith, presubmit, withSteps } from './harness.ts';

const check = Compile(Job);

async function load(t: Parameters<typeof directoryWith>[0], text: string) {
  const { config, problems } = await loadJobs(await directoryWith(t, { 'jobs.yaml': text }));
  for (const job of config?.jobs ?? []) assert.ok(check.Check(job), job.name);
  return { step: config?.jobs[0]?.steps[0], messages: problems.map((p) => p.message) };
}

test('a step of steps says what it asks of the node', async (t) => {
  const { step, messages } = await load(
    t,
    withSteps(
      '- name: all',
      '  script: make',
      '  pull_policy: never',
      '  resources: {cpu: 500m, memory: 512Mi, pids: 100}',
      '  user: 1000',
      '  network: none',
      '  privileged: true',
      '  capabilities: [CAP_NET_ADMIN, sys_ptrace]',
      '  host_paths: [{path: /var/cache/, read_only: true}, {path: /a, mount: /b}]',
    ),
  );
  assert.deepEqual(messages, []);
  const { pullPolicy, resources, user, network, privileged, capabilities, hostPaths } = step ?? assert.fail();
  assert.deepEqual(
    { pullPolicy, resources, user, network, privileged, capabilities, hostPaths },
    {
      pullPolicy: 'never',
      resources: { cpu: 0.5, memoryBytes: 512 * 1024 * 1024, pids: 100 },
      user: '1000',
      network: 'none',
      privileged: true,
      capabilities: ['NET_ADMIN', 'SYS_PTRACE'],
      hostPaths: [
        { path: '/var/cache', mount: '/var/cache', readOnly: true },
        { path: '/a', mount: '/b', readOnly: false },
      ],
    },
  );
});

test('a step that asks for nothing says nothing', async (t) => {
  const { step } = await load(t, withSteps('- {name: bare, script: make, privileged: false}'));
  for (const field of ['pullPolicy', 'resources', 'user', 'network', 'privileged', 'capabilities', 'hostPaths'] as const)
    assert.ok(!(field in (step ?? {})), field);
});

test("a PodSpec's limits, security context and host paths are taken over; its requests are not", async (t) => {
  const { step, messages } = await load(
    t,
    presubmit(
      'spec:',
      '  hostNetwork: true',
      '  securityContext: {runAsUser: 1, runAsGroup: 2}',
      '  volumes: [{name: cache, hostPath: {path: /var/cache}}, {name: tmp, emptyDir: {}}]',
      '  containers:',
      '  - image: alpine',
      '    command: [make]',
      '    imagePullPolicy: IfNotPresent',
      '    resources: {limits: {cpu: 2, memory: 1e9}, requests: {cpu: 1}}',
      '    securityContext: {privileged: true, runAsUser: 1000, capabilities: {add: [SYS_ADMIN]}}',
      '    volumeMounts: [{name: cache, mountPath: /cache}, {name: tmp, mountPath: /tmp}]',
    ),
  );
  assert.deepEqual(messages, []);
  const { pullPolicy, resources, user, network, privileged, capabilities, hostPaths } = step ?? assert.fail();
  assert.deepEqual(
    { pullPolicy, resources, user, network, privileged, capabilities, hostPaths },
    {
      pullPolicy: 'if-not-present',
      resources: { cpu: 2, memoryBytes: 1_000_000_000 },
      user: '1000:2',
      network: 'host',
      privileged: true,
      capabilities: ['SYS_ADMIN'],
      hostPaths: [{ path: '/var/cache', mount: '/cache', readOnly: false }],
    },
  );
});

test('a size that is none is a problem, in steps and in a PodSpec', async (t) => {
  const steps = await load(t, withSteps('- {name: s, script: make, resources: {cpu: fast, memory: 1Mi}}'));
  assert.deepEqual(steps.messages, [
    "step 's': resources.cpu must be a number of cores, such as 2 or '500m', but is the text 'fast'",
    "step 's': resources.memory must be a size of at least 6Mi, such as '512Mi', but is the text '1Mi'",
  ]);
  const pod = await load(
    t,
    presubmit('spec: {containers: [{image: alpine, command: [make], resources: {limits: {memory: 512MB}}}]}'),
  );
  assert.equal(pod.messages.length, 1);
  assert.match(pod.messages[0] ?? '', /limits\.memory must be a size .* but is the text '512MB'/);
});
