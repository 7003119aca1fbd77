import { type Document, isAlias, isMap, isPair, isScalar, isSeq, type LineCounter, type Node, type YAMLMap } from 'yaml';

/** Keys and indexes from the top of a file to a part of it. */
export type Path = readonly (string | number)[];
/** Both count from 1. */
export type Place = { line: number; column: number };
/** Something wrong with the part at `path`: with what it is, or (`on: 'key'`) that it is there. */
export type Finding = { path: Path; on?: 'key'; message: string };

/**
 * Where the part at `path` stands. Follows aliases and merge keys to where the part was really written; a part that is not there
 * has the place of what should contain it.
 */
export function placeOf(yaml: { doc: Document; lines: LineCounter }, path: Path, on?: 'key'): Place {
  let node: unknown = yaml.doc.contents;
  let start = startOf(node) ?? 0;
  for (const [i, segment] of path.entries()) {
    const at = stepInto(yaml.doc, node, segment);
    if (!at) break;
    const last = i === path.length - 1;
    start = (last && on === 'key' ? startOf(at.key) : undefined) ?? startOf(at.value) ?? startOf(at.key) ?? start;
    node = at.value;
  }
  const { line, col } = yaml.lines.linePos(start);
  return { line: Math.max(1, line), column: Math.max(1, col) };
}

function stepInto(doc: Document, from: unknown, segment: string | number): { key?: unknown; value: unknown } | undefined {
  const node = isAlias(from) ? from.resolve(doc) : from;
  if (isSeq(node)) return Number(segment) < node.items.length ? { value: node.items[Number(segment)] } : undefined;
  if (!isMap(node)) return undefined;
  const pair = node.items.find((p) => isScalar(p.key) && String(p.key.value) === String(segment));
  return pair ?? inMerged(doc, node, segment);
}

function inMerged(doc: Document, map: YAMLMap, segment: string | number) {
  const merged = map.items.filter((p) => isScalar(p.key) && isMergeKey(p.key.value)).map((p) => p.value);
  const maps = merged.flatMap((m) => (isSeq(m) ? m.items : [m]));
  for (const source of maps) {
    const found = stepInto(doc, source, segment);
    if (found) return found;
  }
  return undefined;
}

const isMergeKey = (value: unknown): boolean => value === '<<' || (typeof value === 'symbol' && value.description === '<<');

const startOf = (node: unknown): number | undefined => (isPair(node) ? undefined : (node as Node | null | undefined)?.range?.[0]);
