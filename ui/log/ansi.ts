/** Colours and weights that a program has asked for with SGR sequences (ECMA-48, 8.3.117), as data: nothing of it ever becomes markup. */

export type Style = {
  /** 0 to 255 of the usual palette, or '#rrggbb'. */
  fg?: number | string;
  bg?: number | string;
  bold?: boolean;
  dim?: boolean;
  italic?: boolean;
  underline?: boolean;
  inverse?: boolean;
};
export type Span = { start: number; end: number; style: Style };
export type Parsed = { text: string; spans: Span[]; style: Style };

/** CSI, OSC and other sequences; and control characters but for the tab. What is cut off at the end of the text goes too. */
const control =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what it looks for
  /\x1b(?:\[([0-9;:<=>?]*)[ -/]*([@-~]?)|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~]?)|[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;
/** Bidirectional overrides and line separators: shown as what they are not, they would lie about the rest of the line. */
const unseen = /[\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** @param style as the line before has left it */
export function parseAnsi(raw: string, style: Style = {}): Parsed {
  const spans: Span[] = [];
  let text = '';
  let now = style;
  const put = (piece: string) => {
    if (piece === '') return;
    const start = text.length;
    text += piece.replace(unseen, '\ufffd');
    if (Object.keys(now).length > 0) spans.push({ start, end: text.length, style: now });
  };
  let at = 0;
  for (const match of raw.matchAll(control)) {
    put(raw.slice(at, match.index));
    at = match.index + match[0].length;
    if (match[2] === 'm') now = withSgr(now, match[1] ?? '');
  }
  put(raw.slice(at));
  return { text, spans, style: now };
}

const flags: Record<number, keyof Style> = { 1: 'bold', 2: 'dim', 3: 'italic', 4: 'underline', 7: 'inverse' };
const offs: Record<number, (keyof Style)[]> = {
  22: ['bold', 'dim'],
  23: ['italic'],
  24: ['underline'],
  27: ['inverse'],
  39: ['fg'],
  49: ['bg'],
};

function withSgr(before: Style, parameters: string): Style {
  const codes = parameters.split(/[;:]/, 64).map(Number);
  let style = { ...before };
  for (let i = 0; i < codes.length; i += 1) {
    const code = codes[i] ?? 0;
    const flag = flags[code];
    if (code === 0) style = {};
    else if (flag) style = { ...style, [flag]: true };
    else if (offs[code]) for (const name of offs[code]) delete style[name];
    else if (code >= 30 && code <= 37) style.fg = code - 30;
    else if (code >= 40 && code <= 47) style.bg = code - 40;
    else if (code >= 90 && code <= 97) style.fg = code - 90 + 8;
    else if (code >= 100 && code <= 107) style.bg = code - 100 + 8;
    else if (code === 38 || code === 48) {
      const [colour, used] = extended(codes.slice(i + 1));
      if (colour !== undefined) style[code === 38 ? 'fg' : 'bg'] = colour;
      i += used;
    }
  }
  return style;
}

/** `5;N` or `2;R;G;B`. @returns the colour, and how many parameters it took */
function extended([kind, ...rest]: number[]): [number | string | undefined, number] {
  const isByte = (n: number | undefined): n is number => n !== undefined && Number.isInteger(n) && n >= 0 && n <= 255;
  if (kind === 5) return [isByte(rest[0]) ? rest[0] : undefined, 2];
  if (kind !== 2) return [undefined, 1];
  const rgb = rest.slice(0, 3);
  if (rgb.length < 3 || !rgb.every(isByte)) return [undefined, 4];
  return [`#${rgb.map((n) => n.toString(16).padStart(2, '0')).join('')}`, 4];
}

/** The colour of 16 to 255 of the palette: a cube of 6 x 6 x 6, then 24 greys. Those below are the page's own. */
export function paletteColour(n: number): string {
  const hex = (v: number) => v.toString(16).padStart(2, '0');
  if (n >= 232) return `#${hex(8 + (n - 232) * 10).repeat(3)}`;
  const level = (v: number) => hex(v === 0 ? 0 : 55 + v * 40);
  const c = n - 16;
  return `#${level(Math.floor(c / 36))}${level(Math.floor(c / 6) % 6)}${level(c % 6)}`;
}
