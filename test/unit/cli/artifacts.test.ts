import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fakeFarm, runId, someDir, thresh } from './harness.ts';

const content = Buffer.from('content\n');
const file = {
  step: 'test',
  path: 'a b/out.bin',
  attempt: 1,
  sizeBytes: 8,
  sha256: createHash('sha256').update(content).digest('hex'),
};

async function farmWith(files: object[], more: object = {}) {
  const farm = await fakeFarm();
  farm.on(`GET /api/runs/${runId}/artifacts`, { body: { files, truncated: false, refused: [], refusedCount: 0, ...more } });
  farm.on(`GET /api/runs/${runId}/artifacts/test/a%20b/out.bin`, { body: content });
  return farm;
}

test('artifacts are listed with their sizes, and what was refused is said', async () => {
  await using farm = await farmWith([file], { refused: [{ step: 'test', path: 'link', why: 'it is a link' }], refusedCount: 3 });
  const { code, out, err } = await thresh(['artifacts', runId, '--url', farm.url]);
  assert.equal(code, 0);
  assert.match(out, /BYTES +FILE\n +8 +test\/a b\/out\.bin\n/);
  assert.equal(err, 'test/link was not stored: it is a link\n2 more files were not stored\n');
});

test('one artifact is written to standard output, or whole to a file', async () => {
  await using farm = await farmWith([file]);
  await using at = await someDir();
  const printed = await thresh(['artifacts', runId, 'test/a b/out.bin', '--url', farm.url]);
  assert.deepEqual([printed.code, printed.out], [0, 'content\n']);
  const to = join(at.dir, 'out');
  assert.equal((await thresh(['artifacts', runId, 'test/a b/out.bin', '-o', to, '--url', farm.url])).code, 0);
  assert.deepEqual(await readFile(to), content);
});

test('what does not arrive as it was stored is not kept', async () => {
  await using farm = await farmWith([{ ...file, sha256: '0'.repeat(64) }]);
  await using at = await someDir();
  const { code, err } = await thresh(['artifacts', runId, 'test/a b/out.bin', '-o', join(at.dir, 'out'), '--url', farm.url]);
  assert.notEqual(code, 0);
  assert.match(err, /did not arrive as it was stored/);
  assert.deepEqual(await readdir(at.dir), []);
});

test('bytes are not thrown at a terminal, and a wrong name is said', async () => {
  await using farm = await farmWith([file]);
  const tty = await thresh(['artifacts', runId, 'test/a b/out.bin', '--url', farm.url], { tty: true });
  assert.match(tty.err + tty.out, /say -o FILE/);
  const none = await thresh(['artifacts', runId, 'test/none', '--url', farm.url]);
  assert.match(none.err, /has no artifact 'test\/none'/);
});
