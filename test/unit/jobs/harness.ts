import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';

/** A directory of its own with these files (path -> text), gone when the test has ended. */
export async function directoryWith(t: TestContext, files: Record<string, string | Uint8Array>): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'thresh-jobs-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(dir, path)), { recursive: true });
    await writeFile(join(dir, path), text);
  }
  return dir;
}

/** A presubmit file with one job; `fields` are its lines, without indentation of their own. */
export const presubmit = (...fields: string[]): string =>
  ['presubmits:', '  org/repo:', '  - name: unit', ...fields.map((f) => `    ${f}`), ''].join('\n');

/** The smallest thing that a job can run. */
export const spec = 'spec: {containers: [{image: alpine, command: [make]}]}';

/** A manual job with steps; `lines` begin at the indentation of a step. */
export const withSteps = (...lines: string[]): string =>
  ['manual:', '- name: build', '  steps:', ...lines.map((l) => `  ${l}`), ''].join('\n');
