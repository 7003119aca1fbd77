import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { need } from '../support/need.ts';
import { tempDir } from '../support/temp-dir.ts';

const run = promisify(execFile);
const units = join(import.meta.dirname, '../../deploy/systemd');

for (const name of ['thresh-controller', 'thresh-agent'])
  test(`systemd finds nothing wrong with ${name}.service`, { skip: need('systemd-analyze') }, async () => {
    await using dir = await tempDir('systemd');
    const unit = await readFile(join(units, `${name}.service`), 'utf8');
    // Thresh need not be installed here for its unit to be looked at.
    const file = join(dir.path, `${name}.service`);
    await writeFile(file, unit.replace(/^ExecStart=\S+/m, 'ExecStart=/bin/true').replace(/^(User|Group)=thresh$/gm, '$1=root'));
    const { stderr } = await run('systemd-analyze', ['verify', '--man=no', '--recursive-errors=no', file]);
    assert.deepEqual(
      stderr.split('\n').filter((line) => line.includes(name)),
      [],
    );
  });

test('an agent that is stopped does not take its steps with it, and both services come back', async () => {
  const read = (name: string) => readFile(join(units, `${name}.service`), 'utf8');
  const agent = await read('thresh-agent');
  assert.match(agent, /^KillMode=process$/m);
  assert.match(agent, /^SendSIGKILL=no$/m);
  for (const unit of [agent, await read('thresh-controller')]) {
    assert.match(unit, /^Restart=always$/m);
    assert.match(unit, /^StartLimitIntervalSec=0$/m);
  }
});
