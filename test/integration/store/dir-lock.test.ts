import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { lockDir } from '../../../controller/store/dir-lock.ts';
import { isFarmError } from '../../../protocol/errors.ts';
import { tempDir } from '../../support/temp-dir.ts';

const module = new URL('../../../controller/store/dir-lock.ts', import.meta.url).href;
const script = `import { lockDir } from ${JSON.stringify(module)};
const tried = await lockDir(process.argv[1]).then(() => 'locked', (e) => e.code + ' ' + e.facts?.pid);
globalThis.gc?.();
console.log(tried);
if (tried === 'locked') setInterval(() => {}, 1e6);`;

/** Another process that tries to take the directory, and holds it. */
function other(t: TestContext, dir: string) {
  const child = spawn(process.execPath, ['--expose-gc', '--input-type=module', '--eval', script, dir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  return {
    pid: child.pid,
    said: once(child.stdout, 'data').then(([text]) => String(text).trim()),
    killNow: async () => {
      const exited = child.exitCode === null ? once(child, 'exit') : undefined;
      child.kill('SIGKILL');
      await exited;
    },
  };
}

test('a directory is held until it is released', async () => {
  await using dir = await tempDir('lock');
  const lock = await lockDir(dir.path);
  await assert.rejects(lockDir(dir.path), (e) => isFarmError(e, 'DATA_DIR_IN_USE') && e.facts.pid === process.pid);
  await lock.release();
  await lock.release();
  await (await lockDir(dir.path)).release();
});

test('another process is named while it holds the directory, and its SIGKILL frees it at once', async (t) => {
  await using dir = await tempDir('lock');
  const holder = other(t, dir.path);
  assert.equal(await holder.said, 'locked');
  await assert.rejects(lockDir(dir.path), (e) => isFarmError(e, 'DATA_DIR_IN_USE') && e.facts.pid === holder.pid);
  await holder.killNow();
  await using _ = await lockDir(dir.path);
});

test('of many that start at once, also after a crash, one gets it', async (t) => {
  await using dir = await tempDir('lock');
  const crashed = other(t, dir.path);
  assert.equal(await crashed.said, 'locked');
  await crashed.killNow();
  const racers = Array.from({ length: 6 }, () => other(t, dir.path));
  const said = await Promise.all(racers.map((r) => r.said));
  assert.equal(said.filter((s) => s === 'locked').length, 1, said.join(', '));
  assert.equal(said.filter((s) => s.startsWith('DATA_DIR_IN_USE')).length, 5, said.join(', '));
  await Promise.all(racers.map((r) => r.killNow()));
});
