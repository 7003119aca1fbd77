import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { FarmClient } from './farm-client.ts';

/** `thresh up` as people start it. */
export class UpProcess extends FarmClient {
  readonly child: ChildProcess;
  readonly said: string[] = [];
  url = '';
  adminToken = '';
  constructor(child: ChildProcess) {
    super();
    this.child = child;
  }
}

export const threshMain = join(import.meta.dirname, '../../controller/main.ts');

/** Everything is below `dir`: job files in `jobs`, the rest in `data`. @param more options of `thresh up` */
export async function startUp(dir: string, more: readonly string[]): Promise<UpProcess> {
  const args = ['up', '--data', join(dir, 'data'), '--jobs', join(dir, 'jobs'), ...more];
  const child = spawn(process.execPath, [threshMain, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const up = new UpProcess(child);
  createInterface({ input: child.stderr }).on('line', (line) => up.said.push(line));
  for await (const line of createInterface({ input: child.stdout })) {
    up.url ||= /^Thresh is up at (\S+)$/.exec(line)?.[1] ?? '';
    if (line.startsWith('Ctrl-C')) break;
  }
  assert.ok(up.url, up.said.join('\n'));
  child.stdout.resume();
  up.adminToken = (await readFile(join(dir, 'data/admin.token'), 'utf8')).trim();
  return up;
}

/** Programs whose command line or working directory is below `dir`. */
export async function leftIn(dir: string): Promise<string[]> {
  const left: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const command = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).replaceAll('\0', ' ');
    if (command.includes(dir)) left.push(`${pid} ${command}`);
  }
  return left;
}
