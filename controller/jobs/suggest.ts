/** What people write who come from other systems. */
const habits: Record<string, string> = {
  depends_on: 'needs',
  dependsOn: 'needs',
  depends: 'needs',
  runAfter: 'needs',
  run: 'script',
  commands: 'script',
  environment: 'env',
  if: 'when',
  workingDir: 'workdir',
  working_dir: 'workdir',
  working_directory: 'workdir',
  retry: 'retries',
};

/** The word of `known` that was probably meant; undefined when none is near. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const habit = Object.hasOwn(habits, word) ? habits[word] : undefined;
  if (habit !== undefined && known.includes(habit)) return habit;
  if (word.length > 64) return undefined;
  const limit = Math.max(1, Math.floor(word.length / 3));
  const ranked = known.map((k) => ({ k, d: distance(word.toLowerCase(), k.toLowerCase()) })).sort((a, b) => a.d - b.d);
  return ranked[0] && ranked[0].d <= limit ? ranked[0].k : undefined;
}

/** `did you mean 'needs'?`, or the words that there are. */
export function hint(word: string, known: readonly string[]): string {
  const near = nearest(word, known);
  return near ? `did you mean '${near}'?` : `there are: ${known.join(', ')}`;
}

/** How many letters must be put in, left out, exchanged or swapped with their neighbour. */
function distance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  const at = (i: number, j: number): number => rows[i]?.[j] ?? Number.POSITIVE_INFINITY;
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    rows.push(row);
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      row.push(
        Math.min(
          at(i - 1, j) + 1,
          at(i, j - 1) + 1,
          at(i - 1, j - 1) + (same ? 0 : 1),
          swapped ? at(i - 2, j - 2) + 1 : Number.POSITIVE_INFINITY,
        ),
      );
    }
  }
  return at(a.length, b.length);
}
