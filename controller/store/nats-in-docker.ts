import { execFile } from 'node:child_process';
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Log } from './log.ts';
import { writeWhole } from './write-file.ts';

const run = promisify(execFile);

/** The official image, of a version that the farm was tried with. It holds the one program `/nats-server`. */
export const natsImage = 'nats:2.12.3-linux';

export type NatsInDockerOptions = {
  /** The server's directory: mounted under the same name, so that paths mean the same inside. Absolute. */
  dir: string;
  /** The Docker client. */
  docker?: string;
  image?: string;
  log: Log;
  pullTimeoutMs?: number;
};

/**
 * A stand-in for the program `nats-server` that runs it in a container, where a Docker Engine answers: the host's network and process numbers, so that
 * ports, signals and the pid file are as if it ran here; this user; nothing mounted but its directory.
 * @returns the path of a script; undefined when no engine answers or the image cannot be had
 */
export async function natsInDocker({
  dir,
  docker = 'docker',
  image = natsImage,
  log,
  pullTimeoutMs = 300_000,
}: NatsInDockerOptions): Promise<string | undefined> {
  if (!(await succeeds(docker, ['version', '--format', '{{.Server.Version}}'], 5_000))) return undefined;
  if (!(await succeeds(docker, ['image', 'inspect', image], 10_000))) {
    log.info({ image }, 'no nats-server on the PATH; pulling its image');
    if (!(await succeeds(docker, ['pull', '--quiet', image], pullTimeoutMs))) return undefined;
  }
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const user = process.getuid && process.getgid ? ['--user', `${process.getuid()}:${process.getgid()}`] : [];
  const words = [docker, 'run', '--rm', '--network', 'host', '--pid', 'host', '--security-opt', 'no-new-privileges', ...user];
  words.push('--volume', `${dir}:${dir}`, '--entrypoint', '/nats-server', image);
  const script = join(dir, 'nats-server-in-docker.sh');
  await writeWhole(script, `#!/bin/sh\nexec ${words.map(quoted).join(' ')} "$@"\n`);
  await chmod(script, 0o700);
  return script;
}

const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

const succeeds = (program: string, args: string[], timeout: number): Promise<boolean> =>
  run(program, args, { timeout }).then(
    () => true,
    () => false,
  );
