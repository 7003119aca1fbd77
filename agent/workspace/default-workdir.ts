import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Task } from '../../protocol/task.ts';
import { sourceDir } from './source.ts';

/**
 * Where a step runs that does not say so itself: in the source that the run tests, if it was checked out.
 * @returns relative to the workspace; undefined: the workspace itself
 */
export async function defaultWorkdir(
  workspace: string,
  { spec, refs }: Pick<Task, 'spec' | 'refs'>,
): Promise<string | undefined> {
  if (spec.workdir !== undefined || spec.builtin || !refs) return spec.workdir;
  try {
    const dir = sourceDir(refs);
    await lstat(join(workspace, dir));
    return dir;
  } catch {
    return undefined;
  }
}
