import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ApiError } from '../../protocol/api.ts';
import { type ErrorCode, FarmError, isFarmError, messageOf } from '../../protocol/errors.ts';

/** The status of each error that may be told to a caller; of any other the caller learns that there was one. */
const statuses: Partial<Record<ErrorCode, number>> = {
  BAD_REQUEST: 400,
  BAD_HEADER: 400,
  BAD_ARTIFACT: 400,
  BAD_MANIFEST: 400,
  UNAUTHORIZED: 401,
  BAD_SIGNATURE: 401,
  FORBIDDEN: 403,
  BAD_HOST: 403,
  BAD_ORIGIN: 403,
  LOG_TOKEN: 403,
  ARTIFACT_TOKEN: 403,
  NOT_FOUND: 404,
  LOG_UNKNOWN: 404,
  METHOD_NOT_ALLOWED: 405,
  REFUSED: 409,
  LOG_REVOKED: 409,
  ARTIFACT_REVOKED: 409,
  BODY_TOO_LARGE: 413,
  BAD_CONTENT_TYPE: 415,
  TOO_MANY_REQUESTS: 429,
  INTERNAL: 500,
  NO_WEBHOOK_SECRET: 503,
  UNAVAILABLE: 503,
};

/** Answers with an `ApiError`, whatever was thrown. */
export function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const told = tellable(error, request);
  const status = statuses[told.code] ?? 500;
  if (status >= 500) request.log[status === 500 ? 'error' : 'warn']({ err: error }, 'request failed');
  if (isFarmError(told, 'UNAVAILABLE') || isFarmError(told, 'TOO_MANY_REQUESTS')) reply.header('retry-after', told.facts.afterS);
  if (isFarmError(told, 'METHOD_NOT_ALLOWED')) reply.header('allow', told.facts.allowed);
  if (isFarmError(told, 'UNAUTHORIZED')) reply.header('www-authenticate', 'Bearer');
  return reply.code(status).type('application/json; charset=utf-8').send(bodyOf(told));
}

export const bodyOf = (error: FarmError): ApiError => ({ error: { code: error.code, message: error.message } });

function tellable(error: unknown, request: FastifyRequest): FarmError {
  if (isTellable(error)) return error;
  const { code, statusCode } = library(error);
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE')
    return new FarmError('BODY_TOO_LARGE', { maxBytes: request.routeOptions.bodyLimit ?? 0 });
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE')
    return new FarmError('BAD_CONTENT_TYPE', { got: request.headers['content-type'] ?? '', want: 'application/json' });
  if (statusCode >= 400 && statusCode < 500) return new FarmError('BAD_REQUEST', { detail: messageOf(error) });
  return new FarmError('INTERNAL', { request: request.id });
}

const isTellable = (error: unknown): error is FarmError =>
  error instanceof FarmError && statuses[(error as FarmError).code] !== undefined;

/** What fastify says about its own errors. */
function library(error: unknown): { code: string; statusCode: number } {
  const { code, statusCode } = (typeof error === 'object' && error !== null ? error : {}) as {
    code?: unknown;
    statusCode?: unknown;
  };
  return { code: typeof code === 'string' ? code : '', statusCode: typeof statusCode === 'number' ? statusCode : 500 };
}
