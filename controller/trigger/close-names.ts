/** What of `names` somebody may have meant by `wanted`, the closest first. */
export function closeNames(wanted: string, names: readonly string[], most = 3): string[] {
  const lower = wanted.toLowerCase();
  const allowed = Math.max(2, Math.floor(wanted.length / 4));
  const scored = [...new Set(names)].flatMap((name) => {
    const score = distance(lower, name.toLowerCase(), allowed);
    return score <= allowed ? [{ name, score }] : [];
  });
  return scored
    .sort((a, b) => a.score - b.score || (a.name < b.name ? -1 : 1))
    .slice(0, most)
    .map(({ name }) => name);
}

/** Letters to insert, remove or change (Levenshtein); containing the other counts as `limit`, and more than that as Infinity. */
function distance(a: string, b: string, limit: number): number {
  const contained = Math.min(a.length, b.length) >= 3 && (a.includes(b) || b.includes(a)) ? limit : Number.POSITIVE_INFINITY;
  if (Math.abs(a.length - b.length) > limit) return contained;
  let above = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (above[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(change, (above[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    if (Math.min(...row) > limit) return contained;
    above = row;
  }
  return Math.min(contained, above[b.length] ?? contained);
}
