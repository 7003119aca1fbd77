import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { needDocker, TestDocker } from '../../support/docker.ts';
import { places, run } from '../../support/executor-suite.ts';

const skip = needDocker();
const docker = skip ? undefined : await TestDocker.start();
after(() => docker?.stop());

const restart = async (how: { live?: boolean } = {}) => {
  await docker?.stopDaemon();
  await docker?.startDaemon(how);
};

const script = `
i=0; while [ $i -lt 20 ]; do echo "out $i"; echo "err $i" >&2; i=$((i+1)); done
while ! [ -e go ]; do sleep 0.02; done
while [ $i -lt 40 ]; do echo "out $i"; echo "err $i" >&2; i=$((i+1)); done
printf end`;

describe('a Docker Engine that is restarted while a step runs', { skip }, () => {
  test('and leaves the step alone, loses nothing of it', async () => {
    await restart({ live: true });
    await using at = await places();
    const { started, said, output } = run((docker ?? assert.fail()).executor(), at, { script, network: 'none' });
    await said('out 19\n');
    await said('err 19\n');
    await restart({ live: true });
    await writeFile(join(at.workspace, 'go'), '');
    const { message, ...end } = await started.ended;
    assert.deepEqual(end, { outcome: 'pass', exitCode: 0 });
    assert.match(message ?? '', /engine was away/i);
    const lines = output().toString().split('\n');
    for (const stream of ['out', 'err'])
      assert.deepEqual(
        lines.filter((line) => line.startsWith(stream)),
        Array.from({ length: 40 }, (_, i) => `${stream} ${i}`),
      );
    assert.equal(lines.at(-1), 'end');
  });

  test('and takes the step along, has lost it: it did not fail', async () => {
    await restart();
    await using at = await places();
    const { started, said } = run((docker ?? assert.fail()).executor(), at, { script, network: 'none' });
    await said('out 19\n');
    await restart();
    assert.deepEqual(await started.ended, {
      outcome: 'lost',
      message: 'its container was stopped by someone else, or with the Docker Engine',
    });
  });
});
