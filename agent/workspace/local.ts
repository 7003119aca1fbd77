import { randomBytes } from 'node:crypto';
import { chmod, chown, lstat, mkdir, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { FarmError } from '../../protocol/errors.ts';
import { isToken } from '../../protocol/token.ts';
import { removeTree } from './remove-tree.ts';

/** The directories of one attempt, beside the workspace and not in it: no other step has a say in them. */
export type AttemptDirs = {
  /** What the step leaves here is its own; its environment says where it is. */
  artifacts: string;
  /** For the executor. */
  scratch: string;
};

export type Workspace = {
  /** `run.round` */
  id: string;
  /** Where steps run: `src/ORG/REPO` after the checkout, `outputs`, `outputs/artifacts`. */
  dir: string;
  /** Makes them when they are not there. */
  attempt: (step: string, attempt: number) => Promise<AttemptDirs>;
};

export type Workspaces = {
  /** Makes the workspace when it is not there; the same one for the same round. @throws BAD_WORKSPACE */
  open: (run: string, round: number) => Promise<Workspace>;
  /** The ids of those that are there, in order. */
  list: () => Promise<string[]>;
  /**
   * Removes workspaces with all that their steps have left, and follows no link while doing so. They are out of `list` at once; not
   * being there is fine. Whoever calls this has ended what ran in them. Takes a process, however many they are.
   * @param ids `run.round`
   * @throws BAD_WORKSPACE; or what the system says when something stays, which the next start tries again
   */
  forget: (...ids: string[]) => Promise<void>;
};

export type WorkspaceOptions = {
  /** Only this agent's, absolute. Made when missing. */
  root: string;
  /** As whom steps run, if not as the agent itself. */
  owner?: { uid: number; gid: number } | undefined;
};

const trash = '.trash';
const workspaceId = /^[0-9]{1,20}\.[1-9][0-9]{0,8}$/;

/**
 * Workspaces on this machine's disk: `ROOT/RUN.ROUND/{workspace,attempts/STEP.ATTEMPT/{artifacts,scratch}}`. Directories between
 * are the agent's and can be passed, not listed, by steps. What an earlier process did not finish removing is removed first.
 * @returns the workspaces, and whatever could not be removed
 */
export async function localWorkspaces({ root, owner }: WorkspaceOptions): Promise<Workspaces & { problems: unknown[] }> {
  await makeDir(root);
  await makeDir(join(root, trash));
  const problems: unknown[] = [];
  for (const name of await readdir(join(root, trash)))
    await removeTree(join(root, trash, name)).catch((error: unknown) => problems.push(error));

  return {
    problems,
    open: async (run, round) => {
      const id = checkedId(`${run}.${round}`);
      const home = join(root, id);
      if (!(await exists(home))) await makeWorkspace(home, join(root, trash, `${id}.${unique()}`), owner);
      return { id, dir: join(home, 'workspace'), attempt: (step, attempt) => attemptDirs(home, step, attempt, owner) };
    },
    list: async () =>
      (await readdir(root)).filter((name) => workspaceId.test(name)).sort(new Intl.Collator('en', { numeric: true }).compare),
    forget: async (...ids) => {
      const graves: string[] = [];
      for (const id of ids.map(checkedId)) {
        const home = join(root, id);
        const grave = join(root, trash, `${id}.${unique()}`);
        const at = await lstat(home).catch(() => undefined);
        if (!at) continue;
        // A directory that forbids writing cannot be moved by its owner.
        if (at.isDirectory()) await chmod(home, 0o711).catch(() => {});
        await rename(home, grave).catch(ignoreMissing);
        graves.push(grave);
      }
      if (graves.length > 0) await removeTree(...graves);
    },
  };
}

const checkedId = (id: string): string => {
  if (!workspaceId.test(id)) throw new FarmError('BAD_WORKSPACE', { id });
  return id;
};

const unique = (): string => randomBytes(6).toString('hex');

const exists = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => true,
    () => false,
  );

/** Appears complete or not at all, so nothing is ever made or changed by the agent where a step had a hand in. */
async function makeWorkspace(home: string, draft: string, owner: WorkspaceOptions['owner']): Promise<void> {
  await makeDir(draft);
  await makeDir(join(draft, 'attempts'));
  for (const dir of ['workspace', 'workspace/outputs', 'workspace/outputs/artifacts']) await makeOwned(join(draft, dir), owner);
  try {
    await rename(draft, home);
  } catch (error) {
    await removeTree(draft);
    // Someone else has just made the same.
    if (!(await exists(home))) throw error;
  }
}

async function attemptDirs(home: string, step: string, attempt: number, owner: WorkspaceOptions['owner']): Promise<AttemptDirs> {
  const name = `${step}.${attempt}`;
  if (!isToken(step) || !Number.isSafeInteger(attempt) || attempt < 1) throw new FarmError('BAD_WORKSPACE', { id: name });
  const dir = join(home, 'attempts', name);
  await makeDir(dir);
  await makeDir(join(dir, 'scratch'));
  await makeOwned(join(dir, 'artifacts'), owner);
  return { artifacts: join(dir, 'artifacts'), scratch: join(dir, 'scratch') };
}

/** A directory of the agent's that steps can pass; the mode does not depend on the umask. */
async function makeDir(dir: string): Promise<void> {
  if (await mkdir(dir, { recursive: true })) await chmod(dir, 0o711);
}

async function makeOwned(dir: string, owner: WorkspaceOptions['owner']): Promise<void> {
  const made = await mkdir(dir).then(() => true, ignoreExisting);
  if (!made) return;
  await chmod(dir, 0o755);
  if (owner) await chown(dir, owner.uid, owner.gid);
}

const ignoreCode = (code: string) => (error: unknown) => {
  if (!(error instanceof Error && 'code' in error && error.code === code)) throw error;
};
const ignoreMissing = ignoreCode('ENOENT');
const ignoreExisting = (error: unknown): false => {
  ignoreCode('EEXIST')(error);
  return false;
};
