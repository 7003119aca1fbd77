import { FarmError } from '../../protocol/errors.ts';

/** Bytes of UTF-8. What S3 and file systems both take. */
const maxKeyBytes = 1024;
const maxPartBytes = 255;

/**
 * The parts of an object's key.
 * @throws FarmError BAD_OBJECT_KEY
 */
export function keyParts(key: string): string[] {
  const parts = key.split('/');
  if (Buffer.byteLength(key) > maxKeyBytes || !parts.every(isPart))
    throw new FarmError('BAD_OBJECT_KEY', { key: key.slice(0, 200) });
  return parts;
}

/**
 * The whole parts of a prefix, and what the next part begins with.
 * @throws FarmError BAD_OBJECT_KEY
 */
export function prefixParts(prefix: string): { parts: string[]; begin: string } {
  const slash = prefix.lastIndexOf('/');
  return { parts: slash < 0 ? [] : keyParts(prefix.slice(0, slash)), begin: prefix.slice(slash + 1) };
}

/** Control characters, and what a path or a URL would read in another way, are no part of a name. */
const isPart = (part: string): boolean =>
  part !== '' &&
  part !== '.' &&
  part !== '..' &&
  part.isWellFormed() &&
  !/[\p{Cc}\\]/u.test(part) &&
  Buffer.byteLength(part) <= maxPartBytes;

/** The order of S3 and of `list`: by the bytes of UTF-8, which is not that of JavaScript's strings. */
export const compareKeys = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));
