import type { FastifyInstance, FastifyRequest } from 'fastify';
import { FarmError } from '../../protocol/errors.ts';

type Route = { method: string; parts: string[] };

/** Notes each route that is added from now on. @returns throws what fits a request that no route takes: 405 where another method is, else 404 */
export function noteRoutes(app: FastifyInstance): (request: FastifyRequest) => never {
  const routes: Route[] = [];
  app.addHook('onRoute', ({ method, url }) => {
    for (const m of [method].flat()) routes.push({ method: m, parts: url.split('/') });
  });
  return (request) => {
    const path = request.url.split('?', 1)[0] ?? '';
    const allowed = [...new Set(routes.filter((r) => fits(r.parts, path.split('/'))).map((r) => r.method))];
    // A route that takes the method may have found that its file is not there.
    if (allowed.length > 0 && !allowed.includes(request.method))
      throw new FarmError('METHOD_NOT_ALLOWED', { method: request.method, allowed: allowed.sort().join(', ') });
    throw new FarmError('NOT_FOUND', { what: `page '${path.slice(0, 255)}' here` });
  };
}

const fits = (pattern: string[], path: string[]): boolean =>
  pattern.length === path.length && pattern.every((part, i) => part === path[i] || (part.startsWith(':') && path[i] !== ''));
