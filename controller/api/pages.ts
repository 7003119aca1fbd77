import { existsSync } from 'node:fs';
import { join } from 'node:path';
import fastifyStatic from '@fastify/static';
import type { FastifyPluginAsync } from 'fastify';

/** Addresses that the page makes something of; which of them it shows is decided in the browser. */
const addresses = ['/', '/login', '/runs', '/runs/:run', '/queues', '/agents', '/deliveries', '/deliveries/:source/:id'];

/** Scripts, styles and connections of this server only, nothing inline, and no text ever becomes markup. */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');
const yearMs = 365 * 86_400_000;

/**
 * The page that people look at. It holds nothing of the farm's, so anybody may have it; what it shows comes from /api.
 * @param o.dir where `npm run build` has put it; absent, or without it there: it says how to make it
 */
export const pages: FastifyPluginAsync<{ dir?: string }> = async (app, { dir }) => {
  if (dir === undefined || !existsSync(join(dir, 'index.html'))) {
    for (const url of addresses)
      app.get(url, async (_, reply) => reply.code(503).type('text/plain; charset=utf-8').send(notBuilt));
    return;
  }
  await app.register(fastifyStatic, { root: dir, serve: false });
  for (const url of addresses)
    app.get(url, async (_, reply) => {
      reply.headers({ 'content-security-policy': policy, 'referrer-policy': 'same-origin', 'cache-control': 'no-cache' });
      return reply.sendFile('index.html', { cacheControl: false });
    });
  // Their names change with their content.
  app.get<{ Params: { file: string } }>('/assets/:file', async ({ params }, reply) =>
    reply.removeHeader('cache-control').sendFile(join('assets', params.file), { maxAge: yearMs, immutable: true }),
  );
  app.get('/favicon.svg', async (_, reply) => reply.sendFile('favicon.svg', { maxAge: 86_400_000 }));
};

const notBuilt = `This farm is running, but its pages were not built.

In the checkout:   npm run build
then start the farm again.

Everything is there on the command line too: thresh help
`;
