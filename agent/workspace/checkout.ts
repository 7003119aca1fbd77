import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Refs } from '../../protocol/change.ts';
import { messageOf } from '../../protocol/errors.ts';
import { sourceRef } from '../../protocol/source.ts';
import type { Engine, Executor, ExecutorJob, Exit, Started, StepEnd } from '../executor/executor.ts';
import { withTimeout } from '../executor/with-timeout.ts';
import { type CloneRecord, type CommandRecord, cloneRecords } from './clone-records.ts';
import { gitEnvironment, type Identity, template } from './git.ts';
import { BadRefs, cloneUri, isRefName, sourceDir } from './source.ts';

export type CheckoutOptions = {
  /** Runs git, as the user that steps run as. */
  git: Executor;
  /** Whether repositories on the agent's own disk may be fetched from. Default: no. */
  allowFile?: boolean;
  /** Who makes the merge commits. */
  identity?: Identity;
  /** How long to wait before each further try of a fetch, milliseconds. */
  retryMs?: readonly number[];
};

/** Prow's clonerefs waits so long between its tries. */
const fetchRetryMs = [100, 200, 400, 800, 2_000, 5_000, 10_000, 15_000, 30_000];
const defaultIdentity: Identity = { name: 'Thresh', email: 'thresh@localhost' };

/**
 * Executes the built-in step `checkout`: the base commit, then each pull request merged onto it in order, always by a merge commit whose
 * dates follow from the base's, so that the same refs give the same SHA everywhere. The order of the commands is that of Prow's clonerefs.
 * A working tree that a person has sent comes from the farm instead of a repository.
 * What it did stands in `outputs/clone-records.json`, and among its artifacts.
 *
 * It runs in a tree that no other step has touched: what an attempt before has left is removed first.
 */
export const checkoutExecutor = (options: CheckoutOptions): Executor => withTimeout(checkoutEngine(options));

const checkoutEngine = (options: CheckoutOptions): Engine => ({
  kind: options.git.kind,
  reap: options.git.reap,
  run: (job) => {
    const commands = new Commands(job, options);
    return {
      exit: run(commands, job, options).finally(() => commands.end()),
      term: () => commands.ask('stop'),
      kill: () => commands.ask('kill'),
    };
  },
});

async function run(commands: Commands, job: ExecutorJob, options: CheckoutOptions): Promise<Exit> {
  if (!job.refs) return { error: 'this run tests no repository, so there is nothing to check out' };
  const begunMs = performance.now();
  let end: Exit;
  let refs = job.refs;
  let finalSha: string | undefined;
  try {
    ({ refs, finalSha } = await checkOut(commands, job.refs, job.fetchSource, options));
    end = { exitCode: 0 };
  } catch (error) {
    if (error instanceof BadRefs) end = { error: error.message };
    else if (error instanceof Failed) end = error.exit;
    else throw error;
  }
  if (commands.isAsked) return end;
  const failed = !('exitCode' in end) || end.exitCode !== 0;
  const record: CloneRecord = { refs, commands: commands.done, failed, finalSha, durationMs: performance.now() - begunMs };
  const written = await leaveRecords(commands, job, [record]);
  return failed || written ? end : { error: 'clone-records.json could not be written' };
}

/** Made by the agent where no step can reach, then copied by the step's own user: so no link that a step has laid is followed by root. */
async function leaveRecords(commands: Commands, job: ExecutorJob, records: CloneRecord[]): Promise<boolean> {
  const file = join(job.scratch, 'clone-records.json');
  await writeFile(file, cloneRecords(records), { mode: 0o644 });
  const places = [
    'outputs/clone-records.json',
    ...(job.artifacts === undefined ? [] : [join(job.artifacts, 'clone-records.json')]),
  ];
  for (const place of places) {
    const { exitCode } = await commands.quiet(['cp', '--', file, place]);
    if (exitCode !== 0) return false;
  }
  return true;
}

/** @throws BadRefs, Failed */
async function checkOut(
  commands: Commands,
  refs: Refs,
  fetchSource: ExecutorJob['fetchSource'],
  options: CheckoutOptions,
): Promise<{ refs: Refs; finalSha: string | undefined }> {
  const { baseRef, baseSha, pulls } = refs;
  if (!isRefName(baseRef)) throw new BadRefs(`'${baseRef}' cannot be the name of a branch or a tag`);
  const dir = sourceDir(refs);
  const uri = fetchSource ? 'the uploaded source' : cloneUri(refs, { allowFile: options.allowFile ?? false });
  await commands.must(['rm', '-rf', '--', dir]);
  await commands.must(['mkdir', '-p', '--', dir]);
  commands.dir = dir;
  await commands.must([
    'git',
    'init',
    '--quiet',
    ...(baseSha?.length === 64 ? ['--object-format=sha256'] : []),
    `--template=${await template(commands.scratch, options.identity ?? defaultIdentity)}`,
  ]);
  if (fetchSource) await unbundle(commands, fetchSource);
  else {
    const depth = refs.cloneDepth ? ['--depth', String(refs.cloneDepth)] : [];
    if (!refs.skipFetchHead) await commands.fetch([...depth, '--tags', '--prune', '--', uri]);
    await commands.fetch([...depth, '--', uri, baseSha ?? baseRef], baseSha && [...depth, '--', uri, baseRef]);
  }
  const base = baseSha ?? 'FETCH_HEAD';
  await commands.must(['git', 'checkout', '--quiet', '--detach', base, '--'], `${baseRef} of ${uri} has no commit ${base}`);
  await commands.must(['git', 'branch', '--force', '--', baseRef, base]);
  await commands.must(['git', 'checkout', '--quiet', baseRef, '--']);
  const [exactBase, baseTime] = (await commands.ask1(['git', 'show', '-s', '--format=%H %ct', 'HEAD'])).split(' ');
  for (const [i, pull] of pulls.entries()) {
    await commands.fetch(['--', uri, pull.sha], ['--', uri, `refs/pull/${pull.number}/head`]);
    const date = String(Number(baseTime) + i + 1);
    await commands.must(
      ['git', 'merge', '--no-ff', '--no-edit', pull.sha],
      `pull request #${pull.number} (${pull.sha.slice(0, 12)}) does not merge onto ${baseRef}`,
      { GIT_AUTHOR_DATE: date, GIT_COMMITTER_DATE: date },
    );
  }
  if (!refs.skipSubmodules) await commands.must(['git', 'submodule', 'update', '--init', '--recursive'], 'submodules');
  const finalSha = await commands.ask1(['git', 'rev-parse', 'HEAD']);
  await commands.say(`# ${dir} is at ${finalSha}\n`);
  return { refs: { ...refs, ...(exactBase ? { baseSha: exactBase } : {}) }, finalSha };
}

/** The one fetch from this disk that needs no leave: of a file that the agent has put there. @throws Failed */
async function unbundle(commands: Commands, fetchSource: NonNullable<ExecutorJob['fetchSource']>): Promise<void> {
  const file = join(commands.scratch, 'source.bundle');
  try {
    await commands.download((signal) => fetchSource(file, signal));
    await commands.must(['git', 'fetch', '--', file, sourceRef], 'reading the uploaded source', { GIT_ALLOW_PROTOCOL: 'file' });
  } finally {
    await rm(file, { force: true });
  }
}

/** A command that ended the checkout. */
class Failed extends Error {
  readonly exit: Exit;
  constructor(exit: Exit) {
    super('a command has failed');
    this.exit = exit;
  }
}

type Ran = { end: StepEnd; exitCode: number; output: string };

const keptOutputBytes = 8_192;
/** What trying again cannot help against. */
const permanent =
  /couldn't find remote ref|not our ref|not allowed|Repository not found|does not appear to be a git repository|could not read Username|Permission denied/i;

/** The commands of one checkout, one after another, each a process of its own that can be stopped. */
class Commands {
  readonly done: CommandRecord[] = [];
  /** Below the workspace, for those that follow. */
  dir: string | undefined;
  readonly #job: ExecutorJob;
  readonly #options: CheckoutOptions;
  readonly #asked = new AbortController();
  #env: Record<string, string> | undefined;
  #now: Started | undefined;
  #over = false;

  constructor(job: ExecutorJob, options: CheckoutOptions) {
    this.#job = job;
    this.#options = options;
  }

  get scratch(): string {
    return this.#job.scratch;
  }

  get isAsked(): boolean {
    return this.#asked.signal.aborted;
  }

  ask(what: 'stop' | 'kill'): boolean {
    if (this.#over) return false;
    this.#asked.abort();
    this.#now?.[what]();
    return true;
  }

  end(): void {
    this.#over = true;
  }

  async say(text: string): Promise<void> {
    await this.#job.output(Buffer.from(text));
  }

  /** Something of the agent's own, which ends when the step is asked to. @throws Failed */
  async download(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    if (await mkdir(this.scratch, { recursive: true })) await chmod(this.scratch, 0o711);
    try {
      await work(this.#asked.signal);
    } catch (error) {
      throw new Failed(this.isAsked ? stopped : { error: messageOf(error) });
    }
  }

  /** @param else_ what it means for people when the command fails. @throws Failed */
  async must(argv: readonly string[], else_?: string, env: Record<string, string> = {}): Promise<Ran> {
    const ran = await this.#recorded(argv, env);
    if (ran.exitCode !== 0) throw new Failed(failure(ran, else_ ?? argv.slice(0, 2).join(' ')));
    return ran;
  }

  /** The one line that a command answers. @throws Failed */
  async ask1(argv: readonly string[]): Promise<string> {
    const ran = await this.quiet(argv);
    if (ran.exitCode !== 0) throw new Failed(failure(ran, argv.slice(0, 2).join(' ')));
    return ran.output.trim();
  }

  /**
   * Fetches, again and again while that may help.
   * @param instead what to fetch where a server does not give out commits by their SHA
   * @throws Failed
   */
  async fetch(args: readonly string[], instead?: readonly string[] | ''): Promise<void> {
    const waits = this.#options.retryMs ?? fetchRetryMs;
    for (let tries = 0; ; tries += 1) {
      const ran = await this.#recorded(['git', 'fetch', ...args], {});
      if (ran.exitCode === 0) return;
      const isFinal = permanent.test(ran.output);
      if (isFinal && instead) return this.fetch(instead);
      const waitMs = waits[tries];
      if (isFinal || waitMs === undefined || ran.end.outcome === 'error') throw new Failed(failure(ran, 'fetching failed'));
      await sleep(waitMs, undefined, { signal: this.#asked.signal }).catch(() => {});
      if (this.isAsked) throw new Failed(stopped);
    }
  }

  async #recorded(argv: readonly string[], env: Record<string, string>): Promise<Ran> {
    const command = argv.join(' ');
    await this.say(`# ${command}\n`);
    const begunMs = performance.now();
    const ran = await this.#execute(argv, env, this.#job.output);
    const durationMs = performance.now() - begunMs;
    const error = ran.exitCode === 0 ? undefined : (ran.end.message ?? `exit status ${ran.exitCode}`);
    this.done.push({ command, output: ran.output, error, durationMs });
    return ran;
  }

  /** Neither in the log nor in the records. */
  quiet(argv: readonly string[]): Promise<Ran> {
    return this.#execute(argv, {}, () => {});
  }

  async #execute(argv: readonly string[], env: Record<string, string>, output: ExecutorJob['output']): Promise<Ran> {
    if (this.isAsked) throw new Failed(stopped);
    const { workspace, scratch, key, spec, handle } = this.#job;
    this.#env ??= await prepare(scratch, this.#options);
    let kept = Buffer.alloc(0);
    this.#now = this.#options.git.start({
      key,
      spec: {
        name: spec.name,
        env: [],
        secrets: {},
        needs: [],
        when: 'success',
        finally: false,
        retries: 0,
        queue: spec.queue,
        timeoutMs: spec.timeoutMs,
        graceMs: spec.graceMs,
        command: [...argv],
        ...(this.dir && argv[0] === 'git' ? { workdir: this.dir } : {}),
      },
      env: { ...this.#env, ...env },
      workspace,
      scratch,
      handle,
      output: async (bytes) => {
        kept = Buffer.concat([kept, bytes]).subarray(-keptOutputBytes);
        await output(bytes);
      },
    });
    if (this.isAsked) this.#now.stop();
    const end = await this.#now.ended;
    this.#now = undefined;
    if (this.isAsked) throw new Failed(stopped);
    return { end, exitCode: end.exitCode ?? 1, output: kept.toString('utf8') };
  }
}

const stopped: Exit = { exitCode: 128 + constants.signals.SIGTERM, signal: 'SIGTERM' };

async function prepare(scratch: string, { allowFile = false }: CheckoutOptions): Promise<Record<string, string>> {
  if (await mkdir(scratch, { recursive: true })) await chmod(scratch, 0o711);
  return gitEnvironment(scratch, { allowFile });
}

function failure({ end, exitCode, output }: Ran, what: string): Exit {
  if (end.outcome === 'error') return { error: end.message ?? what };
  const said =
    output
      .trimEnd()
      .split('\n')
      .findLast((line) => /^(fatal|error|CONFLICT)/.test(line)) ?? end.message;
  return { exitCode, note: said === undefined ? what : `${what}: ${said.slice(0, 1_024)}` };
}
