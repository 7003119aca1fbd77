import assert from 'node:assert/strict';
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Value } from 'typebox/value';
import { loadIdentity } from '../../../agent/identity.ts';
import { isFarmError } from '../../../protocol/errors.ts';
import { JoinRequest } from '../../../protocol/join.ts';

async function dataDir(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'thresh-identity-'));
  t.after(() => rm(dir, { recursive: true }));
  return join(dir, 'data');
}

test('an agent makes its keys once and keeps them, readable by nobody else', async (t) => {
  const dir = await dataDir(t);
  const first = await loadIdentity(dir);
  assert.ok(Value.Check(JoinRequest.properties.publicKey, first.user.getPublicKey()));
  assert.ok(Value.Check(JoinRequest.properties.curveKey, first.curve.getPublicKey()));
  const again = await loadIdentity(dir);
  assert.equal(again.user.getPublicKey(), first.user.getPublicKey());
  assert.equal(again.curve.getPublicKey(), first.curve.getPublicKey());
  assert.deepEqual((await readdir(dir)).sort(), ['agent.nk', 'agent.xk']);
  for (const name of await readdir(dir)) assert.equal((await stat(join(dir, name))).mode & 0o777, 0o600);
});

test('two that start at the same time agree on one', async (t) => {
  const dir = await dataDir(t);
  const all = await Promise.all([1, 2, 3, 4].map(() => loadIdentity(dir)));
  assert.equal(new Set(all.map((i) => i.user.getPublicKey() + i.curve.getPublicKey())).size, 1);
});

test('a key that others could read is closed to them', async (t) => {
  const dir = await dataDir(t);
  await loadIdentity(dir);
  await chmod(join(dir, 'agent.nk'), 0o644);
  await loadIdentity(dir);
  assert.equal((await stat(join(dir, 'agent.nk'))).mode & 0o777, 0o600);
});

test('a file that holds something else is neither used nor written over', async (t) => {
  const dir = await dataDir(t);
  await loadIdentity(dir);
  const user = await readFile(join(dir, 'agent.nk'), 'utf8');
  for (const text of ['', 'nonsense', user]) {
    await writeFile(join(dir, 'agent.xk'), text);
    await assert.rejects(loadIdentity(dir), (error) => isFarmError(error, 'BAD_IDENTITY') && error.message.includes('agent.xk'));
    assert.equal(await readFile(join(dir, 'agent.xk'), 'utf8'), text);
  }
});
