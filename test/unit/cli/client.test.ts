import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { fakeFarm, runId, someDir, someRun, thresh } from './harness.ts';

const noRuns = { body: { runs: [] } };
const verdict = { decision: 'runs', reason: '', event: 'run', by: 'ada', rules: [], creates: [], cancels: [], changes: [] };

/** An address at which nothing listens. */
async function deadUrl(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return `http://127.0.0.1:${port}`;
}

test('the token comes from --token-file, else THRESH_TOKEN, else .thresh/admin.token here', async () => {
  await using farm = await fakeFarm();
  await using dir = await someDir();
  farm.on('GET /api/runs', noRuns);
  await mkdir(join(dir.dir, '.thresh'));
  await writeFile(join(dir.dir, '.thresh', 'admin.token'), 'from-here\n');
  await writeFile(join(dir.dir, 'file'), 'from-file\n');
  const args = ['runs', '--url', farm.url];
  await thresh([...args, '--token-file', join(dir.dir, 'file')], { cwd: dir.dir, env: { THRESH_TOKEN: 'from-env' } });
  await thresh(args, { cwd: dir.dir, env: { THRESH_TOKEN: 'from-env' } });
  await thresh(args, { cwd: dir.dir });
  await thresh(args);
  const sent = farm.asked.map((a) => a.headers.authorization);
  assert.deepEqual(sent, ['Bearer from-file', 'Bearer from-env', 'Bearer from-here', undefined]);
});

test('a token that is none is not quoted', async () => {
  const { code, err } = await thresh(['runs'], { env: { THRESH_TOKEN: 'two words' } });
  assert.equal(code, 2);
  assert.doesNotMatch(err, /two words/);
});

test('the address comes from --url, else THRESH_URL, and may have a path', async () => {
  await using farm = await fakeFarm();
  farm.on('GET /ci/api/runs', noRuns);
  assert.equal((await thresh(['runs'], { env: { THRESH_URL: `${farm.url}/ci` } })).code, 0);
  for (const url of ['ftp://x', 'nonsense', 'http://user:word@x', ' , ']) {
    const { code, err } = await thresh(['runs', '--url', url], { env: { THRESH_URL: farm.url } });
    assert.deepEqual([url, code, /--url/.test(err), /word/.test(err.replace('a name or password', ''))], [url, 2, true, false]);
  }
});

test('a replica that is away is passed over', async () => {
  await using farm = await fakeFarm();
  farm.on('GET /api/runs', noRuns);
  farm.on('POST /api/runs', { status: 201, body: { delivery: 'person/d', verdict, runs: [runId] } });
  const url = `${await deadUrl()},${farm.url}`;
  assert.equal((await thresh(['runs', '--url', url])).code, 0);
  assert.equal((await thresh(['run', 'unit', '--url', url])).code, 0, 'nothing was sent to the first, so it is safe');
});

test('a replica that answers 503 is passed over for what may be said twice', async () => {
  await using sick = await fakeFarm();
  await using well = await fakeFarm();
  sick.on('GET /api/runs', { status: 503, body: { error: { code: 'UNAVAILABLE', message: 'no leader; try again in 3 s' } } });
  well.on('GET /api/runs', noRuns);
  assert.equal((await thresh(['runs', '--url', `${sick.url},${well.url}`])).code, 0);
  const alone = await thresh(['runs', '--url', sick.url]);
  assert.deepEqual([alone.code, alone.err], [5, 'thresh: no leader; try again in 3 s\n']);
});

test('a request that may have been heard is not made again elsewhere: a run would begin twice', async () => {
  await using broken = await fakeFarm();
  await using well = await fakeFarm();
  broken.on('POST /api/runs', (_asked, response) => void response.destroy());
  well.on('POST /api/runs', { status: 201, body: { delivery: 'person/d', verdict, runs: [runId] } });
  const { code, err } = await thresh(['run', 'unit', '--url', `${broken.url},${well.url}`]);
  assert.equal(code, 5);
  assert.match(err, /not known whether it did what was asked; see whether it began with 'thresh runs'/);
  assert.equal(well.asked.length, 0);
});

test('a farm that cannot be reached ends with 5 and says what to look at', async () => {
  const url = await deadUrl();
  const { code, err } = await thresh(['runs', '--url', url]);
  assert.equal(code, 5);
  assert.match(err, new RegExp(`no controller answers at ${url} \\(connection refused\\).*thresh up.*THRESH_URL`));
});

test('errors of the farm end with the code of their kind, in one sentence', async () => {
  await using farm = await fakeFarm();
  const cases = [
    [401, 'UNAUTHORIZED', 4, /--token-file/],
    [403, 'FORBIDDEN', 4, /^thresh: said so\n$/],
    [404, 'NOT_FOUND', 3, /thresh runs/],
    [400, 'BAD_REQUEST', 4, /said so/],
    [421, 'BAD_HOST', 4, /option of the server/],
    [500, 'INTERNAL', 5, /said so/],
  ] as const;
  for (const [status, code, exit, advice] of cases) {
    farm.on(`GET /api/runs/${runId}`, { status, body: { error: { code, message: 'said so' } } });
    const ran = await thresh(['show', runId, '--url', farm.url]);
    assert.deepEqual([status, ran.code, ran.out], [status, exit, '']);
    assert.match(ran.err, advice);
    const json = await thresh(['show', runId, '--url', farm.url, '--json']);
    assert.equal(JSON.parse(json.err).error.code, code);
    assert.equal(json.out, '');
  }
});

test('something else at that address is told from a farm', async () => {
  await using other = await fakeFarm();
  const cases = [
    { status: 200, body: { hello: 'world' } },
    { status: 404, body: 'nothing here' },
    { status: 302, body: '' },
    { status: 200, body: Buffer.from('<html>') },
    { status: 200, body: { runs: [{ id: 7 }] } },
  ];
  for (const answer of cases) {
    other.on('GET /api/runs', answer);
    const { code, err } = await thresh(['runs', '--url', other.url]);
    assert.equal(code, 5);
    assert.match(err, /does not answer as a controller of this version does/);
    assert.doesNotMatch(err, /\n {4}at /);
  }
});

test('what the farm says cannot steer the terminal', async () => {
  await using farm = await fakeFarm();
  farm.on('GET /api/runs', { status: 400, body: { error: { code: 'X', message: 'a\x1b]0;t\x07b' } } });
  const { err } = await thresh(['runs', '--url', farm.url]);
  assert.equal(err, 'thresh: a?]0;t?b\n');
});

test('an address of a run is as good as its id', async () => {
  await using farm = await fakeFarm();
  farm.on(`GET /api/runs/${runId}`, { body: someRun({ test: {} }) });
  assert.equal((await thresh(['show', `https://ci.example.org/runs/${runId}`, '--url', farm.url])).code, 0);
});

test('an interrupted command ends with 130', async () => {
  await using farm = await fakeFarm();
  const { promise: asked, resolve } = Promise.withResolvers<void>();
  farm.on('GET /api/runs', () => void resolve());
  let stop = (): void => {};
  const onInterrupt = (listener: () => void) => {
    stop = listener;
    return () => {};
  };
  const ran = thresh(['runs', '--url', farm.url], { onInterrupt });
  await asked;
  stop();
  assert.deepEqual(await ran.then((r) => [r.code, r.err]), [130, '']);
});
