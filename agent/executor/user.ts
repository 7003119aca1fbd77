import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { FarmError } from '../../protocol/errors.ts';

/** As whom steps run when the agent is root. */
export type StepUser = { name: string; uid: number; gid: number };

export const nobody: StepUser = { name: 'nobody', uid: 65_534, gid: 65_534 };

/** Asks the system, so that users of a directory service are found too. @throws NO_STEP_USER */
export async function userNamed(name: string): Promise<StepUser> {
  const ask = async (flag: '-u' | '-g') => Number((await promisify(execFile)('id', [flag, '--', name])).stdout);
  try {
    return { name, uid: await ask('-u'), gid: await ask('-g') };
  } catch (cause) {
    throw new FarmError('NO_STEP_USER', { name }, { cause });
  }
}

/** As whom steps run by default: the agent's own user, except that root is never passed on by accident. */
export const defaultStepUser = (): StepUser | undefined => (process.getuid?.() === 0 ? nobody : undefined);
