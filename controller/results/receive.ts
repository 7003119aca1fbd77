import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { FastifyPluginAsync, FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { artifactHeaders, artifactLimits, artifactPathProblem, Manifest, type Stored } from '../../protocol/artifact.ts';
import { FarmError } from '../../protocol/errors.ts';
import { type AttemptKey, keyOf } from '../../protocol/task.ts';
import type { Objects } from '../store/objects.ts';
import { isJUnit, junitReader } from './junit.ts';
import type { ArtifactRight } from './right.ts';
import { joinReports, stagedFile, stagedFiles, stagedManifest, stagedReport } from './staged.ts';

export type ReceiveDeps = {
  objects: Objects;
  isAttemptToken: (token: string, agent: string, key: AttemptKey) => boolean;
  /** What this replica's own state says. */
  right: (agent: string, key: AttemptKey) => ArtifactRight;
  /** Resolves when that state has changed. */
  changed: () => Promise<void>;
  /** Called before something is stored; a test ends the process there. */
  probe?: (point: 'artifact-half-received') => void;
};

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Its body may take as long as it moves. */
    slowBody?: boolean;
  }
}

export const attemptParams = Type.Object({
  run: Type.String({ pattern: '^[0-9]{1,20}$' }),
  step: Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}$' }),
  attempt: Type.String({ pattern: '^[1-9][0-9]{0,8}$' }),
});
export type AttemptParams = Static<typeof attemptParams>;
export const attemptRoute = '/api/runs/:run/steps/:step/attempts/:attempt';

/** Uploads that this process takes at the same time, and those of one attempt. */
const mostAtOnce = { all: 64, attempt: 8 };
/** An agent may send a file again, but not for ever. */
const mostSent = { files: 3 * artifactLimits.files, bytes: 3 * artifactLimits.totalBytes };
/** A replica may hear of an attempt later than its agent. */
const unknownMs = 5_000;
/** A body on which nothing moves for so long is given up, milliseconds. */
const idleMs = 60_000;

/** Takes artifacts from agents and stores them where nobody sees them yet. It authenticates by itself, so it can run alone. */
export const receive: FastifyPluginAsync<ReceiveDeps> = async (app, deps) => {
  const sent = sentSoFar();
  const bodies = new Set<Readable>();
  app.addHook('preClose', async () => {
    for (const body of bodies) body.destroy(new Error('this controller is stopping'));
  });
  // Neither is read before the token was looked at, and files never whole.
  app.addContentTypeParser('application/octet-stream', (_request, body, done) => done(null, body));
  app.addHook<{ Params: AttemptParams }>('onRequest', async (request) => {
    await admit(request, keyIn(request.params), deps);
  });

  app.put<{ Params: AttemptParams & { '*': string }; Body: Readable }>(
    `${attemptRoute}/artifacts/*`,
    { schema: { params: attemptParams }, bodyLimit: artifactLimits.fileBytes, config: { slowBody: true } },
    async (request): Promise<Stored> => {
      const key = keyIn(request.params);
      const path = request.params['*'];
      const why = artifactPathProblem(path);
      if (why) throw new FarmError('BAD_ARTIFACT', { path: path.slice(0, 200), why });
      const sizeBytes = sizeOf(request);
      const body = request.body instanceof Readable ? request.body : Readable.from([]);
      if (bodies.size >= mostAtOnce.all)
        throw new FarmError('UNAVAILABLE', { detail: 'too many artifacts are being received', afterS: 1 });
      using _sending = sent.start(key, sizeBytes);
      bodies.add(body);
      try {
        return await store(key, path, body, sizeBytes, deps);
      } finally {
        bodies.delete(body);
      }
    },
  );

  app.put<{ Params: AttemptParams; Body: unknown }>(
    `${attemptRoute}/manifest`,
    { schema: { params: attemptParams }, bodyLimit: artifactLimits.manifestBytes, config: { slowBody: true } },
    async (request): Promise<Stored> => {
      const key = keyIn(request.params);
      if (!Value.Check(Manifest, request.body)) throw new FarmError('BAD_MANIFEST', { why: 'it is none' });
      const manifest = request.body;
      await checkManifest(key, manifest, deps.objects);
      await joinReports(deps.objects, key, manifest);
      const json = Buffer.from(JSON.stringify(manifest));
      await deps.objects.put(stagedManifest(key), json);
      return { sizeBytes: json.length, sha256: createHash('sha256').update(json).digest('hex') };
    },
  );
};

/** Stores a file, and beside it what it says when it is a test report. */
async function store(
  key: AttemptKey,
  path: string,
  body: Readable,
  sizeBytes: number,
  { objects, probe }: ReceiveDeps,
): Promise<Stored> {
  const report = isJUnit(path) ? junitReader() : undefined;
  const idle = setTimeout(() => body.destroy(new Error(`nothing came for ${idleMs / 1000} s`)), idleMs);
  const wrongSize = (got: string) =>
    new FarmError('BAD_REQUEST', { detail: `${artifactHeaders.sizeBytes} says ${sizeBytes} bytes, ${got} came` });
  const checked = async function* () {
    let bytes = 0;
    for await (const piece of body as AsyncIterable<Buffer>) {
      idle.refresh();
      bytes += piece.length;
      if (bytes > sizeBytes) throw wrongSize('more');
      report?.write(piece);
      yield piece;
      probe?.('artifact-half-received');
    }
    if (bytes < sizeBytes) throw wrongSize(String(bytes));
  };
  try {
    const stored = await objects.put(stagedFile(key, path), Readable.from(checked(), { objectMode: false }));
    if (report) await objects.put(stagedReport(key, path), Buffer.from(JSON.stringify({ path, ...report.end() })));
    return stored;
  } finally {
    clearTimeout(idle);
  }
}

/** Whether everything that it names was stored, and is not too much. @throws FarmError BAD_MANIFEST */
async function checkManifest(key: AttemptKey, { files }: Manifest, objects: Objects): Promise<void> {
  const wanted = new Map(files.map(({ path, sizeBytes }) => [path, sizeBytes]));
  const total = files.reduce((sum, f) => sum + f.sizeBytes, 0);
  if (wanted.size !== files.length) throw new FarmError('BAD_MANIFEST', { why: 'it names a file twice' });
  if (total > artifactLimits.totalBytes)
    throw new FarmError('BAD_MANIFEST', { why: `it names more than ${artifactLimits.totalBytes} bytes` });
  const prefix = stagedFiles(key);
  for await (const { key: stored, sizeBytes } of objects.list(prefix)) {
    const path = stored.slice(prefix.length);
    if (wanted.get(path) === sizeBytes) wanted.delete(path);
  }
  for (const path of wanted.keys())
    throw new FarmError('BAD_MANIFEST', { why: `'${path.slice(0, 200)}' was not stored with that size` });
}

/** @throws FarmError UNAUTHORIZED, ARTIFACT_TOKEN, ARTIFACT_REVOKED, UNAVAILABLE (this replica does not know the attempt yet) */
export async function admit(
  request: FastifyRequest,
  key: AttemptKey,
  deps: Pick<ReceiveDeps, 'isAttemptToken' | 'right' | 'changed'>,
): Promise<void> {
  const token = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
  const agent = header(request, artifactHeaders.agent);
  if (token === undefined || agent === undefined)
    throw new FarmError('UNAUTHORIZED', { need: `send the attempt's token and ${artifactHeaders.agent}` });
  if (!deps.isAttemptToken(token, agent, key)) throw new FarmError('ARTIFACT_TOKEN', key);
  const late = AbortSignal.timeout(unknownMs);
  while (deps.right(agent, key) === 'unknown') {
    if (late.aborted) throw new FarmError('UNAVAILABLE', { detail: `run ${key.run} is not known here yet`, afterS: 2 });
    await Promise.race([deps.changed(), new Promise((resolve) => late.addEventListener('abort', resolve, { once: true }))]);
  }
  if (deps.right(agent, key) === 'over') throw new FarmError('ARTIFACT_REVOKED', key);
}

export const keyIn = ({ run, step, attempt }: AttemptParams): AttemptKey => ({ run, step, attempt: Number(attempt) });

function header(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name.toLowerCase()];
  return typeof value === 'string' ? value : undefined;
}

/** @throws FarmError BAD_HEADER, BODY_TOO_LARGE */
function sizeOf(request: FastifyRequest): number {
  const text = header(request, artifactHeaders.sizeBytes) ?? '';
  if (!/^\d{1,15}$/.test(text))
    throw new FarmError('BAD_HEADER', { header: artifactHeaders.sizeBytes, detail: 'expected the size of the file in bytes' });
  const sizeBytes = Number(text);
  if (sizeBytes > artifactLimits.fileBytes) throw new FarmError('BODY_TOO_LARGE', { maxBytes: artifactLimits.fileBytes });
  return sizeBytes;
}

/** How much each attempt has sent to this process. Those that nothing was heard of for the longest are forgotten. */
function sentSoFar(mostKeys = 10_000) {
  const all = new Map<string, { files: number; bytes: number; now: number }>();
  return {
    /** @throws FarmError BAD_ARTIFACT, UNAVAILABLE */
    start: (key: AttemptKey, sizeBytes: number): Disposable => {
      const name = keyOf(key);
      const so = all.get(name) ?? { files: 0, bytes: 0, now: 0 };
      if (so.now >= mostAtOnce.attempt) throw new FarmError('UNAVAILABLE', { detail: 'one file after the other', afterS: 1 });
      if (so.files >= mostSent.files || so.bytes + sizeBytes > mostSent.bytes)
        throw new FarmError('BAD_ARTIFACT', { path: name, why: 'its attempt has sent too much' });
      so.files += 1;
      so.bytes += sizeBytes;
      so.now += 1;
      all.delete(name);
      all.set(name, so);
      for (const oldest of all.keys()) {
        if (all.size <= mostKeys) break;
        all.delete(oldest);
      }
      return {
        [Symbol.dispose]: () => {
          so.now -= 1;
        },
      };
    },
  };
}
