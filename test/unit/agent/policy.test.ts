import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { globMatches, imageMatches, isLatest, parseImage, pullName } from '../../../agent/executor/image-name.ts';
import { closedPolicy, type NodePolicy, readPolicy, refusalOf } from '../../../agent/executor/policy.ts';
import type { Step } from '../../../protocol/job.ts';
import { stepWith } from '../../support/steps.ts';

const refusal = (spec: Partial<Step>, policy: Partial<NodePolicy> = {}, image = 'alpine:3') =>
  refusalOf(stepWith(spec), image, { ...closedPolicy, ...policy });

describe('a node that says nothing', () => {
  test('allows any image, and nothing beyond the container', () => {
    assert.equal(refusal({}), undefined);
    assert.equal(refusal({ network: 'none', user: 'build', capabilities: ['CHOWN'], resources: { pids: 5 } }), undefined);
    assert.match(refusal({ privileged: true }) ?? '', /does not allow privileged steps; .*privileged: true$/);
    assert.match(refusal({ network: 'host' }) ?? '', /hostNetwork: true$/);
    assert.match(refusal({ capabilities: ['NET_ADMIN'] }) ?? '', /capability NET_ADMIN; .*capabilities: \[NET_ADMIN\]$/);
    assert.match(
      refusal({ hostPaths: [{ path: '/etc', mount: '/x', readOnly: false }] }) ?? '',
      /'\/etc' to be written; .*hostPaths: \[\/etc\]$/,
    );
  });
});

describe('a policy', () => {
  test('of host paths means exactly these, and reading only where it says so', () => {
    const policy = { hostPaths: [{ path: '/cache', readOnly: true }] };
    const asks = (path: string, readOnly: boolean) => refusal({ hostPaths: [{ path, mount: '/x', readOnly }] }, policy);
    assert.equal(asks('/cache', true), undefined);
    for (const path of ['/cache/..', '/cache/below', '/cach', '/']) assert.match(asks(path, true) ?? '', /does not allow/, path);
    assert.match(asks('/cache', false) ?? '', /to be written/);
  });

  test('of a user and of limits holds against what a step asks', () => {
    assert.match(refusal({ user: '0' }, { user: '1000' }) ?? '', /as user '1000', but the step asks for '0'/);
    const limits = { cpu: 2, memoryBytes: 2 ** 30, pids: 100 };
    assert.equal(refusal({ resources: limits }, { limits }), undefined);
    assert.match(refusal({ resources: { cpu: 3 } }, { limits }) ?? '', /3 CPUs, the most is 2/);
    assert.match(refusal({ resources: { memoryBytes: 2 ** 31 } }, { limits }) ?? '', /2Gi of memory, the most is 1Gi/);
    assert.match(refusal({ resources: { pids: 101 } }, { limits }) ?? '', /101 processes/);
  });

  test('of images names them as Docker reads them', () => {
    const allowed = (image: string, ...images: string[]) => refusal({}, { images }, image) === undefined;
    assert.ok(allowed('golang:1.25', 'golang'));
    assert.ok(allowed('docker.io/library/golang', 'golang'));
    assert.ok(allowed('ghcr.io/acme/tool:1', 'ghcr.io/acme/*'));
    assert.ok(allowed(`ghcr.io/acme/tool@sha256:${'a'.repeat(64)}`, 'ghcr.io/acme/*'));
    assert.ok(allowed('golang:1.25', 'golang:1.*'));
    assert.ok(!allowed('golang:2', 'golang:1.*'));
    assert.ok(!allowed('evil.example/golang', 'golang'));
    assert.ok(!allowed('ghcr.io/acme/deep/tool', 'ghcr.io/acme/*'));
    assert.ok(!allowed('ghcr.io.evil.example/acme/tool', 'ghcr.io/acme/*'));
    assert.ok(!allowed('golang'));
  });

  test('is read from YAML or JSON; all that is wrong with it is said', () => {
    assert.deepEqual(readPolicy('hostPaths: [/a, "/b:ro"]\nlimits: {cpu: 500m, memory: 4Gi}\nnetwork: open'), {
      policy: {
        ...closedPolicy,
        network: 'open',
        hostPaths: [
          { path: '/a', readOnly: false },
          { path: '/b', readOnly: true },
        ],
        limits: { cpu: 0.5, memoryBytes: 4 * 2 ** 30 },
      },
    });
    assert.deepEqual(readPolicy('{"privileged": true}'), { policy: { ...closedPolicy, privileged: true } });
    assert.deepEqual(readPolicy(''), { policy: closedPolicy });
    for (const bad of ['privilegd: true', 'privileged: yes please', 'hostPaths: [etc]', 'limits: {memory: 4GB}', '[', '- a'])
      assert.ok('problems' in readPolicy(bad), bad);
  });
});

describe('the name of an image', () => {
  test('is read as Docker reads it', () => {
    assert.deepEqual(parseImage('golang'), { name: 'docker.io/library/golang' });
    assert.deepEqual(parseImage('acme/tool:1'), { name: 'docker.io/acme/tool', tag: '1' });
    assert.deepEqual(parseImage('localhost:5000/tool'), { name: 'localhost:5000/tool' });
    assert.deepEqual(parseImage('r.example/a/b:c@sha256:d'), { name: 'r.example/a/b', tag: 'c', digest: 'sha256:d' });
  });

  test('never means all tags when it is pulled, and is looked up again only when it can change', () => {
    assert.equal(pullName('localhost:5000/tool'), 'localhost:5000/tool:latest');
    assert.equal(pullName('tool@sha256:d'), 'tool@sha256:d');
    assert.deepEqual(['a', 'a:latest', 'a:1', 'a@sha256:d'].map(isLatest), [true, true, false, false]);
  });

  test('fits a pattern that is the name itself, and patterns take no time to speak of', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z.]{1,8}(\/[a-z]{1,5}){1,2}(:[a-z0-9]{1,5})?$/), (image) => {
        assert.ok(imageMatches(image, image));
      }),
    );
    const begun = performance.now();
    assert.equal(globMatches('a'.repeat(1_000), `${'*a'.repeat(100)}b`), false);
    assert.ok(performance.now() - begun < 1_000);
  });
});
