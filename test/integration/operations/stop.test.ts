import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { quickTimes, TestFarm } from '../../support/farm.ts';
import { need } from '../../support/need.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { leftIn, startUp } from '../../support/up-process.ts';

const skip = need('nats-server');

test('when the leader stops the next one takes over without waiting for its silence', { skip }, async () => {
  const jobs = { 'jobs.yaml': 'manual:\n- name: hello\n  steps:\n  - {name: only, script: "print hello"}\n' };
  await using farm = await TestFarm.start({ jobs, times: { ...quickTimes, takeoverMs: 20_000 } });
  const [first] = farm.controllers;
  await farm.until('the first one leads', async () => first?.leads());
  const second = await farm.addController('c2');
  const before = performance.now();
  await first?.stop();
  farm.controllers.shift();
  await farm.until('the second one leads', async () => second.leads());
  assert.ok(performance.now() - before < 5_000);
  await farm.addAgent({ name: 'a1' });
  assert.equal((await farm.ended(await farm.run('hello'))).state, 'passed');
});

test('SIGTERM ends thresh up within ten seconds, says goodbye to viewers and leaves no process', { skip }, async () => {
  await using dir = await tempDir('up');
  await mkdir(join(dir.path, 'jobs'));
  const jobs = `manual:
- name: hello
  steps:
  - {name: only, script: "print hello"}
- name: waits
  steps:
  - {name: only, script: "print hello", queue: nobodys}
`;
  await writeFile(join(dir.path, 'jobs/jobs.yaml'), jobs);
  const up = await startUp(dir.path, ['--listen', '127.0.0.1:0', '--executor', 'scripted']);
  try {
    await up.until('an agent has joined', async () => (await up.agentList()).length === 1);
    assert.equal((await up.ended(await up.run('hello'))).state, 'passed');
    const id = await up.run('waits');
    const viewer = new WebSocket(`${up.url.replace('http', 'ws')}/api/runs/${id}/steps/only/log?follow=1`, {
      headers: { authorization: `Bearer ${up.adminToken}` },
    });
    await once(viewer, 'open');
    const closed = once(viewer, 'close') as Promise<[number]>;

    const before = performance.now();
    const exited = once(up.child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
    up.child.kill('SIGTERM');
    await up.until('it says that it stops', async () => (await fetch(`${up.url}/readyz`)).status === 503);
    assert.equal((await closed)[0], 1001);
    assert.deepEqual(await exited, [0, null], up.said.join('\n'));
    assert.ok(performance.now() - before < 10_000);
    assert.deepEqual(await leftIn(dir.path), []);
  } finally {
    up.child.kill('SIGKILL');
  }
});
