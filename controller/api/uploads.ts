import { Readable } from 'node:stream';
import type { FastifyPluginCallback } from 'fastify';
import { FarmError } from '../../protocol/errors.ts';
import { maxSourceBytes, type Uploaded } from '../../protocol/source.ts';
import type { ApiDeps } from './deps.ts';

/** A body on which nothing moves for so long is given up, milliseconds. */
const idleMs = 60_000;
const tooLarge = () => new FarmError('BODY_TOO_LARGE', { maxBytes: maxSourceBytes });

/** Takes working trees. */
export const uploads: FastifyPluginCallback<Pick<ApiDeps, 'upload'>> = (app, { upload }, done) => {
  // Streamed, never held whole.
  app.addContentTypeParser('application/octet-stream', (_request, body, parsed) => parsed(null, body));
  app.post<{ Body: unknown }>(
    '/uploads',
    {
      config: { slowBody: true },
      bodyLimit: maxSourceBytes,
      onRequest: async ({ headers }) => {
        if (Number(headers['content-length'] ?? 0) > maxSourceBytes) throw tooLarge();
      },
    },
    async ({ body, headers }, reply): Promise<Uploaded> => {
      if (!(body instanceof Readable))
        throw new FarmError('BAD_CONTENT_TYPE', { got: headers['content-type'] ?? '', want: 'application/octet-stream' });
      const uploaded = await upload(Readable.from(bounded(body), { objectMode: false }));
      reply.code(201);
      return uploaded;
    },
  );
  done();
};

async function* bounded(body: Readable): AsyncIterable<Buffer> {
  const idle = setTimeout(() => body.destroy(new Error(`nothing came for ${idleMs / 1_000} s`)), idleMs);
  try {
    let bytes = 0;
    for await (const piece of body as AsyncIterable<Buffer>) {
      idle.refresh();
      bytes += piece.length;
      if (bytes > maxSourceBytes) throw tooLarge();
      yield piece;
    }
  } finally {
    clearTimeout(idle);
  }
}
