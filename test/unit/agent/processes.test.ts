import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseStat } from '../../../agent/executor/processes.ts';

test('a process that calls itself something with blanks and brackets is read all the same', () => {
  const rest = 'S 7 42 41 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 98765 1 1';
  assert.deepEqual(parseStat(`42 (a) S 1 (b) ${rest}`), {
    pid: 42,
    state: 'S',
    parent: 7,
    group: 42,
    session: 41,
    startTime: '98765',
  });
});

test('what is no stat line, because the process is gone, is nothing', () => {
  assert.equal(parseStat(''), undefined);
  assert.equal(parseStat('42 (cut'), undefined);
});
