import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { WebSocket } from 'ws';
import type { Run } from '../../../protocol/run.ts';
import { begin, type FakeFarm, fakeFarm, nowMs, runId, someAttempt, someRun, thresh } from './harness.ts';

const say = (socket: WebSocket, message: object): void => socket.send(JSON.stringify(message));
const endOf = (total: number, state = 'passed', attempt = 1) => ({ type: 'end', attempt, total, missing: 0, state });

/** Stored logs by `step` or `step/attempt`, over HTTP. */
function store(farm: FakeFarm, logs: Record<string, string | Buffer>): void {
  for (const step of new Set(Object.keys(logs).map((key) => key.split('/')[0])))
    farm.on(`GET /api/runs/${runId}/steps/${step}/log`, (asked, response) => {
      const log = logs[`${step}/${asked.query.get('attempt')}`] ?? logs[step ?? ''] ?? '';
      response.end(Buffer.from(log).subarray(Number(asked.query.get('offset'))));
      return undefined;
    });
}

const passed = { state: 'passed', attempts: [someAttempt(1, 'passed')] } as const;
const ended = (steps: Parameters<typeof someRun>[0], more: Partial<Run> = {}) =>
  someRun(steps, { state: 'passed', endedAtMs: nowMs, ...more });

test('one step is its bytes and nothing else, from any offset and attempt', async () => {
  await using farm = await fakeFarm();
  const attempts = [someAttempt(1, 'failed'), someAttempt(2, 'passed')];
  farm.on(`GET /api/runs/${runId}`, { body: ended({ build: passed, test: { state: 'passed', attempts } }) });
  const bytes = Buffer.from([0x1b, 0x5b, 0x32, 0x4a, 0xff, 0x00, 0x0d, 0x61]);
  store(farm, { 'test/1': 'first try\n', 'test/2': bytes, build: 'built\n' });
  const args = ['logs', runId, 'test', '--url', farm.url];
  assert.deepEqual((await thresh(args)).bytes, bytes, 'the newest attempt, unchanged: this is no terminal');
  assert.deepEqual((await thresh([...args, '--offset', '4'])).bytes, bytes.subarray(4));
  assert.equal((await thresh([...args, '--attempt', '1'])).out, 'first try\n');
});

test('on a terminal a log cannot do anything but colour text, unless --raw', async () => {
  await using farm = await fakeFarm();
  farm.on(`GET /api/runs/${runId}`, { body: ended({ test: passed }) });
  const log = '\x1b[2J\x1b]0;owned\x07\x1b[32mok\x1b[0m\r\n';
  store(farm, { test: log });
  const args = ['logs', runId, 'test', '--url', farm.url];
  assert.equal((await thresh(args, { tty: true })).out, '\x1b[32mok\x1b[0m\r\n');
  assert.equal((await thresh(args, { tty: true, env: { NO_COLOR: '1' } })).out, 'ok\r\n');
  assert.equal((await thresh([...args, '--raw'], { tty: true })).out, log);
});

test('without a step each line begins with the name of its step, in order; steps without output are named', async () => {
  await using farm = await fakeFarm();
  const skipped = { state: 'skipped', why: "needs 'test', which failed" } as const;
  farm.on(`GET /api/runs/${runId}`, { body: ended({ checkout: passed, test: passed, deploy: skipped }) });
  store(farm, { checkout: 'cloning\ndone\n', test: 'ok 1\nno newline' });
  const { out, err } = await thresh(['logs', runId, '--url', farm.url]);
  assert.equal(out, 'checkout | cloning\ncheckout | done\ntest     | ok 1\ntest     | no newline\n');
  assert.equal(err, "deploy: no output, the step was skipped (needs 'test', which failed)\n");
});

test('a run of one step needs no prefix', async () => {
  await using farm = await fakeFarm();
  farm.on(`GET /api/runs/${runId}`, { body: ended({ test: passed }) });
  store(farm, { test: 'hello\n' });
  assert.equal((await thresh(['logs', runId, '--url', farm.url])).out, 'hello\n');
});

test('on a terminal the colour of one step does not run into the prefix of the next line, and goes on after it', async () => {
  await using farm = await fakeFarm();
  farm.on(`GET /api/runs/${runId}`, { body: ended({ a: passed, b: passed }) });
  store(farm, { a: '\x1b[31mred\nstill\x1b[0m plain\nplain\n50%\r100%\n', b: 'plain\n' });
  const { out } = await thresh(['logs', runId, '--url', farm.url], { tty: true });
  const prefix = '\x1b[36ma |\x1b[0m ';
  assert.deepEqual(out.split('\n'), [
    `${prefix}\x1b[31mred\x1b[0m`,
    `${prefix}\x1b[31mstill\x1b[0m plain\x1b[0m`,
    `${prefix}plain`,
    `${prefix}50%\r${prefix}100%`,
    '\x1b[32mb |\x1b[0m plain',
    '',
  ]);
});

test('--json is one array of lines with their place in the bytes', async () => {
  await using farm = await fakeFarm();
  farm.on(`GET /api/runs/${runId}`, { body: ended({ a: passed, b: passed }) });
  store(farm, { a: 'é1\ntwo\n', b: 'x' });
  const { out } = await thresh(['logs', runId, '--json', '--url', farm.url]);
  assert.deepEqual(JSON.parse(out), [
    { step: 'a', attempt: 1, offset: 0, text: 'é1' },
    { step: 'a', attempt: 1, offset: 4, text: 'two' },
    { step: 'b', attempt: 1, offset: 0, text: 'x' },
  ]);
  const from = await thresh(['logs', runId, 'a', '--offset', '4', '--json', '--url', farm.url]);
  assert.deepEqual(JSON.parse(from.out), [{ step: 'a', attempt: 1, offset: 4, text: 'two' }]);
});

test('steps, attempts and runs that are not there end with 3 and say what is', async () => {
  await using farm = await fakeFarm();
  farm.on(`GET /api/runs/${runId}`, { body: ended({ build: passed, test: passed }) });
  const step = await thresh(['logs', runId, 'tset', '--url', farm.url]);
  assert.equal(step.code, 3);
  assert.match(step.err, /no step 'tset'; its steps are build, test/);
  const attempt = await thresh(['logs', runId, 'test', '--attempt', '9', '--url', farm.url]);
  assert.equal(attempt.code, 3);
  assert.match(attempt.err, /no attempt 9/);
  assert.equal((await thresh(['logs', '123', '--url', farm.url])).code, 3);
});

test('options that want one step say so when there are several', async () => {
  await using farm = await fakeFarm();
  farm.on(`GET /api/runs/${runId}`, { body: ended({ build: passed, test: passed }) });
  for (const more of [
    ['--attempt', '1'],
    ['--offset', '5'],
    ['--raw', '-f'],
  ]) {
    const { code, err } = await thresh(['logs', runId, ...more, '--url', farm.url]);
    assert.deepEqual([code, /one STEP/.test(err)], [2, true]);
  }
});

/** A farm whose run is what the test makes of it. */
async function liveFarm(run: Run): Promise<FakeFarm & { run: Run; lookedAt: () => Promise<void> }> {
  const farm = await fakeFarm();
  let looked = Promise.withResolvers<void>();
  const lookedAt = (): Promise<void> => {
    looked = Promise.withResolvers();
    return looked.promise;
  };
  const live = Object.assign(farm, { run, lookedAt });
  farm.on(`GET /api/runs/${runId}`, () => {
    looked.resolve();
    return { body: live.run };
  });
  return live;
}

test('a step that has not begun is waited for, and its retries are followed', async () => {
  await using farm = await liveFarm(someRun({ test: { state: 'waiting' } }, { state: 'queued' }));
  farm.onSocket = (socket, asked) => {
    const attempt = Number(asked.query.get('attempt'));
    socket.send(Buffer.from(`try ${attempt}\n`));
    if (attempt === 1) farm.run = someRun({ test: { state: 'ready', attempts: [someAttempt(1, 'failed')] } });
    else farm.run = someRun({ test: { state: 'passed', attempts: [someAttempt(1, 'failed'), someAttempt(2, 'passed')] } });
    say(socket, endOf(6, attempt === 1 ? 'failed' : 'passed', attempt));
    if (attempt === 1)
      void farm.lookedAt().then(() => {
        farm.run = someRun({ test: { state: 'running', attempts: [someAttempt(1, 'failed'), someAttempt(2)] } });
      });
  };
  const running = begin(['logs', '-f', runId, 'test', '--url', farm.url]);
  for (let i = 0; i < 3; i++) await farm.lookedAt();
  assert.equal(running.out.text, '');
  farm.run = someRun({ test: { state: 'running', attempts: [someAttempt(1)] } });
  const { code, out } = await running.done;
  assert.deepEqual([code, out], [0, 'try 1\ntry 2\n']);
});

test('all steps are followed at once, interleaved by whole lines; the code is that of the run', async () => {
  const running = { state: 'running', attempts: [someAttempt(1)] } as const;
  await using farm = await liveFarm(someRun({ a: running, b: running }));
  const sockets = new Map<string, WebSocket>();
  const both = Promise.withResolvers<void>();
  farm.onSocket = (socket, asked) => {
    sockets.set(asked.path.split('/').at(-2) ?? '', socket);
    if (sockets.size === 2) both.resolve();
  };
  const following = begin(['logs', '-f', runId, '--url', farm.url]);
  await both.promise;
  const send = (step: string, text: string) => sockets.get(step)?.send(Buffer.from(text));
  send('a', 'a1\na2 has no');
  await following.out.says('a | a1\n');
  send('b', 'b1\n');
  await following.out.says('b | b1\n');
  send('a', ' end yet\n');
  await following.out.says('a | a2 has no end yet\n');
  farm.run = someRun(
    { a: passed, b: { state: 'failed', attempts: [someAttempt(1, 'failed')] } },
    { state: 'failed', reason: "step 'b' failed", endedAtMs: nowMs },
  );
  for (const [step, socket] of sockets) say(socket, endOf(0, step === 'a' ? 'passed' : 'failed'));
  const { code, out, err } = await following.done;
  assert.equal(code, 1);
  assert.equal(out, 'a | a1\nb | b1\na | a2 has no end yet\n');
  assert.match(err, new RegExp(`run ${runId} failed after 1m 05s: step 'b' failed`));
});

test('following with --json prints one document per line, the last of them the result', async () => {
  await using farm = await fakeFarm();
  farm.on(`GET /api/runs/${runId}`, { body: ended({ a: passed, b: passed }, { reason: 'all steps passed' }) });
  farm.onSocket = (socket) => {
    socket.send(Buffer.from('x\n'));
    say(socket, endOf(2));
  };
  const { code, out } = await thresh(['logs', '-f', runId, '--json', '--url', farm.url]);
  assert.equal(code, 0);
  const documents = out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    documents
      .filter((d) => d.text !== undefined)
      .map((d) => d.step)
      .sort(),
    ['a', 'b'],
  );
  assert.deepEqual(
    documents.filter((d) => d.end).map((d) => d.end.total),
    [2, 2],
  );
  assert.deepEqual(documents.at(-1), { run: runId, state: 'passed', reason: 'all steps passed' });
});

test('a step that did not pass ends following it with 1, one that was skipped with 0', async () => {
  await using farm = await liveFarm(ended({ test: { state: 'failed', attempts: [someAttempt(1, 'failed')] } }));
  farm.onSocket = (socket) => say(socket, endOf(0, 'failed'));
  assert.equal((await thresh(['logs', '-f', runId, 'test', '--url', farm.url])).code, 1);
  farm.run = ended({ test: { state: 'skipped' } });
  assert.equal((await thresh(['logs', '-f', runId, 'test', '--url', farm.url])).code, 0);
});

test('an attempt that is asked for is followed alone', async () => {
  await using farm = await liveFarm(someRun({ test: { attempts: [someAttempt(1, 'lost'), someAttempt(2)] } }));
  farm.onSocket = (socket, asked) => {
    socket.send(Buffer.from(`try ${asked.query.get('attempt')}\n`));
    say(socket, endOf(6, 'lost'));
  };
  const { code, out } = await thresh(['logs', '-f', runId, 'test', '--attempt', '1', '--url', farm.url]);
  assert.deepEqual([code, out], [1, 'try 1\n']);
});

test('Ctrl-C ends following with 130, says that the run goes on, and leaves nothing open', async () => {
  await using farm = await liveFarm(someRun({ test: { attempts: [someAttempt(1)] } }));
  const closed = Promise.withResolvers<void>();
  farm.onSocket = (socket) => {
    socket.once('close', () => closed.resolve());
    socket.send(Buffer.from('working\n'));
  };
  const following = begin(['logs', '-f', runId, '--url', farm.url]);
  await following.out.says('working');
  following.interrupt();
  const { code, err } = await following.done;
  assert.equal(code, 130);
  assert.match(err, new RegExp(`run ${runId} goes on; 'thresh logs -f ${runId}' follows it`));
  await closed.promise;
});

test('a reader that goes away (head) ends the command in peace', async () => {
  await using farm = await liveFarm(someRun({ test: { attempts: [someAttempt(1)] } }));
  farm.onSocket = (socket) => socket.send(Buffer.from('working\n'));
  const following = begin(['logs', '-f', runId, '--url', farm.url]);
  await following.out.says('working');
  following.out.destroy(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
  assert.deepEqual(await following.done.then((r) => [r.code, r.err]), [0, '']);
});
