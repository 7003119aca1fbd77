import { Compile } from 'typebox/compile';
import { type Beat, BeatAnswer, type Orders } from '../protocol/beat.ts';

export type BeatDeps = {
  /** Asks the leader once. Never throws: a lost answer is 'no-answer', which is not a refusal. */
  ask: (beat: Beat) => Promise<unknown>;
  /** What the agent has to say now. */
  say: () => Beat;
  /** Resolves when there is something to say that must not wait for the answer to the beat before; made anew after each beat. */
  news: () => Promise<void>;
  /** Called with each answer whose term is not older than the highest seen. */
  heed: (orders: Orders) => void;
  /** A leader has answered this beat. */
  heard: (beat: Beat) => void;
  sleep: (ms: number, signal: AbortSignal) => Promise<void>;
};

const answers = Compile(BeatAnswer);
/** Between two beats that were not held: the leader answers at once when it wants something, and must see that it was heard. */
const leastGapMs = 50;
const retryMs = 1_000;

/**
 * Beats until `signal` aborts: the leader holds each answer while it has nothing to say, so the next beat follows at once; one that got no
 * answer is followed after a second. News do not wait for an answer that is held: the leader can only speak at once about attempts that it knows
 * to be held.
 */
export async function keepBeating({ ask, say, news, heed, heard, sleep }: BeatDeps, signal: AbortSignal): Promise<void> {
  let term = 0;
  while (!signal.aborted) {
    const beat = say();
    term = Math.max(term, beat.term);
    const there = news();
    const answered = ask({ ...beat, term }).then(async (answer) => {
      if (!answers.Check(answer)) return sleep(retryMs, signal);
      if (answer.type === 'again') return sleep(leastGapMs * 4, signal);
      heard(beat);
      if (answer.term < term) return;
      term = answer.term;
      heed(answer);
    });
    await Promise.race([answered, there]);
    await sleep(leastGapMs, signal);
  }
}
