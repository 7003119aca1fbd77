import { type Static, Type } from 'typebox';
import type { AttemptKey } from './task.ts';

/*
 * A working tree that a person sends to have it tested as it is: a git bundle with one commit that has no parents.
 *
 * POST /api/uploads                                            the bytes    201 Uploaded; with the admin's token
 * GET  /api/runs/:run/steps/:step/attempts/:attempt/source     the bytes; with the attempt's token and the headers of artifact.ts
 */

const sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' });

export const maxSourceBytes = 256 * 1024 ** 2;
/** The only ref in the bundle. */
export const sourceRef = 'refs/thresh/here';

/** `upload`: SHA-256 of the bytes, and their name from then on. */
export const Uploaded = Type.Object({ upload: sha256, sizeBytes: Type.Integer({ minimum: 0 }) });
export type Uploaded = Static<typeof Uploaded>;

/** From where a run's commit comes when it is in no repository. */
export const Source = Type.Object({ upload: sha256 });
export type Source = Static<typeof Source>;

/** An uploaded working tree. `org` and `repo`: what to call it where the job has no repository; `sha`: its commit in the bundle. */
export const Here = Type.Object(
  {
    upload: sha256,
    sha: Type.String({ pattern: '^[0-9a-f]{40}([0-9a-f]{24})?$' }),
    org: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
    repo: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
    baseRef: Type.String({ minLength: 1, maxLength: 1024 }),
  },
  { additionalProperties: false },
);
export type Here = Static<typeof Here>;

export const sourcePath = (a: AttemptKey): string => `/api/runs/${a.run}/steps/${a.step}/attempts/${a.attempt}/source`;
