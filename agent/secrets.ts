import type { KeyPair } from '@nats-io/nkeys';
import { FarmError, messageOf } from '../protocol/errors.ts';
import type { Task } from '../protocol/task.ts';

/** A variable's value is cut off by the system beyond this (Linux's MAX_ARG_STRLEN). */
const longestSecretBytes = 128 * 1024;

/**
 * The secrets of a task by the name of their variable, in clear: for the step's environment and for masking, nowhere else.
 * @param curveKeys the agent's own, to which the controller has sealed them
 * @throws BAD_SECRET naming the variable; nothing of the value is in it
 */
export const openSecrets = (task: Pick<Task, 'secrets' | 'sealedBy'>, curveKeys: Pick<KeyPair, 'open'>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(task.secrets).map(([name, sealed]) => [name, openSecret(name, sealed, task.sealedBy, curveKeys)]),
  );

function openSecret(name: string, sealed: string, sealedBy: string | undefined, curveKeys: Pick<KeyPair, 'open'>): string {
  const bad = (detail: string, cause?: unknown) => new FarmError('BAD_SECRET', { name, detail }, { cause });
  if (!sealedBy) throw bad('the task does not say who sealed it');
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(sealed)) throw bad('it is not base64');
  let bytes: Uint8Array | null;
  try {
    bytes = curveKeys.open(Buffer.from(sealed, 'base64'), sealedBy);
  } catch (error) {
    throw bad(`it cannot be opened (${messageOf(error)})`, error);
  }
  if (!bytes) throw bad('it was sealed for another agent, or changed on the way');
  if (bytes.length > longestSecretBytes) throw bad(`it is longer than ${longestSecretBytes} bytes`);
  if (bytes.includes(0)) throw bad('it holds a null byte, which no environment variable can');
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw bad('it is not UTF-8 text');
  }
}
