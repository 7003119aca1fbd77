import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fakeFarm, nowMs, runId, someAttempt, someRun, thresh } from './harness.ts';

const sha = '0123456789abcdef0123456789abcdef01234567';
const verdict = { decision: 'runs', reason: '', event: 'run', by: 'ada', rules: [], creates: [], cancels: [], changes: [] };
const started = { status: 201, body: { delivery: 'person/d1', verdict, runs: [runId] } };

test('a job alone is run as its file says', async () => {
  await using farm = await fakeFarm();
  farm.on('POST /api/runs', started);
  const { code, out, err } = await thresh(['run', 'hello', '--url', farm.url]);
  assert.equal(code, 0);
  assert.equal(out, `run ${runId} of hello  ${farm.url}/runs/${runId}\n`);
  assert.match(err, new RegExp(`thresh logs -f ${runId}`));
  assert.deepEqual(JSON.parse(farm.asked[0]?.body ?? ''), { job: 'hello' });
  assert.deepEqual(JSON.parse((await thresh(['run', 'hello', '--json', '--url', farm.url])).out), started.body);
});

test('source, pull requests and priority are sent as they were written', async () => {
  await using farm = await fakeFarm();
  farm.on('POST /api/runs', started);
  const args = [
    'run',
    'unit',
    '--repo',
    'o/r',
    '--ref',
    `main:${sha.toUpperCase()}`,
    '--pull',
    `12:${sha}`,
    '--pull',
    `13:${sha}`,
  ];
  assert.equal((await thresh([...args, '--priority', 'high', '--url', farm.url])).code, 0);
  assert.deepEqual(JSON.parse(farm.asked[0]?.body ?? ''), {
    job: 'unit',
    repo: 'o/r',
    priority: 'high',
    refs: {
      org: 'o',
      repo: 'r',
      baseRef: 'main',
      baseSha: sha,
      pulls: [
        { number: 12, sha, author: '' },
        { number: 13, sha, author: '' },
      ],
    },
  });
});

test('half a source is wrong usage', async () => {
  assert.match((await thresh(['run', 'unit', '--ref', 'main'])).err, /--ref wants --repo/);
  const { code, err } = await thresh(['run', 'unit', '--repo', 'o/r', '--pull', `1:${sha}`]);
  assert.deepEqual([code, /--pull wants --ref/.test(err)], [2, true]);
});

test('a run that did not begin ends with 4 and the reason of the farm', async () => {
  await using farm = await fakeFarm();
  const nothing = { ...verdict, decision: 'nothing', reason: 'no job matches' };
  farm.on('POST /api/runs', { status: 201, body: { delivery: 'person/d1', verdict: nothing, runs: [] } });
  for (const more of [[], ['--follow']]) {
    const { code, err } = await thresh(['run', 'unit', ...more, '--url', farm.url]);
    assert.equal(code, 4);
    assert.match(err, /job 'unit' was not started: no job matches/);
  }
});

for (const [state, expected] of [
  ['passed', 0],
  ['failed', 1],
  ['errored', 1],
  ['cancelled', 1],
] as const)
  test(`run --follow of a run that ${state} prints logs and result and ends with ${expected}`, async () => {
    await using farm = await fakeFarm();
    const attempts = [someAttempt(1, 'lost'), someAttempt(2, state)];
    const checkout = { state: 'passed', attempts: [someAttempt(1, 'passed')] } as const;
    const run = someRun({ checkout, test: { state, attempts } }, { state, reason: 'because', endedAtMs: nowMs });
    farm.on('POST /api/runs', started);
    farm.on(`GET /api/runs/${runId}`, { body: run });
    farm.onSocket = (socket, asked) => {
      const text = `${asked.path.split('/').at(-2)} ${asked.query.get('attempt')}\n`;
      socket.send(Buffer.from(text));
      socket.send(JSON.stringify({ type: 'end', attempt: 1, total: text.length, missing: 0, state: 'passed' }));
    };
    const { code, out } = await thresh(['run', 'unit', '--follow', '--url', farm.url]);
    assert.equal(code, expected);
    const lines = out.trimEnd().split('\n');
    assert.equal(lines[0], `run ${runId} of unit  ${farm.url}/runs/${runId}`);
    assert.deepEqual(lines.slice(1, -1).sort(), ['checkout | checkout 1', 'test     | test 1', 'test     | test 2']);
    assert.equal(lines.at(-1), `run ${runId} ${state} after 1m 05s: because`);
  });

test('a request that is not decided yet is waited for when it is followed', async () => {
  await using farm = await fakeFarm();
  farm.on('POST /api/runs', { status: 202, body: { delivery: 'person/d1', runs: [] } });
  let looks = 0;
  const run = someRun({ test: { state: 'passed' } }, { state: 'passed', endedAtMs: nowMs });
  farm.on('GET /api/deliveries/person/d1', () =>
    ++looks < 3
      ? { status: 404, body: { error: { code: 'NOT_FOUND', message: 'there is no delivery' } } }
      : { body: { source: 'person', id: 'd1', atMs: nowMs, verdict: { ...verdict, creates: [run] } } },
  );
  farm.on(`GET /api/runs/${runId}`, { body: run });
  const { code, out } = await thresh(['run', 'unit', '--follow', '--url', farm.url]);
  assert.equal(code, 0);
  assert.match(out, new RegExp(`run ${runId} passed`));
  const plain = await thresh(['run', 'unit', '--url', farm.url]);
  assert.deepEqual([plain.code, /no decision yet/.test(plain.out)], [0, true]);
});

test('followed with --json, every line is a document: the run, its output, its result', async () => {
  await using farm = await fakeFarm();
  farm.on('POST /api/runs', started);
  farm.on(`GET /api/runs/${runId}`, {
    body: someRun({ test: { state: 'cancelled' } }, { state: 'cancelled', endedAtMs: nowMs }),
  });
  const { code, out } = await thresh(['run', 'unit', '--follow', '--json', '--url', farm.url]);
  assert.equal(code, 1);
  const documents = out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(documents, [
    { run: runId, job: 'unit', url: `${farm.url}/runs/${runId}` },
    { run: runId, state: 'cancelled', reason: '' },
  ]);
});
