import { messageOf } from '../../protocol/errors.ts';

/**
 * What a failed request says about the next one.
 * limited: not before `waitMs`, whatever it is. away: later, perhaps. refused: the same one never.
 */
export type Failure =
  | { kind: 'limited'; waitMs?: number; detail: string }
  | { kind: 'away'; status?: number; detail: string }
  | { kind: 'refused'; status: number; detail: string };

/** As Octokit throws it. */
type Thrown = { status?: number; message?: string; response?: { headers?: Record<string, unknown> } };

/**
 * Reads what Octokit threw.
 * @param wallMs now, milliseconds since the epoch; GitHub says in such when a limit ends
 * @returns `waitMs` is absent where GitHub does not say how long
 * @see https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit
 */
export function failureOf(error: unknown, wallMs: number): Failure {
  const { status, response } = error as Thrown;
  const headers = response?.headers ?? {};
  const detail = oneLine(messageOf(error));
  // Octokit gives what never reached GitHub the status 500, without a response.
  if (status === undefined || response === undefined) return { kind: 'away', detail };
  if (status === 403 || status === 429) {
    const afterS = Number(headers['retry-after']);
    if (headers['retry-after'] !== undefined && Number.isFinite(afterS))
      return { kind: 'limited', waitMs: Math.max(0, afterS) * 1_000, detail };
    if (headers['x-ratelimit-remaining'] === '0') {
      const resetMs = Number(headers['x-ratelimit-reset']) * 1_000;
      return { kind: 'limited', ...(Number.isFinite(resetMs) ? { waitMs: Math.max(1_000, resetMs - wallMs) } : {}), detail };
    }
    if (status === 429 || /rate limit|abuse/i.test(detail)) return { kind: 'limited', detail };
  }
  // 401: a credential that is being exchanged, or has just run out; it is read again for each request.
  if (status >= 500 || status === 401 || status === 408 || status === 409 || status === 425)
    return { kind: 'away', status, detail };
  return { kind: 'refused', status, detail };
}

/** Bounded, for logs and pages: an error page can be long. */
const oneLine = (text: string): string => text.replace(/\s+/g, ' ').trim().slice(0, 300);
