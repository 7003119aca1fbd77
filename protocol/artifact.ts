import { type Static, Type } from 'typebox';
import type { AttemptKey } from './task.ts';

/*
 * Files that a step leaves for keeping. When the step has ended and before it says so, its agent sends
 *
 * PUT /api/runs/:run/steps/:step/attempts/:attempt/artifacts/<path>   the bytes   200 Stored (again: replaced)
 * PUT /api/runs/:run/steps/:step/attempts/:attempt/manifest           Manifest    200 Stored
 *
 * each with `Authorization: Bearer <token of the attempt>` and the headers below, as long as the attempt is open. Nothing of it is to
 * be seen before the run's events say that the attempt ended with this manifest.
 */

export const artifactHeaders = { agent: 'Thresh-Agent', sizeBytes: 'Thresh-Size' } as const;

export const artifactsPath = (a: AttemptKey): string => `/api/runs/${a.run}/steps/${a.step}/attempts/${a.attempt}/`;

/** What one attempt may leave. */
export const artifactLimits = {
  files: 10_000,
  /** All files together, bytes. */
  totalBytes: 1024 ** 3,
  fileBytes: 512 * 1024 ** 2,
  /** Directories above a file. */
  depth: 32,
  /** Of UTF-8; object storage takes 1,024 with all that stands before it. */
  pathBytes: 640,
  nameBytes: 255,
  manifestBytes: 16 * 1024 ** 2,
  /** Entries of directories that are looked at. */
  entries: 200_000,
  /** Refused files that a manifest names one by one. */
  refusedNamed: 100,
} as const;

const bytesOf = (text: string): number => new TextEncoder().encode(text).length;

/** Why `path` cannot name an artifact; undefined when it can. Its parts stand between slashes, and are what they seem to be. */
export function artifactPathProblem(path: string): string | undefined {
  if (path === '') return 'it has no name';
  if (path.startsWith('/')) return 'its path is absolute';
  if (!path.isWellFormed()) return 'its name is no Unicode text';
  if (bytesOf(path) > artifactLimits.pathBytes) return `its path is longer than ${artifactLimits.pathBytes} bytes`;
  const parts = path.split('/');
  if (parts.length - 1 > artifactLimits.depth) return `it lies more than ${artifactLimits.depth} directories deep`;
  for (const part of parts) {
    if (part === '' || part === '.' || part === '..') return `its path has a part '${part}'`;
    if (/[\p{Cc}\u2028\u2029]/u.test(part)) return 'its name has control characters';
    if (part.includes('\\')) return 'its name has a backslash';
    if (bytesOf(part) > artifactLimits.nameBytes) return `a name in it is longer than ${artifactLimits.nameBytes} bytes`;
  }
  return undefined;
}

const sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' });

export const Stored = Type.Object({ sizeBytes: Type.Integer({ minimum: 0 }), sha256 });
export type Stored = Static<typeof Stored>;

/** What an attempt has left, and what of it was not taken. It is named by the SHA-256 of its own bytes. */
export const Manifest = Type.Object({
  v: Type.Literal(1),
  files: Type.Array(Type.Object({ path: Type.String(), sizeBytes: Type.Integer({ minimum: 0 }), sha256 }), {
    maxItems: artifactLimits.files,
    description: 'In the order of their paths',
  }),
  refused: Type.Array(Type.Object({ path: Type.String({ maxLength: 1024 }), why: Type.String({ maxLength: 256 }) }), {
    maxItems: artifactLimits.refusedNamed,
  }),
  refusedCount: Type.Integer({ minimum: 0, description: 'With those that are not named' }),
});
export type Manifest = Static<typeof Manifest>;

/** The totals of the test reports (`junit*.xml`) of an attempt, and the tests that did not pass. */
export type JUnitTotals = { tests: number; failures: number; errors: number; skipped: number; timeS: number };
export type JUnitFailure = { kind: 'failure' | 'error'; name: string; classname: string; message: string; text: string };
/** `problem`: why it could not be read to its end; the rest says what stands before that. `more`: failures beyond those listed. */
export type JUnitReport = JUnitTotals & { failed: JUnitFailure[]; more: number; problem?: string };
export type JUnitFile = JUnitReport & { path: string };

/** `GET /api/runs/:run/artifacts`. `path`: behind the name of the step, as in the address of the file. */
export type ArtifactList = {
  files: { path: string; step: string; attempt: number; sizeBytes: number; sha256: string }[];
  /** There are more than are listed; ask for one step. */
  truncated: boolean;
  refused: { step: string; path: string; why: string }[];
  refusedCount: number;
};
/** `GET /api/runs/:run/junit`. */
export type JUnitAnswer = JUnitTotals & { files: (JUnitFile & { step: string; attempt: number })[] };
