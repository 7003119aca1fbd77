import { paintState, type Terminal } from './terminal.ts';
import { cut, plain, widthOf } from './text.ts';

export type Column<Row> = {
  title: string;
  cell: (row: Row) => string | number | undefined;
  right?: boolean;
  /** Coloured as a state. */
  state?: boolean;
  /** Gives way when the terminal is narrow. Columns without it are always whole. */
  gives?: boolean;
};

const gap = '  ';
/** A column that gives way keeps so many columns of the terminal. */
const leastWidth = 8;

/** Prints rows under a heading, aligned; on a terminal each row is one line, wide columns that may give way are cut. */
export function printTable<Row>(out: Terminal, rows: readonly Row[], columns: readonly Column<Row>[]): void {
  const texts = rows.map((row) => columns.map((c) => plain(String(c.cell(row) ?? '')) || '-'));
  const widths = fit(
    columns.map((c, i) => Math.max(widthOf(c.title), ...texts.map((cells) => widthOf(cells[i] ?? '')))),
    columns.map((c) => c.gives === true),
    out.width - gap.length * (columns.length - 1),
  );
  const last = columns.length - 1;
  const row = (cells: readonly string[], paint: (text: string, column: Column<Row>) => string) =>
    columns
      .map((column, i) => {
        const text = cut(cells[i] ?? '', widths[i] ?? 0);
        const space = ' '.repeat(Math.max(0, (widths[i] ?? 0) - widthOf(text)));
        if (column.right) return space + paint(text, column);
        return paint(text, column) + (i === last ? '' : space);
      })
      .join(gap)
      .trimEnd();
  out.line(
    row(
      columns.map((c) => c.title),
      (text) => out.paint('bold', text),
    ),
  );
  for (const cells of texts) out.line(row(cells, (text, c) => (c.state ? paintState(out, text) : text)));
}

/** The widths that fit in `room`: the widest column that gives way is narrowed first. */
export function fit(wanted: readonly number[], gives: readonly boolean[], room: number): number[] {
  const widths = [...wanted];
  for (let over = sum(widths) - room; over > 0; over = sum(widths) - room) {
    const widest = widths.reduce<number>((best, w, i) => (gives[i] && w > leastWidth && w > (widths[best] ?? 0) ? i : best), -1);
    if (widest < 0) return widths;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
  return widths;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
