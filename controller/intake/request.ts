import { randomBytes } from 'node:crypto';
import type { VerdictAnswer } from '../../protocol/api.ts';
import type { DeliverySource, Request } from '../../protocol/delivery.ts';
import type { Verdict } from '../../protocol/record.ts';
import type { Accept } from './accept.ts';

export type AskDeps = {
  accept: Accept;
  /** The verdict once this replica's own state shows it; undefined when `signal` aborts before. */
  awaitVerdict: (source: string, id: string, signal: AbortSignal) => Promise<Verdict | undefined>;
  /** Milliseconds since the epoch. */
  wallMs: () => number;
  /** How long a stored request waits for its verdict, milliseconds. */
  waitMs?: number;
};

/** Who asks: a person by login, or an agent. */
export type Asker = { source: Extract<DeliverySource, 'person' | 'agent'>; by: string };

/**
 * Stores what someone asks of the farm, and waits until it is decided and this replica shows what came of it.
 * @returns without `verdict` when it is stored and 10 s have brought no decision; it will be decided all the same
 * @throws FarmError UNAVAILABLE as `Accept` does
 */
export async function ask(request: Request, { source, by }: Asker, deps: AskDeps): Promise<VerdictAnswer> {
  const id = randomBytes(16).toString('hex');
  const enough = new AbortController();
  // Listening starts before anything is stored: a verdict is heard once, when it is folded.
  const verdict = deps.awaitVerdict(source, id, enough.signal);
  verdict.catch(() => {});
  let timer: NodeJS.Timeout | undefined;
  try {
    await deps.accept({ v: 1, source, id, atMs: deps.wallMs(), by, event: request.kind, request });
    const over = new Promise<undefined>((resolve) => {
      timer = setTimeout(resolve, deps.waitMs ?? 10_000, undefined);
    });
    const heard = await Promise.race([verdict, over]);
    return { delivery: `${source}/${id}`, ...(heard ? { verdict: heard } : {}), runs: heard?.creates.map((run) => run.id) ?? [] };
  } finally {
    clearTimeout(timer);
    enough.abort();
  }
}
