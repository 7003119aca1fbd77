import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { scriptedBytes, scriptedExecutor } from '../../../agent/executor/scripted.ts';
import { executorSuite, places, run } from '../../support/executor-suite.ts';

executorSuite(scriptedExecutor, {
  print: (text) => `print ${text}`,
  printBytes: { script: `print-bytes ${1024 * 1024} 7`, bytes: scriptedBytes(1024 * 1024, 7) },
  printEnv: 'print-env',
  printCwd: 'print-cwd',
  exit: (code) => `exit ${code}`,
  waitFile: (path) => `wait-file ${path}`,
  append: (path, text) => `append ${path} ${text}`,
  ignoreTerm: 'ignore-term',
  flood: `print-bytes ${2 ** 31}`,
});

test('each append leaves one line for a witness outside', async () => {
  await using at = await places();
  const witness = join(at.workspace, 'witness');
  await run(scriptedExecutor(), at, { script: `append ${witness} one two\nappend witness three` }).started.ended;
  assert.equal(await readFile(witness, 'utf8'), 'one two\nthree\n');
});

test('a word that a scripted step does not know is an error, before anything has run', async () => {
  await using at = await places();
  const { started, output } = run(scriptedExecutor(), at, { script: 'print hello\ndance' });
  assert.deepEqual(await started.ended, { outcome: 'error', message: "'dance' is nothing that a scripted step can do" });
  assert.equal(output().length, 0);
});

test('the bytes of one seed are always the same, and those of another are others', () => {
  assert.deepEqual(scriptedBytes(100_000, 3).subarray(0, 1000), scriptedBytes(1000, 3));
  assert.notDeepEqual(scriptedBytes(1000, 3), scriptedBytes(1000, 4));
  assert.match(scriptedBytes(200, 3).toString(), /^([!-~]{99}\n){2}$/);
});
