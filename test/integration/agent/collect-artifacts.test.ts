import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { type CollectDeps, type Collected, collectArtifacts } from '../../../agent/ship/artifacts/collect.ts';
import { walkArtifacts } from '../../../agent/ship/artifacts/walk.ts';
import { artifactLimits, type Manifest } from '../../../protocol/artifact.ts';
import { tempDir } from '../../support/temp-dir.ts';

const key = { run: '1', step: 'test', attempt: 1 };

/** A controller that takes everything, unless `answer` says otherwise. */
function taker(answer: (path: string, body: Buffer) => Response | Promise<Response> | undefined = () => undefined) {
  const taken = new Map<string, Buffer>();
  const deps: CollectDeps = {
    urls: ['http://one', 'http://two'],
    agent: 'a1',
    now: () => performance.now(),
    patienceMs: 5_000,
    log: () => {},
    fetch: async (url, init) => {
      const path = decodeURIComponent(new URL(String(url)).pathname).replace('/api/runs/1/steps/test/attempts/1/', '');
      const body = Buffer.from(await new Response(init?.body ?? null).arrayBuffer());
      const other = await answer(path, body);
      if (other) return other;
      taken.set(path, body);
      return Response.json({ sizeBytes: body.length, sha256: createHash('sha256').update(body).digest('hex') });
    },
  };
  const manifest = (): Manifest => JSON.parse(String(taken.get('manifest')));
  return { deps, taken, manifest };
}

const collect = (dir: string, deps: CollectDeps, signal = new AbortController().signal): Promise<Collected> =>
  collectArtifacts({ key, token: 't', dir, signal }, deps);

const refusal = (status: number, code: string) => Response.json({ error: { code, message: `said ${code}` } }, { status });

test('a step that leaves nothing costs no request', async () => {
  await using dir = await tempDir('artifacts');
  const { deps, taken } = taker();
  assert.deepEqual(await collect(dir.path, deps), {});
  assert.equal(taken.size, 0);
});

test('small and large files arrive as they are, and the list names them by their SHA-256', async () => {
  await using dir = await tempDir('artifacts');
  const large = Buffer.alloc(3_000_000, 'large');
  await mkdir(join(dir.path, 'sub'));
  await writeFile(join(dir.path, 'sub/large'), large);
  await writeFile(join(dir.path, 'ümlaut #1?'), 'small');
  await writeFile(join(dir.path, 'empty'), '');
  const { deps, taken, manifest } = taker();
  const { manifest: name, problem } = await collect(dir.path, deps);
  assert.equal(problem, undefined);
  assert.equal(
    name,
    createHash('sha256')
      .update(taken.get('manifest') ?? '')
      .digest('hex'),
  );
  assert.deepEqual(
    manifest().files.map((f) => [f.path, f.sizeBytes]),
    [
      ['empty', 0],
      ['sub/large', 3_000_000],
      ['ümlaut #1?', 5],
    ],
  );
  assert.ok(taken.get('artifacts/sub/large')?.equals(large));
  assert.equal(String(taken.get('artifacts/ümlaut #1?')), 'small');
});

test('nothing outside is read while files and directories are swapped for links, and back', { timeout: 30_000 }, async () => {
  await using dir = await tempDir('artifacts');
  await using outside = await tempDir('outside');
  const secret = 'the secret of somebody else';
  await writeFile(join(outside.path, 'file'), secret);
  await writeFile(join(outside.path, 'key'), secret);
  await mkdir(join(dir.path, 'dir'));
  for (let i = 0; i < 20; i += 1) await writeFile(join(dir.path, `dir/${i}`), 'fine');
  await writeFile(join(dir.path, 'dir/file'), 'fine');
  const stop = new Int32Array(new SharedArrayBuffer(8));
  const swapper = new Worker(
    `const { renameSync, symlinkSync, unlinkSync, writeFileSync } = require('node:fs');
     const { dir, outside, stop } = require('node:worker_threads').workerData;
     for (; !Atomics.load(stop, 0); Atomics.add(stop, 1, 1)) {
       writeFileSync(dir + '/.new', 'fine');
       renameSync(dir + '/.new', dir + '/file');
       symlinkSync(outside + '/key', dir + '/.new');
       renameSync(dir + '/.new', dir + '/file');
       renameSync(dir + '/dir', dir + '/.dir');
       symlinkSync(outside, dir + '/dir');
       unlinkSync(dir + '/dir');
       renameSync(dir + '/.dir', dir + '/dir');
     }`,
    { eval: true, workerData: { dir: dir.path, outside: outside.path, stop } },
  );
  const ended = new Promise((resolve) => swapper.once('exit', resolve));
  const seen = new Set<string>();
  try {
    for (let i = 0; i < 150 || (seen.size < 3 && i < 2_000); i += 1) {
      const { deps, taken, manifest } = taker();
      await collect(dir.path, deps);
      for (const [path, body] of taken) assert.ok(!body.includes(secret), path);
      if (!taken.has('manifest')) continue;
      for (const { path, why } of manifest().refused) if (path === 'file' || path === 'dir') seen.add(why);
      if (manifest().files.some((f) => f.path === 'file')) seen.add('stored');
    }
  } finally {
    Atomics.store(stop, 0, 1);
    await ended;
  }
  assert.ok((stop[1] ?? 0) > 50, `swapped ${stop[1]} times`);
  assert.ok(seen.has('stored') && [...seen].some((why) => why.includes('link')), [...seen].join('; '));
});

test('a file that shrinks or grows while it is read is refused, and the others are stored', async () => {
  await using dir = await tempDir('artifacts');
  for (const name of ['other', 'shrinks']) await writeFile(join(dir.path, name), Buffer.alloc(2_000_000));
  const { deps, manifest } = taker(() => undefined);
  const plain = deps.fetch;
  const { problem } = await collect(dir.path, {
    ...deps,
    fetch: async (url, init) => {
      // Its size was told, and now it is cut before it is read.
      if (String(url).endsWith('/shrinks')) await truncate(join(dir.path, 'shrinks'), 10);
      return plain(url, init);
    },
  });
  assert.match(problem ?? '', /'shrinks' was not stored: it changed while it was read/);
  assert.deepEqual(
    manifest().files.map((f) => f.path),
    ['other'],
  );
});

test('sizes and numbers beyond the limits are refused before anything of them is read', async () => {
  await using dir = await tempDir('artifacts');
  await writeFile(join(dir.path, 'a'), 'x'.repeat(60));
  await writeFile(join(dir.path, 'b'), 'x'.repeat(60));
  await writeFile(join(dir.path, 'huge'), '');
  // It takes no room on the disk.
  await truncate(join(dir.path, 'huge'), 2 ** 40);
  const { deps, manifest } = taker();
  await collect(dir.path, { ...deps, limits: { totalBytes: 100 } });
  assert.deepEqual(
    [manifest().files.map((f) => f.path), manifest().refused.map((r) => [r.path, r.why])],
    [
      ['a'],
      [
        ['b', 'all files together are larger than 100 bytes'],
        ['huge', `it is larger than ${artifactLimits.fileBytes} bytes`],
      ],
    ],
  );
});

test('a tree without an end is not walked to its end', async () => {
  await using dir = await tempDir('artifacts');
  for (let i = 0; i < 50; i += 1) await writeFile(join(dir.path, String(i)), '');
  const refused: string[] = [];
  const found: string[] = [];
  await walkArtifacts(dir.path, {
    limits: { ...artifactLimits, entries: 20 },
    take: async ({ path, file }) => {
      found.push(path);
      await file.close();
    },
    refuse: (_, why) => refused.push(why),
    signal: new AbortController().signal,
  });
  assert.deepEqual([found, refused.length], [[], 1]);
  assert.match(refused[0] ?? '', /more than 20 files and directories; the rest was not looked at/);
});

test('the directory itself swapped for a link is not followed', async () => {
  await using dir = await tempDir('artifacts');
  await using outside = await tempDir('outside');
  await writeFile(join(outside.path, 'key'), 'secret');
  await symlink(outside.path, join(dir.path, 'link'));
  const { deps, taken } = taker();
  const { problem } = await collect(join(dir.path, 'link'), deps);
  assert.match(problem ?? '', /directory of artifacts is gone/);
  assert.deepEqual([...taken.keys()], ['manifest']);
});

test('a controller that is away is tried again, then the next; a wrong answer is not believed', async () => {
  await using dir = await tempDir('artifacts');
  await writeFile(join(dir.path, 'x'), 'content');
  const answers = [
    () => Promise.reject(new Error('connection refused')),
    () => refusal(503, 'UNAVAILABLE'),
    () => Response.json({ sizeBytes: 7, sha256: '0'.repeat(64) }),
    () => new Response('<html>a proxy</html>'),
  ];
  const asked: string[] = [];
  const { deps, manifest } = taker(() => answers.shift()?.());
  const plain = deps.fetch;
  const collected = await collect(dir.path, {
    ...deps,
    fetch: (url, init) => {
      asked.push(new URL(String(url)).host);
      return plain(url, init);
    },
  });
  assert.equal(collected.problem, undefined);
  assert.equal(manifest().files.length, 1);
  assert.deepEqual(asked.slice(0, 4), ['one', 'two', 'one', 'two']);
});

test('an attempt that is over sends nothing more and says why', async () => {
  await using dir = await tempDir('artifacts');
  for (let i = 0; i < 100; i += 1) await writeFile(join(dir.path, `f${i}`), 'x');
  let asked = 0;
  const { deps } = taker(() => {
    asked += 1;
    return refusal(409, 'ARTIFACT_REVOKED');
  });
  assert.deepEqual(await collect(dir.path, deps), { problem: 'artifacts were not stored: said ARTIFACT_REVOKED' });
  assert.ok(asked <= 8, `asked ${asked} times`);
});

test('whoever stops waiting is told so', async () => {
  await using dir = await tempDir('artifacts');
  await writeFile(join(dir.path, 'x'), 'x');
  const stop = new AbortController();
  const { deps } = taker(() => {
    stop.abort(new Error("agent 'a1' is leaving"));
    return refusal(503, 'UNAVAILABLE');
  });
  assert.deepEqual(await collect(dir.path, deps, stop.signal), { problem: "artifacts were not stored: agent 'a1' is leaving" });
});
