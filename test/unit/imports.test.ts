import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, posix, relative } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

type Import = { from: string; typeOnly: boolean };

/** What a file imports, and re-exports, by the text between the quotes. */
function importsOf(source: string): Import[] {
  const found: Import[] = [];
  const statement = /(?:^|\n)\s*(?:import|export)\s+(type\s)?(?:[^'"`;]*?\sfrom\s+)?['"]([^'"]+)['"]/g;
  for (const [, type, from = ''] of source.matchAll(statement)) found.push({ from, typeOnly: type !== undefined });
  for (const [, from = ''] of source.matchAll(/\bimport\(\s*['"]([^'"]+)['"]/g)) found.push({ from, typeOnly: false });
  return found;
}

const rooms = ['intake', 'jobs', 'trigger', 'schedule', 'logs', 'results', 'report', 'api'];

/** The folders whose files `file` may import besides those of its own; undefined: no rule. */
function allowedFor(file: string): { own: string; others: string[] } | undefined {
  const [top = '', second = '', third] = file.split('/');
  if (top === 'protocol') return { own: 'protocol', others: [] };
  if (top === 'agent') return { own: 'agent', others: ['protocol'] };
  if (top === 'ui') return { own: 'ui', others: ['protocol'] };
  if (top !== 'controller') return undefined;
  if (third === undefined) return { own: 'controller', others: ['protocol'] };
  const own = `controller/${second}`;
  return { own, others: rooms.includes(second) ? ['protocol', 'controller/store', 'controller/github'] : ['protocol'] };
}

const isIn = (file: string, folder: string) => file.startsWith(`${folder}/`);

/** What is wrong with the imports of one file; paths are relative to the root, with `/`. */
function problemsOf(file: string, source: string, packages: { runtime: string[] }): string[] {
  const rule = allowedFor(file);
  const problems: string[] = [];
  for (const { from, typeOnly } of importsOf(source)) {
    if (from.startsWith('.')) {
      const target = posix.join(posix.dirname(file), from);
      // package.json holds the version that programs state.
      if (rule && target !== 'package.json' && ![rule.own, ...rule.others].some((folder) => isIn(target, folder)))
        problems.push(`${file} imports ${target}: it may import ${[rule.own, ...rule.others].join(', ')}`);
    } else if (/^(dockerode|@kubernetes\/)/.test(from) && !isIn(file, 'agent/executor') && rule)
      problems.push(`${file} imports ${from}: only agent/executor may`);
    else if (rule && !isIn(file, 'ui') && !typeOnly && !from.startsWith('node:')) {
      const name = from
        .split('/')
        .slice(0, from.startsWith('@') ? 2 : 1)
        .join('/');
      if (!packages.runtime.includes(name)) problems.push(`${file} imports ${name}, which is not among the dependencies`);
    }
  }
  const readsEnvironment = /\bprocess\s*(\.|\?\.|\[['"])\s*env\b|\benv\b[^'"\n]*from 'node:process'/.test(source);
  if (rule && !isIn(file, 'ui') && readsEnvironment && !/\/(main|config)\.ts$/.test(file))
    problems.push(`${file} mentions process.env: only main.ts and config.ts may`);
  return problems;
}

function* sources(folder: string): Generator<string> {
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory() && entry.name !== 'node_modules' && entry.name !== 'dist') yield* sources(path);
    else if (entry.isFile() && /\.(ts|tsx|mts|mjs|js)$/.test(entry.name)) yield path;
  }
}

const ours = ['protocol', 'controller', 'agent', 'ui', 'test', 'deploy'].filter((f) => existsSync(join(root, f)));
const text = (file: string) => readFileSync(join(root, file), 'utf8');
const packageJson = JSON.parse(text('package.json')) as { dependencies: object; devDependencies: object };
const packages = { runtime: Object.keys(packageJson.dependencies) };

test('every relative import leads to a file', () => {
  const broken: string[] = [];
  for (const file of ours.flatMap((f) => [...sources(f)]))
    for (const { from } of importsOf(text(file)))
      if (
        from.startsWith('.') &&
        !statSync(join(root, dirname(file), from.replace(/\?.*$/, '')), { throwIfNoEntry: false })?.isFile()
      )
        broken.push(`${file} imports ${from}`);
  assert.deepEqual(broken, []);
});

test('imports point at protocol, never from one room to another, and never between controller and agent', () => {
  const files = ours.flatMap((f) => [...sources(f)]);
  assert.ok(files.length > 20, `looked at ${files.length} files under ${relative('.', root) || '.'}`);
  assert.deepEqual(
    files.flatMap((file) => problemsOf(file, text(file), packages)),
    [],
  );
});

test('the rules see what they forbid', () => {
  const bad: [file: string, source: string][] = [
    ['protocol/a.ts', "import { x } from '../controller/store/keys.ts';"],
    ['controller/logs/a.ts', "import { x } from '../api/server.ts';"],
    ['controller/store/a.ts', "import type { x } from '../github/client.ts';"],
    ['controller/cli/a.ts', "export { x } from '../store/keys.ts';"],
    ['controller/main.ts', "import { x } from '../agent/beat.ts';"],
    ['agent/ship/a.ts', "const x = await import('../../controller/store/keys.ts');"],
    ['agent/ship/a.ts', "import {\n  a,\n  b,\n} from '../../controller/store/keys.ts';"],
    ['agent/beat.ts', "import Docker from 'dockerode';"],
    ['agent/beat.ts', "import fc from 'fast-check';"],
    ['agent/beat.ts', 'const home = process.env.HOME;'],
    ['agent/beat.ts', "import { env } from 'node:process';"],
  ];
  for (const [file, source] of bad) assert.equal(problemsOf(file, source, packages).length, 1, `${file}: ${source}`);
  const good: [file: string, source: string][] = [
    ['controller/logs/a.ts', "import { x } from '../store/keys.ts';\nimport { y } from '../github/client.ts';"],
    ['controller/main.ts', "import { x } from './api/server.ts';\nconst e = process.env;"],
    ['agent/executor/docker.ts', "import type Docker from 'dockerode';"],
    ['test/unit/a.test.ts', "import { x } from '../../agent/beat.ts';"],
  ];
  for (const [file, source] of good) assert.deepEqual(problemsOf(file, source, packages), [], file);
});

test('every folder at the top says in a README what lives there', () => {
  const hidden = ['node_modules', 'dist', 'coverage'];
  const folders = readdirSync(root, { withFileTypes: true }).filter(
    (e) => e.isDirectory() && !e.name.startsWith('.') && !hidden.includes(e.name),
  );
  const without = folders.filter((f) => !existsSync(join(root, f.name, 'README.md'))).map((f) => f.name);
  assert.deepEqual(without, []);
});
