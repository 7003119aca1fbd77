/** What the order of steps depends on. */
type Needing = { name: string; needs?: readonly string[] };

/** The steps so that each stands after those that it needs; otherwise as they were written. Needs of unknown steps are not waited for. */
export function inOrder<S extends Needing>(steps: readonly S[]): S[] {
  const names = new Set(steps.map((s) => s.name));
  const placed = new Set<string>();
  const ordered: S[] = [];
  let rest = [...steps];
  while (rest.length > 0) {
    const next = rest.find((s) => (s.needs ?? []).every((n) => placed.has(n) || !names.has(n)));
    if (!next) return [...ordered, ...rest];
    placed.add(next.name);
    ordered.push(next);
    rest = rest.filter((s) => s !== next);
  }
  return ordered;
}

/** A circle of needs, its first step also at the end: a, b, a means that a needs b and b needs a. undefined: there is none. */
export function cycleIn(steps: readonly Needing[]): string[] | undefined {
  const byName = new Map(steps.map((s) => [s.name, s]));
  const done = new Set<string>();
  for (const { name } of steps) {
    const path: { name: string; next: number }[] = done.has(name) ? [] : [{ name, next: 0 }];
    for (let top = path.at(-1); top; top = path.at(-1)) {
      const need = byName.get(top.name)?.needs?.[top.next++];
      if (need === undefined) {
        done.add(top.name);
        path.pop();
        continue;
      }
      const start = path.findIndex((p) => p.name === need);
      if (start >= 0) return [...path.slice(start).map((p) => p.name), need];
      if (!done.has(need) && byName.has(need)) path.push({ name: need, next: 0 });
    }
  }
  return undefined;
}
