import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import type { StepEnd } from '../../../agent/executor/executor.ts';
import { closedPolicy } from '../../../agent/executor/policy.ts';
import type { Step } from '../../../protocol/job.ts';
import { needDocker, newOwner, TestDocker, testImage } from '../../support/docker.ts';
import { places, run } from '../../support/executor-suite.ts';

const skip = needDocker();
const docker = skip ? undefined : await TestDocker.start();
after(() => docker?.stop());
/** For the tests, which do not run without it. */
const there = (): TestDocker => {
  if (!docker) throw new Error('no Docker Engine');
  return docker;
};
const owner = newOwner();
/** Most tests want no network: it takes time. */
const executor = (change: Parameters<TestDocker['executor']>[0] = {}) => there().executor({ owner, ...change });

async function ran(
  spec: Partial<Step>,
  change: Parameters<TestDocker['executor']>[0] = {},
): Promise<StepEnd & { output: string }> {
  await using at = await places();
  const { started, output } = run(executor(change), at, { network: 'none', ...spec });
  return { ...(await started.ended), output: output().toString('latin1') };
}

describe('what a container may use', { skip }, () => {
  test('a step beyond its memory is told apart from one that was killed', async () => {
    const { output: _, ...end } = await ran({ script: 'exec tail /dev/zero', resources: { memoryBytes: 16 * 1024 * 1024 } });
    assert.deepEqual(end, { outcome: 'fail', exitCode: 137, signal: 'SIGKILL', message: 'out of memory (limit 16Mi)' });
    const own = await ran({ script: 'kill -9 $$' });
    assert.deepEqual(own, { outcome: 'fail', exitCode: 137, output: '' });
  });

  test('no more processes than its limit', async () => {
    const { output } = await ran({
      script: 'set +e; for i in 1 2 3 4 5 6 7 8 9 10; do sleep 5 & done; jobs | wc -l',
      resources: { pids: 8 },
    });
    assert.match(output, /can't fork/);
  });

  test('the limits of the node hold for steps that ask for nothing', async () => {
    const limits = { memoryBytes: 16 * 1024 * 1024, cpu: 0.5, pids: 50 };
    const end = await ran({ script: 'exec tail /dev/zero' }, { policy: { ...closedPolicy, limits } });
    assert.equal(end.message, 'out of memory (limit 16Mi)');
  });

  test('no new privileges, and few capabilities', async () => {
    const { output } = await ran({ script: 'grep -E "^(NoNewPrivs|CapBnd|CapEff)" /proc/self/status' });
    // CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID
    assert.equal(output, 'CapEff:\t00000000000000fb\nCapBnd:\t00000000000000fb\nNoNewPrivs:\t1\n');
  });

  test('what the policy allows, when the step asks', async () => {
    const policy = { ...closedPolicy, capabilities: ['NET_ADMIN'] };
    const added = await ran({ script: 'grep CapEff /proc/self/status', capabilities: ['NET_ADMIN'] }, { policy });
    assert.equal(added.output, 'CapEff:\t00000000000010fb\n');
  });

  test('the user that the step or the node names owns the workspace, not what a step has put in place of it', async () => {
    await using at = await places();
    await mkdir(join(at.workspace, 'outputs'));
    await mkdir(join(at.workspace, 'kept'));
    await symlink(join(at.workspace, 'kept'), join(at.workspace, 'outputs', 'artifacts'));
    const own = run(executor(), at, { script: 'id -u; id -g; echo x > outputs/mine', user: 'build', network: 'none' });
    assert.equal((await own.started.ended).outcome, 'pass');
    assert.equal(own.output().toString(), '1234\n1235\n');
    assert.equal((await stat(join(at.workspace, 'kept'))).uid, process.getuid?.());
    const policy = { ...closedPolicy, user: '4321:4321' };
    assert.equal((await ran({ script: 'id -u; echo x > mine' }, { policy })).output, '4321\n');
  });

  test('a path of the host that the policy lists', async () => {
    await using cache = await places();
    await writeFile(join(cache.workspace, 'hello'), 'hello');
    const hostPaths = [{ path: cache.workspace, mount: '/cache', readOnly: true }];
    const policy = { ...closedPolicy, hostPaths: [{ path: cache.workspace, readOnly: true }] };
    const { output } = await ran({ script: 'cat /cache/hello; ! touch /cache/x 2>/dev/null', hostPaths }, { policy });
    assert.equal(output, 'hello');
    const link = join(cache.workspace, 'link');
    await symlink('/etc', link);
    const elsewhere = await ran(
      { script: ':', hostPaths: [{ path: link, mount: '/x', readOnly: true }] },
      { policy: { ...closedPolicy, hostPaths: [{ path: link, readOnly: true }] } },
    );
    assert.equal(elsewhere.message, `host path '${link}' leads to /etc; name that`);
  });
});

describe('the policy of a node', { skip }, () => {
  test('refuses before anything is pulled', async () => {
    const far = 'registry.invalid/x:1';
    const refused: [Partial<Step>, RegExp][] = [
      [{ privileged: true }, /privileged steps.*privileged: true/],
      [{ network: 'host' }, /host's network.*hostNetwork: true/],
      [{ capabilities: ['SYS_ADMIN'] }, /capability SYS_ADMIN/],
      [{ hostPaths: [{ path: '/etc', mount: '/etc', readOnly: true }] }, /host path '\/etc'.*\[\/etc:ro\]/],
    ];
    for (const [spec, message] of refused) {
      const end = await ran({ image: far, script: ':', ...spec });
      assert.equal(end.outcome, 'error');
      assert.match(end.message ?? '', message);
      assert.equal(end.output, '');
    }
    const image = await ran({ image: far, script: ':' }, { policy: { ...closedPolicy, images: ['golang', 'ghcr.io/acme/*'] } });
    assert.match(image.message ?? '', /does not allow image 'registry.invalid\/x:1'; .* golang, ghcr.io\/acme\/\*/);
  });
});

describe('images', { skip }, () => {
  test('one that is there is not pulled, unless it is asked for or ":latest"', async () => {
    assert.equal((await ran({ image: testImage, script: ':' })).output, '');
    for (const spec of [{ image: testImage, pullPolicy: 'always' as const }, { image: 'registry.invalid/there' }]) {
      const end = await ran({ ...spec, script: ':' });
      assert.equal(end.outcome, 'error');
      assert.match(end.message ?? '', new RegExp(`^image '${spec.image}' could not be pulled: `));
      assert.equal(end.output, `[thresh: pulling image ${spec.image}]\n`);
    }
  });

  test('one that is not there and must not be pulled is an error', async () => {
    const end = await ran({ image: 'registry.invalid/x:1', script: ':', pullPolicy: 'never' });
    assert.equal(end.message, "image 'registry.invalid/x:1' is not on this node, and its pull policy is 'never'");
  });

  test('a step without an image needs a default', async () => {
    await using at = await places();
    const bare = there().executor({ owner, defaultImage: '' });
    const end = await run(bare, at, { script: ':' }).started.ended;
    assert.match(end.message ?? '', /names no image.*--default-image/);
  });
});

describe('the network of steps', { skip }, () => {
  /** An address of this machine that is not loopback. */
  const hostAddress = Object.values(networkInterfaces())
    .flatMap((all) => all ?? [])
    .find((a) => a.family === 'IPv4' && !a.internal)?.address;
  const get = (address: string) => `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 ${address.replace(':', ' ')} 2>&1`;

  async function listener(): Promise<{ address: string; [Symbol.asyncDispose]: () => Promise<void> }> {
    const server = createServer((_, answer) => answer.end('reached')).listen(0, '0.0.0.0');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    return {
      address: `${hostAddress}:${port}`,
      [Symbol.asyncDispose]: async () => {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      },
    };
  }

  test('does not lead to the node, unless the policy leaves it open', async () => {
    await using at = await listener();
    const closed = await ran({ script: get(at.address), network: 'default' });
    assert.match(closed.output, /refused/);
    const open = await ran(
      { script: get(at.address), network: 'default' },
      { owner: newOwner(), policy: { ...closedPolicy, network: 'open' } },
    );
    assert.match(open.output, /reached$/);
    const none = await ran({ script: get(at.address), network: 'none' });
    assert.match(none.output, /unreachable/);
    const host = await ran({ script: get(at.address), network: 'host' }, { policy: { ...closedPolicy, hostNetwork: true } });
    assert.match(host.output, /reached$/);
  });

  test("leads out, but not to the cloud's metadata nor to the farm elsewhere", async () => {
    // Another network of the engine plays the world outside.
    const { engine } = there();
    const world = async (name: string, subnet: string, address: string) => {
      const network = await engine.createNetwork({ Name: name, Driver: 'bridge', IPAM: { Config: [{ Subnet: subnet }] } });
      const server = await engine.createContainer({
        Image: testImage,
        Cmd: ['sh', '-c', 'echo reached > /tmp/index.html; for p in 80 81; do httpd -p $p -h /tmp; done; exec sleep 600'],
        HostConfig: { NetworkMode: name },
        NetworkingConfig: { EndpointsConfig: { [name]: { IPAMConfig: { IPv4Address: address } } } },
      });
      await server.start();
      return async () => {
        await server.remove({ force: true });
        await network.remove();
      };
    };
    const leave = [
      await world('metadata', '169.254.169.0/24', '169.254.169.254'),
      await world('world', '10.214.0.0/24', '10.214.0.80'),
    ];
    try {
      const fenced = executor({ owner: newOwner() });
      const warnings: string[] = [];
      await fenced.prepare?.({ farm: ['http://10.214.0.80:81'], warn: (sentence) => warnings.push(sentence) });
      assert.deepEqual(warnings, []);
      await using at = await places();
      const script = ['10.214.0.80:80', '10.214.0.80:81', '169.254.169.254:80']
        .map((a) => `${get(a)} | tail -n 1; echo`)
        .join('\n');
      const { started, output } = run(fenced, at, { script });
      await started.ended;
      const [world, farm, metadata] = output().toString().trim().split(/\n+/);
      assert.equal(world, 'reached');
      assert.match(farm ?? '', /refused/);
      assert.match(metadata ?? '', /refused/);
    } finally {
      for (const done of leave) await done();
    }
  });
});
