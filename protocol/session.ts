import { type Static, Type } from 'typebox';

/*
 * How a person logs in with a browser; after that its cookie opens what the admin token opens, for pages of this farm only.
 *
 * POST /login                 LoginRequest   200 Session, and the cookie
 * POST /logout                               204; the cookie is worth nothing any more
 * GET  /api/session                          Session
 * POST /api/login-links                      LoginLink: `<farm>/login#<code>` logs in once
 */

/** With the admin token, or with the code of a login link. */
export const LoginRequest = Type.Union([
  Type.Object({ token: Type.String({ minLength: 1, maxLength: 4096 }) }, { additionalProperties: false }),
  Type.Object({ code: Type.String({ minLength: 1, maxLength: 256 }) }, { additionalProperties: false }),
]);
export type LoginRequest = Static<typeof LoginRequest>;

export type LoginLink = { code: string; expiresAtMs: number };

/** Who is logged in, and until when (milliseconds since the epoch). */
export type Session = { by: string; expiresAtMs: number };
