import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { WebSocket } from 'ws';
import { type Asked, type FakeFarm, fakeFarm, nowMs, runId, someAttempt, someRun, thresh } from './harness.ts';

const say = (socket: WebSocket, message: object): void => socket.send(JSON.stringify(message));
const offsetOf = (asked: Asked): number => Number(asked.query.get('offset'));
const endOf = (total: number, state = 'passed') => ({ type: 'end', attempt: 1, total, missing: 0, state });

/** A farm with one run of one step that has passed. */
async function oneStep(state: 'passed' | 'failed' = 'passed'): Promise<FakeFarm> {
  const farm = await fakeFarm();
  const step = { state, attempts: [someAttempt(1, state)] };
  farm.on(`GET /api/runs/${runId}`, { body: someRun({ test: step }, { state, endedAtMs: nowMs }) });
  return farm;
}

const follow = (farm: FakeFarm, ...more: string[]) => thresh(['logs', '-f', runId, 'test', '--url', farm.url, ...more]);

test('a log is followed with the token, from the offset that was asked for, to its end', async () => {
  await using farm = await oneStep();
  farm.onSocket = (socket) => {
    say(socket, { type: 'at', attempt: 1, offset: 3 });
    socket.send(Buffer.from('def'));
    say(socket, endOf(6));
  };
  const ran = await thresh(['logs', '-f', runId, 'test', '--offset', '3', '--url', farm.url], { env: { THRESH_TOKEN: 'tok' } });
  assert.deepEqual([ran.code, ran.out], [0, 'def']);
  const asked = farm.asked.find((a) => a.path.endsWith('/log'));
  assert.equal(asked?.path, `/api/runs/${runId}/steps/test/log`);
  assert.equal(asked?.query.toString(), 'attempt=1&offset=3&follow=1');
  assert.equal(asked?.headers.authorization, 'Bearer tok');
});

test('connections that break anywhere leave no gap and repeat nothing', async () => {
  const scenario = fc.record({
    log: fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes)),
    /** Of each connection: bytes that the server sends again before the offset, bytes until it breaks, size of its frames, how it ends. */
    connections: fc.array(
      fc.record({
        again: fc.nat({ max: 20 }),
        bytes: fc.nat({ max: 120 }),
        frame: fc.integer({ min: 1, max: 50 }),
        how: fc.constantFrom('close', 'cut', 'refuse'),
      }),
      { maxLength: 8 },
    ),
  });
  await using farm = await oneStep();
  await fc.assert(
    fc.asyncProperty(scenario, async ({ log, connections }) => {
      const left = [...connections];
      farm.refuseSocket = () => {
        if (left[0]?.how !== 'refuse') return undefined;
        left.shift();
        return { status: 503, body: { error: { code: 'UNAVAILABLE', message: 'restarting' } } };
      };
      farm.onSocket = (socket, asked) => {
        const c = left.shift();
        const from = Math.max(0, offsetOf(asked) - (c?.again ?? 0));
        const to = c ? Math.min(log.length, from + c.bytes) : log.length;
        say(socket, { type: 'at', attempt: 1, offset: from });
        for (let at = from; at < to; at += c?.frame ?? 64) socket.send(log.subarray(at, Math.min(to, at + (c?.frame ?? 64))));
        if (!c) say(socket, endOf(log.length));
        else if (c.how === 'cut') socket.send('', () => socket.terminate());
        else socket.close();
      };
      const ran = await follow(farm);
      assert.equal(ran.code, 0, ran.err);
      assert.deepEqual(ran.bytes, log);
    }),
    { numRuns: 60 },
  );
});

test('another replica goes on where the first was lost', async () => {
  const first = await oneStep();
  await using second = await oneStep();
  first.onSocket = (socket) => {
    say(socket, { type: 'at', attempt: 1, offset: 0 });
    socket.send(Buffer.from('one '), () => void first[Symbol.asyncDispose]());
  };
  second.onSocket = (socket, asked) => {
    say(socket, { type: 'at', attempt: 1, offset: offsetOf(asked) });
    socket.send(Buffer.from('one two'.slice(offsetOf(asked))));
    say(socket, endOf(7));
  };
  const { code, out } = await thresh(['logs', '-f', runId, 'test', '--url', `${first.url},${second.url}`]);
  assert.deepEqual([code, out], [0, 'one two']);
  assert.equal(second.asked.find((a) => a.path.endsWith('/log'))?.query.get('offset'), '4', 'only what is missing is asked for');
});

test('bytes that the farm has lost are said, not passed over', async () => {
  await using farm = await oneStep();
  farm.onSocket = (socket) => {
    say(socket, { type: 'at', attempt: 1, offset: 0 });
    socket.send(Buffer.from('abc'));
    say(socket, { type: 'at', attempt: 1, offset: 10 });
    socket.send(Buffer.from('xyz'));
    say(socket, { ...endOf(20), missing: 7 });
  };
  const { out, err } = await follow(farm);
  assert.equal(out, 'abcxyz');
  assert.match(err, /7 bytes of output are missing at offset 3/);
  assert.match(err, /test: 7 bytes of output were lost/);
});

test('a replica that does not know the attempt yet is asked again; one that never does is not', async () => {
  await using farm = await oneStep();
  const unknown = { status: 404, body: { error: { code: 'LOG_UNKNOWN', message: 'attempt 1 is not known here' } } };
  let refusals = 3;
  farm.refuseSocket = () => (refusals-- > 0 ? unknown : undefined);
  farm.onSocket = (socket) => say(socket, endOf(0));
  assert.equal((await follow(farm)).code, 0);
  refusals = Number.POSITIVE_INFINITY;
  const { code, err } = await follow(farm);
  assert.equal(code, 3);
  assert.match(err, /attempt 1 is not known here/);
});

test('someone who is not logged in is told at once', async () => {
  await using farm = await oneStep();
  farm.refuseSocket = () => ({ status: 401, body: { error: { code: 'UNAUTHORIZED', message: 'not logged in: token' } } });
  const { code, err } = await follow(farm);
  assert.equal(code, 4);
  assert.match(err, /not logged in: token\n.*--token-file/);
});

test('an error within the WebSocket ends following with the words of the farm', async () => {
  await using farm = await oneStep();
  farm.onSocket = (socket) => say(socket, { type: 'error', code: 'FORBIDDEN', message: 'not allowed: this log' });
  assert.deepEqual(await follow(farm).then((r) => [r.code, r.err]), [4, 'thresh: not allowed: this log\n']);
});

test('messages of a newer farm that this version does not know are skipped', async () => {
  await using farm = await oneStep();
  farm.onSocket = (socket) => {
    say(socket, { type: 'weather', sunny: true });
    socket.send('not even JSON');
    socket.send(Buffer.from('ok'));
    say(socket, endOf(2));
  };
  assert.equal((await follow(farm)).out, 'ok');
});

test('a farm that stays away is given up after a while', async () => {
  await using farm = await oneStep();
  farm.refuseSocket = () => ({ status: 503, body: { error: { code: 'UNAVAILABLE', message: 'restarting' } } });
  let clock = nowMs;
  const sleep = async (ms: number) => {
    clock += ms;
  };
  const { code, err } = await thresh(['logs', '-f', runId, 'test', '--url', farm.url], { now: () => clock, sleep });
  assert.equal(code, 5);
  assert.match(err, /the farm does not answer; trying again\nthresh: restarting/);
  assert.ok(clock - nowMs > 5 * 60_000 && clock - nowMs < 6 * 60_000, 'minutes, not for ever');
});

test('a stored log whose connection breaks is read on from there', async () => {
  await using farm = await oneStep();
  const log = 'the whole stored log';
  let breaks = 2;
  farm.on(`GET /api/runs/${runId}/steps/test/log`, (asked, response) => {
    response.writeHead(200, { 'content-type': 'application/octet-stream' });
    const rest = log.slice(offsetOf(asked));
    if (breaks-- > 0) response.write(rest.slice(0, 4), () => setImmediate(() => response.destroy()));
    else response.end(rest);
    return undefined;
  });
  const { code, out } = await thresh(['logs', runId, 'test', '--url', farm.url]);
  assert.deepEqual([code, out], [0, log]);
});
