import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * Removes directories and everything below them, whoever wrote it. Missing: fine.
 *
 * Done by rm(1), which goes down by directory descriptors: a link that is put in its way while it works leads it nowhere else, and a
 * tree deeper than the longest path is no obstacle. Node's own `rm` promises neither.
 * @param paths absolute
 * @throws when something stays; the system's words are in the message
 */
export async function removeTree(...paths: string[]): Promise<void> {
  const remove = () => run('rm', ['-rf', '--', ...paths]);
  try {
    await remove();
  } catch {
    // Directories that forbid writing stop everyone but root: open them, without following links, and try again.
    await run('chmod', ['-R', 'u+rwx', '--', ...paths]).catch(() => {});
    await remove();
  }
}
