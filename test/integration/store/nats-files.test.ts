import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { createUser } from '@nats-io/nkeys';
import { connect, nkeyAuthenticator } from '@nats-io/transport-node';
import { agentsConf } from '../../../controller/store/nats-config.ts';
import { updateAgentsConf, writeNatsFiles } from '../../../controller/store/nats-files.ts';
import { isFarmError } from '../../../protocol/errors.ts';
import { startTestNats } from '../../support/nats.ts';
import { tempDir } from '../../support/temp-dir.ts';

const login = (url: string, seed: Uint8Array | string) =>
  connect({
    servers: url,
    authenticator: nkeyAuthenticator(typeof seed === 'string' ? Buffer.from(seed) : seed),
    reconnect: false,
    timeout: 2_000,
  });

test('the server accepts the configuration, with agents and without', async () => {
  await using dir = await tempDir('files');
  const files = await writeNatsFiles(join(dir.path, 'a "dir'));
  const check = () => promisify(execFile)('nats-server', ['-t', '-c', files.config]);
  await check();
  assert.equal(await updateAgentsConf(files.dir, [{ id: 'a', publicKey: createUser().getPublicKey() }]), 'written');
  await check();
});

test('keys are made once and can be read by nobody else', async () => {
  await using dir = await tempDir('files');
  const first = await writeNatsFiles(dir.path);
  const second = await writeNatsFiles(dir.path, { port: 4999 });
  assert.equal(second.controllerSeed, first.controllerSeed);
  assert.equal(second.curveSeed, first.curveSeed);
  assert.match(first.controllerSeed, /^SU/);
  assert.match(first.curveSeed, /^SX/);
  for (const name of await readdir(dir.path))
    assert.equal((await stat(join(dir.path, name))).mode & 0o077, 0, `${name} is private`);
  assert.doesNotMatch(await readFile(first.config, 'utf8'), /SU[A-Z2-7]{20}/);
});

test('the port and the size of the store stay what they were', async () => {
  await using dir = await tempDir('files');
  await writeNatsFiles(dir.path, { port: 4999, maxFileStoreBytes: 123_456_789 });
  const again = await writeNatsFiles(dir.path);
  assert.equal(again.port, 4999);
  assert.match(await readFile(again.config, 'utf8'), /max_file_store: 123456789\n/);
});

test('a damaged key file is named, and not replaced', async () => {
  await using dir = await tempDir('files');
  await writeNatsFiles(dir.path);
  await writeFile(join(dir.path, 'controller.seed'), 'SUnonsense\n');
  await assert.rejects(writeNatsFiles(dir.path), (e) => isFarmError(e, 'BAD_SETTINGS') && e.message.includes('controller.seed'));
  assert.equal(await readFile(join(dir.path, 'controller.seed'), 'utf8'), 'SUnonsense\n');
});

test('an added agent can log in at once, a removed one is thrown out, others notice nothing', async () => {
  await using nats = await startTestNats({ streams: false });
  const [a, b] = [createUser(), createUser()];
  const [agentA, agentB] = [
    { id: 'a', publicKey: a.getPublicKey() },
    { id: 'b', publicKey: b.getPublicKey() },
  ];
  await assert.rejects(login(nats.url, a.getSeed()));

  assert.equal(await updateAgentsConf(nats.dir, [agentA, agentB]), 'reloaded');
  const [ncA, ncB] = [await login(nats.url, a.getSeed()), await login(nats.url, b.getSeed())];
  assert.equal(await updateAgentsConf(nats.dir, [agentB, agentA]), 'unchanged');

  assert.equal(await updateAgentsConf(nats.dir, [agentB]), 'reloaded');
  await ncA.closed();
  await assert.rejects(login(nats.url, a.getSeed()));
  assert.ok((await ncB.rtt()) >= 0);
  await ncB.close();
});

test('a server that was not told, because the writer was killed, is told by the next update', async () => {
  await using nats = await startTestNats({ streams: false });
  const a = createUser();
  const agent = { id: 'a', publicKey: a.getPublicKey() };
  await writeFile(join(nats.dir, 'agents.conf'), agentsConf([agent]));
  assert.equal(await updateAgentsConf(nats.dir, [agent]), 'reloaded');
  await (await login(nats.url, a.getSeed())).close();
  assert.equal(await updateAgentsConf(nats.dir, [agent]), 'unchanged');
});

test('a server that does not take the file is an error', async () => {
  await using nats = await startTestNats({ streams: false });
  const config = join(nats.dir, 'nats.conf');
  await writeFile(config, `${await readFile(config, 'utf8')}\nnonsense_field: 1\n`);
  const update = updateAgentsConf(nats.dir, [{ id: 'a', publicKey: createUser().getPublicKey() }], { timeoutMs: 500 });
  await assert.rejects(update, (e) => isFarmError(e, 'NATS_SERVER_FAILED'));
});

test('a pid file that names another process does not get it a signal', async () => {
  await using dir = await tempDir('files');
  await writeNatsFiles(dir.path);
  let signalled = false;
  const onSignal = () => {
    signalled = true;
  };
  process.once('SIGHUP', onSignal);
  for (const pid of [String(process.pid), '0', '-1', '1', 'x', '']) {
    await writeFile(join(dir.path, 'nats.pid'), pid);
    const agent = { id: `a${pid.length}`, publicKey: createUser().getPublicKey() };
    assert.equal(await updateAgentsConf(dir.path, [agent]), 'written', `pid '${pid}'`);
  }
  await new Promise(setImmediate);
  process.removeListener('SIGHUP', onSignal);
  assert.ok(!signalled);
});
