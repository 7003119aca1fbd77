import { once } from 'node:events';
import { plain } from './text.ts';

export type Env = Readonly<Record<string, string | undefined>>;

/** A stream to print on: `process.stdout`, or anything like it. */
export type Output = NodeJS.WritableStream & { isTTY?: boolean | undefined; columns?: number | undefined };

const colours = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, blue: 34, magenta: 35, cyan: 36 } as const;
export type Colour = keyof typeof colours;
export const prefixColours: readonly Colour[] = ['cyan', 'green', 'magenta', 'yellow', 'blue'];

/**
 * Whether to colour what is printed on `out`: a terminal, unless NO_COLOR is set; FORCE_COLOR has the last word ('0' or 'false': never).
 * @see https://no-color.org
 */
export function wantsColour(out: Output, env: Env): boolean {
  const force = env.FORCE_COLOR;
  if (force !== undefined) return force !== '0' && force !== 'false';
  return out.isTTY === true && !env.NO_COLOR && env.TERM !== 'dumb';
}

/** Where a command prints. */
export type Terminal = {
  tty: boolean;
  colour: boolean;
  /** Columns; Infinity when nobody looks at it on a screen. */
  width: number;
  paint(colour: Colour, text: string): string;
  /** Prints text of ours, with the newline. What came from elsewhere goes through `plain` first. */
  line(text?: string): void;
  /** Prints bytes as they are, and waits while the reader is slow. */
  bytes(bytes: Uint8Array): Promise<void>;
};

/** @param signal ends waiting for a slow reader */
export function terminal(out: Output, env: Env, signal?: AbortSignal): Terminal {
  let drained: Promise<unknown> | undefined;
  const colour = wantsColour(out, env);
  const tty = out.isTTY === true;
  return {
    tty,
    colour,
    width: tty ? Math.max(40, out.columns ?? 80) : Number.POSITIVE_INFINITY,
    paint: (name, text) => (colour ? `\x1b[${colours[name]}m${text}\x1b[0m` : text),
    line: (text = '') => void out.write(`${text}\n`),
    bytes: async (bytes) => {
      if (bytes.length === 0 || out.write(bytes)) return;
      // One listener, however many logs are waiting.
      drained ??= once(out, 'drain', signal ? { signal } : {}).finally(() => {
        drained = undefined;
      });
      await drained;
    },
  };
}

const stateColours: Readonly<Record<string, Colour>> = {
  passed: 'green',
  failed: 'red',
  errored: 'red',
  lost: 'red',
  refused: 'red',
  revoked: 'red',
  silent: 'red',
  cancelled: 'yellow',
  stopping: 'yellow',
  paused: 'yellow',
  cordoned: 'yellow',
  draining: 'yellow',
  returned: 'yellow',
  running: 'cyan',
  assigned: 'cyan',
  runs: 'green',
  serving: 'green',
};

/** A state of anything in its colour; all other words are dim. */
export const paintState = (terminal: Terminal, state: string): string =>
  terminal.paint(stateColours[state] ?? 'dim', plain(state));
