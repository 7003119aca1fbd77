import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { quickTimes, TestFarm } from '../../support/farm.ts';
import { FarmClient } from '../../support/farm-client.ts';
import { need } from '../../support/need.ts';
import { tempDir } from '../../support/temp-dir.ts';

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

/** `thresh up` as people start it. */
class UpProcess extends FarmClient {
  readonly child: ChildProcess;
  readonly said: string[] = [];
  url = '';
  adminToken = '';
  constructor(child: ChildProcess) {
    super();
    this.child = child;
  }
}

async function startUp(dir: string, executor: 'process' | 'scripted'): Promise<UpProcess> {
  const main = join(import.meta.dirname, '../../../controller/main.ts');
  const args = [
    'up',
    '--data',
    join(dir, 'data'),
    '--jobs',
    join(dir, 'jobs'),
    '--listen',
    '127.0.0.1:0',
    '--executor',
    executor,
  ];
  const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const up = new UpProcess(child);
  createInterface({ input: child.stderr }).on('line', (line) => up.said.push(line));
  for await (const line of createInterface({ input: child.stdout })) {
    up.url ||= /^Thresh is up at (\S+)$/.exec(line)?.[1] ?? '';
    if (line.startsWith('Ctrl-C')) break;
  }
  assert.ok(up.url, up.said.join('\n'));
  child.stdout.resume();
  up.adminToken = (await readFile(join(dir, 'data/admin.token'), 'utf8')).trim();
  return up;
}

/** Programs whose command line or working directory is below `dir`. */
async function leftIn(dir: string): Promise<string[]> {
  const left: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const command = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).replaceAll('\0', ' ');
    if (command.includes(dir)) left.push(`${pid} ${command}`);
  }
  return left;
}

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
  const up = await startUp(dir.path, 'scripted');
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
