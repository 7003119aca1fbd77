import { createHash } from 'node:crypto';

const token = /^[A-Za-z0-9_-]{1,64}$/;

/** Whether `text` may stand as one token of a NATS subject, and as one segment of a path, unchanged. */
export const isToken = (text: string): boolean => token.test(text);

/**
 * One subject token for any id: the id itself where it is a token, else 'h-' and the first 40 hex digits of its SHA-256.
 * @param id what the outside world calls the thing; any text
 */
export const toToken = (id: string): string =>
  isToken(id) ? id : `h-${createHash('sha256').update(id).digest('hex').slice(0, 40)}`;
