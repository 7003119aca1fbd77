import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, copyFile, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { connectFarm } from '../../../controller/store/connect.ts';
import { findNatsServer } from '../../../controller/store/find-nats-server.ts';
import { silent } from '../../../controller/store/log.ts';
import { natsImage, natsInDocker } from '../../../controller/store/nats-in-docker.ts';
import { startNatsServer } from '../../../controller/store/nats-server.ts';
import { ensureStreams } from '../../../controller/store/streams.ts';
import { isFarmError } from '../../../protocol/errors.ts';
import { needDocker, TestDocker } from '../../support/docker.ts';
import { tempDir } from '../../support/temp-dir.ts';

const run = promisify(execFile);
const platform = process.platform;

/** The image as the official one is made, from this machine's nats-server, for no registry is asked; and a client of that engine. */
async function engineWithNats(dir: string): Promise<{ docker: TestDocker; client: string }> {
  const docker = await TestDocker.start();
  const { path } = await findNatsServer({ searchPath: process.env.PATH ?? '', platform });
  const root = join(dir, 'image');
  const { stdout } = await run('ldd', [path]).catch(() => ({ stdout: '' }));
  const libraries = [...stdout.matchAll(/(\/\S+)/g)].map((m) => String(m[1]));
  for (const [from, to] of [[path, '/nats-server'] as const, ...libraries.map((l) => [l, l] as const)]) {
    await mkdir(dirname(join(root, to)), { recursive: true });
    await copyFile(from, join(root, to));
  }
  await run('tar', ['-C', root, '-cf', join(dir, 'image.tar'), '.']);
  const client = join(dir, 'docker');
  await writeFile(client, `#!/bin/sh\nexec docker -H 'unix://${docker.socketPath}' "$@"\n`);
  await chmod(client, 0o755);
  await run(client, ['import', join(dir, 'image.tar'), natsImage]);
  return { docker, client };
}

test('without nats-server on the PATH the official image serves, and is stopped, killed and started like a program', {
  skip: needDocker(),
}, async () => {
  await using dir = await tempDir('nats-docker');
  const { docker, client } = await engineWithNats(dir.path);
  try {
    const own = join(dir.path, 'nats');
    const binary = await findNatsServer({
      searchPath: '',
      platform,
      inDocker: () => natsInDocker({ dir: own, docker: client, log: silent }),
    });
    const restarted = Promise.withResolvers<void>();
    const server = await startNatsServer({
      dir: own,
      binary,
      log: silent,
      maxFileStoreBytes: 1024 ** 3,
      onRestart: restarted.resolve,
    });
    const nc = await connectFarm({ url: server.url, seed: server.files.controllerSeed, name: 'test' });
    await ensureStreams(nc, { replicas: 1 });
    await nc.close();
    assert.equal((await docker.engine.listContainers()).length, 1);
    for (const { Id } of await docker.engine.listContainers()) await docker.engine.getContainer(Id).kill();
    await restarted.promise;
    const again = await connectFarm({ url: server.url, seed: server.files.controllerSeed, name: 'test' });
    await again.close();
    await server.stop();
    assert.equal((await docker.engine.listContainers()).length, 0);
  } finally {
    await docker.stop();
  }
});

test('without an engine that answers the exact line to type is said', async () => {
  await using dir = await tempDir('nats-docker');
  const inDocker = () => natsInDocker({ dir: dir.path, docker: join(dir.path, 'no-docker'), log: silent });
  await assert.rejects(findNatsServer({ searchPath: '', platform: 'linux', inDocker }), (error) => {
    assert.ok(isFarmError(error, 'NO_NATS_SERVER'));
    return /apt-get install nats-server/.test(error.message);
  });
});
