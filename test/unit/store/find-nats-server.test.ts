import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { findNatsServer, installHint } from '../../../controller/store/find-nats-server.ts';
import { isFarmError } from '../../../protocol/errors.ts';

/** Directories that each hold a program called nats-server which says the given text. */
async function installed(...says: string[]) {
  const top = await mkdtemp(join(tmpdir(), 'thresh-find-'));
  const dirs = await Promise.all(
    says.map(async (text) => {
      const dir = await mkdtemp(join(top, 'bin-'));
      await writeFile(join(dir, 'nats-server'), `#!/bin/sh\necho '${text}'\n`);
      await chmod(join(dir, 'nats-server'), 0o755);
      return dir;
    }),
  );
  return { dirs, searchPath: dirs.join(':'), [Symbol.asyncDispose]: () => rm(top, { recursive: true }) };
}

test('the first server on the PATH is found, with its version', async () => {
  await using here = await installed('nats-server: v2.10.27', 'nats-server: v2.15.1');
  const found = await findNatsServer({ searchPath: `/nowhere::${here.searchPath}`, platform: 'linux' });
  assert.deepEqual(found, { path: `${here.dirs[0]}/nats-server`, version: '2.10.27' });
});

test('what the operator names goes before the PATH, and is not replaced by it', async () => {
  await using here = await installed('nats-server: v2.10.27', 'nats-server: v2.15.1');
  const explicit = `${here.dirs[1]}/nats-server`;
  assert.equal((await findNatsServer({ explicit, searchPath: here.searchPath, platform: 'linux' })).version, '2.15.1');
  await assert.rejects(
    findNatsServer({ explicit: '/bin/true', searchPath: here.searchPath, platform: 'linux' }),
    (e) => isFarmError(e, 'NO_NATS_SERVER') && e.message.includes('/bin/true'),
  );
});

test('a server that is too old is named, not passed over', async () => {
  await using here = await installed('nats-server: v2.2.0', 'nats-server: v2.15.1');
  await assert.rejects(findNatsServer({ searchPath: here.searchPath, platform: 'linux' }), (e) => isFarmError(e, 'NATS_TOO_OLD'));
});

test('without one, the error says what to type on this system', async () => {
  const missing = (platform: NodeJS.Platform) => findNatsServer({ searchPath: '/nowhere', platform });
  await assert.rejects(missing('darwin'), /brew install nats-server/);
  await assert.rejects(missing('linux'), /apt-get install nats-server/);
  await assert.rejects(missing('win32'), /winget install .*scoop install .*agents need Linux or macOS/s);
  assert.match(installHint('aix'), /nats\.io/);
});
