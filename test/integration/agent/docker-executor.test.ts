import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import type { Handle, StepEnd } from '../../../agent/executor/executor.ts';
import { scriptedBytes } from '../../../agent/executor/scripted.ts';
import type { Step } from '../../../protocol/job.ts';
import { needDocker, newOwner, TestDocker } from '../../support/docker.ts';
import { executorSuite, places, run } from '../../support/executor-suite.ts';

const skip = needDocker();
const docker = skip ? undefined : await TestDocker.start();
after(() => docker?.stop());
/** For the tests, which do not run without it. */
const there = (): TestDocker => {
  if (!docker) throw new Error('no Docker Engine');
  return docker;
};
const owner = newOwner();
/** Most tests want no network: it takes time. */
const executor = (change: Parameters<TestDocker['executor']>[0] = {}) => there().executor({ owner, ...change });

if (docker)
  executorSuite(() => executor(), {
    print: (text) => `echo '${text}'`,
    printBytes: { script: 'cat data', bytes: scriptedBytes(1024 * 1024, 7), file: 'data' },
    printEnv: 'env',
    printCwd: 'pwd -P',
    exit: (code) => `exit ${code}`,
    waitFile: (path) => `while ! [ -e '${path}' ]; do sleep 0.02; done`,
    append: (path, text) => `echo '${text}' >> '${path}'`,
    ignoreTerm: "trap '' TERM",
    flood: 'while :; do echo 0123456789012345678901234567890123456789; done',
    workspaceAt: '/workspace',
  });

async function ran(
  spec: Partial<Step>,
  change: Parameters<TestDocker['executor']>[0] = {},
): Promise<StepEnd & { output: string }> {
  await using at = await places();
  const { started, output } = run(executor(change), at, { network: 'none', ...spec });
  return { ...(await started.ended), output: output().toString('latin1') };
}

describe('what a container runs', { skip }, () => {
  test('a command with its arguments, each of them as it is, instead of what the image runs', async () => {
    assert.deepEqual(await ran({ command: ['printf', '%s|'], args: ['a b', '$HOME', "'", ''] }), {
      outcome: 'pass',
      exitCode: 0,
      output: "a b|$HOME|'||",
    });
  });

  test('a script stops at its first failing command, and one with #! is run by what it names', async () => {
    assert.deepEqual(await ran({ script: 'false\necho after' }), { outcome: 'fail', exitCode: 1, output: '' });
    const named = await ran({ script: '#!/bin/busybox sh\nfalse\necho "after $0"' });
    assert.deepEqual(named, { outcome: 'pass', exitCode: 0, output: 'after /thresh/script\n' });
  });

  test('stdout and stderr byte for byte, with bytes that are no text and a last line without an end', async () => {
    const { output } = await ran({ script: 'printf "\\377\\000\\r\\n" >&2; head -c 300000 /dev/zero; printf x' });
    assert.equal(output.length, 300_005);
    // The engine reads the two streams by themselves, so only within each is the order certain.
    const bytes = Buffer.from(output, 'latin1');
    const at = bytes.indexOf(Buffer.from('ff000d0a', 'hex'));
    assert.notEqual(at, -1);
    const rest = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 4)]);
    assert.ok(rest.subarray(0, -1).every((b) => b === 0));
    assert.equal(rest.at(-1), 'x'.charCodeAt(0));
  });

  test('a child of the script has its grace when the script is asked to stop', async () => {
    await using at = await places();
    const script = 'trap "echo tidy; exit 3" TERM; echo up; sleep 600';
    const { started, said, output } = run(executor(), at, { script, network: 'none' });
    await said('up');
    started.stop();
    assert.deepEqual(await started.ended, { outcome: 'stopped', exitCode: 3 });
    assert.match(output().toString(), /^tidy$/m);
  });
});

describe('a container outlives its agent', { skip }, () => {
  /** Kept as an agent keeps it. */
  async function begun(at: { workspace: string; scratch: string }, spec: Partial<Step>) {
    const own = newOwner();
    let handle: Handle | undefined;
    const ran = run(
      executor({ owner: own }),
      at,
      { network: 'none', ...spec },
      {
        handle: (h) => {
          handle = h;
        },
      },
    );
    return { ...ran, own, handle: () => handle ?? assert.fail('it was never begun') };
  }

  test('and is kept until the farm knows its end, then removed; what belongs to nobody is swept', async () => {
    await using at = await places();
    const { started, handle, own } = await begun(at, { script: ':' });
    await started.ended;
    const mine = executor({ owner: own });
    const kept = async () =>
      (await there().engine.listContainers({ all: true, filters: { label: [`thresh.owner=${own}`] } })).map((c) => c.Names[0]);
    assert.deepEqual(await kept(), [`/thresh-test-${own}-1-test-1`]);
    assert.equal(await mine.sweep?.([handle()]), 0);
    assert.equal((await kept()).length, 1);
    await mine.release?.(handle());
    assert.deepEqual(await kept(), []);
    await mine.release?.(handle());

    const other = await begun(at, { script: ':' });
    await other.started.ended;
    assert.equal(await mine.sweep?.([]), 0);
    assert.equal(await executor({ owner: other.own }).sweep?.([]), 1);
  });

  test('its later agent gets the same output and the same end, although it ended in between', async () => {
    await using at = await places();
    const script = 'i=0; while [ $i -lt 300 ]; do echo "out $i"; echo "err $i" >&2; i=$((i+1)); done; printf end; exit 4';
    const first = await begun(at, { script });
    assert.deepEqual(await first.started.ended, { outcome: 'fail', exitCode: 4 });
    const pieces: Buffer[] = [];
    const again = await executor({ owner: first.own }).adopt?.(first.handle(), {
      ...first.job,
      output: (bytes) => void pieces.push(bytes),
    });
    assert.deepEqual(await again?.ended, { outcome: 'fail', exitCode: 4 });
    assert.equal(Buffer.concat(pieces).toString(), first.output().toString());
  });

  test('its time limit goes on where it was', async () => {
    await using at = await places();
    const first = await begun(at, { script: 'echo up; sleep 600', timeoutMs: 600_000 });
    await first.said('up');
    const begunMs = performance.now();
    const again = await executor({ owner: first.own }).adopt?.(first.handle(), {
      ...first.job,
      spec: { ...first.job.spec, timeoutMs: 1_000 },
      output: () => {},
    });
    const end = await again?.ended;
    assert.equal(end?.message, 'timed out after 1s');
    assert.ok(performance.now() - begunMs < 5_000);
    await first.started.ended;
  });

  test('one of an earlier boot, or that is gone, is not gone on with', async () => {
    await using at = await places();
    const first = await begun(at, { script: ':' });
    await first.started.ended;
    const handle = first.handle();
    const mine = executor({ owner: first.own });
    assert.equal(await mine.adopt?.({ ...handle, bootId: 'another' } as Handle, first.job), undefined);
    assert.equal(await mine.reap(handle), true);
    assert.equal(await mine.adopt?.(handle, first.job), undefined);
    assert.equal(await mine.reap(handle), false);
    await readFile(join(at.scratch, 'output-order'));
  });
});
