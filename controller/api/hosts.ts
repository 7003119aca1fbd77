import type { FastifyRequest } from 'fastify';
import { FarmError } from '../../protocol/errors.ts';

/** Against pages that rebind their name to our address (DNS rebinding), and against pages of others that post to us. */
const loopback = ['localhost', '127.0.0.1', '[::1]'];

/** Whether this server answers for a Host header. @param allowed `name` (any port) or `name:port` */
export function isOurHost(host: string, allowed: readonly string[]): boolean {
  const asked = host.toLowerCase();
  const name = nameOf(asked);
  return loopback.includes(name) || allowed.some((a) => a.toLowerCase() === asked || a.toLowerCase() === name);
}

/** A Host header without its port. */
export const nameOf = (host: string): string => host.replace(/:\d+$/, '');

/** Whether a page of `origin` came from the host that it now talks to. */
export function isSameHost(origin: string, host: string): boolean {
  try {
    return withoutDefaultPort(new URL(origin).host) === withoutDefaultPort(host.toLowerCase());
  } catch {
    return false;
  }
}

const withoutDefaultPort = (host: string): string => host.replace(/:(80|443)$/, '');

/** @throws FarmError BAD_HOST, BAD_ORIGIN */
export function checkHost({ headers }: Pick<FastifyRequest, 'headers'>, allowed: readonly string[]): void {
  const host = headers.host ?? '';
  if (!isOurHost(host, allowed)) throw new FarmError('BAD_HOST', { host: host.slice(0, 255) });
  const { origin } = headers;
  if (origin !== undefined && !isSameHost(origin, host)) throw new FarmError('BAD_ORIGIN', { origin: origin.slice(0, 255) });
}
