import { graphlib, layout } from '@dagrejs/dagre';
import type { StepShape } from '../../protocol/run.ts';

export type Node = { name: string; x: number; y: number };
export type Edge = { from: string; to: string; points: { x: number; y: number }[]; finally: boolean };
export type Graph = { width: number; height: number; nodes: Node[]; edges: Edge[] };

export const nodeSize = { width: 178, height: 54 } as const;
const margin = 6;

/** Where each step of a run stands, in pixels; `x` and `y` are a node's upper left corner. */
export function layOut(steps: readonly StepShape[]): Graph {
  const graph = new graphlib.Graph();
  graph.setGraph({ rankdir: 'LR', nodesep: 16, ranksep: 40, marginx: margin, marginy: margin });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const { name } of steps) graph.setNode(name, { ...nodeSize });
  const links = linksOf(steps);
  for (const { from, to } of links) graph.setEdge(from, to);
  layout(graph);
  const { width = 0, height = 0 } = graph.graph() as { width?: number; height?: number };
  return {
    width,
    height,
    nodes: steps.map(({ name }) => {
      const { x, y } = graph.node(name) as { x: number; y: number };
      return { name, x: x - nodeSize.width / 2, y: y - nodeSize.height / 2 };
    }),
    edges: links.map((link) => {
      const [from, to] = [graph.node(link.from), graph.node(link.to)] as { x: number; y: number }[];
      const { points } = graph.edge(link.from, link.to) as { points: Edge['points'] };
      // It leaves and enters at the middle of a side; between, it goes where there is room.
      const start = { x: (from?.x ?? 0) + nodeSize.width / 2, y: from?.y ?? 0 };
      const end = { x: (to?.x ?? 0) - nodeSize.width / 2, y: to?.y ?? 0 };
      return { ...link, points: [start, ...points.slice(2, -2), end] };
    }),
  };
}

/** What follows on what: the needs, and for a `finally` step without needs all steps that nothing else follows. */
function linksOf(steps: readonly StepShape[]): { from: string; to: string; finally: boolean }[] {
  const known = new Set(steps.map((s) => s.name));
  const ordinary = steps.filter((s) => !s.finally);
  const needed = new Set(ordinary.flatMap((s) => s.needs));
  const ends = ordinary.filter((s) => !needed.has(s.name)).map((s) => s.name);
  return steps.flatMap((s) => {
    const from = s.finally && s.needs.length === 0 ? ends : s.needs.filter((name) => known.has(name) && name !== s.name);
    return from.map((name) => ({ from: name, to: s.name, finally: s.finally }));
  });
}

/** A smooth line through the points of an edge, as the `d` of a path. */
export function pathOf(points: Edge['points']): string {
  const [first, ...rest] = points;
  const last = rest.at(-1);
  if (!first || !last) return '';
  let d = `M${first.x} ${first.y}`;
  let from = first;
  for (const to of rest) {
    const middle = (from.x + to.x) / 2;
    d += `C${middle} ${from.y} ${middle} ${to.y} ${to.x} ${to.y}`;
    from = to;
  }
  return d;
}
