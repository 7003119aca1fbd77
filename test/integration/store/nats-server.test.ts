import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { createUser } from '@nats-io/nkeys';
import { connect, nkeyAuthenticator } from '@nats-io/transport-node';
import { connectFarm } from '../../../controller/store/connect.ts';
import { findNatsServer } from '../../../controller/store/find-nats-server.ts';
import type { Leash } from '../../../controller/store/launch-nats.ts';
import { silent } from '../../../controller/store/log.ts';
import { agentsConf } from '../../../controller/store/nats-config.ts';
import { natsPaths } from '../../../controller/store/nats-files.ts';
import { startNatsServer } from '../../../controller/store/nats-server.ts';
import { versionAtLeast } from '../../../controller/store/nats-version.ts';
import { ensureStreams } from '../../../controller/store/streams.ts';
import { isFarmError } from '../../../protocol/errors.ts';
import { runs, until } from '../../support/processes.ts';
import { tempDir } from '../../support/temp-dir.ts';

const binary = await findNatsServer({ searchPath: process.env.PATH ?? '', platform: process.platform });
const common = { binary, log: silent, maxFileStoreBytes: 1024 ** 3 };

/** A controller in a process of its own, which only the test ends. */
async function parent(dir: string, leash: Leash) {
  const child = spawn(process.execPath, [`${import.meta.dirname}/../../support/nats-parent.ts`, dir, binary.path, leash], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  const { pid, url } = JSON.parse(String(line)) as { pid: number; url: string };
  return {
    pid,
    url,
    killNow: async () => {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

test('a killed server comes back on the same port with what was stored', async () => {
  await using dir = await tempDir('server');
  const restarted = Promise.withResolvers<void>();
  await using server = await startNatsServer({ ...common, dir: dir.path, onRestart: restarted.resolve });
  const nc = await connectFarm({ url: server.url, seed: server.files.controllerSeed, name: 'test' });
  await ensureStreams(nc, { replicas: 1, storeDir: server.files.storeDir });
  await jetstream(nc).publish('run.1', 'kept');

  const first = server.pid();
  assert.ok(first);
  process.kill(first, 'SIGKILL');
  await restarted.promise;

  assert.notEqual(server.pid(), first);
  await until('the client is connected again', async () => (await nc.rtt().catch(() => -1)) >= 0);
  const jsm = await jetstreamManager(nc);
  assert.equal((await jsm.streams.getMessage('RUNS', { last_by_subj: 'run.1' }))?.string(), 'kept');
  await nc.close();
});

test('a server that does not know sync_interval is started without it', async () => {
  await using dir = await tempDir('server');
  await using server = await startNatsServer({ ...common, dir: dir.path, syncAlways: true });
  const knows = versionAtLeast(binary.version, '2.10.0');
  assert.equal((await readFile(server.files.config, 'utf8')).includes('sync_interval: always'), knows);
});

test('a server has the port of the last time when its controller is started again', async () => {
  await using dir = await tempDir('server');
  const first = await startNatsServer({ ...common, dir: dir.path });
  const pid = first.pid();
  await first.stop();
  assert.ok(pid && !(await runs(pid)), 'it is stopped');
  await using second = await startNatsServer({ ...common, dir: dir.path });
  assert.equal(second.url, first.url);
});

for (const leash of ['kernel', 'watcher'] as const)
  test(`the server ends within three seconds of its controller's SIGKILL (${leash})`, {
    skip: process.platform !== 'linux',
  }, async () => {
    await using dir = await tempDir('server');
    const controller = await parent(dir.path, leash);
    assert.ok(await runs(controller.pid));
    await controller.killNow();
    await until('the server has ended', async () => !(await runs(controller.pid)), 3_000);
  });

test('a server that a killed controller left behind is ended before another starts on its store', async (t) => {
  await using dir = await tempDir('server');
  const controller = await parent(dir.path, 'none');
  t.after(async () => {
    if (await runs(controller.pid)) process.kill(controller.pid, 'SIGKILL');
  });
  await controller.killNow();
  assert.ok(await runs(controller.pid), 'left behind');
  await using server = await startNatsServer({ ...common, dir: dir.path });
  assert.ok(!(await runs(controller.pid)), 'ended');
  assert.equal(server.url, controller.url);
});

test('an agent that was admitted while the server was starting can log in', async () => {
  await using dir = await tempDir('server');
  const agent = createUser();
  const log = {
    ...silent,
    // The server has read its files when it says that it is ready.
    debug: (_: object, line: string) => {
      if (line.includes('Server is ready'))
        writeFileSync(natsPaths(dir.path).agents, agentsConf([{ id: 'a', publicKey: agent.getPublicKey() }]));
    },
  };
  await using server = await startNatsServer({ ...common, dir: dir.path, log });
  const nc = await connect({ servers: server.url, authenticator: nkeyAuthenticator(agent.getSeed()), reconnect: false });
  await nc.close();
});

test('two controllers never start servers on one store', async () => {
  await using dir = await tempDir('server');
  const started = await Promise.allSettled([1, 2].map(() => startNatsServer({ ...common, dir: dir.path })));
  const running = started.filter((s) => s.status === 'fulfilled');
  const refused = started.filter((s) => s.status === 'rejected');
  assert.equal(running.length, 1);
  assert.ok(isFarmError(refused[0]?.reason, 'DATA_DIR_IN_USE'));
  assert.equal(refused[0]?.reason.facts.pid, process.pid);
  await running[0]?.value.stop();
});

test('a server that cannot start says why, and frees the directory', async () => {
  await using dir = await tempDir('server');
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const address = taken.address();
  assert.ok(address && typeof address === 'object');
  const start = () => startNatsServer({ ...common, dir: dir.path, port: address.port });
  await assert.rejects(start, (e) => isFarmError(e, 'NATS_SERVER_FAILED') && /address already in use/.test(e.message));
  taken.close();
  await once(taken, 'close');
  await using server = await start();
  assert.equal(new URL(server.url).port, String(address.port));
});

test('stopping while a dead server waits for its next start is stopping', async () => {
  await using dir = await tempDir('server');
  const server = await startNatsServer({ ...common, dir: dir.path });
  const pid = server.pid();
  assert.ok(pid);
  process.kill(pid, 'SIGKILL');
  await until('the death was noticed', () => server.pid() === undefined);
  await server.stop();
  assert.equal(server.pid(), undefined);
});
