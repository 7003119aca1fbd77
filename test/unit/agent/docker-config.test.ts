import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type ContainerFacts, containerOptions, exitOf } from '../../../agent/executor/docker-config.ts';
import { fenceRules } from '../../../agent/executor/docker-fence.ts';
import { closedPolicy } from '../../../agent/executor/policy.ts';
import type { Step } from '../../../protocol/job.ts';
import { stepWith } from '../../support/steps.ts';

const optionsOf = (spec: Partial<Step>, change: Partial<ContainerFacts> = {}) =>
  containerOptions({
    agent: 'a1',
    owner: '0123456789ab',
    key: { run: '7', step: 'unit', attempt: 2 },
    spec: stepWith(spec),
    policy: closedPolicy,
    image: 'alpine:3',
    own: { entrypoint: ['/entry'], cmd: ['default'] },
    env: {},
    workspace: '/w',
    workdir: '',
    network: 'none',
    ...change,
  });

describe('a container of a step', () => {
  test('is named for its attempt, and can be found by its agent', () => {
    const { name, Labels } = optionsOf({});
    assert.equal(name, 'thresh-a1-7-unit-2');
    assert.deepEqual(Labels, { 'thresh.owner': '0123456789ab', 'thresh.attempt': '7.unit.2' });
  });

  test('is held in as far as nothing else is said', () => {
    const { HostConfig, User } = optionsOf({});
    assert.deepEqual(HostConfig?.CapDrop, ['ALL']);
    assert.deepEqual(HostConfig?.SecurityOpt, ['no-new-privileges']);
    assert.equal(HostConfig?.PidsLimit, 4096);
    assert.equal(HostConfig?.Privileged, undefined);
    assert.equal(HostConfig?.Memory, undefined);
    assert.equal(User, undefined);
  });

  test('is privileged only when the step asks, and gets its limits without swap', () => {
    const { HostConfig } = optionsOf({ privileged: true, resources: { cpu: 0.5, memoryBytes: 2 ** 29 } });
    assert.equal(HostConfig?.Privileged, true);
    assert.equal(HostConfig?.NanoCpus, 500_000_000);
    assert.deepEqual([HostConfig?.Memory, HostConfig?.MemorySwap], [2 ** 29, 2 ** 29]);
  });

  test('runs what Kubernetes would run: command in place of the entry point, args in place of the command', () => {
    const program = (spec: Partial<Step>) => {
      const { Entrypoint, Cmd } = optionsOf(spec);
      return [Entrypoint, Cmd];
    };
    assert.deepEqual(program({}), [['/entry'], ['default']]);
    assert.deepEqual(program({ args: ['a'] }), [['/entry'], ['a']]);
    assert.deepEqual(program({ command: ['c'] }), [['c'], []]);
    assert.deepEqual(program({ command: ['c'], args: ['a'] }), [['c'], ['a']]);
    assert.deepEqual(program({ script: '#!/bin/x' }), [['/thresh/script'], []]);
  });

  test('finds its own files where it sees them, not where the host does', () => {
    const { Env, HostConfig } = optionsOf(
      {},
      { env: { ARTIFACTS: '/host/artifacts', OTHER: 'x' }, artifacts: '/host/artifacts' },
    );
    assert.ok(Env?.includes('ARTIFACTS=/thresh/artifacts'));
    assert.ok(Env?.includes('OTHER=x'));
    assert.ok(HostConfig?.Mounts?.some((m) => m.Source === '/host/artifacts' && m.Target === '/thresh/artifacts' && !m.ReadOnly));
  });
});

describe('the end of a container', () => {
  const end = (change: Partial<Parameters<typeof exitOf>[0]>) =>
    exitOf({ exitCode: 0, oomKilled: false, signalled: false, engineWasAway: false, memoryLimit: 2 ** 29, ...change });

  test('names a signal only when it was sent', () => {
    assert.deepEqual(end({ exitCode: 143 }), { exitCode: 143 });
    assert.deepEqual(end({ exitCode: 143, asked: 'SIGTERM' }), { exitCode: 143, signal: 'SIGTERM' });
    assert.deepEqual(end({ exitCode: 143, asked: 'SIGKILL' }), { exitCode: 143, signal: 'SIGTERM' });
    assert.deepEqual(end({ exitCode: 137, asked: 'SIGKILL' }), { exitCode: 137, signal: 'SIGKILL' });
    assert.deepEqual(end({ exitCode: 0, asked: 'SIGTERM' }), { exitCode: 0 });
  });

  test('for want of memory says so, also when only a child was killed', () => {
    assert.deepEqual(end({ exitCode: 137, oomKilled: true }), {
      exitCode: 137,
      signal: 'SIGKILL',
      note: 'out of memory (limit 512Mi)',
    });
    assert.deepEqual(end({ exitCode: 2, oomKilled: true }), { exitCode: 2, note: 'out of memory (limit 512Mi)' });
    assert.match((end({ oomKilled: true, memoryLimit: 0 }) as { note: string }).note, /^one of its processes .* out of memory$/);
  });

  test('is nobody’s fault when the engine went away and took it along', () => {
    for (const exitCode of [137, 143, 255]) assert.ok('lost' in end({ exitCode, engineWasAway: true }), String(exitCode));
    assert.ok('lost' in end({ exitCode: 137, signalled: true }));
    assert.deepEqual(end({ exitCode: 1, engineWasAway: true }), { exitCode: 1 });
    assert.deepEqual(end({ exitCode: 255 }), { exitCode: 255 });
    assert.deepEqual(end({ exitCode: 143, engineWasAway: true, asked: 'SIGTERM' }), { exitCode: 143, signal: 'SIGTERM' });
  });
});

test('the fence lets nothing in, nothing to the metadata of a cloud but DNS, and nothing to the farm', () => {
  const rules = fenceRules({ bridge: 'thr-x', id: 'x' }, [{ address: '10.0.0.1', port: 8787 }]).split('\n');
  const last = (chain: string) => rules.filter((rule) => rule.startsWith(`-A ${chain} `)).at(-1);
  assert.equal(last('THRESH-IN-x'), '-A THRESH-IN-x -j REJECT');
  assert.equal(last('THRESH-OUT-x'), '-A THRESH-OUT-x -p tcp -m conntrack --ctorigdst 10.0.0.1 --ctorigdstport 8787 -j REJECT');
  const dns = rules.indexOf('-A THRESH-OUT-x -d 169.254.0.0/16 -p udp --dport 53 -j RETURN');
  assert.ok(dns > 0 && dns < rules.indexOf('-A THRESH-OUT-x -d 169.254.0.0/16 -j REJECT'));
});
