/** Times, sizes and names as people read them. */

const units = [
  ['d', 86_400],
  ['h', 3_600],
  ['m', 60],
  ['s', 1],
] as const;

/** '850ms', '4.2s', '42s', '2m 05s', '3h 07m', '2d 04h': two units at most, so that a column stays narrow. */
export function duration(ms: number): string {
  const whole = Math.max(0, ms);
  if (whole < 1_000) return `${Math.round(whole)}ms`;
  if (whole < 9_950) return `${(whole / 1_000).toFixed(1)}s`;
  const seconds = Math.round(whole / 1_000);
  const i = units.findIndex(([, size]) => seconds >= size);
  const [unit, size] = units[i] ?? ['s', 1];
  const next = units[i + 1];
  const rest = next ? ` ${String(Math.floor((seconds % size) / next[1])).padStart(2, '0')}${next[0]}` : '';
  return `${Math.floor(seconds / size)}${unit}${rest}`;
}

/** '12s ago', '5m ago', '3d ago': one unit. A moment in the future (clocks differ) is 'now'. */
export function ago(atMs: number, nowMs: number): string {
  const seconds = Math.floor((nowMs - atMs) / 1_000);
  const found = units.find(([, size]) => seconds >= size);
  return found ? `${Math.floor(seconds / found[1])}${found[0]} ago` : 'now';
}

/** 'one run', '3 runs'. */
export const count = (n: number, noun: string): string => (n === 1 ? `one ${noun}` : `${n} ${noun}s`);

/** Characters that move the cursor, colour or reorder text: C0, DEL, C1, line separators, bidirectional overrides. */
const isUnsafe = (code: number): boolean =>
  code < 0x20 ||
  (code >= 0x7f && code <= 0x9f) ||
  code === 0x2028 ||
  code === 0x2029 ||
  (code >= 0x202a && code <= 0x202e) ||
  (code >= 0x2066 && code <= 0x2069);

/** One line of text that came from elsewhere (a job's name, a reason, a title), safe to print: what could steer a terminal is '?'. */
export function plain(text: string): string {
  let safe = '';
  for (const char of text.replace(/[\t\r\n]+/g, ' ')) safe += isUnsafe(char.codePointAt(0) ?? 0) ? '?' : char;
  return safe;
}

/** JSON in which nothing steers a terminal: it escapes C0 itself, and the rest that `plain` replaces is escaped here. */
export const safeJson = (value: unknown, indent?: number): string =>
  JSON.stringify(value, null, indent).replace(/[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, (char) => {
    const code = char.charCodeAt(0).toString(16);
    return `\\u${code.padStart(4, '0')}`;
  });

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });

/** First and last code points that a terminal draws two columns wide (Unicode East Asian Width W and F, in coarse ranges). */
const wide = [
  [0x1100, 0x115f],
  [0x2e80, 0x303e],
  [0x3041, 0xa4cf],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xfe30, 0xfe6f],
  [0xff00, 0xff60],
  [0xffe0, 0xffe6],
  [0x20000, 0x3fffd],
] as const;

const widthOfGrapheme = (grapheme: string): number => {
  const code = grapheme.codePointAt(0) ?? 0;
  return /\p{Emoji_Presentation}/u.test(grapheme) || wide.some(([a, b]) => code >= a && code <= b) ? 2 : 1;
};

/** Columns that plain text takes on a terminal. */
export function widthOf(text: string): number {
  let width = 0;
  for (const { segment } of graphemes.segment(text)) width += widthOfGrapheme(segment);
  return width;
}

/** `text`, with '…' where it is longer than `width` columns. */
export function cut(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  let kept = '';
  let used = 0;
  for (const { segment } of graphemes.segment(text)) {
    used += widthOfGrapheme(segment);
    if (used > width - 1) break;
    kept += segment;
  }
  return `${kept}…`;
}
