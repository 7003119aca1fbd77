import type { FastifyPluginCallback } from 'fastify';
import { FarmError } from '../../protocol/errors.ts';
import { LoginRequest, type Session } from '../../protocol/session.ts';
import { sameText } from '../store/keys.ts';
import { personOf } from './auth.ts';
import { buckets } from './buckets.ts';
import type { ApiDeps } from './deps.ts';
import type { Sessions } from './sessions.ts';

type LoginDeps = Pick<ApiDeps, 'adminToken' | 'loginCodes' | 'now'> & { sessions: Sessions };

/** What a browser says before it has a session. A right login always passes; wrong ones are counted by address. */
export const login: FastifyPluginCallback<LoginDeps> = (app, { adminToken, loginCodes, now, sessions }, done) => {
  const failures = buckets({ size: 10, perSecond: 1 / 6, maxKeys: 10_000, now });

  app.post<{ Body: LoginRequest }>('/login', { schema: { body: LoginRequest } }, async (request, reply): Promise<Session> => {
    const { body } = request;
    const genuine = 'token' in body ? sameText(body.token, adminToken) : loginCodes.use(body.code);
    if (!genuine) {
      const afterS = failures.take(request.ip);
      if (afterS > 0) throw new FarmError('TOO_MANY_REQUESTS', { what: 'wrong logins came', afterS });
      throw new FarmError('UNAUTHORIZED', { need: 'token' in body ? wrongToken : wrongCode });
    }
    return sessions.start('admin', request, reply);
  });

  app.post('/logout', async (request, reply) => {
    sessions.end(request, reply);
    return reply.code(204).send();
  });
  done();
};

const wrongToken = "this is not the admin token; it is in the file that 'thresh up' names when it starts";
const wrongCode = "this login link was used before, or is older than ten minutes; 'thresh login' prints a new one";

export const loginLinks: FastifyPluginCallback<Pick<ApiDeps, 'loginCodes'>> = (app, { loginCodes }, done) => {
  app.post('/login-links', async (request) => {
    personOf(request);
    return loginCodes.make();
  });

  app.get('/session', async (request): Promise<Partial<Session>> => {
    const { by } = personOf(request);
    const { principal } = request;
    return { by, ...(principal?.kind === 'admin' && principal.untilMs !== undefined && { expiresAtMs: principal.untilMs }) };
  });
  done();
};
