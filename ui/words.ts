/** Times, sizes and amounts as people read them. Pure. */

const units = [
  ['d', 86_400],
  ['h', 3_600],
  ['m', 60],
  ['s', 1],
] as const;

/** '850 ms', '4.2 s', '42 s', '2 m 05 s', '3 h 07 m': two units at most. */
export function duration(ms: number): string {
  const whole = Math.max(0, ms);
  if (whole < 1_000) return `${Math.round(whole)} ms`;
  if (whole < 9_950) return `${(whole / 1_000).toFixed(1)} s`;
  const seconds = Math.round(whole / 1_000);
  const i = units.findIndex(([, size]) => seconds >= size);
  const [unit, size] = units[i] ?? ['s', 1];
  const next = units[i + 1];
  const rest = next ? ` ${String(Math.floor((seconds % size) / next[1])).padStart(2, '0')} ${next[0]}` : '';
  return `${Math.floor(seconds / size)} ${unit}${rest}`;
}

/** The same for what still goes on: whole seconds, so that it ticks evenly. */
export const running = (ms: number): string =>
  duration(Math.max(1_000, Math.floor(Math.max(0, ms) / 1_000) * 1_000)).replace('.0 ', ' ');

/** '12 s ago', '5 m ago': one unit. A moment in the future (clocks differ) is 'now'. */
export function ago(atMs: number, nowMs: number): string {
  const seconds = Math.floor((nowMs - atMs) / 1_000);
  const found = units.find(([, size]) => seconds >= size);
  return found ? `${Math.floor(seconds / found[1])} ${found[0]} ago` : 'now';
}

/** The whole moment, in the reader's own zone. */
export const moment = (atMs: number): string =>
  new Date(atMs).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' });

/** 'one run', '3 runs', 'no runs'. */
export const count = (n: number, noun: string): string =>
  n === 1 ? `one ${noun}` : `${n === 0 ? 'no' : n.toLocaleString('en')} ${noun}s`;

/** '512 bytes', '1.4 KiB', '12 MiB'. */
export function bytes(n: number): string {
  if (n < 1024) return n === 1 ? 'one byte' : `${n} bytes`;
  const names = ['KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(names.length, Math.floor(Math.log2(n) / 10));
  const value = n / 1024 ** power;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${names[power - 1]}`;
}

export const shortSha = (sha: string): string => sha.slice(0, 8);

/** Text from outside on one line, without what reorders or hides it (bidirectional overrides, control characters). */
export const plain = (text: string): string =>
  text.replace(/[\t\r\n]+/g, ' ').replace(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, '\ufffd');
