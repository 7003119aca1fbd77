import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cronFault } from '../../../controller/jobs/cron-syntax.ts';
import { durationMs } from '../../../controller/jobs/go-duration.ts';
import { cycleIn, inOrder } from '../../../controller/jobs/order-steps.ts';
import { readProwIgnore } from '../../../controller/jobs/prow-ignore.ts';
import { readFileJobs } from '../../../controller/jobs/read-file.ts';
import { nearest } from '../../../controller/jobs/suggest.ts';

test('durations are those of Go', () => {
  const good: [unknown, number][] = [
    ['90m', 5_400_000],
    ['1h30m', 5_400_000],
    ['1.5s', 1_500],
    ['.5h', 1_800_000],
    ['100ms', 100],
    ['-1s', -1_000],
    ['0', 0],
    ['1h0m0s', 3_600_000],
    ['2µs', 0.002],
    [1_000_000, 1],
  ];
  for (const [text, ms] of good) assert.equal(durationMs(text), ms, String(text));
  for (const bad of ['', '1', '1d', 'h', '1 h', '1h ', '1,5h', '.s', true, null, 1.5, '1'.repeat(100), {}])
    assert.equal(durationMs(bad), undefined, String(bad));
});

test('cron lines are those of Prow', () => {
  const good =
    '0 3 * * *|*/15 * * * *|0 0 1,15 * mon-fri|30 0 3 * * *|5-59/20 * * * SUN|@daily|@every 1h30m|CRON_TZ=Europe/Berlin 0 3 * * *|TZ=UTC 0 3 * * *|0 0 ? jan-dec *';
  for (const line of good.split('|')) assert.equal(cronFault(line), undefined, line);
  const bad =
    '|* * * *|61 * * * *|0 24 * * *|0 0 0 * *|0 0 * 13 *|0 0 * * 7|5-1 * * * *|*/0 * * * *|a * * * *|@reboot|@every|@every x|1-2-3 * * * *|* * * * * * *|1, * * * *';
  for (const line of bad.split('|')) assert.ok(cronFault(line), line);
});

test('a .prowignore reads as a .gitignore', () => {
  const ignores = readProwIgnore(
    '*.gen.yaml\n/top.yaml\nsub/*.yaml\nlogs/**\n**/cache/x.yaml\ndir/\n[ab].yaml\n\\#odd.yaml\nkeep*\n!keep-me.yaml\nq?.yaml\n',
  );
  const ignored = [
    'a.gen.yaml',
    'x/a.gen.yaml',
    'top.yaml',
    'sub/a.yaml',
    'logs/a/b.yaml',
    'cache/x.yaml',
    'a/b/cache/x.yaml',
    'a.yaml',
    '#odd.yaml',
    'keep.yaml',
    'qq.yaml',
  ];
  const kept = ['agen.yaml', 'x/top.yaml', 'sub/x/c.yaml', 'logs', 'c.yaml', 'keep-me.yaml', 'qqq.yaml', 'dir'];
  for (const path of ignored) assert.ok(ignores(path, false), path);
  for (const path of kept) assert.ok(!ignores(path, false), path);
  assert.ok(ignores('x/dir', true));
});

test('a misspelt word has a suggestion, and a strange one has none', () => {
  const words = ['needs', 'script', 'command', 'timeout'];
  assert.deepEqual(
    ['need', 'Needs', 'comand', 'tiemout', 'run', 'depends_on', 'privileged', 'constructor'].map((w) => nearest(w, words)),
    ['needs', 'needs', 'command', 'timeout', 'script', 'needs', undefined, undefined],
  );
});

const graph = fc
  .integer({ min: 1, max: 12 })
  .chain((n) => fc.array(fc.array(fc.integer({ min: 0, max: n - 1 }), { maxLength: 3 }), { minLength: n, maxLength: n }))
  .map((needs) => needs.map((of, i) => ({ name: `s${i}`, needs: of.map((k) => `s${k}`) })));

test('either the steps can be put in order, or a circle is named and is one', () => {
  fc.assert(
    fc.property(graph, (steps) => {
      const cycle = cycleIn(steps);
      const needsOf = new Map(steps.map((s) => [s.name, s.needs]));
      if (cycle) {
        assert.equal(cycle[0], cycle.at(-1));
        for (const [i, name] of cycle.slice(0, -1).entries()) assert.ok(needsOf.get(name)?.includes(cycle[i + 1] ?? ''));
        return;
      }
      const order = inOrder(steps).map((s) => s.name);
      assert.deepEqual([...order].sort(), steps.map((s) => s.name).sort());
      for (const { name, needs } of steps) for (const n of needs) assert.ok(order.indexOf(n) < order.indexOf(name));
    }),
  );
});

test('steps that are in order stay as they were written', () => {
  const steps = [{ name: 'b' }, { name: 'a' }, { name: 'c', needs: ['b'] }];
  assert.deepEqual(inOrder(steps), steps);
});

test('whatever a file holds, reading it ends in jobs or in problems that have a place', () => {
  const key = fc.constantFrom(
    'presets',
    'presubmits',
    'manual',
    'periodics',
    'repositories',
    'steps',
    'spec',
    'name',
    'env',
    'needs',
    'labels',
    'o/r',
    '__proto__',
    'constructor',
  );
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      fc.string(),
      fc.integer(),
      fc.boolean(),
      fc.constant(null),
      tie('map'),
      fc.array(tie('value')),
    ),
    map: fc.dictionary(key, tie('value')),
  }));
  const file = fc.oneof(
    fc.dictionary(key, value).map((v) => JSON.stringify(v)),
    fc.string(),
    fc.string({ unit: fc.constantFrom(...'[]{}-:?&*!|>\'"%@` \n\ta#<'.split('')) }),
  );
  fc.assert(
    fc.property(file, (text) => {
      const { problems } = readFileJobs('x.yaml', text);
      for (const p of problems)
        assert.ok((p.line ?? 0) >= 1 && (p.column ?? 0) >= 1 && p.message.length > 10 && p.message.length < 600);
    }),
    { numRuns: 500 },
  );
});
