import type { FastifyPluginAsync } from 'fastify';
import { FarmError } from '../../protocol/errors.ts';
import { uploadKey } from '../store/uploads.ts';
import { type AttemptParams, admit, attemptParams, attemptRoute, keyIn, type ReceiveDeps } from './receive.ts';

export type GiveSourceDeps = Pick<ReceiveDeps, 'objects' | 'isAttemptToken' | 'right' | 'changed'> & {
  /** What a run has instead of a repository. */
  uploadOf: (run: string) => string | undefined;
};

/** Gives the agent of an open attempt the working tree that its run tests. It authenticates by itself, as `receive` does. */
export const giveSource: FastifyPluginAsync<GiveSourceDeps> = async (app, deps) => {
  app.addHook<{ Params: AttemptParams }>('onRequest', async (request) => {
    await admit(request, keyIn(request.params), deps);
  });
  app.get<{ Params: AttemptParams }>(
    `${attemptRoute}/source`,
    { schema: { params: attemptParams } },
    async ({ params: { run } }, reply) => {
      const upload = deps.uploadOf(run);
      const body = upload === undefined ? undefined : await deps.objects.read(uploadKey(upload));
      if (!body) throw new FarmError('NOT_FOUND', { what: `uploaded source of run ${run} (any more)` });
      return reply.type('application/octet-stream').send(body);
    },
  );
};
