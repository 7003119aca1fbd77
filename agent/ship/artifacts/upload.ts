import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Value } from 'typebox/value';
import { ApiError } from '../../../protocol/api.ts';
import { artifactHeaders, artifactsPath, Stored } from '../../../protocol/artifact.ts';
import { messageOf } from '../../../protocol/errors.ts';
import type { AttemptKey } from '../../../protocol/task.ts';

export type UploadDeps = {
  fetch: typeof fetch;
  /** Controllers, any of which takes artifacts. */
  urls: readonly string[];
  agent: string;
  /** Monotonic milliseconds. */
  now: () => number;
  /** While no controller takes anything for so long it is tried again, milliseconds. */
  patienceMs: number;
};

export type Upload = {
  /** @returns why the file was not taken; the next ones may be */
  file: (path: string, sizeBytes: number, file: FileHandle) => Promise<Stored | { refused: string }>;
  /** @returns its name: the SHA-256 of these bytes */
  manifest: (json: Buffer) => Promise<string>;
};

/** Nothing more of this attempt will be taken, or nobody is there to take it. */
export class UploadFailed extends Error {
  override name = 'UploadFailed';
}

/** An upload on which nothing moves for so long is begun again, milliseconds. */
const idleMs = 60_000;
const pauseMs = { first: 250, most: 10_000 };
/** Files up to this size are read before they are sent, bytes. */
const smallBytes = 256 * 1024;
/** What the file was before is not what was sent. */
class Changed extends Error {}

/** Sends the files of one attempt. @throws UploadFailed from every call after the first failure */
export function uploads(key: AttemptKey, token: string, signal: AbortSignal, d: UploadDeps): Upload {
  let at = 0;
  let takenAtMs = d.now();

  const put = async (path: string, body: () => Promise<Body>, type: string): Promise<Stored | { refused: string }> => {
    for (let waitMs = pauseMs.first; ; waitMs = Math.min(waitMs * 2, pauseMs.most)) {
      if (signal.aborted) throw new UploadFailed(messageOf(signal.reason));
      const url = new URL(artifactsPath(key) + path, d.urls[at % d.urls.length]);
      const answer = await once(url, await body(), type);
      if ('stored' in answer) {
        takenAtMs = d.now();
        return answer.stored;
      }
      if ('refused' in answer) return answer;
      if ('over' in answer) throw new UploadFailed(answer.over);
      if (d.now() - takenAtMs > d.patienceMs) throw new UploadFailed(`no controller has taken them: ${answer.again}`);
      at += 1;
      await sleep(waitMs * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => {});
    }
  };

  type Answer = { stored: Stored } | { refused: string } | { over: string } | { again: string };
  const once = async (url: URL, body: Body, type: string): Promise<Answer> => {
    const idle = new AbortController();
    let timer = setTimeout(() => idle.abort(), idleMs);
    const moved = () => {
      clearTimeout(timer);
      timer = setTimeout(() => idle.abort(), idleMs);
    };
    const hash = createHash('sha256');
    try {
      const response = await d.fetch(url, {
        method: 'PUT',
        headers: {
          authorization: `Bearer ${token}`,
          'content-type': type,
          [artifactHeaders.agent]: d.agent,
          [artifactHeaders.sizeBytes]: String(body.sizeBytes),
        },
        ...(body.bytes ? { body: body.bytes } : { body: streamOf(body, hash, moved), duplex: 'half' as const }),
        signal: AbortSignal.any([signal, idle.signal]),
        redirect: 'error',
      });
      const answer: unknown = await response.json().catch(() => undefined);
      if (response.status === 200 && Value.Check(Stored, answer)) {
        const sha256 = (body.bytes ? hash.update(body.bytes) : hash).digest('hex');
        const same = answer.sizeBytes === body.sizeBytes && answer.sha256 === sha256;
        return same ? { stored: answer } : { again: 'what was stored is not what was sent' };
      }
      const said = Value.Check(ApiError, answer) ? answer.error.message : `answer ${response.status}`;
      if (response.status === 400 || response.status === 413) return { refused: said };
      if (response.status >= 400 && response.status < 500 && response.status !== 408 && response.status !== 429)
        return { over: said };
      return { again: said };
    } catch (error) {
      if (body.changed) return { refused: 'it changed while it was read' };
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
      return { again: idle.signal.aborted ? `nothing moved for ${idleMs / 1000} s` : messageOf(cause) };
    } finally {
      clearTimeout(timer);
    }
  };

  return {
    file: async (path, sizeBytes, file) => {
      try {
        const address = `artifacts/${path.split('/').map(encodeURIComponent).join('/')}`;
        return await put(address, () => bodyOf(file, sizeBytes), 'application/octet-stream');
      } catch (error) {
        if (error instanceof Changed) return { refused: 'it changed while it was read' };
        throw error;
      }
    },
    manifest: async (json) => {
      const answer = await put(
        'manifest',
        async () => ({ sizeBytes: json.length, bytes: new Uint8Array(json) }),
        'application/json',
      );
      if ('refused' in answer) throw new UploadFailed(answer.refused);
      return answer.sha256;
    },
  };
}

type Body = { sizeBytes: number; bytes?: Uint8Array<ArrayBuffer>; file?: FileHandle; changed?: boolean };

/** @throws Changed */
async function bodyOf(file: FileHandle, sizeBytes: number): Promise<Body> {
  if (sizeBytes > smallBytes) return { sizeBytes, file };
  const bytes = new Uint8Array(sizeBytes);
  for (let read = 0; read < sizeBytes; ) {
    const { bytesRead } = await file.read(bytes, read, sizeBytes - read, read);
    if (bytesRead === 0) throw new Changed();
    read += bytesRead;
  }
  return { sizeBytes, bytes };
}

function streamOf(body: Body, hash: ReturnType<typeof createHash>, moved: () => void): ReadableStream {
  const pieces = async function* () {
    let sent = 0;
    const stream = body.file?.createReadStream({ start: 0, end: body.sizeBytes - 1, autoClose: false });
    for await (const piece of (stream ?? []) as AsyncIterable<Buffer>) {
      sent += piece.length;
      hash.update(piece);
      moved();
      yield piece;
    }
    body.changed = sent !== body.sizeBytes;
    if (body.changed) throw new Changed();
  };
  return Readable.toWeb(Readable.from(pieces())) as ReadableStream;
}
