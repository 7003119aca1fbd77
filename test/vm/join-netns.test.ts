import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { need } from '../support/need.ts';
import { tempDir } from '../support/temp-dir.ts';
import { startUp, threshMain } from '../support/up-process.ts';

const run = promisify(execFile);
const skip =
  need('nats-server', 'ip', 'unshare') ||
  (process.getuid?.() !== 0 && 'needs root, to make a network and a file system of their own');

/** A network of its own behind a virtual cable: what another machine on the same switch is. */
async function otherNetwork(): Promise<AsyncDisposable & { name: string; here: string }> {
  const id = (process.pid % 16_000) * 4;
  const [a, b] = [Math.floor(id / 256) % 256, id % 256];
  const [name, ours, theirs] = [`thresh-${process.pid}`, `thra${process.pid}`, `thrb${process.pid}`];
  const [here, there] = [`10.231.${a}.${b + 1}`, `10.231.${a}.${b + 2}`];
  await run('ip', ['netns', 'add', name]);
  await run('ip', ['link', 'add', ours, 'type', 'veth', 'peer', 'name', theirs, 'netns', name]);
  await run('ip', ['addr', 'add', `${here}/30`, 'dev', ours]);
  await run('ip', ['link', 'set', ours, 'up']);
  await run('ip', ['-n', name, 'addr', 'add', `${there}/30`, 'dev', theirs]);
  await run('ip', ['-n', name, 'link', 'set', theirs, 'up']);
  // The cable is cut with the network's end; so is its other half.
  return { name, here, [Symbol.asyncDispose]: async () => void (await run('ip', ['netns', 'del', name])) };
}

const jobs = `manual:
- name: far
  steps:
  - {name: only, script: "print from afar"}
`;

test('another machine joins with the one command that the farm prints, and serves again with none', { skip }, async () => {
  await using network = await otherNetwork();
  await using dir = await tempDir('far');
  await mkdir(join(dir.path, 'jobs'));
  await writeFile(join(dir.path, 'jobs/jobs.yaml'), jobs);
  const elsewhere = join(dir.path, 'elsewhere');
  await mkdir(elsewhere);
  const up = await startUp(dir.path, ['--agents', '0', '--listen', `${network.here}:0`, '--nats-listen', '0.0.0.0:0']);
  try {
    const { stderr } = await run(process.execPath, [
      ...[threshMain, 'agents', 'token', '--url', up.url, '--token-file', join(dir.path, 'data/admin.token')],
    ]);
    const [, url = '', token = ''] = /thresh agent join (\S+) (\S+)/.exec(stderr) ?? [];
    assert.equal(url, up.url);

    // Its own address, and a file system that nobody else sees.
    const script = `mount -t tmpfs tmpfs ${elsewhere} && cd ${elsewhere} && ip link set lo up
      "$0" "$1" agent join "$2" "$3" --name far --executor scripted & echo pid $!; wait $!
      "$0" "$1" agent & echo pid $!; wait $!`;
    const inside = ['netns', 'exec', network.name, 'unshare', '-m', 'sh', '-c', script, process.execPath, threshMain, url, token];
    const machine = spawn('ip', inside, { stdio: ['ignore', 'pipe', 'pipe'] });
    const ended = once(machine, 'exit');
    const said: string[] = [];
    createInterface({ input: machine.stderr }).on('line', (line) => said.push(line));
    const pids = createInterface({ input: machine.stdout })[Symbol.asyncIterator]();
    const nextPid = async () => Number((await pids.next()).value?.replace('pid ', ''));
    const runsThere = async () => {
      const ran = await up.ended(await up.run('far'), 20_000);
      assert.equal(ran.state, 'passed', said.join('\n'));
      assert.equal(ran.at[0]?.attempts[0]?.agent, 'far');
      assert.equal(await up.logOf(ran.id, 'only'), 'from afar\n');
    };

    const first = await nextPid();
    try {
      await up.until('it has joined', async () => (await up.agentList()).some((a) => a.id === 'far'), 20_000);
      await runsThere();
      assert.deepEqual(await readdir(elsewhere), [], 'nothing of its data is on this file system');
      const joined = said.find((line) => line.includes('joined the farm')) ?? '';
      assert.match(joined, new RegExp(`"nats":"nats://${network.here.replaceAll('.', '\\.')}:\\d+"`));
      assert.ok(!said.join('\n').includes(token));
    } finally {
      process.kill(first, 'SIGTERM');
    }
    const second = await nextPid();
    try {
      await up.until('it serves again', async () => said.filter((line) => line.includes('joined the farm')).length === 2, 20_000);
      await runsThere();
    } finally {
      process.kill(second, 'SIGTERM');
    }
    await ended;
  } finally {
    up.child.kill('SIGTERM');
    await once(up.child, 'exit');
  }
});
