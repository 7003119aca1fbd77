import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import type { FarmCheck } from '../../../protocol/api.ts';
import { type FakeFarm, fakeFarm, someDir, thresh } from './harness.ts';

const nowMs = Date.now();
const agent = {
  id: 'a1',
  queues: ['default'],
  trust: 'trusted',
  executor: 'process',
  host: 'node-1',
  version: '1',
  state: 'serving',
  running: [],
};
const farmSummary = {
  leader: { id: 'c1', url: 'http://c1', term: 4 },
  config: { hash: 'h', loadedAtMs: 1, jobs: 3, problems: [] as string[] },
  openRuns: 0,
  replica: { id: 'c1', seq: 9, leads: true },
};

/** A farm in which all is well. */
async function wellFarm(): Promise<FakeFarm> {
  const farm = await fakeFarm();
  farm.on('GET /readyz', { body: { ok: true, intake: { ok: true } } });
  farm.on('GET /api/farm', { body: farmSummary });
  farm.on('GET /api/agents', { body: { agents: [agent] } });
  farm.on('GET /api/queues', { body: { queues: [{ queue: 'default', ready: 0, running: 1, agents: 1 }] } });
  farm.on('GET /api/checks', { body: { checks: [{ name: 'nats', state: 'ok', says: 'nats-server 2.11.0, alone' }] } });
  return farm;
}

const env = { DOCKER_HOST: 'unix:///nowhere/docker.sock' };

async function doctor(farm: FakeFarm, over: { now?: () => number; env?: Record<string, string> } = {}) {
  const { code, out } = await thresh(['doctor', '--url', farm.url, '--json'], { now: () => Date.now(), env, ...over });
  const { checks } = JSON.parse(out) as { checks: FarmCheck[] };
  return {
    code,
    problems: checks.filter((c) => c.state === 'problem'),
    of: (name: string) => checks.find((c) => c.name === name),
  };
}

test('of a farm in which all is well every check is told, and the exit code is 0', async () => {
  await using farm = await wellFarm();
  const { code, out } = await thresh(['doctor', '--url', farm.url], { now: () => Date.now(), env });
  assert.equal(code, 0, out);
  for (const line of [
    /^ok +controller http:\S+: ready, answers in \d+ms$/m,
    /^ok +clock: controller http:\S+ and this machine agree$/m,
    /^ok +token: the farm takes it$/m,
    /^ok +leader: c1 at http:\/\/c1, term 4$/m,
    /^ok +jobs: 3 jobs in force$/m,
    /^ok +agents: one agent, 0 silent$/m,
    /^ok +nats: nats-server 2\.11\.0, alone$/m,
    /^note +Docker Engine here: does not answer/m,
    /^no problems$/m,
  ])
    assert.match(out, line);
});

test('a farm that cannot be reached is one problem, with what to do, and an address that works is not blamed', async () => {
  await using farm = await wellFarm();
  const nobody = 'http://127.0.0.1:4';
  const { code, out } = await thresh(['doctor', '--url', `${nobody},${farm.url}`], { now: () => Date.now(), env });
  assert.equal(code, 1);
  assert.match(out, /^problem +controller http:\/\/127\.0\.0\.1:4: cannot be reached \(.*ECONNREFUSED.*\)\n +-> start it/m);
  assert.match(out, /^one problem$/m);
  assert.match(out, /^ok +token/m);
});

test('a wrong token, no leader, bad jobs, no agent, silent agents and a queue that nobody serves are problems', async () => {
  await using farm = await wellFarm();
  const only = async (route: string, answer: Parameters<FakeFarm['on']>[1]) => {
    farm.on(route, answer);
    const { code, problems } = await doctor(farm);
    assert.equal(code, 1, route);
    assert.equal(problems.length, 1, JSON.stringify(problems));
    return problems[0];
  };
  const refused = await only('GET /api/farm', {
    status: 401,
    body: { error: { code: 'UNAUTHORIZED', message: 'not logged in' } },
  });
  assert.equal(refused?.name, 'token');
  assert.match(refused?.todo ?? '', /--token-file/);
  assert.equal((await only('GET /api/farm', { body: { ...farmSummary, leaderless: true } }))?.name, 'leader');
  const bad = await only('GET /api/farm', {
    body: { ...farmSummary, config: { ...farmSummary.config, problems: ['a.yaml:3: no', 'b'] } },
  });
  assert.match(bad?.says ?? '', /^2 problems, so the version before is in force: a\.yaml:3: no$/);
  farm.on('GET /api/farm', { body: farmSummary });

  assert.match((await only('GET /api/agents', { body: { agents: [] } }))?.todo ?? '', /thresh agents token/);
  const silent = await only('GET /api/agents', {
    body: { agents: [agent, { ...agent, id: 'a2', silentSinceMs: nowMs - 3_600_000 }] },
  });
  assert.match(silent?.says ?? '', /^2 agents, 1 silent: 'a2' on node-1 was not heard for 1h 00m$/);
  farm.on('GET /api/agents', { body: { agents: [agent] } });

  const oldest = { run: '1', step: 's', sinceMs: nowMs - 60_000, why: "no agent serves queue 'gpu'" };
  const queue = await only('GET /api/queues', { body: { queues: [{ queue: 'gpu', ready: 2, running: 0, agents: 0, oldest }] } });
  assert.match(queue?.says ?? '', /^2 tasks wait, the oldest for 1m 00s: no agent serves queue 'gpu'$/);
  assert.match(queue?.todo ?? '', /--queues gpu/);
});

test('a clock that is wrong, and a controller that takes nothing new, are problems', async () => {
  await using farm = await wellFarm();
  const ahead = await doctor(farm, { now: () => Date.now() - 60_000 });
  assert.match(ahead.of('clock')?.says ?? '', /is (59\.\ds|1m 00s|59s|60s) ahead of this machine$/);
  const behind = await doctor(farm, { now: () => Date.now() + 60_000 });
  assert.match(behind.of('clock')?.says ?? '', /behind this machine$/);
  farm.on('GET /readyz', { body: { ok: true, intake: { ok: false, why: 'the disk of nats is nearly full' } } });
  const full = await doctor(farm);
  assert.deepEqual([full.code, full.problems[0]?.says], [1, 'takes nothing new: the disk of nats is nearly full']);
});

test('what a controller says of itself is told too, and an older one is not blamed for saying nothing', async () => {
  await using farm = await wellFarm();
  farm.on('GET /api/checks', {
    body: { checks: [{ name: 'disk of nats', state: 'problem', says: '\u001b[31mfull', todo: 'make room' }] },
  });
  const { code, out } = await thresh(['doctor', '--url', farm.url], { now: () => Date.now(), env });
  assert.equal(code, 1);
  assert.match(out, /^problem +disk of nats: \?\[31mfull\n +-> make room$/m);
  farm.on('GET /api/checks', { status: 404, body: { error: { code: 'NOT_FOUND', message: 'no such page' } } });
  assert.equal((await doctor(farm)).code, 0);
});

test('a Docker Engine that answers at the socket of DOCKER_HOST is found', async () => {
  await using farm = await wellFarm();
  await using dir = await someDir();
  const socket = join(dir.dir, 'docker.sock');
  const engine = createServer((_, response) => response.end('OK')).listen(socket);
  const { of } = await doctor(farm, { env: { DOCKER_HOST: `unix://${socket}` } });
  engine.close();
  assert.equal(of('Docker Engine here')?.state, 'ok');
});
