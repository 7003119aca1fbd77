import { artifactLimits, type Manifest } from '../../../protocol/artifact.ts';
import { messageOf } from '../../../protocol/errors.ts';
import type { AttemptKey } from '../../../protocol/task.ts';
import { type Upload, type UploadDeps, UploadFailed, uploads } from './upload.ts';
import { type Found, type WalkLimits, walkArtifacts } from './walk.ts';

export type Collect = {
  key: AttemptKey;
  /** A secret. */
  token: string;
  /** Where the step has left its files, absolute. */
  dir: string;
  /** Nothing more is sent when it aborts; its reason is told. */
  signal: AbortSignal;
};

export type CollectDeps = UploadDeps & {
  limits?: Partial<WalkLimits>;
  log: (facts: object, message: string) => void;
};

/** manifest: the SHA-256 of the list that was stored; absent: nothing was. problem: one sentence about what was not stored. */
export type Collected = { manifest?: string; problem?: string };

const atOnce = 4;

/**
 * Sends what an ended step has left to a controller: its files, then the list of them. Never rejects: what cannot be stored is told,
 * and changes nothing about how the step ended.
 */
export async function collectArtifacts({ key, token, dir, signal }: Collect, deps: CollectDeps): Promise<Collected> {
  const stop = new AbortController();
  const upload = uploads(key, token, AbortSignal.any([signal, stop.signal]), deps);
  try {
    const manifest = await sendFiles(dir, upload, stop, { ...artifactLimits, ...deps.limits });
    const { files, refused, refusedCount } = manifest;
    if (files.length === 0 && refusedCount === 0) return {};
    const sha256 = await upload.manifest(Buffer.from(JSON.stringify(manifest)));
    const [first] = refused;
    if (!first) return { manifest: sha256 };
    const others = refusedCount > 1 ? `, and ${refusedCount - 1} more were not stored` : '';
    return { manifest: sha256, problem: `artifact '${first.path}' was not stored: ${first.why}${others}` };
  } catch (error) {
    deps.log({ ...key, reason: messageOf(error) }, 'artifacts were not stored');
    return { problem: `artifacts were not stored: ${messageOf(error)}` };
  }
}

async function sendFiles(dir: string, upload: Upload, stop: AbortController, limits: WalkLimits): Promise<Manifest> {
  const manifest: Manifest = { v: 1, files: [], refused: [], refusedCount: 0 };
  const refuse = (path: string, why: string) => {
    manifest.refusedCount += 1;
    if (manifest.refused.length < artifactLimits.refusedNamed)
      manifest.refused.push({ path: printable(path), why: why.slice(0, 256) });
  };
  const sending = new Set<Promise<void>>();
  let failure: unknown;
  const send = async ({ path, sizeBytes, file }: Found): Promise<void> => {
    try {
      const answer = await upload.file(path, sizeBytes, file);
      if ('refused' in answer) refuse(path, answer.refused);
      else manifest.files.push({ path, ...answer });
    } catch (error) {
      failure ??= error;
      stop.abort(error);
    } finally {
      await file.close();
    }
  };
  const take = async (found: Found) => {
    const one: Promise<void> = send(found).finally(() => sending.delete(one));
    sending.add(one);
    while (sending.size >= atOnce) await Promise.race(sending);
  };
  try {
    await walkArtifacts(dir, { limits, take, refuse, signal: stop.signal });
  } catch (error) {
    failure ??= error;
  } finally {
    await Promise.all(sending);
  }
  if (failure !== undefined) throw failure instanceof UploadFailed ? failure : new UploadFailed(messageOf(failure));
  manifest.files.sort((a, b) => (a.path < b.path ? -1 : 1));
  return manifest;
}

/** A name that may be anything, for people. */
const printable = (path: string): string =>
  path
    .toWellFormed()
    .replaceAll(/[\p{Cc}\u2028\u2029]/gu, '\ufffd')
    .slice(0, 1024);
