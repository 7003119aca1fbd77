import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { type GitHubSettings, github } from '../../../controller/github/client.ts';
import { publishedLimits } from '../../../controller/github/pace.ts';
import { isFarmError } from '../../../protocol/errors.ts';
import { appKey, secondaryLimit, TestGitHub } from '../../support/github.ts';
import { tempDir } from '../../support/temp-dir.ts';

const repo = { owner: 'octo', repo: 'hello' };
const sha = 'a'.repeat(40);
const statusRoute = 'GET /repos/{owner}/{repo}/commits/{ref}/status';
const noLimits = { gapMs: 0, writesPerMinute: 0, writesPerHour: 0, pointsPerMinute: 0 };
const status = (state: string, context = 'unit') => ({
  route: 'POST /repos/{owner}/{repo}/statuses/{sha}' as const,
  parameters: { sha, context, state, description: 'Queued.', target_url: 'https://ci.example.org/runs/1' },
});

/** A GitHub and a client for it; what the client logs is in `lines`. */
async function setUp(over: Partial<GitHubSettings> = {}) {
  const server = await TestGitHub.start();
  const dir = await tempDir();
  const tokenFile = join(dir.path, 'token');
  await writeFile(tokenFile, 'ghp_test\n');
  const lines: string[] = [];
  const say = (facts: object, message: string) => void lines.push(JSON.stringify([facts, message]));
  const client = github(
    { api: server.api, auth: { tokenFile }, limits: noLimits, ...over },
    {
      log: { debug: say, info: say, warn: say, error: say },
      now: () => performance.now(),
      wallMs: () => Date.now(),
      fetch,
      userAgent: 'thresh/0.0.0 (controller c1)',
    },
  );
  const signal = new AbortController().signal;
  const write = (what: ReturnType<typeof status> | undefined, how: { urgent?: boolean; may?: () => boolean } = {}) =>
    client.write(repo, async () => what, { urgent: false, may: () => true, signal, ...how });
  return {
    server,
    client,
    lines,
    tokenFile,
    write,
    dir: dir.path,
    async [Symbol.asyncDispose]() {
      client.stop();
      await server.stop();
      await dir[Symbol.asyncDispose]();
    },
  };
}

test('a status is posted and read back as GitHub describes both', async () => {
  await using at = await setUp();
  assert.equal(await at.write(status('pending')), true);
  const read = (await at.client.get(repo, statusRoute, { ref: sha })) as { statuses: { state: string }[] };
  assert.deepEqual(
    read.statuses.map((s) => s.state),
    ['pending'],
  );
});

test('what GitHub says is unchanged is not sent again, and what is asked twice at once is asked once', async () => {
  await using at = await setUp();
  await at.write(status('success'));
  const ask = () => at.client.get(repo, statusRoute, { ref: sha });
  const [first, same] = await Promise.all([ask(), ask()]);
  assert.equal(first, same);
  assert.deepEqual(await ask(), first);
  await at.write(status('failure'));
  assert.notDeepEqual(await ask(), first);
  assert.deepEqual(
    at.server.requests.filter((r) => r.method === 'GET').map((r) => r.status),
    [200, 304, 200],
  );
});

test('writes go one after the other, at least a gap apart, urgent ones first', async () => {
  await using at = await setUp({ limits: { ...noLimits, gapMs: 100 } });
  await Promise.all([
    at.write(status('pending', 'a')),
    at.write(status('pending', 'b')),
    at.write(status('success', 'c'), { urgent: true }),
    at.write(undefined),
  ]);
  assert.deepEqual(
    at.server.statuses.map((s) => s.context),
    ['a', 'c', 'b'],
  );
  const [a = 0, c = 0, b = 0] = at.server.statuses.map((s) => s.atMs);
  assert.ok(c - a >= 95 && b - c >= 95, `${c - a} and ${b - c} ms between them`);
});

test('after 403 with retry-after nothing is sent before that time, neither writes nor reads', async () => {
  await using at = await setUp();
  at.server.before = () => (at.server.requests.length === 1 ? secondaryLimit(1) : undefined);
  await assert.rejects(at.write(status('pending')), { code: 'GITHUB_AWAY' });
  await Promise.all([at.write(status('success')), at.client.get(repo, statusRoute, { ref: sha })]);
  const [refused, ...after] = at.server.requests.map((r) => r.atMs);
  for (const atMs of after) assert.ok(atMs - (refused ?? 0) >= 990, `${atMs - (refused ?? 0)} ms later`);
  assert.equal(after.length, 2);
});

test('a read survives 502 and a connection that ends; a write is left to who wants it', async () => {
  await using at = await setUp();
  const answers = [{ status: 502, body: { message: 'Server Error' } }, 'hang up' as const];
  at.server.before = () => answers.shift();
  await at.client.get(repo, statusRoute, { ref: sha });
  assert.equal(at.server.requests.length, 3);
  answers.push({ status: 502, body: { message: 'Server Error' } });
  await assert.rejects(at.write(status('pending')), (error) => isFarmError(error, 'GITHUB_AWAY'));
  assert.equal(at.server.requests.length, 4);
});

test('what GitHub will never take is told with its status and reason, and does not hold up the next', async () => {
  await using at = await setUp();
  const long = { ...status('pending'), parameters: { ...status('pending').parameters, description: 'x'.repeat(141) } };
  await assert.rejects(at.write(long), { code: 'GITHUB_REFUSED', message: /octo\/hello.* \(422\): Validation Failed/ });
  assert.equal(await at.write(status('pending')), true);
});

test('who may not send any more when all is ready sends nothing', async () => {
  await using at = await setUp();
  assert.equal(await at.write(status('pending'), { may: () => false }), false);
  assert.equal(at.server.requests.length, 0);
});

test('a token that is exchanged in its file is used from then on, and none is ever logged', async () => {
  await using at = await setUp();
  await writeFile(at.tokenFile, 'ghp_expired');
  await assert.rejects(at.write(status('pending')), { code: 'GITHUB_AWAY', message: /Bad credentials/ });
  await writeFile(at.tokenFile, 'ghp_test');
  assert.equal(await at.write(status('pending')), true);
  await writeFile(at.tokenFile, '');
  await assert.rejects(at.write(status('pending')), { code: 'GITHUB_AWAY', message: /does not hold one token/ });
  assert.ok(at.lines.length > 0);
  for (const line of at.lines) assert.doesNotMatch(line, /ghp_/);
});

test('an App gets a token for each installation, once, and says where it is not installed', async () => {
  await using dir = await tempDir();
  const appKeyFile = join(dir.path, 'app.pem');
  await writeFile(appKeyFile, appKey());
  await using at = await setUp({ auth: { appId: '17', appKeyFile } });
  at.server.install('octo');
  await at.write(status('pending'));
  await at.write(status('success'));
  assert.deepEqual(
    at.server.requests.map((r) => r.path.replace(sha, 'SHA')),
    [
      '/repos/octo/hello/installation',
      '/app/installations/1/access_tokens',
      '/repos/octo/hello/statuses/SHA',
      '/repos/octo/hello/statuses/SHA',
    ],
  );
  const elsewhere = at.client.get({ owner: 'other', repo: 'x' }, statusRoute, { ref: sha });
  await assert.rejects(elsewhere, { code: 'GITHUB_REFUSED', message: /App 17 is not installed there/ });
});

test('a client that is stopped lets go whoever waits', async () => {
  await using at = await setUp({ limits: { ...publishedLimits, gapMs: 60_000 } });
  await at.write(status('pending'));
  const waiting = at.write(status('success'));
  at.client.stop();
  assert.equal(await waiting, false);
});
