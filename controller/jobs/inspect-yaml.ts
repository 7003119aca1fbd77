import { type Alias, isAlias, isMap, isPair, isScalar, isSeq, type Node } from 'yaml';
import type { YamlProblem } from './read-yaml.ts';

/** How big a file may be when each alias is replaced by what it stands for, bytes. */
export const maxExpandedBytes = 32 * 1024 * 1024;
/** The library looks an alias up among all anchors and aliases before it. */
export const maxAliases = 10_000;

/** What is wrong with the nodes of a document that is valid as such: duplicate keys, aliases to nothing, and aliases to too much. */
export function inspectNodes(root: unknown): YamlProblem[] {
  const problems: YamlProblem[] = [];
  const weights = new Map<string, number | 'open'>();
  let aliases = 0;
  let expanded = 0;
  let tooMuch: YamlProblem | undefined;

  /** Bytes that an alias stands for. */
  const follow = (node: Alias): number => {
    const weight = weights.get(node.source);
    if (typeof weight !== 'number') {
      const why =
        weight === 'open' ? 'stands for something that contains itself; remove it' : `has no anchor before it; ${anchorIt(node)}`;
      problems.push({ offset: startOf(node), message: `*${node.source} ${why}` });
      return 0;
    }
    expanded += weight;
    if (++aliases > maxAliases)
      tooMuch ??= {
        offset: startOf(node),
        message: `here begins alias (*name) number ${maxAliases + 1}, one more than is possible; write some of them out`,
      };
    if (expanded > maxExpandedBytes)
      tooMuch ??= {
        offset: startOf(node),
        message: `with this alias (*name) the file becomes bigger than ${maxExpandedBytes / 1024 / 1024} MiB; write out what is really needed`,
      };
    return weight;
  };
  const weigh = (node: unknown): number => {
    if (isPair(node)) return weigh(node.key) + weigh(node.value);
    if (isAlias(node)) return follow(node);
    const anchor = isScalar(node) || isMap(node) || isSeq(node) ? node.anchor : undefined;
    if (anchor) weights.set(anchor, 'open');
    let weight = 8;
    if (isScalar(node)) weight += typeof node.value === 'string' ? node.value.length : 0;
    else if (isMap(node) || isSeq(node)) for (const item of node.items) weight += weigh(item);
    if (anchor) weights.set(anchor, weight);
    if (isMap(node)) problems.push(...duplicateKeys(node.items.map((pair) => pair.key)));
    return weight;
  };
  weigh(root);
  return tooMuch ? [tooMuch] : problems;
}

const anchorIt = ({ source }: Alias): string => `define &${source} above, or put the text in quotes`;

function duplicateKeys(keys: unknown[]): YamlProblem[] {
  const seen = new Set<string>();
  const problems: YamlProblem[] = [];
  for (const key of keys) {
    if (!isScalar(key)) continue;
    const name = typeof key.value === 'symbol' ? '<<' : String(key.value);
    if (seen.has(name))
      problems.push({ offset: startOf(key), message: `the key '${name}' is there twice in this map; remove one` });
    seen.add(name);
  }
  return problems;
}

const startOf = (node: Node): number => node.range?.[0] ?? 0;
