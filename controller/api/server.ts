import websocket from '@fastify/websocket';
import Fastify, { type FastifyInstance, type FastifyPluginCallback, LogController } from 'fastify';
import { FarmError } from '../../protocol/errors.ts';
import { agents } from './agents.ts';
import { authenticator } from './auth.ts';
import { deliveries } from './deliveries.ts';
import type { ApiDeps } from './deps.ts';
import { answerError, bodyOf } from './errors.ts';
import { farm } from './farm.ts';
import { health } from './health.ts';
import { checkHost } from './hosts.ts';
import { join } from './join.ts';
import { logs } from './logs.ts';
import { noteRoutes } from './methods.ts';
import { queues } from './queues.ts';
import { runs } from './runs.ts';
import { closeSockets, maxSocketMessageBytes } from './sockets.ts';
import { validatorCompiler } from './validate.ts';

/** Probes come by address and tell nothing. */
const anyHost = new Set(['/healthz', '/readyz']);
const underApi: FastifyPluginCallback<ApiDeps>[] = [runs, queues, agents, join, deliveries, farm, logs];
const maxBodyBytes = 256 * 1024;

/**
 * The HTTP server of a controller, not yet listening. Routes that are registered on it later (`/hook`, pages) share limits, errors and the
 * checks of Host and Origin; only those under /api are closed by login here.
 */
export function createServer(deps: ApiDeps): FastifyInstance {
  const authenticate = authenticator(deps);
  const app: FastifyInstance = Fastify({
    loggerInstance: deps.log,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: maxBodyBytes,
    requestTimeout: 60_000,
    keepAliveTimeout: 65_000,
    http: { headersTimeout: 20_000, connectionsCheckingInterval: 5_000 },
    return503OnClosing: false,
    routerOptions: { maxParamLength: 255 },
    frameworkErrors: (error, request, reply) => void answerError(error, request, reply.headers(safeHeaders)),
    clientErrorHandler: (error, socket) => {
      if (!socket.writable || error.code === 'ECONNRESET') return void socket.destroy(error);
      const status =
        { HPE_HEADER_OVERFLOW: '431 Too Large', ERR_HTTP_REQUEST_TIMEOUT: '408 Timeout' }[error.code] ?? '400 Bad Request';
      const body = JSON.stringify(bodyOf(new FarmError('BAD_REQUEST', { detail: 'this is no HTTP request that can be read' })));
      const head = `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n`;
      socket.end(head + body);
    },
  });

  const nothingHere = noteRoutes(app);
  app.setErrorHandler(answerError);
  app.setNotFoundHandler(nothingHere);
  app.setValidatorCompiler(validatorCompiler);
  app.removeContentTypeParser('text/plain');
  app.decorateRequest('principal', null);

  let closing = false;
  app.addHook('preClose', async () => {
    closing = true;
  });
  app.register(websocket, { options: { maxPayload: maxSocketMessageBytes }, preClose: closeSockets });
  // After the WebSockets' own hooks: only those make sure that the socket of a refused upgrade is closed.
  app.after(() => {
    app.addHook('onRequest', async (request, reply) => {
      reply.headers(safeHeaders);
      if (closing) throw new FarmError('UNAVAILABLE', { detail: 'this controller is stopping', afterS: 2 });
      if (!anyHost.has(request.routeOptions.url ?? '')) checkHost(request, deps.hosts);
    });
    // What goes nowhere is told so after the login, before its body is read.
    app.addHook('preParsing', async (request) => {
      if (request.is404) nothingHere(request);
    });
    app.addHook('onResponse', async (request, reply) => {
      const { method, ip, routeOptions } = request;
      const level = anyHost.has(routeOptions.url ?? '') ? 'debug' : 'info';
      request.log[level](
        { method, path: pathOf(request.url), status: reply.statusCode, ip, ms: Math.round(reply.elapsedTime) },
        'answered',
      );
    });
  });

  app.register(health, deps);
  app.register(
    async (api) => {
      api.addHook('onRequest', async (request) => {
        request.principal = authenticate(request);
      });
      api.setNotFoundHandler(nothingHere);
      for (const routes of underApi) api.register(routes, deps);
    },
    { prefix: '/api' },
  );
  return app;
}

/** A page may replace the policy by one of its own; an answer of the API needs nothing. */
const safeHeaders = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cache-control': 'no-store',
};

/** Queries stay out of the log: people put tokens there. */
const pathOf = (url: string): string => (url.split('?', 1)[0] ?? '').slice(0, 1024);
