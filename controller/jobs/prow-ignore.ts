import { RE2JS } from 're2js';

/** Whether the paths (from the directory of the file, with '/') that a `.prowignore` names are to be left out. */
export type Ignores = (path: string, isDirectory: boolean) => boolean;

type Rule = { matches: (path: string) => boolean; negated: boolean; directoriesOnly: boolean };

/** Reads a `.prowignore`: the syntax of gitignore, in which the last rule that fits decides. */
export function readProwIgnore(text: string): Ignores {
  const rules = text.split(/\r?\n/).flatMap((line) => rule(line) ?? []);
  return (path, isDirectory) => {
    const last = rules.findLast((r) => (isDirectory || !r.directoriesOnly) && r.matches(path));
    return last !== undefined && !last.negated;
  };
}

function rule(line: string): Rule | undefined {
  const trimmed = line.replace(/(?<!\\) +$/, '');
  if (trimmed === '' || trimmed.startsWith('#') || trimmed.length > 1_000) return undefined;
  const negated = trimmed.startsWith('!');
  const directoriesOnly = trimmed.endsWith('/');
  const glob = trimmed.slice(negated ? 1 : 0, directoriesOnly ? -1 : undefined);
  const anchored = glob.includes('/');
  const body = (glob.startsWith('/') ? glob.slice(1) : glob).split('/').map(segment).join('/');
  const source = body.replaceAll('(?:.*)/', '(?:.*/)?').replace(/\/\(\?:\.\*\)$/, '/.+');
  try {
    const pattern = RE2JS.compile(`^${anchored ? '' : '(?:.*/)?'}${source}$`, RE2JS.DOTALL);
    return { matches: (path) => pattern.matcher(path).find(), negated, directoriesOnly };
  } catch {
    return undefined;
  }
}

/** One segment of a glob as a regular expression; '**' is a group that the caller joins with its slashes. */
function segment(glob: string): string {
  if (glob === '**') return '(?:.*)';
  return glob.replaceAll(/\\(.)|\*+|\?|\[([!^]?)([^\]]+)\]|[\\^$.|+(){}[\]]/g, (all, escaped, not, set) => {
    if (escaped !== undefined) return RE2JS.quote(escaped);
    if (all.startsWith('*')) return '[^/]*';
    if (all === '?') return '[^/]';
    if (set !== undefined) return `[${not ? '^' : ''}${set.replaceAll(/[\\[\]^]/g, '\\$&')}]`;
    return RE2JS.quote(all);
  });
}
