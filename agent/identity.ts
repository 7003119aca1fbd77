import { randomBytes } from 'node:crypto';
import { chmod, link, mkdir, open, readFile, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { createCurve, createUser, fromCurveSeed, fromSeed, type KeyPair } from '@nats-io/nkeys';
import { FarmError } from '../protocol/errors.ts';

/** The keys that an agent has made for itself; their private halves never leave it. */
export type Identity = {
  /** To log in to NATS with; starts with U. */
  user: KeyPair;
  /** To open what is sealed to this agent; its public half starts with X. */
  curve: KeyPair;
};

/**
 * Reads the agent's keys from its data directory, and makes those that are not there yet. The files are its owner's alone.
 * @throws BAD_IDENTITY when a file holds something else: another key would be another agent, so none is made in its place
 */
export async function loadIdentity(dir: string): Promise<Identity> {
  await mkdir(dir, { recursive: true, mode: 0o711 });
  return {
    user: await loadKey(join(dir, 'agent.nk'), 'U', createUser, fromSeed),
    curve: await loadKey(join(dir, 'agent.xk'), 'X', createCurve, fromCurveSeed),
  };
}

async function loadKey(file: string, letter: string, make: () => KeyPair, from: (seed: Uint8Array) => KeyPair): Promise<KeyPair> {
  if (!(await stat(file).catch(() => undefined))) await writeOnce(file, `${Buffer.from(make().getSeed()).toString('latin1')}\n`);
  if (((await stat(file)).mode & 0o077) !== 0) await chmod(file, 0o600);
  try {
    const pair = from(Buffer.from((await readFile(file, 'latin1')).trim(), 'latin1'));
    if (pair.getPublicKey().startsWith(letter)) return pair;
  } catch (cause) {
    throw new FarmError('BAD_IDENTITY', { file }, { cause });
  }
  throw new FarmError('BAD_IDENTITY', { file });
}

/** Whole, durable, or not at all; when another process was first its file stays. */
async function writeOnce(file: string, text: string): Promise<void> {
  const draft = `${file}.${randomBytes(6).toString('hex')}`;
  const handle = await open(draft, 'wx', 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  try {
    await link(draft, file);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  } finally {
    await unlink(draft);
  }
  const dir = await open(join(file, '..'), 'r');
  await dir.sync().finally(() => dir.close());
}
