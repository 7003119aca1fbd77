import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fit, printTable } from '../../../controller/cli/table.ts';
import { terminal } from '../../../controller/cli/terminal.ts';
import { Screen } from './harness.ts';

type Row = { name: string; state: string; n: number };
const rows: Row[] = [
  { name: 'short', state: 'passed', n: 1 },
  { name: 'a name that is much longer than the others', state: 'failed', n: 1234 },
];
const print = (o: { tty?: boolean; columns?: number }, env = {}) => {
  const screen = new Screen(o);
  printTable(terminal(screen, env), rows, [
    { title: 'NAME', cell: (r) => r.name, gives: true },
    { title: 'N', cell: (r) => r.n, right: true },
    { title: 'STATE', cell: (r) => r.state, state: true },
  ]);
  return screen.text.split('\n').slice(0, -1);
};

test('columns are aligned and nothing is cut where nobody looks', () => {
  const [head = '', first = '', second = ''] = print({});
  assert.equal(head.indexOf('STATE'), first.indexOf('passed'));
  assert.equal(head.indexOf('STATE'), second.indexOf('failed'));
  assert.equal(first.indexOf('1') + 1, second.indexOf('1234') + 4, 'numbers end in the same column');
  assert.match(second, /much longer than the others/);
});

test('on a narrow terminal the widest column gives way and every row is one line', () => {
  const lines = print({ tty: true, columns: 40 }, { NO_COLOR: '1' });
  assert.ok(lines.every((l) => l.length <= 40));
  assert.match(lines[2] ?? '', /^a name that.*… +1234 {2}failed$/);
});

test('colours are for terminals, unless someone says otherwise', () => {
  const coloured = (o: object, env: object) => print(o, env).join('').includes('\x1b[');
  assert.equal(coloured({ tty: true }, {}), true);
  assert.equal(coloured({ tty: true }, { NO_COLOR: '1' }), false);
  assert.equal(coloured({ tty: true }, { TERM: 'dumb' }), false);
  assert.equal(coloured({}, {}), false);
  assert.equal(coloured({}, { FORCE_COLOR: '1' }), true);
  assert.equal(coloured({ tty: true }, { FORCE_COLOR: '0' }), false);
});

test('columns that do not give way keep their width even when the terminal is too narrow', () => {
  assert.deepEqual(fit([10, 30, 20], [false, true, true], 40), [10, 15, 15]);
  assert.deepEqual(fit([50, 9], [false, true], 20), [50, 8]);
  assert.deepEqual(fit([5, 5], [true, true], Number.POSITIVE_INFINITY), [5, 5]);
});
