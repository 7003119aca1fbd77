/** One measured thing beside what the machine itself allows. */
export type Figure = {
  what: string;
  unit: string;
  farm: number;
  floor: number;
  /** What the floor is. */
  floorIs: string;
};

export const quantile = (sorted: readonly number[], q: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0;

/** A table for people; the ratio says how many times worse than its floor the farm is. */
export function table(figures: readonly Figure[]): string {
  const number = (n: number) => (n >= 100 ? n.toFixed(0) : n.toPrecision(3));
  const rows = [
    ['figure', 'farm', 'floor', 'ratio', 'the floor is'],
    ...figures.map((f) => {
      const ratio = f.unit.endsWith('/s') ? f.floor / f.farm : f.farm / f.floor;
      return [f.what, `${number(f.farm)} ${f.unit}`, `${number(f.floor)} ${f.unit}`, ratio.toFixed(1), f.floorIs];
    }),
  ];
  const widths = rows[0]?.map((_, i) => Math.max(...rows.map((r) => r[i]?.length ?? 0))) ?? [];
  return rows
    .map((r) =>
      r
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
