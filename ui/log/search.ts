import type { LogBuffer } from './buffer.ts';

export type Match = { line: number; start: number; end: number };

export const maxMatches = 5_000;

/** Where `wanted` stands in the lines that are held, whatever the case; not more than `maxMatches`. */
export function search(buffer: LogBuffer, wanted: string): Match[] {
  const needle = wanted.toLowerCase();
  const found: Match[] = [];
  if (needle === '') return found;
  for (let line = 0; line < buffer.length; line += 1) {
    const text = buffer.line(line)?.text.toLowerCase() ?? '';
    for (let start = text.indexOf(needle); start >= 0; start = text.indexOf(needle, start + needle.length)) {
      found.push({ line, start, end: start + needle.length });
      if (found.length >= maxMatches) return found;
    }
  }
  return found;
}
