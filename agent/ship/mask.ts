import { secretTexts } from './secret-texts.ts';

/** What stands in the output for a secret, and for several that touch or overlap. */
const stars = Buffer.from('***');

export type Mask = {
  /** The output that is certain now. What may be the beginning of a secret is held back: less than the longest secret. */
  push: (bytes: Uint8Array) => Buffer;
  /** The rest, at the end of the output. The mask is then as new. */
  flush: () => Buffer;
};

/**
 * Removes secrets from a stream of bytes, wherever it is cut: every byte that belongs to an occurrence of any of `secretTexts` is
 * masked, so of two secrets that overlap nothing is left. Linear in the output, whatever the secrets.
 * @see Aho and Corasick, "Efficient string matching", CACM 18(6), 1975
 */
export function createMask(secrets: Iterable<string | Uint8Array>): Mask {
  const automaton = build(secretTexts(secrets));
  let state = 0;
  /** Read, not yet given out; it begins at `heldAt` in the stream. */
  let held: Uint8Array = new Uint8Array(0);
  let heldAt = 0;
  let readTo = 0;
  /** Masked ranges [start, end) of the stream that are not given out whole, ascending, apart from each other. */
  let ranges: { start: number; end: number }[] = [];
  /** Whether the last byte that was given out was masked: its stars are out already. */
  let inRange = false;

  const addRange = (start: number, end: number) => {
    let from = start;
    for (let last = ranges.at(-1); last && last.end >= from; last = ranges.at(-1)) {
      from = Math.min(from, last.start);
      ranges.pop();
    }
    ranges.push({ start: from, end });
  };

  /** Gives out what stands before `end`. */
  const giveOut = (end: number): Buffer => {
    const parts: Uint8Array[] = [];
    const kept: typeof ranges = [];
    let at = heldAt;
    for (const range of ranges) {
      if (range.start >= end) {
        kept.push(range);
        continue;
      }
      if (range.start > at) {
        parts.push(held.subarray(at - heldAt, range.start - heldAt));
        inRange = false;
      }
      if (!inRange) parts.push(stars);
      inRange = true;
      at = Math.min(range.end, end);
      if (range.end > end) kept.push({ start: end, end: range.end });
    }
    if (at < end) {
      parts.push(held.subarray(at - heldAt, end - heldAt));
      inRange = false;
    }
    const out = Buffer.concat(parts);
    ranges = kept;
    held = Buffer.from(held.subarray(end - heldAt));
    heldAt = end;
    return out;
  };

  return {
    push(bytes) {
      held = held.length > 0 ? Buffer.concat([held, bytes]) : bytes;
      for (let i = 0; i < bytes.length; i++) {
        // Most bytes begin no secret.
        if (state === 0) while (i < bytes.length && automaton.start[bytes[i] as number] === 0) i++;
        if (i === bytes.length) break;
        state = automaton.step(state, bytes[i] as number);
        const found = automaton.longest[state] as number;
        if (found > 0) addRange(readTo + i + 1 - found, readTo + i + 1);
      }
      readTo += bytes.length;
      return giveOut(readTo - (automaton.hold[state] as number));
    },
    flush() {
      const out = giveOut(readTo);
      state = 0;
      inRange = false;
      return out;
    },
  };
}

type Automaton = {
  /** The state that each byte leads to from state 0. */
  start: Int32Array;
  step: (state: number, byte: number) => number;
  /** Length of the longest text that ends in each state; 0: none does. */
  longest: Int32Array;
  /** How many of the last bytes may still become the beginning of a text in each state. */
  hold: Int32Array;
};

function build(texts: readonly Buffer[]): Automaton {
  const states = 1 + texts.reduce((sum, text) => sum + text.length, 0);
  const [fail, depth, longest, hold] = [0, 0, 0, 0].map(() => new Int32Array(states)) as [
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
  ];
  const hasNext = new Uint8Array(states);
  const edges = new Map<number, number>();
  /** In the order in which they were made, so that a parent stands before its children. */
  const made: { state: number; parent: number; byte: number }[] = [];
  for (const text of texts) {
    let state = 0;
    for (const byte of text) {
      let next = edges.get(state * 256 + byte);
      if (next === undefined) {
        next = made.length + 1;
        edges.set(state * 256 + byte, next);
        made.push({ state: next, parent: state, byte });
        depth[next] = (depth[state] as number) + 1;
        hasNext[state] = 1;
      }
      state = next;
    }
    longest[state] = text.length;
  }
  const start = new Int32Array(256);
  for (let byte = 0; byte < 256; byte++) start[byte] = edges.get(byte) ?? 0;

  const step = (from: number, byte: number): number => {
    for (let state = from; state !== 0; state = fail[state] as number) {
      const next = edges.get(state * 256 + byte);
      if (next !== undefined) return next;
    }
    return start[byte] as number;
  };

  made.sort((a, b) => (depth[a.state] as number) - (depth[b.state] as number));
  for (const { state, parent, byte } of made) {
    const suffix = parent === 0 ? 0 : step(fail[parent] as number, byte);
    fail[state] = suffix;
    longest[state] = Math.max(longest[state] as number, longest[suffix] as number);
    hold[state] = hasNext[state] ? (depth[state] as number) : (hold[suffix] as number);
  }
  return { start, step, longest, hold };
}
