import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StepShape } from '../../../protocol/run.ts';
import { layOut, nodeSize } from '../../../ui/run/graph.ts';

const step = (name: string, needs: string[] = [], over: Partial<StepShape> = {}): StepShape => ({
  ...{ name, needs, when: 'success', finally: false, retries: 0, queue: 'default' },
  ...over,
});

test('each step stands to the right of those that it needs, and none over another', () => {
  const graph = layOut([step('a'), step('b', ['a']), step('c', ['a']), step('d', ['b', 'c']), step('z', [], { finally: true })]);
  const at = new Map(graph.nodes.map((n) => [n.name, n]));
  const x = (name: string) => at.get(name)?.x ?? Number.NaN;
  assert.ok(x('a') < x('b') && x('b') === x('c') && x('c') < x('d') && x('d') < x('z'));
  for (const a of graph.nodes)
    for (const b of graph.nodes)
      if (a !== b)
        assert.ok(Math.abs(a.x - b.x) >= nodeSize.width || Math.abs(a.y - b.y) >= nodeSize.height, `${a.name} ${b.name}`);
  for (const n of graph.nodes)
    assert.ok(n.x >= 0 && n.x + nodeSize.width <= graph.width && n.y + nodeSize.height <= graph.height);
});

test('closing steps follow on the ends of the run', () => {
  const graph = layOut([step('a'), step('b', ['a']), step('z', [], { finally: true })]);
  assert.deepEqual(
    graph.edges.map((e) => [e.from, e.to, e.finally]),
    [
      ['a', 'b', false],
      ['b', 'z', true],
    ],
  );
});

test('five hundred steps are laid out', () => {
  const steps = Array.from({ length: 500 }, (_, i) => step(`s${i}`, i < 20 ? [] : [`s${i - 20}`, `s${(i * 7) % (i - 19)}`]));
  assert.equal(layOut(steps).nodes.length, 500);
});
