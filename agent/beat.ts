import { Compile } from 'typebox/compile';
import { type Beat, BeatAnswer, type Orders } from '../protocol/beat.ts';

export type BeatDeps = {
  /** Asks the leader once. Never throws: a lost answer is 'no-answer', which is not a refusal. */
  ask: (beat: Beat) => Promise<unknown>;
  /** What the agent has to say now. */
  say: () => Beat;
  /** Called with each answer whose term is not older than the highest seen. */
  heed: (orders: Orders) => void;
  /** Resolves early when there is something new to say. */
  sleep: (ms: number, signal: AbortSignal) => Promise<void>;
};

const answers = Compile(BeatAnswer);
/** Between two beats that were not held: the leader answers at once when it wants something, and must see that it was heard. */
const leastGapMs = 50;
const retryMs = 1_000;

/**
 * Beats until `signal` aborts: the leader holds each answer while it has nothing to say, so the next beat follows at once; one that got no
 * answer is followed after a second.
 */
export async function keepBeating({ ask, say, heed, sleep }: BeatDeps, signal: AbortSignal): Promise<void> {
  let term = 0;
  while (!signal.aborted) {
    const beat = say();
    term = Math.max(term, beat.term);
    const answer = await ask({ ...beat, term });
    if (!answers.Check(answer)) await sleep(retryMs, signal);
    else if (answer.type === 'orders') {
      if (answer.term >= term) {
        term = answer.term;
        heed(answer);
      }
      await sleep(leastGapMs, signal);
    } else await sleep(leastGapMs * 4, signal);
  }
}
