import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { quickTimes, TestFarm } from '../../support/farm.ts';
import { tempDir } from '../../support/temp-dir.ts';

const program = join(import.meta.dirname, '../../../agent/main.ts');

/** `thresh-agent` as people start it; killed at the end of the scope. */
async function startProgram(dir: string, url: string, token: string) {
  await writeFile(join(dir, 'token'), `${token}\n`, { mode: 0o600 });
  const args = [
    '--url',
    url,
    '--token-file',
    join(dir, 'token'),
    '--name',
    'a1',
    '--data',
    join(dir, 'data'),
    '--executor',
    'scripted',
  ];
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const lines: string[] = [];
  let hear = () => {};
  createInterface({ input: child.stderr }).on('line', (line) => {
    lines.push(line);
    hear();
  });
  const says = (text: string) =>
    new Promise<void>((resolve) => {
      hear = () => lines.some((line) => line.includes(text)) && resolve();
      hear();
    });
  return {
    says,
    lines,
    terminate: () => child.kill('SIGTERM'),
    exited,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

test('an agent that is asked to end leaves with exit code 0, and its token is in nothing that it says', async () => {
  await using dir = await tempDir('agent-program');
  await using farm = await TestFarm.start({ jobs: {}, times: quickTimes });
  const token = farm.joinToken();
  await using agent = await startProgram(dir.path, farm.url, token);
  await farm.until('it serves', async () => (await farm.agentList()).some((a) => a.id === 'a1'));
  await agent.says('joined the farm');
  agent.terminate();
  assert.equal(await agent.exited, 0);
  assert.doesNotMatch(agent.lines.join('\n'), new RegExp(token.replaceAll(/[^A-Za-z0-9]/g, '.')));
});

test('an agent that no controller has answered yet ends at once when it is asked to', async () => {
  await using dir = await tempDir('agent-program');
  await using agent = await startProgram(dir.path, 'http://127.0.0.1:1', 'a token');
  await agent.says('no controller answers');
  agent.terminate();
  assert.equal(await agent.exited, 0);
});

test('an agent whose token a controller refuses says so and ends with exit code 1', async () => {
  await using dir = await tempDir('agent-program');
  await using farm = await TestFarm.start({ jobs: {}, times: quickTimes });
  await using agent = await startProgram(dir.path, farm.url, 'wrong');
  assert.equal(await agent.exited, 1);
  assert.match(agent.lines.at(-1) ?? '', /^thresh-agent: .*refused/);
});
