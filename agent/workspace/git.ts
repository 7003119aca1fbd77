import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export type Identity = { name: string; email: string };

const config: Record<string, string> = {
  'core.hooksPath': '/dev/null',
  'core.fsmonitor': 'false',
  'core.attributesFile': '/dev/null',
  'core.sshCommand': 'ssh -oBatchMode=yes',
  'credential.helper': '',
  'gc.auto': '0',
  'maintenance.auto': 'false',
  'fetch.recurseSubmodules': 'false',
  'advice.detachedHead': 'false',
  'init.defaultBranch': 'main',
};

/**
 * What git sees of its surroundings: nothing of the machine's or the user's configuration, nobody to ask for a password, no program of the
 * repository's choice. As variables, because those win over whatever stands in a file, and reach the gits that git starts.
 * @param scratch the agent's own directory
 * @param allowFile whether a repository on this disk may be fetched from
 */
export async function gitEnvironment(scratch: string, { allowFile }: { allowFile: boolean }): Promise<Record<string, string>> {
  const entries = Object.entries(config);
  const env: Record<string, string> = {
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: allowFile ? await fileCloneConfig(scratch) : '/dev/null',
    GIT_TERMINAL_PROMPT: '0',
    GIT_ALLOW_PROTOCOL: allowFile ? 'https:ssh:file' : 'https:ssh',
    GIT_CONFIG_COUNT: String(entries.length),
    TZ: 'UTC',
  };
  entries.forEach(([key, value], i) => {
    env[`GIT_CONFIG_KEY_${i}`] = key;
    env[`GIT_CONFIG_VALUE_${i}`] = value;
  });
  return env;
}

/** What `git init` copies into a new repository: who commits there, and no hooks. */
export async function template(scratch: string, { name, email }: Identity): Promise<string> {
  const dir = join(scratch, 'template');
  if (await mkdir(dir, { recursive: true })) await chmod(dir, 0o755);
  await writeFile(join(dir, 'config'), `[user]\n\tname = ${quoted(name)}\n\temail = ${quoted(email)}\n`, { mode: 0o644 });
  return dir;
}

const quoted = (text: string): string => `"${text.replaceAll(/[\\"]/g, '\\$&')}"`;

/** The git that serves a repository of this disk is not told by variables, and refuses one that belongs to another user. */
async function fileCloneConfig(scratch: string): Promise<string> {
  const file = join(scratch, 'gitconfig');
  await writeFile(file, '[safe]\n\tdirectory = *\n', { mode: 0o644 });
  return file;
}
