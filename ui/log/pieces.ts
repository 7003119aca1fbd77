import type { Span, Style } from './ansi.ts';

export type Piece = { text: string; style?: Style; found?: 'found' | 'current' };
type Mark = { start: number; end: number; current: boolean };

/** A line cut wherever its style changes or something found begins or ends. `spans` and `marks` are in order and do not overlap. */
export function piecesOf(text: string, spans: readonly Span[], marks: readonly Mark[]): Piece[] {
  const cuts = new Set([0, text.length]);
  for (const { start, end } of [...spans, ...marks]) for (const at of [start, end]) if (at > 0 && at < text.length) cuts.add(at);
  const at = [...cuts].sort((a, b) => a - b);
  const pieces: Piece[] = [];
  let [s, m] = [0, 0];
  for (let i = 0; i + 1 < at.length; i += 1) {
    const [from = 0, to = 0] = [at[i], at[i + 1]];
    while (s < spans.length && (spans[s]?.end ?? 0) <= from) s += 1;
    while (m < marks.length && (marks[m]?.end ?? 0) <= from) m += 1;
    const [span, mark] = [spans[s], marks[m]];
    pieces.push({
      text: text.slice(from, to),
      ...(span && span.start <= from && { style: span.style }),
      ...(mark && mark.start <= from && { found: mark.current ? 'current' : 'found' }),
    });
  }
  return pieces;
}
