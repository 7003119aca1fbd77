import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { quickTimes, TestFarm } from '../../support/farm.ts';
import { need } from '../../support/need.ts';
import { tempDir } from '../../support/temp-dir.ts';

const run = promisify(execFile);
const jobs = {
  'jobs.yaml':
    'manual:\n- name: hello\n  steps:\n  - {name: only, script: "wait-file go\\nprint bye"}\n- name: quick\n  steps:\n  - {name: only, script: "print hi"}\n',
};
const mib = 1024 * 1024;
const skip = need('nats-server') || (process.getuid?.() !== 0 && 'needs root, to mount a small disk');

test('while a disk is nearly full nothing new is accepted, what runs goes on, and it all heals by itself', { skip }, async () => {
  await using disk = await smallDisk();
  await using farm = await TestFarm.start({ jobs, times: quickTimes, controllers: 0 });
  farm.settings.objectsDir = disk.path;
  farm.settings.leastFreeBytes = 8 * mib;
  await farm.addController('c1');
  await farm.addAgent({ name: 'a1' });
  const id = await farm.run('hello');
  await farm.until('the step runs', async () => (await farm.getRun(id)).at[0]?.attempts[0]?.state === 'running');

  await writeFile(join(disk.path, 'ballast'), Buffer.alloc(9 * mib));
  const ready = async () =>
    (await (await fetch(`${farm.url}/readyz`)).json()) as { ok: boolean; intake: { ok: boolean; why?: string } };
  const closed = await farm.until('intake closes', async () => {
    const state = await ready();
    return !state.intake.ok && state;
  });
  assert.match(closed.intake.why ?? '', /^the disk of objects is nearly full: \d MiB free, 8 MiB needed$/);
  assert.equal(await farm.hook('push', { ref: 'x' }), 503);
  await assert.rejects(farm.run('hello'), /503.*UNAVAILABLE.*not stored: the disk of objects/);
  assert.match(await metricsOf(farm), /^thresh_intake_open 0$/m);

  // Notices and logs are taken all the same.
  const { dir } = farm;
  const workspace = join(dir, 'agent-a1', 'workspaces');
  const { stdout } = await run('find', [workspace, '-maxdepth', '2', '-mindepth', '1', '-type', 'd']);
  for (const path of stdout.trim().split('\n')) await writeFile(join(path, 'go'), '');
  assert.equal((await farm.ended(id)).state, 'passed');
  assert.equal(await farm.logOf(id, 'only'), 'bye\n');

  await rm(join(disk.path, 'ballast'));
  await farm.until('intake opens', async () => (await ready()).intake.ok);
  assert.equal((await farm.ended(await farm.run('quick'))).state, 'passed');
  assert.equal(await farm.hook('push', { ref: 'x' }), 202);
  assert.match(await metricsOf(farm), /^thresh_intake_open 1$/m);
});

/** A file system of 16 MiB. */
async function smallDisk(): Promise<AsyncDisposable & { path: string }> {
  const dir = await tempDir('disk');
  await run('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', dir.path]);
  return {
    path: dir.path,
    [Symbol.asyncDispose]: async () => {
      await run('umount', ['-l', dir.path]);
      await dir[Symbol.asyncDispose]();
    },
  };
}

const metricsOf = async (farm: TestFarm): Promise<string> =>
  (await fetch(`${farm.url}/metrics`, { headers: { authorization: `Bearer ${farm.adminToken}` } })).text();
