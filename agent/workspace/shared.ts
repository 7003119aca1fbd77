import { randomBytes } from 'node:crypto';
import { execa } from 'execa';
import { FarmError } from '../../protocol/errors.ts';

/** What other agents can see of an attempt: empty files `STEP.ATTEMPT` in here, and `STEP.ATTEMPT.over` when its step is dead. */
export const marksDir = '.attempts';

/** A new attempt waits so long for the watchdog of an older one, milliseconds: it looks every second. */
export const fenceMs = 3_000;

export type SharedOptions = {
  /** Where the storage is mounted. */
  root: string;
  /** As whom steps run, if not as the agent itself. */
  owner?: { uid: number; gid: number } | undefined;
  /** For each thing that is done there. */
  timeoutMs?: number;
};

export type SharedWorkspace = {
  dir: string;
  marks: string;
  /** What is known of the attempts of the same step that came before. */
  before: 'none' | 'over' | 'may be alive';
};

export type SharedWorkspaces = {
  root: string;
  /**
   * Makes the workspace when it is not there, and marks that this attempt is the one that works there now. From then on the watchdogs of other
   * agents kill what is older.
   * @throws SHARED_WORKSPACE: a newer attempt is marked, or the storage does not answer
   */
  open: (run: string, round: number, step: string, attempt: number) => Promise<SharedWorkspace>;
  /** The step of this attempt is dead: the next one need not wait for that. Never rejects. */
  over: (run: string, round: number, step: string, attempt: number) => Promise<void>;
  /** Removes a workspace, and follows no link while doing so. Not being there is fine. */
  forget: (id: string) => Promise<void>;
};

/**
 * Workspaces on storage that several agents have mounted: `ROOT/RUN.ROUND/{workspace,.attempts}`. Everything is done by processes that can be killed:
 * calls to a file server that is away do not come back, and would take the threads of this process one by one.
 */
export function sharedWorkspaces({ root, owner, timeoutMs = 10_000 }: SharedOptions): SharedWorkspaces {
  const act = async (id: string, script: string, args: readonly string[]): Promise<string> => {
    if (!/^[0-9]{1,20}\.[1-9][0-9]{0,8}$/.test(id)) throw new FarmError('BAD_WORKSPACE', { id });
    const { exitCode, all, timedOut } = await execa(
      '/bin/sh',
      ['-c', script, 'shared', root, id, randomBytes(6).toString('hex'), ...args],
      {
        reject: false,
        all: true,
        timeout: timeoutMs,
        killSignal: 'SIGKILL',
        stdin: 'ignore',
      },
    );
    if (exitCode === 0) return all;
    const detail = timedOut ? `no answer within ${timeoutMs / 1_000} s` : all.trim().slice(0, 1_024);
    throw new FarmError('SHARED_WORKSPACE', { id, detail });
  };
  return {
    root,
    open: async (run, round, step, attempt) => {
      const id = `${run}.${round}`;
      const names = await act(id, openScript, [owner ? `${owner.uid}:${owner.gid}` : '', `${step}.${attempt}`]);
      const seen = marksOf(names.split('\n'), step);
      if (seen.some((m) => m.attempt > attempt))
        throw new FarmError('SHARED_WORKSPACE', { id, detail: `a newer attempt of step '${step}' is at work there` });
      const before = seen.filter((m) => m.attempt < attempt);
      return {
        dir: `${root}/${id}/workspace`,
        marks: `${root}/${id}/${marksDir}`,
        before: before.length === 0 ? 'none' : before.every((m) => m.over) ? 'over' : 'may be alive',
      };
    },
    over: async (run, round, step, attempt) => {
      await act(`${run}.${round}`, overScript, [`${step}.${attempt}.over`]).catch(() => {});
    },
    forget: async (id) => {
      await act(id, forgetScript, []);
    },
  };
}

/** Which attempts of a step the names in `.attempts` tell of. */
export function marksOf(names: readonly string[], step: string): { attempt: number; over: boolean }[] {
  const over = new Set(names);
  return names.flatMap((name) => {
    const [, of, attempt] = /^([A-Za-z0-9_-]+)\.([1-9][0-9]{0,8})$/.exec(name) ?? [];
    return of === step ? [{ attempt: Number(attempt), over: over.has(`${name}.over`) }] : [];
  });
}

/** It appears complete or not at all. The mark is set before one looks for others, so of two that come together at least one sees the other. */
const openScript = `set -eu
umask 022
cd -- "$1"
if [ ! -d "$2" ]; then
  draft=.trash/$2.$3
  mkdir -p .trash && chmod 711 .trash
  mkdir -- "$draft" "$draft/.attempts" "$draft/workspace" "$draft/workspace/outputs" "$draft/workspace/outputs/artifacts"
  chmod 711 "$draft" "$draft/.attempts"
  [ -z "$4" ] || chown -R -h -- "$4" "$draft/workspace"
  mv -T -- "$draft" "$2" 2>/dev/null || { rm -rf -- "$draft"; [ -d "$2" ]; }
fi
: > "$2/.attempts/$5"
sync -- "$2/.attempts/$5"
ls -A -- "$2/.attempts"`;

const overScript = `set -eu
cd -- "$1/$2/.attempts"
: > "$4"
sync -- "$4"`;

const forgetScript = `set -eu
cd -- "$1"
grave=.trash/$2.$3
mkdir -p .trash
mv -T -- "$2" "$grave" 2>/dev/null || [ ! -e "$2" ]
rm -rf -- "$grave"`;
