import assert from 'node:assert/strict';
import { request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { type ReceiveDeps, receive } from '../../../controller/results/receive.ts';
import type { ArtifactRight } from '../../../controller/results/right.ts';
import { fileObjects } from '../../../controller/store/file-objects.ts';
import { keys } from '../../../controller/store/keys.ts';
import { artifactLimits, type Manifest } from '../../../protocol/artifact.ts';
import { testApi } from '../../support/api.ts';
import { tempDir } from '../../support/temp-dir.ts';

const key = { run: '1958000000000000001', step: 'test', attempt: 1 };
const farmKeys = keys(Buffer.alloc(32, 9));
const token = farmKeys.attemptToken('a1', key);
const base = `/api/runs/${key.run}/steps/test/attempts/1`;

/** The service, listening, over files. */
async function service(over: Partial<ReceiveDeps> = {}) {
  const dir = await tempDir('receive');
  const objects = fileObjects(dir.path);
  const { app } = testApi();
  let right: ArtifactRight = 'open';
  let changed = Promise.withResolvers<void>();
  await app.register(receive, {
    objects,
    isAttemptToken: farmKeys.isAttemptToken,
    right: () => right,
    changed: () => changed.promise,
    ...over,
  });
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as AddressInfo;
  type Put = { headers?: Record<string, string>; body?: Buffer | string; type?: string };
  /** As it stands: no URL is tidied up on the way. */
  const put = (path: string, { headers = {}, body = 'x', type = 'application/octet-stream' }: Put = {}) =>
    new Promise<{ status: number; body: string; code: string | undefined }>((resolve, reject) => {
      const size = String(Buffer.byteLength(body));
      const all = {
        authorization: `Bearer ${token}`,
        'thresh-agent': 'a1',
        'thresh-size': size,
        'content-type': type,
        ...headers,
      };
      const asking = request({ host: '127.0.0.1', port, method: 'PUT', path, headers: all }, async (answer) => {
        let text = '';
        for await (const piece of answer) text += piece;
        const code = /"code":"([A-Z_]+)"/.exec(text)?.[1];
        resolve({ status: answer.statusCode ?? 0, body: text, code });
      });
      asking.on('error', reject);
      asking.end(body);
    });
  const stored = async () => {
    const found: string[] = [];
    for await (const { key: k } of objects.list('')) found.push(k);
    return found;
  };
  return {
    objects,
    put,
    stored,
    say: (now: ArtifactRight) => {
      right = now;
      changed.resolve();
      changed = Promise.withResolvers<void>();
    },
    port,
    [Symbol.asyncDispose]: async () => {
      await app.close();
      await dir[Symbol.asyncDispose]();
    },
  };
}

const manifestOf = (files: Manifest['files']): string => JSON.stringify({ v: 1, files, refused: [], refusedCount: 0 });
const sha256OfX = '2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881';

test('a file and the list that names it are stored, with the SHA-256 that the sender can compare', async () => {
  await using it = await service();
  const file = await it.put(`${base}/artifacts/a%20b/c%23.txt`);
  assert.deepEqual([file.status, JSON.parse(file.body)], [200, { sizeBytes: 1, sha256: sha256OfX }]);
  const manifest = manifestOf([{ path: 'a b/c#.txt', sizeBytes: 1, sha256: sha256OfX }]);
  assert.equal((await it.put(`${base}/manifest`, { body: manifest, type: 'application/json' })).status, 200);
  const at = `staged/${key.run}/test/1`;
  assert.deepEqual(await it.stored(), [`${at}/files/a b/c#.txt`, `${at}/manifest.json`]);
  assert.equal(String(await it.objects.get(`${at}/manifest.json`)), manifest);
});

test('no name leads out of the place of the attempt', async () => {
  await using it = await service();
  for (const path of [
    '../../etc/passwd',
    '..%2f..%2fetc%2fpasswd',
    '%2e%2e/%2e%2e/etc/passwd',
    'a/../../b',
    '%2fetc%2fpasswd',
    '/etc/passwd',
    'a%00b',
    'a%0ab',
    'a%5c..%5cb',
    'a//b',
    '',
    'a/',
    '.',
    'x'.repeat(256),
    `${'d/'.repeat(40)}x`,
    '%ff',
  ]) {
    const { status } = await it.put(`${base}/artifacts/${path}`);
    assert.ok(status === 400 || status === 404, `${path}: ${status}`);
  }
  for (const params of [
    'runs/..%2f1/steps/test/attempts/1',
    `runs/${key.run}/steps/..%2fx/attempts/1`,
    `runs/${key.run}/steps/test/attempts/1e1`,
  ])
    assert.ok([400, 403, 404].includes((await it.put(`/api/${params}/artifacts/x`)).status), params);
  assert.deepEqual(await it.stored(), []);
});

test('only the agent that holds the attempt may send, and only while it is open', async () => {
  await using it = await service();
  const send = (headers: Record<string, string>) => it.put(`${base}/artifacts/x`, { headers });
  assert.equal((await send({ authorization: '' })).status, 401);
  assert.equal((await send({ authorization: 'Bearer wrong' })).code, 'ARTIFACT_TOKEN');
  assert.equal((await send({ 'thresh-agent': 'a2' })).code, 'ARTIFACT_TOKEN');
  const older = farmKeys.attemptToken('a1', { ...key, attempt: 2 });
  assert.equal((await send({ authorization: `Bearer ${older}` })).code, 'ARTIFACT_TOKEN');
  it.say('over');
  assert.deepEqual([(await send({})).status, (await send({})).code], [409, 'ARTIFACT_REVOKED']);
  assert.equal((await it.put(`${base}/manifest`, { body: manifestOf([]), type: 'application/json' })).code, 'ARTIFACT_REVOKED');
  assert.deepEqual(await it.stored(), []);
});

test('a replica that has not heard of the attempt yet waits for it', async () => {
  await using it = await service();
  it.say('unknown');
  const sending = it.put(`${base}/artifacts/x`);
  setImmediate(() => it.say('open'));
  assert.equal((await sending).status, 200);
});

test('a file has the size that was stated, and no more than is allowed', async () => {
  await using it = await service();
  const size = (bytes: string) => it.put(`${base}/artifacts/x`, { headers: { 'thresh-size': bytes }, body: 'hello' });
  assert.match((await size('4')).body, /says 4 bytes, more came/);
  assert.match((await size('6')).body, /says 6 bytes, 5 came/);
  assert.equal((await size('')).code, 'BAD_HEADER');
  assert.equal((await size('-1')).code, 'BAD_HEADER');
  assert.equal((await size(String(artifactLimits.fileBytes + 1))).status, 413);
  assert.deepEqual(await it.stored(), []);
  assert.equal((await it.put(`${base}/artifacts/empty`, { body: '' })).status, 200);
});

test('a list that names what was not stored is refused', async () => {
  await using it = await service();
  await it.put(`${base}/artifacts/x`);
  const list = (body: string) => it.put(`${base}/manifest`, { body, type: 'application/json' });
  assert.match((await list(manifestOf([{ path: 'y', sizeBytes: 1, sha256: sha256OfX }]))).body, /'y' was not stored/);
  assert.match(
    (await list(manifestOf([{ path: 'x', sizeBytes: 2, sha256: sha256OfX }]))).body,
    /'x' was not stored with that size/,
  );
  assert.match((await list(manifestOf([{ path: '../x', sizeBytes: 1, sha256: sha256OfX }]))).body, /was not stored/);
  const twice = { path: 'x', sizeBytes: 1, sha256: sha256OfX };
  assert.match((await list(manifestOf([twice, twice]))).body, /names a file twice/);
  assert.equal((await list('{"v":2}')).code, 'BAD_MANIFEST');
  assert.equal((await list('[')).status, 400);
  assert.deepEqual(await it.stored(), [`staged/${key.run}/test/1/files/x`]);
});

test('a test report is read while it passes, and a broken one is stored as any file', async () => {
  await using it = await service();
  const good = '<testsuite><testcase name="a"/><testcase name="b"><failure message="m"/></testcase></testsuite>';
  const files = [];
  for (const [path, body] of [
    ['junit_a.xml', good],
    ['sub/junit_b.xml', '<not xml'],
    ['junit_gone.xml', good],
    ['other.xml', good],
  ] as const) {
    const answer = await it.put(`${base}/artifacts/${path}`, { body });
    assert.equal(answer.status, 200, answer.body);
    if (path !== 'junit_gone.xml') files.push({ path, ...JSON.parse(answer.body) });
  }
  assert.equal((await it.put(`${base}/manifest`, { body: manifestOf(files), type: 'application/json' })).status, 200);
  const reports = JSON.parse(String(await it.objects.get(`staged/${key.run}/test/1/junit.json`)));
  assert.deepEqual(
    reports.map((r: { path: string; tests: number; failures: number; problem?: string }) => [
      r.path,
      r.tests,
      r.failures,
      r.problem !== undefined,
    ]),
    [
      ['junit_a.xml', 2, 1, false],
      ['sub/junit_b.xml', 0, 0, true],
    ],
  );
});

test('a sender that is cut off leaves nothing', async () => {
  await using it = await service();
  const headers = {
    authorization: `Bearer ${token}`,
    'thresh-agent': 'a1',
    'thresh-size': '1000000',
    'content-type': 'application/octet-stream',
  };
  const asking = request({ host: '127.0.0.1', port: it.port, method: 'PUT', path: `${base}/artifacts/x`, headers });
  asking.on('error', () => {});
  asking.write(Buffer.alloc(100_000));
  await new Promise((resolve) =>
    asking.once('socket', (s) => s.once('drain', resolve).once('connect', () => setImmediate(resolve))),
  );
  asking.destroy();
  assert.equal((await it.put(`${base}/artifacts/y`)).status, 200);
  assert.deepEqual(await it.stored(), [`staged/${key.run}/test/1/files/y`]);
});
