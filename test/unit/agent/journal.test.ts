import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { type HeldAttempt, type Journal, openJournal } from '../../../agent/journal.ts';
import type { Notice } from '../../../protocol/notice.ts';
import { keyOf } from '../../../protocol/task.ts';
import { aTask } from '../../support/tasks.ts';

const hour = 3_600_000;
const start: Notice = { v: 1, type: 'start', atMs: 5 };
const end: Notice = { v: 1, type: 'end', atMs: 9, outcome: 'pass', exitCode: 0, logBytes: 12 };
const handle = { kind: 'process', pid: 77, startTime: '123', bootId: 'boot', nonce: 'ab'.repeat(16) } as const;

function dataDir(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'thresh-journal-'));
  t.after(() => rmSync(dir, { recursive: true }));
  return dir;
}

/** A journal in a directory of its own, and what an agent finds that is started after this one was killed. */
function fresh(t: TestContext, clock = { nowMs: 1_000_000 }) {
  const dir = dataDir(t);
  const open: Journal[] = [];
  const again = (): Journal => {
    const journal = openJournal(dir, () => clock.nowMs);
    open.push(journal);
    return journal;
  };
  t.after(() => {
    for (const journal of open) journal.close();
  });
  return { dir, file: join(dir, 'journal.jsonl'), clock, journal: again(), again };
}

const attempt = (n: number) => aTask({ attempt: n });

test('everything that was said of an attempt is there after a crash', (t) => {
  const { journal, again } = fresh(t);
  const task = attempt(1);
  assert.equal(journal.accept(task), true);
  assert.equal(journal.setHandle(task, handle), true);
  assert.equal(journal.addNotice(task, start), 1);
  assert.equal(journal.setStopping(task), true);
  assert.equal(journal.addNotice(task, end), 2);
  assert.equal(journal.acknowledged(task, 1), true);
  const expected: HeldAttempt[] = [
    { task, acceptedAtMs: 1_000_000, handle, stopping: true, ended: true, notices: [start, end], acknowledged: 1 },
  ];
  assert.deepEqual(journal.held(), expected);
  assert.deepEqual(again().held(), expected);
  assert.deepEqual(again().get(task), expected[0]);
});

test('a task that is delivered again is not accepted again: while it is held, after it is done, and after a crash', (t) => {
  const { journal, again } = fresh(t);
  const task = attempt(1);
  journal.accept(task);
  assert.equal(journal.accept(task), false);
  const second = again();
  assert.equal(second.accept(task), false);
  assert.equal(second.done(task), true);
  assert.equal(second.has(task), true);
  assert.equal(second.accept(task), false);
  const third = again();
  assert.deepEqual(third.held(), []);
  assert.equal(third.has(task), true);
  assert.equal(third.accept(task), false);
  assert.equal(third.accept(attempt(2)), true);
});

test('that an attempt was here is remembered for more than an hour, and not for ever', (t) => {
  const { journal, clock, again } = fresh(t);
  journal.accept(attempt(1));
  journal.done(attempt(1));
  clock.nowMs += hour + 1;
  journal.raiseTerm(2);
  assert.equal(journal.has(attempt(1)), true);
  assert.equal(again().has(attempt(1)), true);
  clock.nowMs += 2 * hour;
  assert.equal(again().has(attempt(1)), false);
  journal.raiseTerm(3);
  assert.equal(journal.has(attempt(1)), false);
});

test('notices go one after the other, and only the oldest of each attempt that is not stored may be sent', (t) => {
  const { journal } = fresh(t);
  const [a, b] = [attempt(1), attempt(2)];
  const keyA = { run: a.run, step: a.step, attempt: 1 };
  const keyB = { ...keyA, attempt: 2 };
  journal.accept(a);
  journal.accept(b);
  assert.deepEqual(journal.nextUnsent(), []);
  journal.addNotice(a, start);
  journal.addNotice(a, end);
  journal.addNotice(b, start);
  assert.deepEqual(journal.nextUnsent(), [
    { key: keyA, n: 1, notice: start },
    { key: keyB, n: 1, notice: start },
  ]);
  journal.acknowledged(a, 1);
  assert.deepEqual(journal.nextUnsent()[0], { key: keyA, n: 2, notice: end });
  journal.acknowledged(a, 2);
  journal.acknowledged(b, 1);
  assert.deepEqual(journal.nextUnsent(), []);
});

test('late, repeated and impossible words change nothing', (t) => {
  const { journal, file } = fresh(t);
  const task = attempt(1);
  journal.accept(task);
  journal.addNotice(task, start);
  journal.acknowledged(task, 1);
  journal.setStopping(task);
  const before = readFileSync(file, 'utf8');
  assert.equal(journal.acknowledged(task, 1), false);
  assert.equal(journal.acknowledged(task, 2), false);
  assert.equal(journal.setStopping(task), false);
  const unknown = attempt(9);
  assert.equal(journal.setHandle(unknown, handle), false);
  assert.equal(journal.addNotice(unknown, start), 0);
  assert.equal(journal.done(unknown), false);
  assert.equal(journal.raiseTerm(0), false);
  assert.equal(readFileSync(file, 'utf8'), before);
});

test('the highest term only grows', (t) => {
  const { journal, again } = fresh(t);
  assert.equal(journal.highestTerm(), 0);
  assert.equal(journal.raiseTerm(4), true);
  assert.equal(journal.raiseTerm(3), false);
  assert.equal(again().highestTerm(), 4);
});

test('the journal is its owner’s alone: it holds tokens', (t) => {
  const { file } = fresh(t);
  assert.equal(statSync(file).mode & 0o777, 0o600);
});

test('a crash at any byte of the last write leaves the state before it or after it', (t) => {
  const { journal, file, dir } = fresh(t);
  journal.accept(attempt(1));
  journal.setHandle(attempt(1), handle);
  const before = readFileSync(file);
  const heldBefore = journal.held();
  journal.addNotice(attempt(1), { ...end, message: 'ends with ünïcode' });
  const after = readFileSync(file);
  const heldAfter = journal.held();
  assert.deepEqual(after.subarray(0, before.length), before);
  for (let cut = before.length; cut <= after.length; cut += 1) {
    writeFileSync(file, after.subarray(0, cut));
    const found = openJournal(dir, () => 1_000_000);
    const whole = cut >= after.length - 1;
    assert.deepEqual(found.held(), whole ? heldAfter : heldBefore, `cut at ${cut}`);
    assert.equal(found.unreadable, whole || cut === before.length ? 0 : 1);
    // And it goes on: nothing new is glued to the torn line.
    found.raiseTerm(8);
    found.close();
    const next = openJournal(dir, () => 1_000_000);
    assert.deepEqual([next.highestTerm(), next.unreadable], [8, 0]);
    next.close();
  }
});

test('a line that a broken disk has spoilt does not take the others with it', (t) => {
  const { journal, file, again } = fresh(t);
  journal.accept(attempt(1));
  appendFileSync(file, '\0\0\0\0\n{"t":"task","task":{}}\n');
  const reopened = again();
  assert.equal(reopened.unreadable, 2);
  assert.equal(reopened.has(attempt(1)), true);
});

test('the file does not grow with the number of attempts that are done', (t) => {
  const { journal, file, clock, again } = fresh(t);
  const big = 'x'.repeat(30_000);
  for (let n = 1; n <= 300; n += 1) {
    const task = aTask({ attempt: n, spec: { ...aTask().spec, script: big } });
    clock.nowMs += 60_000;
    journal.accept(task);
    journal.addNotice(task, end);
    if (n > 2) journal.done(aTask({ attempt: n - 1 }));
  }
  assert.ok(statSync(file).size < 2 * 1024 * 1024, `${statSync(file).size} bytes`);
  assert.deepEqual(again().held(), journal.held());
});

test('when the disk refuses half a line, nothing has changed, and what still fits is whole', async (t) => {
  const dir = dataDir(t);
  const program = `
    import { openJournal } from ${JSON.stringify(new URL('../../../agent/journal.ts', import.meta.url).href)};
    import { aTask } from ${JSON.stringify(new URL('../../support/tasks.ts', import.meta.url).href)};
    process.on('SIGXFSZ', () => {});
    const journal = openJournal(${JSON.stringify(dir)}, () => 1_000_000);
    let code;
    for (let n = 1; !code && n < 1_000; n += 1) {
      try {
        journal.accept(aTask({ attempt: n, token: 'x'.repeat(1_000) }));
      } catch (error) {
        code = error.code;
      }
    }
    journal.raiseTerm(7);
    console.log(JSON.stringify({ code, held: journal.held().length }));`;
  const limited = 'ulimit -f 40; exec "$0" --input-type=module -e "$1"';
  const { stdout } = await promisify(execFile)('/bin/sh', ['-c', limited, process.execPath, program]);
  const { code, held } = JSON.parse(stdout);
  assert.equal(code, 'JOURNAL_BROKEN');
  const found = openJournal(dir, () => 1_000_000);
  assert.deepEqual([found.held().length, found.highestTerm(), found.unreadable], [held, 7, 0]);
  assert.ok(held > 1);
  found.close();
});

test('whatever is said in whatever order, a journal opened again says the same', () => {
  const key = fc.integer({ min: 1, max: 3 }).map((n) => attempt(n));
  const act = fc.oneof(
    key.map((task) => (j: Journal) => j.accept(task)),
    key.map((task) => (j: Journal) => j.setHandle(task, handle)),
    key.map((task) => (j: Journal) => j.setStopping(task)),
    fc.tuple(key, fc.constantFrom(start, end)).map(
      ([task, n]) =>
        (j: Journal) =>
          j.addNotice(task, n),
    ),
    fc.tuple(key, fc.integer({ min: 1, max: 3 })).map(
      ([task, n]) =>
        (j: Journal) =>
          j.acknowledged(task, n),
    ),
    key.map((task) => (j: Journal) => j.done(task)),
    fc.integer({ min: 1, max: 5 }).map((term) => (j: Journal) => j.raiseTerm(term)),
  );
  fc.assert(
    fc.property(fc.array(act, { maxLength: 25 }), (acts) => {
      const dir = mkdtempSync(join(tmpdir(), 'thresh-journal-'));
      const journal = openJournal(dir, () => 1_000);
      for (const a of acts) a(journal);
      const said = (j: Journal) => ({
        held: new Map(j.held().map((h) => [keyOf(h.task), h])),
        order: j.held().map((h) => keyOf(h.task)),
        unsent: j.nextUnsent(),
        term: j.highestTerm(),
        known: [1, 2, 3].map((n) => j.has(attempt(n))),
      });
      const again = openJournal(dir, () => 1_000);
      assert.deepEqual(said(again), said(journal));
      journal.close();
      again.close();
      rmSync(dir, { recursive: true });
    }),
    { numRuns: 60 },
  );
});
