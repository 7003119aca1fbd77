import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const env = {
  PATH: process.env.PATH,
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_AUTHOR_NAME: 'author',
  GIT_AUTHOR_EMAIL: 'author@example.org',
  GIT_COMMITTER_NAME: 'author',
  GIT_COMMITTER_EMAIL: 'author@example.org',
};

/** A repository in `dir` whose commits have fixed dates, so that their SHAs are always the same. */
export class GitRemote {
  readonly dir: string;
  #seconds = 1_700_000_000;

  private constructor(dir: string) {
    this.dir = dir;
  }

  static async make(dir: string): Promise<GitRemote> {
    const remote = new GitRemote(dir);
    await mkdir(dir, { recursive: true });
    await remote.git('init', '--quiet', '--initial-branch=main');
    await remote.git('config', 'uploadpack.allowAnySHA1InWant', 'true');
    return remote;
  }

  async git(...args: string[]): Promise<string> {
    const date = `${this.#seconds} +0000`;
    const { stdout } = await promisify(execFile)('git', args, {
      cwd: this.dir,
      env: { ...env, GIT_AUTHOR_DATE: date, GIT_COMMITTER_DATE: date },
    });
    return stdout.trim();
  }

  /** @returns its SHA */
  async commit(files: Record<string, string>, message = 'a change'): Promise<string> {
    this.#seconds += 60;
    for (const [name, text] of Object.entries(files)) {
      await mkdir(join(this.dir, dirname(name)), { recursive: true });
      await writeFile(join(this.dir, name), text);
    }
    await this.git('add', '--all');
    await this.git('commit', '--quiet', '--allow-empty', '--message', message);
    return this.git('rev-parse', 'HEAD');
  }

  /** Commits `files` on top of `base` as the head of pull request `number`. @returns its SHA */
  async pull(number: number, base: string, files: Record<string, string>): Promise<string> {
    await this.git('checkout', '--quiet', '--detach', base);
    const sha = await this.commit(files, `pull ${number}`);
    await this.git('update-ref', `refs/pull/${number}/head`, sha);
    await this.git('checkout', '--quiet', 'main');
    return sha;
  }
}
