import { readFileSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';

/** How an agent joined, so that it can serve again without being told: its options, and the token that it got. */
const Remembered = Type.Object({
  v: Type.Literal(1),
  name: Type.String(),
  options: Type.Array(Type.String()),
  token: Type.String(),
});
export type Remembered = Static<typeof Remembered>;

const fileIn = (dataDir: string): string => join(dataDir, 'farm.json');

/** Holds a secret: for this user alone. */
export async function remember(dataDir: string, what: Omit<Remembered, 'v'>): Promise<void> {
  const draft = `${fileIn(dataDir)}.new`;
  const file = await open(draft, 'w', 0o600);
  try {
    await file.writeFile(`${JSON.stringify({ v: 1, ...what } satisfies Remembered)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(draft, fileIn(dataDir));
}

/** undefined: it has not joined from here, or the file was spoilt, which joining again mends. */
export function remembered(dataDir: string): Remembered | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(fileIn(dataDir), 'utf8'));
    return Value.Check(Remembered, value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** What of a command line is worth remembering, and what a later one exchanges. */
const kept = [
  'url',
  'name',
  'queues',
  'slots',
  'executor',
  'policy',
  'default-image',
  'step-user',
  'shared',
  'lease-ms',
] as const;

/** The options of `given`, and of those before what it does not say. Pairs `--name value` only, as this farm's programs write them. */
export function mergeOptions(before: readonly string[], given: readonly string[]): string[] {
  const said = new Set(given.filter((word) => word.startsWith('--')).map((word) => word.split('=', 1)[0]));
  const more = before.flatMap((word, i) => (i % 2 === 0 && !said.has(word) ? [word, before[i + 1] ?? ''] : []));
  return [...more, ...given];
}

/** As pairs, for the next start. */
export const optionsToKeep = (values: Readonly<Record<string, unknown>>): string[] =>
  kept.flatMap((name) => [values[name] ?? []].flat().flatMap((value) => [`--${name}`, String(value)]));
