import assert from 'node:assert/strict';
import { appendFile, mkdtemp, readdir, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { openSpool, type Spool, spooledAttempts } from '../../../agent/ship/spool.ts';

const key = { run: '1234567890123456789', step: 'unit', attempt: 2 };
const roots: string[] = [];
after(async () => {
  for (const root of roots) await rm(root, { recursive: true });
});

async function newRoot(): Promise<string> {
  const root = await mkdtemp(path.join(tmpdir(), 'thresh-spool-'));
  roots.push(root);
  return root;
}
let clock = 0;
const open = (root: string, options: { maxBytes?: number; segmentBytes?: number } = {}): Promise<Spool> =>
  openSpool({ root, key, maxBytes: 1_000_000, now: () => clock, ...options });

async function everything(spool: Spool, from = 0): Promise<string> {
  const parts: Buffer[] = [];
  for (let at = from, part = await spool.read(at, 7); part; part = await spool.read(at, 7)) {
    parts.push(part.bytes);
    at += part.bytes.length;
  }
  return Buffer.concat(parts).toString();
}

test('what was written is read from any offset, with the time of its first byte', async () => {
  const spool = await open(await newRoot());
  clock = 1_000;
  await spool.write(Buffer.from('first '));
  clock = 2_000;
  await spool.write(Buffer.from('second'));
  assert.deepEqual(await spool.read(0, 100), { bytes: Buffer.from('first second'), atMs: 1_000 });
  assert.deepEqual(await spool.read(5, 2), { bytes: Buffer.from(' s'), atMs: 1_000 });
  assert.deepEqual(await spool.read(6, 3), { bytes: Buffer.from('sec'), atMs: 2_000 });
  assert.equal(await spool.read(12, 100), undefined);
  assert.equal(spool.total, 12);
  await spool.close();
});

test('writes that overlap keep their order', async () => {
  const spool = await open(await newRoot(), { segmentBytes: 10 });
  await Promise.all(Array.from({ length: 26 }, (_, i) => spool.write(Buffer.from(String.fromCharCode(97 + i)))));
  assert.equal(await everything(spool), 'abcdefghijklmnopqrstuvwxyz');
  await spool.close();
});

test('an agent that starts again finds the output, its end and the attempts that have some', async () => {
  const root = await newRoot();
  const before = await open(root, { segmentBytes: 4 });
  for (const piece of ['abcd', 'ef', 'ghij']) await before.write(Buffer.from(piece));
  await before.close();
  assert.deepEqual(await spooledAttempts(root), [key]);
  const between = await open(root, { segmentBytes: 4 });
  assert.equal(between.total, 10);
  assert.equal(between.ended, false);
  await between.write(Buffer.from('k'));
  assert.equal(await between.end(), 11);
  await between.close();
  const later = await open(root);
  assert.equal(later.ended, true);
  assert.equal(await everything(later, 3), 'defghijk');
  await later.remove();
  assert.deepEqual(await spooledAttempts(root), []);
});

test('a write that the end of the process cut off is as if it had not been', async () => {
  const root = await newRoot();
  const before = await open(root);
  await before.write(Buffer.from('whole'));
  await before.close();
  const file = path.join(root, '1234567890123456789.unit.2', '0000000000000000');
  await appendFile(`${file}.log`, 'half a wri');
  await appendFile(`${file}.idx`, Buffer.alloc(5));
  const later = await open(root);
  assert.equal(later.total, 5);
  await later.write(Buffer.from(' again'));
  assert.equal(await everything(later), 'whole again');
  await later.close();
});

test('bytes that a power failure took are not claimed', async () => {
  const root = await newRoot();
  const before = await open(root);
  for (const piece of ['kept', 'torn', 'gone']) await before.write(Buffer.from(piece));
  await before.close();
  await truncate(path.join(root, '1234567890123456789.unit.2', '0000000000000000.log'), 6);
  const later = await open(root);
  assert.equal(await everything(later), 'kept');
  await later.skipTo(12);
  await later.write(Buffer.from('on'));
  assert.equal(await everything(later, 12), 'on', 'it goes on behind what the controller has');
  await later.close();
});

test('at the limit a marker says so and the rest is only counted, also after a restart', async () => {
  const root = await newRoot();
  const marker = '[thresh: log limit of 10 bytes reached; what follows is not kept]\n';
  const spool = await open(root, { maxBytes: 10 });
  await spool.write(Buffer.from('12345678'));
  await spool.write(Buffer.from('90AB'));
  await spool.write(Buffer.from('more'));
  assert.equal(await everything(spool), `1234567890\n${marker}`);
  assert.equal(spool.total, 11 + marker.length);
  assert.equal(spool.dropped, 6);
  await spool.close();
  const later = await open(root, { maxBytes: 10 });
  await later.write(Buffer.from('more'));
  assert.equal(await later.end(), 11 + marker.length);
  await later.close();
});

test('output of exactly the limit has no marker', async () => {
  const spool = await open(await newRoot(), { maxBytes: 3 });
  await spool.write(Buffer.from('ab\n'));
  assert.equal(await everything(spool), 'ab\n');
  await spool.write(Buffer.from('c'));
  assert.match(await everything(spool), /^ab\n\[thresh: log limit/);
  await spool.close();
});

test('files are freed when all of them is stored, and what a controller has lost since is marked', async () => {
  const root = await newRoot();
  const spool = await open(root, { segmentBytes: 100 });
  for (let i = 0; i < 5; i++) await spool.write(Buffer.alloc(100, 97 + i));
  await spool.free(250);
  const files = await readdir(path.join(root, '1234567890123456789.unit.2'));
  assert.deepEqual(
    files.filter((f) => f.endsWith('.log')).map((f) => Number.parseInt(f, 10)),
    [200, 300, 400],
  );
  const again = await everything(spool, 50);
  assert.equal(again.length, 450, 'offsets stay true');
  assert.equal(
    (await spool.read(50, 1_000))?.bytes.toString().trimEnd(),
    '[thresh: 150 bytes of this log were lost by the controller]',
  );
  assert.equal(await everything(spool, 450), 'e'.repeat(50));
  await spool.free(500);
  await spool.close();
  assert.equal((await open(root)).total, 500, 'the length outlives the bytes');
});

test('a reader hears of output and of its end', async () => {
  const spool = await open(await newRoot());
  let heard = 0;
  const stop = spool.listen(() => heard++);
  await spool.write(Buffer.from('a'));
  await spool.end();
  stop();
  assert.equal(heard, 2);
  await spool.close();
});
