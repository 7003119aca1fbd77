import { parseAnsi, type Span, type Style } from './ansi.ts';

/** `cut`: characters of the line that are not kept. */
export type Line = { text: string; spans: readonly Span[]; cut?: number };

export type BufferLimits = { maxLines: number; maxChars: number; maxLineChars: number };
const defaults: BufferLimits = { maxLines: 50_000, maxChars: 16 * 1024 * 1024, maxLineChars: 10_000 };

/**
 * The end of a log as lines, as much of it as a page can hold. Bytes may be cut anywhere; a line without an end is shown as far as it has
 * come. What a carriage return has overwritten is not kept, as on a terminal.
 */
export class LogBuffer {
  readonly #limits: BufferLimits;
  readonly #decoder = new TextDecoder();
  /** Whole lines. */
  #lines: Line[] = [];
  #chars = 0;
  /** What came after the last line end, and how the line before has left the colours. */
  #partial = '';
  #partialCut = 0;
  #style: Style = {};
  #skipFirst: boolean;
  /** Where the next byte stands in the log. */
  offset: number;
  /** Bytes or lines before the first line that is held are not here. */
  dropped: boolean;
  /** The number of the first line that is held; undefined when the log was not read from its start. */
  firstNumber: number | undefined;

  /** @param offset where the first byte stands; beyond 0 the line that it cuts is left out */
  constructor(offset = 0, limits: Partial<BufferLimits> = {}) {
    this.#limits = { ...defaults, ...limits };
    this.offset = offset;
    this.dropped = offset > 0;
    this.#skipFirst = offset > 0;
    this.firstNumber = offset > 0 ? undefined : 1;
  }

  /** @returns how many lines were dropped from the front to make room */
  push(bytes: Uint8Array): number {
    this.offset += bytes.length;
    const [first = '', ...rest] = this.#decoder.decode(bytes, { stream: true }).split('\n');
    this.#extend(first);
    for (const piece of rest) {
      this.#end();
      this.#extend(piece);
    }
    return this.#makeRoom();
  }

  get length(): number {
    return this.#lines.length + (this.#partial === '' || this.#skipFirst ? 0 : 1);
  }

  line(i: number): Line | undefined {
    if (i < this.#lines.length) return this.#lines[i];
    return i < this.length ? this.#read().line : undefined;
  }

  #extend(piece: string): void {
    const room = this.#limits.maxLineChars - this.#partial.length;
    this.#partial += piece.slice(0, Math.max(0, room));
    this.#partialCut += Math.max(0, piece.length - room);
    const back = this.#partial.lastIndexOf('\r', this.#partial.length - 2);
    if (back < 0) return;
    // Colours that were set before stay.
    this.#style = parseAnsi(this.#partial.slice(0, back), this.#style).style;
    this.#partial = this.#partial.slice(back + 1);
  }

  #read(): { line: Line; style: Style } {
    const { text, spans, style } = parseAnsi(this.#partial, this.#style);
    return { line: { text, spans, ...(this.#partialCut > 0 && { cut: this.#partialCut }) }, style };
  }

  #end(): void {
    const { line, style } = this.#read();
    this.#style = style;
    this.#partial = '';
    this.#partialCut = 0;
    if (this.#skipFirst) {
      this.#skipFirst = false;
      return;
    }
    this.#lines.push(line);
    this.#chars += line.text.length;
  }

  /** A quarter at once: to drop each line by itself would move all others each time. */
  #makeRoom(): number {
    const { maxLines, maxChars } = this.#limits;
    if (this.#lines.length <= maxLines && this.#chars <= maxChars) return 0;
    let n = Math.max(0, this.#lines.length - Math.floor(maxLines * 0.75));
    let chars = 0;
    for (let i = 0; i < n; i += 1) chars += this.#lines[i]?.text.length ?? 0;
    while (n < this.#lines.length && this.#chars - chars > maxChars * 0.75) {
      chars += this.#lines[n]?.text.length ?? 0;
      n += 1;
    }
    this.#lines = this.#lines.slice(n);
    this.#chars -= chars;
    this.dropped = true;
    if (this.firstNumber !== undefined) this.firstNumber += n;
    return n;
  }
}
