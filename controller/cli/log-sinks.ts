import { printJsonLine } from './cli.ts';
import type { LogEnd } from './follow.ts';
import { type LineCutter, lineCutter } from './lines.ts';
import { type Sanitizer, sanitizer } from './sanitize.ts';
import { paintState, prefixColours, type Terminal } from './terminal.ts';
import { plain, safeJson } from './text.ts';

/** Where the bytes of logs go. Attempts of one step come one after the other; steps may come interleaved. */
export type LogSink = {
  bytes(step: string, attempt: number, bytes: Uint8Array, offset: number): Promise<void>;
  /** Nothing more comes of this attempt. `end` is absent when only what is stored so far was wanted. */
  end(step: string, attempt: number, end?: LogEnd): Promise<void>;
};

type Screens = { out: Terminal; err: Terminal };

/** Cleaned when a person looks at it, as it is when a program reads it. */
const cleanerFor = (out: Terminal, raw: boolean): Sanitizer | undefined =>
  out.tty && !raw ? sanitizer({ colours: out.colour }) : undefined;

const utf8 = (text: string): Buffer => Buffer.from(text, 'utf8');

const sayMissing = (err: Terminal, step: string, end: LogEnd | undefined): void => {
  if (end && end.missing > 0)
    err.line(err.paint('yellow', `[${plain(step)}: ${end.missing} bytes of output were lost before they were stored]`));
};

/** The bytes of the steps, one after the other, and nothing else. */
export function plainSink({ out, err }: Screens, raw: boolean): LogSink {
  let cleaner = cleanerFor(out, raw);
  return {
    bytes: (_step, _attempt, bytes) => out.bytes(cleaner ? utf8(cleaner.push(bytes)) : bytes),
    end: async (step, _attempt, end) => {
      if (cleaner) await out.bytes(utf8(cleaner.end()));
      cleaner = cleanerFor(out, raw);
      sayMissing(err, step, end);
    },
  };
}

/** Whole lines, each after the name of its step, so that steps may be interleaved. */
export function prefixSink({ out, err }: Screens, steps: readonly string[]): LogSink {
  const width = Math.max(...steps.map((s) => s.length));
  const prefixes = new Map(
    steps.map((step, i) => [
      step,
      out.paint(prefixColours[i % prefixColours.length] ?? 'cyan', `${plain(step).padEnd(width)} |`),
    ]),
  );
  type Open = { cleaner: Sanitizer | undefined; cutter: LineCutter; colours: string };
  const open = new Map<string, Open>();
  const of = (step: string): Open => {
    const known = open.get(step) ?? { cleaner: cleanerFor(out, false), cutter: lineCutter(), colours: '' };
    open.set(step, known);
    return known;
  };
  /** On a terminal a colour must not run into the next step's prefix, and must go on in this step's next line. */
  const put = (step: string, o: Open, line: Buffer): Buffer => {
    const prefix = `${prefixes.get(step) ?? plain(step)} `;
    if (!o.cleaner) return Buffer.concat([utf8(prefix), line, utf8('\n')]);
    const text = line.toString('utf8').replace(/\r+$/, '');
    const before = o.colours;
    o.colours = coloursAfter(before, text);
    const reset = before !== '' || o.colours !== '' ? '\x1b[0m' : '';
    return utf8(`${prefix}${before}${text.replaceAll('\r', `\r${prefix}`)}${reset}\n`);
  };
  return {
    bytes: (step, _attempt, bytes) => {
      const o = of(step);
      const lines = o.cutter.push(o.cleaner ? utf8(o.cleaner.push(bytes)) : bytes);
      return out.bytes(Buffer.concat(lines.map((line) => put(step, o, line.bytes))));
    },
    end: async (step, _attempt, end) => {
      const o = of(step);
      open.delete(step);
      const rest = o.cutter.end();
      if (rest) await out.bytes(put(step, o, rest.bytes));
      sayMissing(err, step, end);
    },
  };
}

/** Colours that are on, as the sequences that made them; more than this is forgotten. */
const maxColours = 256;

function coloursAfter(before: string, text: string): string {
  let on = before;
  let at = text.indexOf('\x1b[');
  for (; at >= 0; at = text.indexOf('\x1b[', at + 1)) {
    const sequence = text.slice(at, text.indexOf('m', at) + 1);
    on = /^[^0-9]*0*m$/.test(sequence.slice(2)) ? '' : on + sequence;
  }
  return on.length > maxColours ? '' : on;
}

/** One object per line of output: a JSON array, or with `follow` JSON lines. Text that is not UTF-8 is replaced there. */
export function jsonSink(out: Terminal, follow: boolean): LogSink & { close(): void } {
  /** `offset`: where the line that is open stands. next: where the bytes that follow should stand. */
  type Open = { cutter: LineCutter; offset: number; next: number };
  const cutters = new Map<string, Open>();
  let first = true;
  const put = (value: unknown): Promise<void> => {
    const text = safeJson(value);
    const whole = follow ? `${text}\n` : `${first ? '[' : ','}\n${text}`;
    first = false;
    return out.bytes(utf8(whole));
  };
  const flush = async (step: string, attempt: number): Promise<void> => {
    const open = cutters.get(step);
    cutters.delete(step);
    const rest = open?.cutter.end();
    if (open && rest) await put({ step, attempt, offset: open.offset, text: rest.bytes.toString('utf8') });
  };
  return {
    bytes: async (step, attempt, bytes, offset) => {
      const known = cutters.get(step);
      if (known && known.next !== offset) await flush(step, attempt);
      const open = cutters.get(step) ?? { cutter: lineCutter(), offset, next: offset };
      cutters.set(step, open);
      open.next += bytes.length;
      for (const line of open.cutter.push(bytes)) {
        await put({ step, attempt, offset: open.offset, text: line.bytes.toString('utf8') });
        open.offset += line.bytes.length + (line.ended ? 1 : 0);
      }
    },
    end: async (step, attempt, end) => {
      await flush(step, attempt);
      if (end) await put({ step, attempt, end });
    },
    close: () => {
      if (!follow) out.line(first ? '[]' : '\n]');
    },
  };
}

/** How a followed run ended, on one line. */
export function sayResult(
  screen: Terminal,
  run: { id: string; state: string; reason?: string },
  took: string,
  json: boolean,
): void {
  const reason = run.reason ? `: ${plain(run.reason)}` : '';
  if (json) printJsonLine(screen, { run: run.id, state: run.state, reason: run.reason ?? '' });
  else screen.line(`run ${run.id} ${paintState(screen, run.state)} after ${took}${reason}`);
}
