import type { ApiError } from '../protocol/api.ts';
import { session } from './session.ts';

/** What the farm answered when it did not do what was asked. `status` 0: it did not answer. */
export class Refusal extends Error {
  override name = 'Refusal';
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** @throws Refusal; after a 401 the page asks for the login again */
export async function call<T>(method: 'GET' | 'POST', path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      ...(signal && { signal }),
      ...(body !== undefined && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refusal(0, 'the farm does not answer');
  }
  if (response.status === 204) return undefined as T;
  const answer: unknown = await response.json().catch(() => undefined);
  if (response.ok && answer !== undefined) return answer as T;
  if (response.status === 401 && path.startsWith('/api/')) session.value = null;
  throw new Refusal(response.status, sentenceOf(answer) ?? `the farm answered ${response.status}`);
}

export const get = <T>(path: string, signal?: AbortSignal): Promise<T> => call('GET', path, undefined, signal);
export const post = <T>(path: string, body?: unknown): Promise<T> => call('POST', path, body);

function sentenceOf(answer: unknown): string | undefined {
  const message = (answer as Partial<ApiError> | undefined)?.error?.message;
  return typeof message === 'string' ? message : undefined;
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
