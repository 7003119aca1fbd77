import { createHmac, randomUUID } from 'node:crypto';
import type { AgentSummary, QueueSummary, RunRequest, RunSummary, VerdictAnswer } from '../../protocol/api.ts';
import { hasEnded, type Run } from '../../protocol/run.ts';

export const testWebhookSecret = 'a webhook secret of the tests';

/** What people and GitHub do with a farm, over HTTP. */
export abstract class FarmClient {
  /** Of the controller that is asked. */
  abstract get url(): string;
  abstract get adminToken(): string;

  /** Calls the API as its administrator. */
  async api<T>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.adminToken}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const answer: unknown = await response.json();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${JSON.stringify(answer)}`);
    return answer as T;
  }

  /** Sends a signed webhook, and gives up after 10 s as GitHub does. @returns the status */
  async hook(
    event: string,
    payload: unknown,
    { id = randomUUID(), url = this.url }: { id?: string; url?: string } = {},
  ): Promise<number> {
    const body = JSON.stringify(payload);
    const signature = `sha256=${createHmac('sha256', testWebhookSecret).update(body).digest('hex')}`;
    const response = await fetch(`${url}/hook`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'x-github-event': event,
        'x-github-delivery': id,
        'x-hub-signature-256': signature,
      },
      body,
      signal: AbortSignal.timeout(10_000),
    });
    await response.arrayBuffer();
    return response.status;
  }

  /** Starts a job by hand. @returns the run's id */
  async run(job: string, more: Omit<RunRequest, 'job'> = {}): Promise<string> {
    const { runs } = await this.api<VerdictAnswer>('POST', '/api/runs', { job, ...more });
    const [id] = runs;
    if (id === undefined) throw new Error(`job ${job} led to no run`);
    return id;
  }

  getRun(id: string): Promise<Run> {
    return this.api('GET', `/api/runs/${id}`);
  }

  async runs(query = ''): Promise<RunSummary[]> {
    return (await this.api<{ runs: RunSummary[] }>('GET', `/api/runs?limit=1000${query}`)).runs;
  }

  async agentList(): Promise<AgentSummary[]> {
    return (await this.api<{ agents: AgentSummary[] }>('GET', '/api/agents')).agents;
  }

  async queues(): Promise<QueueSummary[]> {
    return (await this.api<{ queues: QueueSummary[] }>('GET', '/api/queues')).queues;
  }

  /** Waits until `look` gives something, asking again every few milliseconds. */
  async until<T>(what: string, look: () => Promise<T | undefined | false>, withinMs = 15_000): Promise<T> {
    for (const deadline = performance.now() + withinMs; performance.now() < deadline; ) {
      const found = await look();
      if (found !== undefined && found !== false) return found;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error(`not within ${withinMs} ms: ${what}`);
  }

  ended(id: string, withinMs?: number): Promise<Run> {
    return this.until(
      `run ${id} ends`,
      async () => {
        const run = await this.getRun(id);
        return hasEnded(run) && run;
      },
      withinMs,
    );
  }

  async logOf(run: string, step: string): Promise<string> {
    const response = await fetch(`${this.url}/api/runs/${run}/steps/${step}/log`, {
      headers: { authorization: `Bearer ${this.adminToken}` },
    });
    return response.text();
  }
}
