import { type ChildProcess, spawn } from 'node:child_process';
import { createHmac, randomBytes, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { AgentSummary, DeliverySummary } from '../../protocol/api.ts';
import type { Run } from '../../protocol/run.ts';

export type DemoFarm = {
  url: string;
  /** Sends a signed webhook. @returns the delivery's name */
  webhook: (event: string, payload: unknown) => Promise<string>;
  /** The run that a delivery led to, once it is decided. */
  runOf: (delivery: string) => Promise<string>;
  run: (id: string) => Promise<Run>;
  /** What there is to see now, for people. */
  summary: (runs: Run[]) => Promise<string[]>;
  stop: () => Promise<void>;
};

export type DemoFarmOptions = { root: string; data: string; listen: string; executor: string; nats?: string | undefined };

const demoAgents = 2;

/** Starts `thresh up` as a child and speaks to it as anybody would. */
export async function farmOf({ root, data, listen, executor, nats }: DemoFarmOptions): Promise<DemoFarm> {
  const secret = randomBytes(16).toString('hex');
  const secretFile = join(data, 'webhook.secret');
  await writeFile(secretFile, secret, { mode: 0o600 });
  const built = join(root, 'dist', 'controller', 'main.js');
  const program = existsSync(built) ? built : join(root, 'controller', 'main.ts');
  const args = ['up', '--data', data, '--jobs', join(data, 'jobs'), '--listen', listen, '--webhook-secret-file', secretFile];
  args.push('--agents', String(demoAgents), '--executor', executor, '--allow-file-clone', '--log-level', 'warn');
  if (nats !== undefined) args.push('--nats', nats);
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
  const { url, login } = await started(child);
  const token = (await readFile(join(data, 'admin.token'), 'utf8')).trim();

  const get = async <T>(path: string): Promise<T | undefined> => {
    const response = await fetch(new URL(path, url), { headers: { authorization: `Bearer ${token}` } });
    const body: unknown = await response.json();
    if (response.status === 404) return undefined;
    if (!response.ok) throw new Error(`GET ${path}: ${response.status} ${JSON.stringify(body)}`);
    return body as T;
  };
  const again = async <T>(look: () => Promise<T | undefined>): Promise<T> => {
    for (;;) {
      const found = await look();
      if (found !== undefined) return found;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  };
  await again(async () => {
    const agents = (await get<{ agents: AgentSummary[] }>('/api/agents'))?.agents ?? [];
    return agents.length === demoAgents || undefined;
  });
  const run = (id: string) => again(() => get<Run>(`/api/runs/${id}`));

  return {
    url,
    run,
    webhook: async (event, payload) => {
      const body = JSON.stringify(payload);
      const id = randomUUID();
      const response = await fetch(new URL('/hook', url), {
        method: 'POST',
        body,
        headers: {
          'content-type': 'application/json',
          'x-github-event': event,
          'x-github-delivery': id,
          'x-hub-signature-256': `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`,
        },
      });
      if (response.status !== 202) throw new Error(`the farm refused the webhook: ${response.status} ${await response.text()}`);
      return `github/${id}`;
    },
    runOf: async (delivery) => {
      const { verdict } = await again(() => get<DeliverySummary>(`/api/deliveries/${delivery}`));
      const [created] = verdict.creates;
      if (!created) throw new Error(`${delivery} led to no run: ${verdict.reason}`);
      return created.id;
    },
    summary: async (runs) => {
      const lines: string[] = [];
      for (const { id, job, state } of runs) {
        const junit = await get<{ tests: number; failures: number; errors: number; skipped: number }>(`/api/runs/${id}/junit`);
        lines.push(`${job}: ${state}  ${url}/runs/${id}`);
        if (junit) lines.push(`  tests: ${junit.tests}, failures: ${junit.failures + junit.errors}, skipped: ${junit.skipped}`);
      }
      lines.push(
        `artifacts and logs: ${join(data, 'objects')}`,
        `log in: ${login ?? `${url} (token in ${join(data, 'admin.token')})`}`,
      );
      return lines;
    },
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await gone;
    },
  };
}

/** What `thresh up` prints once it answers. */
function started(child: ChildProcess): Promise<{ url: string; login: string | undefined }> {
  return new Promise((resolve, reject) => {
    let text = '';
    child.stdout?.on('data', (bytes: Buffer) => {
      text += bytes.toString('utf8');
      const url = /is up at (\S+)/.exec(text)?.[1];
      if (url && text.includes('Ctrl-C')) resolve({ url, login: /log in[^:]*: *(\S+)/i.exec(text)?.[1] });
    });
    child.once('exit', (code) => reject(new Error(`thresh up ended with code ${code} before it answered`)));
    child.once('error', reject);
  });
}
