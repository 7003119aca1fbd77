import { access, appendFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { resolve } from 'node:path';
import { setImmediate as breathe, setTimeout as sleep } from 'node:timers/promises';
import { keyOf } from '../../protocol/task.ts';
import { CannotRun, workdirIn } from './command.ts';
import type { Engine, Executor, ExecutorJob, Exit } from './executor.ts';
import { withTimeout } from './with-timeout.ts';

/**
 * Plays a step instead of running one, for tests and demonstrations: no process, nothing of a user's. Each line of `spec.script` is
 *
 *     print TEXT            print-env             print-cwd
 *     print-bytes N [SEED]  what `scriptedBytes` makes
 *     sleep MS              wait-file PATH        append PATH TEXT (one line: a witness outside)
 *     ignore-term           exit N
 *
 * and paths start in the step's directory. Blank lines and lines that open with # are skipped.
 */
export const scriptedExecutor = (): Executor => withTimeout(scriptedEngine);

const scriptedEngine: Engine = {
  kind: 'scripted',
  // It lives in the agent's own process and died with it.
  reap: async () => false,
  run: (job) => {
    const play: Play = { job, cwd: job.workspace, signal: new AbortController(), ignoresTerm: false, ended: false };
    const abort = (name: 'SIGTERM' | 'SIGKILL'): boolean => {
      if (play.ended) return false;
      if (name === 'SIGKILL' || !play.ignoresTerm) play.signal.abort(name);
      return true;
    };
    return { exit: playAll(play), term: () => abort('SIGTERM'), kill: () => abort('SIGKILL') };
  },
};

type Play = { job: ExecutorJob; cwd: string; signal: AbortController; ignoresTerm: boolean; ended: boolean };

async function playAll(play: Play): Promise<Exit> {
  const { job, signal } = play;
  try {
    play.cwd = await workdirIn(job.workspace, job.spec.workdir);
    const lines = parseScript(job.spec.script);
    if (signal.signal.aborted) return aborted(signal.signal);
    await job.handle({ kind: 'scripted' });
    for (const { verb, rest } of lines) {
      if (signal.signal.aborted) break;
      const exitCode = await verbs[verb](rest, play);
      if (exitCode !== undefined) return { exitCode };
    }
    return signal.signal.aborted ? aborted(signal.signal) : { exitCode: 0 };
  } catch (error) {
    if (signal.signal.aborted) return aborted(signal.signal);
    if (error instanceof CannotRun) return { error: error.message };
    return { error: `the script could not be played: ${error instanceof Error ? error.message : String(error)}` };
  } finally {
    play.ended = true;
  }
}

const aborted = (signal: AbortSignal): Exit => {
  const name = signal.reason === 'SIGKILL' ? 'SIGKILL' : 'SIGTERM';
  return { exitCode: 128 + constants.signals[name], signal: name };
};

type Verb = (rest: string, play: Play) => Promise<number | undefined>;

const verbs = {
  print: async (text, play) => say(play, `${text}\n`),
  'print-env': async (_, play) => {
    const env: Record<string, string> = { CI: 'true', ...play.job.env, THRESH_ATTEMPT: keyOf(play.job.key) };
    return say(
      play,
      Object.entries(env)
        .map(([name, value]) => `${name}=${value}\n`)
        .join(''),
    );
  },
  'print-cwd': async (_, play) => say(play, `${play.cwd}\n`),
  'print-bytes': async (rest, play) => {
    const [count, seed] = rest.split(' ').map(Number);
    for (const piece of bytePieces(count ?? 0, seed ?? 1)) {
      if (play.signal.signal.aborted) return undefined;
      await play.job.output(piece);
      await breathe();
    }
    return undefined;
  },
  sleep: async (ms, play) => sleep(Number(ms), undefined, { signal: play.signal.signal }),
  'wait-file': async (path, play) => {
    for (const file = resolve(play.cwd, path); !(await exists(file)); )
      await sleep(10, undefined, { signal: play.signal.signal });
    return undefined;
  },
  append: async (rest, play) => {
    const [path = '', ...text] = rest.split(' ');
    await appendFile(resolve(play.cwd, path), `${text.join(' ')}\n`);
    return undefined;
  },
  'ignore-term': async (_, play) => {
    play.ignoresTerm = true;
    return undefined;
  },
  exit: async (code) => Number(code),
} satisfies Record<string, Verb>;

const isVerb = (name: string): name is keyof typeof verbs => Object.hasOwn(verbs, name);

function parseScript(script: string | undefined): { verb: keyof typeof verbs; rest: string }[] {
  if (script === undefined) throw new CannotRun('a scripted step needs a script');
  return script
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [verb = '', ...rest] = line.split(' ');
      if (!isVerb(verb)) throw new CannotRun(`'${verb}' is nothing that a scripted step can do`);
      return { verb, rest: rest.join(' ') };
    });
}

const say = async (play: Play, text: string): Promise<undefined> => {
  await play.job.output(Buffer.from(text));
  return undefined;
};

const exists = (file: string): Promise<boolean> =>
  access(file).then(
    () => true,
    () => false,
  );

/** What `print-bytes` prints: printable, the same for the same seed, with a line end after every 100th byte. */
export const scriptedBytes = (count: number, seed = 1): Buffer => Buffer.concat([...bytePieces(count, seed)]);

const pieceBytes = 64 * 1024;

/** Marsaglia's xorshift32: enough to make every piece different from its neighbours. @see "Xorshift RNGs", J. Stat. Soft. 8, 2003 */
function* bytePieces(count: number, seed: number): Generator<Buffer> {
  let x = (seed | 0) ^ 0x9e37_79b9 || 1;
  for (let at = 0; at < count; at += pieceBytes) {
    const piece = Buffer.alloc(Math.min(pieceBytes, count - at));
    for (let i = 0; i < piece.length; i += 1) {
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
      piece[i] = (at + i) % 100 === 99 ? 10 : 33 + ((x >>> 0) % 94);
    }
    yield piece;
  }
}
