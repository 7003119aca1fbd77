import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Executor, ExecutorJob, Handle } from '../../agent/executor/executor.ts';
import type { Step } from '../../protocol/job.ts';
import { stepWith } from './steps.ts';

/** How an executor is told to do what the suite asks of every one of them. Paths are relative to the workspace. */
export type Dialect = {
  /** Prints TEXT and a line end. */
  print: (text: string) => string;
  /** Prints the content of a file as it is, or what `bytes` holds. */
  printBytes: { script: string; bytes: Buffer; file?: string };
  printEnv: string;
  printCwd: string;
  exit: (code: number) => string;
  /** Waits until the file is there. */
  waitFile: (path: string) => string;
  append: (path: string, text: string) => string;
  ignoreTerm: string;
  /** Prints without end. */
  flood: string;
  /** What a step sees its workspace as; absent: as what it is. */
  workspaceAt?: string;
};

export type Ran = {
  job: ExecutorJob;
  started: ReturnType<Executor['start']>;
  output: () => Buffer;
  /** Resolves when the output holds `text`. */
  said: (text: string) => Promise<void>;
};

/** A directory for one test, with a workspace and a scratch in it; passable for whatever user steps run as. */
export async function places(): Promise<{ workspace: string; scratch: string; [Symbol.asyncDispose]: () => Promise<void> }> {
  const dir = await realpath(await mkdtemp(join(tmpdir(), 'thresh-executor-')));
  await chmod(dir, 0o711);
  const workspace = join(dir, 'workspace');
  await mkdir(workspace);
  return {
    workspace,
    scratch: join(dir, 'scratch'),
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }),
  };
}

export function run(
  executor: Executor,
  at: { workspace: string; scratch: string },
  spec: Partial<Step>,
  change: Partial<ExecutorJob> = {},
): Ran {
  const pieces: Buffer[] = [];
  const waiting: (() => void)[] = [];
  const job: ExecutorJob = {
    key: { run: '1', step: 'test', attempt: 1 },
    spec: stepWith(spec),
    env: {},
    workspace: at.workspace,
    scratch: at.scratch,
    handle: () => {},
    output: (bytes) => {
      pieces.push(Buffer.from(bytes));
      for (const wake of waiting.splice(0)) wake();
    },
    ...change,
  };
  const output = () => Buffer.concat(pieces);
  const said = async (text: string) => {
    while (!output().includes(text)) await new Promise<void>((resolve) => waiting.push(resolve));
  };
  return { job, started: executor.start(job), output, said };
}

/** What every executor must do alike. */
export function executorSuite(make: () => Executor, say: Dialect): void {
  const lines = (...all: string[]) => all.join('\n');

  describe(`executor '${make().kind}'`, () => {
    test('a step that exits 0 has passed, and its output is there when it ends', async () => {
      await using at = await places();
      const { started, output } = run(make(), at, { script: say.print('hello') });
      assert.deepEqual(await started.ended, { outcome: 'pass', exitCode: 0 });
      assert.equal(output().toString(), 'hello\n');
    });

    test('another exit code is a failure, and what comes after it does not run', async () => {
      await using at = await places();
      const { started, output } = run(make(), at, { script: lines(say.exit(3), say.print('after')) });
      assert.deepEqual(await started.ended, { outcome: 'fail', exitCode: 3 });
      assert.equal(output().toString(), '');
    });

    test('a step without anything to run ends in an error that says so', async () => {
      await using at = await places();
      const end = await run(make(), at, {}).started.ended;
      assert.equal(end.outcome, 'error');
      assert.match(end.message ?? '', /script/);
    });

    test('a megabyte of output arrives byte for byte', async () => {
      await using at = await places();
      if (say.printBytes.file) await writeFile(join(at.workspace, say.printBytes.file), say.printBytes.bytes);
      const { started, output } = run(make(), at, { script: say.printBytes.script });
      assert.equal((await started.ended).outcome, 'pass');
      assert.equal(say.printBytes.bytes.length, 1024 * 1024);
      assert.ok(output().equals(say.printBytes.bytes));
    });

    test('the step sees what it was given and its attempt, and nothing of the agent', async (t) => {
      await using at = await places();
      process.env.THRESH_TEST_OF_AGENT = 'private';
      t.after(() => delete process.env.THRESH_TEST_OF_AGENT);
      const { started, output } = run(make(), at, { script: say.printEnv }, { env: { GIVEN: 'x y', THRESH_RUN: '1' } });
      assert.equal((await started.ended).outcome, 'pass');
      const env = new Map(
        output()
          .toString()
          .trim()
          .split('\n')
          .map((line) => [line.split('=')[0], line.slice(line.indexOf('=') + 1)]),
      );
      assert.equal(env.get('GIVEN'), 'x y');
      assert.equal(env.get('THRESH_RUN'), '1');
      assert.equal(env.get('THRESH_ATTEMPT'), '1.test.1');
      assert.equal(env.get('CI'), 'true');
      const known =
        /^(PATH|HOME|LANG|TMPDIR|CI|GIVEN|THRESH_RUN|THRESH_ATTEMPT|THRESH_MARK|THRESH_OUTPUTS|HOSTNAME|GIT_CONFIG_(COUNT|KEY_0|VALUE_0)|PWD|OLDPWD|SHLVL|_)$/;
      assert.deepEqual(
        [...env.keys()].filter((name) => !known.test(name ?? '')),
        [],
      );
    });

    test('a step runs in the workspace, and in its workdir below it', async () => {
      await using at = await places();
      await mkdir(join(at.workspace, 'src', 'deep'), { recursive: true });
      const top = run(make(), at, { script: say.printCwd });
      await top.started.ended;
      const seen = say.workspaceAt ?? at.workspace;
      assert.equal(top.output().toString(), `${seen}\n`);
      const below = run(make(), at, { script: say.printCwd, workdir: 'src/deep' });
      await below.started.ended;
      assert.equal(below.output().toString(), `${seen}/src/deep\n`);
    });

    for (const workdir of ['..', 'src/../..', '/', 'link'])
      test(`workdir '${workdir}' leads out of the workspace and is refused`, async () => {
        await using at = await places();
        await mkdir(join(at.workspace, 'src'));
        await symlink('/', join(at.workspace, 'link'));
        const { started, output } = run(make(), at, { script: say.print('ran'), workdir });
        assert.deepEqual(await started.ended, { outcome: 'error', message: `workdir '${workdir}' leads out of the workspace` });
        assert.equal(output().length, 0);
      });

    test('the handle is kept before the step does anything; when it cannot be kept the step never runs', async () => {
      await using at = await places();
      const seen: string[] = [];
      const ran = run(
        make(),
        at,
        { script: say.print('ran') },
        {
          handle: async (handle: Handle) => {
            await sleep(30);
            seen.push(handle.kind);
          },
          output: () => {
            seen.push('output');
          },
        },
      );
      await ran.started.ended;
      assert.deepEqual(seen, [make().kind, 'output']);

      const refused = run(
        make(),
        at,
        { script: say.append('witness', 'ran') },
        {
          handle: () => {
            throw new Error('disk full');
          },
        },
      );
      const end = await refused.started.ended;
      assert.equal(end.outcome, 'error');
      assert.match(end.message ?? '', /disk full/);
      await assert.rejects(readFile(join(at.workspace, 'witness')));
    });

    test('a step that is stopped gets TERM and ends as stopped', async () => {
      await using at = await places();
      const { started, said } = run(make(), at, { script: lines(say.print('up'), say.waitFile('never')) });
      await said('up');
      started.stop();
      started.stop();
      assert.deepEqual(await started.ended, { outcome: 'stopped', exitCode: 143, signal: 'SIGTERM' });
    });

    test('a step that ignores TERM is killed when its grace is over', async () => {
      await using at = await places();
      const script = lines(say.ignoreTerm, say.print('up'), say.waitFile('never'));
      const { started, said } = run(make(), at, { script, graceMs: 100 });
      await said('up');
      started.stop();
      assert.deepEqual(await started.ended, {
        outcome: 'stopped',
        exitCode: 137,
        signal: 'SIGKILL',
        message: 'did not end within 100ms of TERM and was killed',
      });
    });

    test('a step that ends well after it was asked to stop is still stopped', async () => {
      await using at = await places();
      const script = lines(say.ignoreTerm, say.print('up'), say.waitFile('go'));
      const { started, said } = run(make(), at, { script });
      await said('up');
      started.stop();
      await writeFile(join(at.workspace, 'go'), '');
      assert.deepEqual(await started.ended, { outcome: 'stopped', exitCode: 0 });
    });

    test('kill waits for no grace', async () => {
      await using at = await places();
      const script = lines(say.ignoreTerm, say.print('up'), say.waitFile('never'));
      const { started, said } = run(make(), at, { script });
      await said('up');
      started.kill();
      assert.deepEqual(await started.ended, { outcome: 'stopped', exitCode: 137, signal: 'SIGKILL' });
    });

    test('a step that takes too long is stopped and has failed', async () => {
      await using at = await places();
      const { started } = run(make(), at, { script: say.waitFile('never'), timeoutMs: 200 });
      assert.deepEqual(await started.ended, {
        outcome: 'fail',
        exitCode: 143,
        signal: 'SIGTERM',
        message: 'timed out after 200ms',
      });
    });

    for (const how of ['stop', 'kill'] as const)
      test(`${how} while it is being started: it never runs`, async () => {
        await using at = await places();
        const early = run(make(), at, { script: say.append('witness', 'early') });
        early.started[how]();
        assert.equal((await early.started.ended).outcome, 'stopped');

        let late: Ran | undefined;
        late = run(make(), at, { script: say.append('witness', 'late') }, { handle: () => late?.started[how]() });
        assert.equal((await late.started.ended).outcome, 'stopped');
        await assert.rejects(readFile(join(at.workspace, 'witness')));
      });

    test('what takes the output slowly holds the step back, and nothing is lost when it is stopped', async () => {
      await using at = await places();
      let release = () => {};
      const gate = new Promise<void>((resolve) => {
        release = resolve;
      });
      let taken = 0;
      let busy = 0;
      let most = 0;
      const { started } = run(
        make(),
        at,
        { script: say.flood },
        {
          output: async (bytes) => {
            most = Math.max(most, ++busy);
            taken += bytes.length;
            await gate;
            busy -= 1;
          },
        },
      );
      while (taken === 0) await sleep(5);
      const before = taken;
      await sleep(200);
      assert.equal(taken, before);
      started.kill();
      release();
      assert.equal((await started.ended).outcome, 'stopped');
      assert.equal(most, 1);
      assert.ok(taken < 4 * 1024 * 1024, `${taken} bytes were buffered`);
    });

    test('output that cannot be kept ends the step in an error', async () => {
      await using at = await places();
      const { started } = run(
        make(),
        at,
        { script: say.flood },
        {
          output: () => {
            throw new Error('disk full');
          },
        },
      );
      const end = await started.ended;
      assert.equal(end.outcome, 'error');
      assert.match(end.message ?? '', /disk full/);
    });
  });
}
