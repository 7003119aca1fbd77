import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Value } from 'typebox/value';
import { ApiError } from '../../protocol/api.ts';
import { artifactHeaders } from '../../protocol/artifact.ts';
import { messageOf } from '../../protocol/errors.ts';
import { maxSourceBytes, type Source, sourcePath } from '../../protocol/source.ts';
import type { AttemptKey } from '../../protocol/task.ts';

export type FetchSourceDeps = {
  fetch: typeof fetch;
  /** Controllers, any of which has it. */
  urls: readonly string[];
  agent: string;
  /** Before each further try, milliseconds; then it is given up. */
  retryMs?: readonly number[];
};

const usualRetryMs = [250, 500, 1_000, 2_000, 5_000, 10_000, 10_000, 30_000, 30_000, 60_000];
/** A download on which nothing moves for so long is begun again, milliseconds. */
const idleMs = 60_000;

/** The farm will not give it. */
class Refused extends Error {}

/**
 * Brings the working tree that a person has sent to `file`, which everybody on this machine who knows its name may read.
 * @throws an error whose message is a sentence for people, or the signal's reason
 */
export async function fetchSource(
  task: AttemptKey & { token: string; source: Source },
  file: string,
  signal: AbortSignal,
  d: FetchSourceDeps,
): Promise<void> {
  const waits = d.retryMs ?? usualRetryMs;
  for (let tries = 0; ; tries += 1) {
    try {
      return await once(new URL(sourcePath(task), d.urls[tries % d.urls.length]), task, file, signal, d);
    } catch (error) {
      signal.throwIfAborted();
      await rm(file, { force: true });
      const waitMs = waits[tries];
      if (error instanceof Refused || waitMs === undefined)
        throw new Error(`the uploaded source cannot be had: ${messageOf(error)}`, { cause: error });
      await sleep(waitMs, undefined, { signal });
    }
  }
}

async function once(
  url: URL,
  { token, source }: { token: string; source: Source },
  file: string,
  signal: AbortSignal,
  d: FetchSourceDeps,
): Promise<void> {
  const idle = new AbortController();
  const timer = setTimeout(() => idle.abort(new Error(`nothing moved for ${idleMs / 1_000} s`)), idleMs);
  try {
    const response = await d.fetch(url, {
      headers: { authorization: `Bearer ${token}`, [artifactHeaders.agent]: d.agent },
      signal: AbortSignal.any([signal, idle.signal]),
      redirect: 'error',
    });
    if (response.status !== 200 || !response.body) throw await refusal(response);
    const hash = createHash('sha256');
    const checked = async function* (pieces: AsyncIterable<Uint8Array>) {
      let bytes = 0;
      for await (const piece of pieces) {
        timer.refresh();
        bytes += piece.length;
        if (bytes > maxSourceBytes) throw new Refused(`it is larger than ${maxSourceBytes} bytes`);
        hash.update(piece);
        yield piece;
      }
    };
    await pipeline(Readable.fromWeb(response.body), checked, createWriteStream(file, { mode: 0o644 }));
    if (hash.digest('hex') !== source.upload) throw new Error('what came is not what was sent');
  } finally {
    clearTimeout(timer);
  }
}

async function refusal(response: Response): Promise<Error> {
  const answer: unknown = await response.json().catch(() => undefined);
  const said = Value.Check(ApiError, answer) ? answer.error.message : `answer ${response.status}`;
  const isFinal = response.status >= 400 && response.status < 500 && response.status !== 408 && response.status !== 429;
  return isFinal ? new Refused(said) : new Error(said);
}
