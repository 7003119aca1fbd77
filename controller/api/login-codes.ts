import { createHash, randomBytes } from 'node:crypto';
import type { LoginLink } from '../../protocol/session.ts';

/** How long a login link may be used, milliseconds. */
export const loginCodeMs = 10 * 60_000;
const maxCodes = 1_000;

/** Codes that log in once, for links. Known to this controller only, until it stops. */
export type LoginCodes = {
  make: () => LoginLink;
  /** Whether `code` is one that was made and is not over; it never is again. */
  use: (code: string) => boolean;
};

/** @param wallMs milliseconds since the epoch */
export function loginCodes(wallMs: () => number): LoginCodes {
  /** By hash, so that the time of looking one up tells nothing of another. */
  const codes = new Map<string, number>();
  const hashOf = (code: string) => createHash('sha256').update(code).digest('hex');
  return {
    make: () => {
      const nowMs = wallMs();
      for (const [hash, expiresAtMs] of codes) if (expiresAtMs <= nowMs || codes.size >= maxCodes) codes.delete(hash);
      const code = randomBytes(24).toString('base64url');
      const expiresAtMs = nowMs + loginCodeMs;
      codes.set(hashOf(code), expiresAtMs);
      return { code, expiresAtMs };
    },
    use: (code) => {
      const hash = hashOf(code);
      const expiresAtMs = codes.get(hash);
      codes.delete(hash);
      return expiresAtMs !== undefined && expiresAtMs > wallMs();
    },
  };
}
