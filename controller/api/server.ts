import type { IncomingMessage } from 'node:http';
import cookie from '@fastify/cookie';
import websocket from '@fastify/websocket';
import Fastify, { type FastifyInstance, type FastifyPluginCallback, type FastifyRequest, LogController } from 'fastify';
import { FarmError } from '../../protocol/errors.ts';
import { agents } from './agents.ts';
import { artifacts } from './artifacts.ts';
import { authenticator } from './auth.ts';
import { deliveries } from './deliveries.ts';
import type { ApiDeps } from './deps.ts';
import { answerError, bodyOf } from './errors.ts';
import { farm } from './farm.ts';
import { health } from './health.ts';
import { checkHost } from './hosts.ts';
import { join } from './join.ts';
import { live } from './live.ts';
import { loginLinks, login as loginRoutes } from './login.ts';
import { logs } from './logs.ts';
import { noteRoutes } from './methods.ts';
import { metrics } from './metrics.ts';
import { pages } from './pages.ts';
import { queues } from './queues.ts';
import { runs } from './runs.ts';
import { sessions as sessionsOf } from './sessions.ts';
import { closeSockets, maxSocketMessageBytes } from './sockets.ts';
import { uploads } from './uploads.ts';
import { validatorCompiler } from './validate.ts';

/** Probes come by address and tell nothing; who reads metrics has a token, which no page of others has. */
const anyHost = new Set(['/healthz', '/readyz', '/metrics']);
const underApi: FastifyPluginCallback<ApiDeps>[] = [
  runs,
  queues,
  agents,
  join,
  deliveries,
  farm,
  logs,
  artifacts,
  uploads,
  live,
  loginLinks,
];
const maxBodyBytes = 256 * 1024;
/** When a request must be here whole, milliseconds: any, and those whose routes expect files. */
const bodyMs = 60_000;
const slowBodyMs = 3_600_000;

/**
 * The HTTP server of a controller, not yet listening. Routes that are registered on it later (`/hook`, pages) share limits, errors and the
 * checks of Host and Origin; only those under /api are closed by login here.
 */
export function createServer(deps: ApiDeps): FastifyInstance {
  const sessions = sessionsOf(deps);
  const authenticate = authenticator({ ...deps, sessions });
  const app: FastifyInstance = Fastify({
    loggerInstance: deps.log,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: maxBodyBytes,
    requestTimeout: slowBodyMs,
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
  app.register(cookie);
  app.register(websocket, { options: { maxPayload: maxSocketMessageBytes }, preClose: closeSockets });
  // After the WebSockets' own hooks: only those make sure that the socket of a refused upgrade is closed.
  app.after(() => {
    app.addHook('onRequest', async (request, reply) => {
      reply.headers(safeHeaders);
      if (closing) throw new FarmError('UNAVAILABLE', { detail: 'this controller is stopping', afterS: 2 });
      if (!anyHost.has(request.routeOptions.url ?? '')) checkHost(request, deps.hosts);
      if (!request.routeOptions.config.slowBody) endLateBody(request.raw);
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
      deps.answered?.({ method, route: routeOptions.url, status: reply.statusCode, ms: reply.elapsedTime });
    });
  });

  const login = async (request: FastifyRequest) => {
    request.principal = authenticate(request);
  };

  app.register(health, deps);
  app.register(loginRoutes, { ...deps, sessions });
  app.register(pages, deps.uiDir === undefined ? {} : { dir: deps.uiDir });
  app.register(async (closed) => {
    closed.addHook('onRequest', login);
    closed.register(metrics, deps);
  });
  app.register(
    async (api) => {
      api.addHook('onRequest', login);
      api.setNotFoundHandler(nothingHere);
      for (const routes of underApi) api.register(routes, deps);
    },
    { prefix: '/api' },
  );
  return app;
}

/** Node has one limit for all requests of a server; this is a closer one for most. */
function endLateBody(request: IncomingMessage): void {
  if (request.complete || request.headers.upgrade !== undefined) return;
  const timer = setTimeout(() => !request.complete && request.destroy(), bodyMs).unref();
  request.once('close', () => clearTimeout(timer));
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
