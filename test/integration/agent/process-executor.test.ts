import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Handle } from '../../../agent/executor/executor.ts';
import { processExecutor } from '../../../agent/executor/process.ts';
import { startTimeOf } from '../../../agent/executor/processes.ts';
import { scriptedBytes } from '../../../agent/executor/scripted.ts';
import { executorSuite, places, run } from '../../support/executor-suite.ts';

const isRoot = process.getuid?.() === 0;
const needsRoot = isRoot ? false : 'only root can change users';
const needsProc = process.platform === 'linux' ? false : 'found by /proc';

executorSuite(() => processExecutor(), {
  print: (text) => `echo '${text}'`,
  printBytes: { script: 'cat data', bytes: scriptedBytes(1024 * 1024, 7), file: 'data' },
  printEnv: 'env',
  printCwd: 'pwd -P',
  exit: (code) => `exit ${code}`,
  waitFile: (path) => `while ! [ -e '${path}' ]; do sleep 0.02; done`,
  append: (path, text) => `echo '${text}' >> '${path}'`,
  ignoreTerm: "trap '' TERM",
  flood: 'while :; do echo 0123456789012345678901234567890123456789; done',
});

/** Waits until the step's own pid, printed as its first line, is known. */
async function firstPid(ran: ReturnType<typeof run>): Promise<number> {
  await ran.said('\n');
  return Number(ran.output().toString().split('\n')[0]);
}

const isAlive = async (pid: number): Promise<boolean> => (await startTimeOf(pid)) !== undefined;

describe('what a process step runs', () => {
  test('a command with its arguments, each of them as it is', async () => {
    await using at = await places();
    const { started, output } = run(processExecutor(), at, { command: ['printf', '%s|'], args: ['a b', '$HOME', "'", ''] });
    assert.deepEqual(await started.ended, { outcome: 'pass', exitCode: 0 });
    assert.equal(output().toString(), "a b|$HOME|'||");
  });

  test('a script stops at its first failing command, and one with #! is run by what it names', async () => {
    await using at = await places();
    const plain = run(processExecutor(), at, { script: 'false\necho after' });
    assert.deepEqual(await plain.started.ended, { outcome: 'fail', exitCode: 1 });
    assert.equal(plain.output().length, 0);

    const named = run(processExecutor(), at, { script: '#!/usr/bin/env -S sh\nfalse\necho "after $0"' });
    assert.equal((await named.started.ended).outcome, 'pass');
    assert.match(named.output().toString(), /^after .*\/script\n$/);
  });

  test('nothing of the script is in the workspace, and HOME and TMPDIR are gone when the step has ended', async () => {
    await using at = await places();
    const { started, output } = run(processExecutor(), at, {
      script:
        'touch "$HOME/h" "$TMPDIR/t"; mkdir -p "$HOME/go/mod"; chmod 555 "$HOME/go/mod" "$HOME/go"; ls -A; ls "$HOME" "$TMPDIR" | wc -l',
    });
    assert.equal((await started.ended).outcome, 'pass');
    assert.ok(Number(output().toString()) > 0);
    assert.deepEqual(await readdir(at.scratch), []);
  });

  test('stdin is empty', async () => {
    await using at = await places();
    const { started, output } = run(processExecutor(), at, { script: 'wc -c' });
    assert.equal((await started.ended).outcome, 'pass');
    assert.equal(output().toString().trim(), '0');
  });

  test('stdout and stderr arrive in the order in which they were written, also by way of /dev/stderr', async () => {
    await using at = await places();
    const script = 'for i in 1 2 3 4 5; do echo "out $i"; echo "err $i" >&2; echo "dev $i" > /dev/stderr; done';
    const { started, output } = run(processExecutor(), at, { script });
    assert.equal((await started.ended).outcome, 'pass');
    assert.equal(output().toString(), [1, 2, 3, 4, 5].map((i) => `out ${i}\nerr ${i}\ndev ${i}\n`).join(''));
  });

  test('a step that a signal ends has failed with 128 and its number', async () => {
    await using at = await places();
    const { started } = run(processExecutor(), at, { script: 'kill -SEGV $$' });
    assert.deepEqual(await started.ended, { outcome: 'fail', exitCode: 139, signal: 'SIGSEGV' });
  });

  test('variables of the step win over those for a plain shell, but not over those that find it again', async () => {
    await using at = await places();
    const { started, output } = run(
      processExecutor(),
      at,
      { script: 'echo "$LANG $THRESH_ATTEMPT"; printf %s "$THRESH_MARK" | wc -c' },
      {
        env: { LANG: 'C', THRESH_ATTEMPT: 'x', THRESH_MARK: 'x' },
      },
    );
    assert.equal((await started.ended).outcome, 'pass');
    assert.equal(output().toString(), 'C 1.test.1\n32\n');
  });
});

describe('what cannot be run is an error with a sentence', () => {
  const cases = [
    {
      name: 'a command that is nowhere',
      spec: { command: ['no-such-command'] },
      says: "'no-such-command' was not found on the PATH",
    },
    { name: 'a path that is not there', spec: { command: ['./nothing'] }, says: "'./nothing' was not found" },
    { name: 'a file that is not executable', spec: { command: ['./plain'] }, says: /^'\.\/plain' is not executable/ },
    { name: 'a directory', spec: { command: ['./dir'] }, says: /^'\.\/dir' is not executable/ },
    {
      name: 'a file whose interpreter is missing',
      spec: { command: ['./odd'] },
      says: "'./odd' asks for /no/such/sh, which is not there",
    },
    {
      name: 'a script whose interpreter is missing',
      spec: { script: '#!/no/such/sh\n' },
      says: 'the script asks for /no/such/sh, which is not there',
    },
    { name: 'arguments without a command', spec: { args: ['x'] }, says: 'the step has neither a script nor a command' },
    { name: 'an empty command', spec: { command: [''] }, says: 'the command is empty' },
    { name: 'an argument with a null byte', spec: { command: ['echo', 'a\0b'] }, says: /^the step could not be started: / },
    {
      name: 'arguments beyond what the system takes',
      spec: { command: ['echo', 'x'.repeat(3_000_000)] },
      says: /^the step could not be started: /,
    },
    {
      name: 'a workdir that is not there',
      spec: { script: ':', workdir: 'away' },
      says: "workdir 'away' does not exist in the workspace",
    },
    { name: 'a workdir that is a file', spec: { script: ':', workdir: 'plain' }, says: "workdir 'plain' is not a directory" },
  ];
  for (const { name, spec, says } of cases)
    test(name, async () => {
      await using at = await places();
      await mkdir(join(at.workspace, 'dir'));
      await writeFile(join(at.workspace, 'plain'), 'x', { mode: 0o644 });
      await writeFile(join(at.workspace, 'odd'), '#!/no/such/sh\n');
      await chmod(join(at.workspace, 'odd'), 0o755);
      const end = await run(processExecutor(), at, spec).started.ended;
      assert.equal(end.outcome, 'error');
      assert.equal(end.exitCode, undefined);
      if (typeof says === 'string') assert.equal(end.message, says);
      else assert.match(end.message ?? '', says);
    });

  test("the step's own exit 127 is a failure, not an error", async () => {
    await using at = await places();
    assert.deepEqual(await run(processExecutor(), at, { script: 'exit 127' }).started.ended, { outcome: 'fail', exitCode: 127 });
  });
});

describe('nothing of a step outlives it', () => {
  const strays = [
    { name: 'a child in the background', script: 'sleep 600 & echo $!', skip: false },
    { name: 'a child in a session of its own', script: 'setsid sleep 600 & echo $!; sleep 0.1', skip: needsProc },
    {
      name: 'a grandchild whose parent has ended',
      script: '(setsid sh -c "echo \\$\\$; exec sleep 600" &); sleep 0.1',
      skip: needsProc,
    },
    {
      name: 'a child in a group of its own that cleared its environment',
      script: 'env -i timeout 600 sleep 600 & echo $!; sleep 0.1',
      skip: needsProc,
    },
    {
      name: 'a child in its session that cleared its environment',
      script: 'env -i sleep 600 & echo $!; sleep 0.1',
      skip: needsProc,
    },
  ];
  for (const { name, script, skip } of strays)
    test(`${name} is killed when the step ends, and does not hold it up`, { skip }, async () => {
      await using at = await places();
      const ran = run(processExecutor(), at, { script });
      const begun = performance.now();
      assert.equal((await ran.started.ended).outcome, 'pass');
      assert.ok(performance.now() - begun < 5_000);
      assert.equal(await isAlive(await firstPid(ran)), false);
    });

  test('kill reaches a tree of sessions', { skip: needsProc }, async () => {
    await using at = await places();
    const script = 'setsid sh -c "setsid sleep 600 & echo \\$!; wait" & wait';
    const ran = run(processExecutor(), at, { script });
    const pid = await firstPid(ran);
    ran.started.kill();
    assert.equal((await ran.started.ended).outcome, 'stopped');
    assert.equal(await isAlive(pid), false);
  });

  test('what a shell was waiting for has its grace, although the shell itself is gone at the first TERM', {
    skip: needsProc,
  }, async () => {
    await using at = await places();
    const ran = run(processExecutor(), at, {
      script: 'sh -c \'trap "sleep 0.2; echo bye; exit" TERM; echo up; while :; do sleep 0.02; done\'; :',
    });
    await ran.said('up');
    ran.started.stop();
    await ran.started.ended;
    assert.match(ran.output().toString(), /^bye$/m);
  });

  test('a child that ignores TERM is killed at the end of the grace', { skip: needsProc }, async () => {
    await using at = await places();
    const script = 'sh -c \'trap "" TERM; echo $$; while :; do sleep 0.02; done\'; :';
    const ran = run(processExecutor(), at, { script, graceMs: 150 });
    const pid = await firstPid(ran);
    ran.started.stop();
    assert.deepEqual(await ran.started.ended, {
      outcome: 'stopped',
      exitCode: 143,
      signal: 'SIGTERM',
      message: 'did not end within 150ms of TERM and was killed',
    });
    assert.equal(await isAlive(pid), false);
  });

  test('a writer that got away does not hold up the end', { skip: needsProc }, async () => {
    await using at = await places();
    // No mark, no session, no parent: not found. It keeps the pipe open.
    const script = 'env -i /bin/sh -c "setsid sleep 3 & echo \\$!" ; sleep 0.1';
    const ran = run(processExecutor({ drainMs: 100 }), at, { script });
    const begun = performance.now();
    assert.equal((await ran.started.ended).outcome, 'pass');
    assert.ok(performance.now() - begun < 2_500);
    const pid = await firstPid(ran);
    if (await isAlive(pid)) process.kill(pid, 'SIGKILL');
  });

  test('a step that has exited by itself keeps its result when it is stopped while its output is still being taken', async () => {
    await using at = await places();
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    let pid = 0;
    const ran = run(
      processExecutor(),
      at,
      { script: 'echo done' },
      {
        output: () => gate,
        handle: (handle) => {
          if (handle.kind === 'process') pid = handle.pid;
        },
      },
    );
    while (pid === 0 || (await isAlive(pid))) await sleep(5);
    await sleep(20);
    ran.started.stop();
    release();
    assert.deepEqual(await ran.started.ended, { outcome: 'pass', exitCode: 0 });
  });
});

describe('an agent that runs as root', { skip: needsRoot }, () => {
  test('runs steps as nobody, in no other group, without a way back', async () => {
    await using at = await places();
    const { started, output } = run(processExecutor(), at, {
      script: 'id -u; id -G; grep -E "^(NoNewPrivs|CapEff)" /proc/self/status',
    });
    assert.equal((await started.ended).outcome, 'pass');
    assert.match(output().toString(), /^65534\n65534\nCapEff:\t0+\nNoNewPrivs:\t1\n$/);
  });

  test('gives the step its workspace and nothing above it', async () => {
    await using at = await places();
    const { started, output } = run(processExecutor(), at, {
      script: 'echo x > mine; ! touch ../theirs 2>/dev/null; ! touch "$HOME/../x" 2>/dev/null; cat mine',
    });
    assert.deepEqual(await started.ended, { outcome: 'pass', exitCode: 0 });
    assert.equal(output().toString(), 'x\n');
  });

  test('does not follow a link in place of the workspace to change the owner of what it names', async () => {
    await using at = await places();
    const target = join(at.workspace, 'target');
    await mkdir(target);
    await symlink(target, join(at.workspace, 'link'));
    const end = await run(processExecutor(), { ...at, workspace: join(at.workspace, 'link') }, { script: ':' }).started.ended;
    assert.equal(end.outcome, 'error');
    assert.equal((await stat(target)).uid, 0);
  });

  test('says which directory its user cannot pass', async () => {
    await using at = await places();
    await chmod(join(at.workspace, '..'), 0o700);
    const end = await run(processExecutor(), at, { script: ':' }).started.ended;
    assert.equal(end.outcome, 'error');
    assert.match(end.message ?? '', /^user nobody cannot pass through .*: give it mode 0711/);
  });
});

describe('what an agent that died has left', () => {
  const program = fileURLToPath(new URL('../../support/agent-that-dies.ts', import.meta.url));

  /** Starts an agent with one step, kills it without warning, and hands over what it would have found in its journal. */
  async function orphan(
    at: { workspace: string; scratch: string },
    script: string,
    hold = '',
  ): Promise<Extract<Handle, { kind: 'process' }>> {
    const agent = spawn(process.execPath, [program, at.workspace, at.scratch, script, hold], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(createInterface(agent.stdout), 'line')) as [string];
    const handle = JSON.parse(line) as Handle;
    assert.equal(handle.kind, 'process');
    if (!hold) while (!(await stat(join(at.workspace, 'up')).catch(() => undefined))) await sleep(5);
    agent.kill('SIGKILL');
    await once(agent, 'exit');
    return handle as Extract<Handle, { kind: 'process' }>;
  }

  test('is found and killed by the next one, once', async () => {
    await using at = await places();
    const handle = await orphan(at, 'trap "" TERM; sleep 600 & touch up; wait');
    assert.equal(await isAlive(handle.pid), true);
    assert.equal(await processExecutor().reap(handle), true);
    assert.equal(await isAlive(handle.pid), false);
    assert.equal(await processExecutor().reap(handle), false);
  });

  test('is found when only a child is left', { skip: needsProc }, async () => {
    await using at = await places();
    const handle = await orphan(at, 'setsid sleep 600 & echo $! > child; touch up; while [ -e up ]; do sleep 0.02; done');
    const child = Number(await readFile(join(at.workspace, 'child'), 'utf8'));
    await rm(join(at.workspace, 'up'));
    while (await isAlive(handle.pid)) await sleep(5);
    assert.equal(await isAlive(child), true);
    assert.equal(await processExecutor().reap(handle), true);
    assert.equal(await isAlive(child), false);
  });

  test('never runs when the agent died before it had let it go', async () => {
    await using at = await places();
    const handle = await orphan(at, 'touch witness', 'hold');
    while (await isAlive(handle.pid)) await sleep(5);
    assert.deepEqual(await readdir(at.workspace), []);
    assert.equal(await processExecutor().reap(handle), false);
  });

  test('a process that has only the same pid is left alone', async () => {
    await using at = await places();
    const other = spawn('sleep', ['600'], { detached: true, stdio: 'ignore' });
    await once(other, 'spawn');
    const pid = other.pid ?? 0;
    const startTime = (await startTimeOf(pid)) ?? '';
    const handle = await orphan(at, 'touch up');
    assert.equal(await processExecutor().reap({ ...handle, pid, startTime: `${startTime}0` }), false);
    assert.equal(await processExecutor().reap({ ...handle, pid, startTime, bootId: 'another boot' }), false);
    assert.equal(await isAlive(pid), true);
    other.kill('SIGKILL');
    await once(other, 'exit');
  });
});
