import type { Refs } from '../../protocol/change.ts';

export type CommandRecord = { command: string; output: string; error: string | undefined; durationMs: number };

export type CloneRecord = {
  /** With the base commit that was really taken. */
  refs: Refs;
  commands: readonly CommandRecord[];
  failed: boolean;
  finalSha: string | undefined;
  durationMs: number;
};

/** The text of `clone-records.json`, in the words of Prow's clonerefs, whose readers exist. */
export const cloneRecords = (records: readonly CloneRecord[]): string =>
  `${JSON.stringify(
    records.map(({ refs, commands, failed, finalSha, durationMs }) => ({
      refs: {
        org: refs.org,
        repo: refs.repo,
        base_ref: refs.baseRef,
        base_sha: refs.baseSha,
        pulls: refs.pulls.length === 0 ? undefined : refs.pulls.map(pull),
        path_alias: refs.pathAlias,
        clone_uri: refs.cloneUri,
      },
      commands: commands.map(({ command, output, error, durationMs: took }) => ({
        command,
        output,
        ...(error === undefined ? {} : { error }),
        duration: nanoseconds(took),
      })),
      failed,
      final_sha: finalSha,
      duration: nanoseconds(durationMs),
    })),
  )}\n`;

const pull = ({ number, author, sha, title, headRef, link }: Refs['pulls'][number]) => ({
  number,
  author,
  sha,
  title,
  head_ref: headRef,
  link,
});

const nanoseconds = (ms: number): number => Math.round(ms * 1e6);
