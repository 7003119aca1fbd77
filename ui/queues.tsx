import type { QueueSummary } from '../protocol/api.ts';
import { post } from './api.ts';
import { ask, say } from './dialog.tsx';
import { useAnswer } from './news.ts';
import { Ago, Instead, Problem, RunLink, Title } from './parts.tsx';
import { State } from './state.tsx';
import { plain } from './words.ts';

export function QueuesPage() {
  const { data, problem } = useAnswer<{ queues: QueueSummary[] }>('/api/queues', ['queues', 'agents', 'run']);
  return (
    <>
      <div class="head">
        <Title tab="Queues">Queues</Title>
      </div>
      {problem && data && <Problem text={problem} />}
      {!data ? (
        <Instead problem={problem} />
      ) : data.queues.length === 0 ? (
        <p class="empty">No agent serves a queue, and nothing waits in one.</p>
      ) : (
        <table class="list queues">
          <thead>
            <tr>
              <th scope="col">Queue</th>
              <th scope="col">State</th>
              <th scope="col" class="number">
                Waiting
              </th>
              <th scope="col" class="number">
                Running
              </th>
              <th scope="col" class="number">
                Agents
              </th>
              <th scope="col">Waits longest</th>
              <th scope="col">
                <span class="hidden">Actions</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {data.queues.map((queue) => (
              <Row key={queue.queue} queue={queue} />
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}

function Row({ queue: q }: { queue: QueueSummary }) {
  return (
    <tr data-queue={q.queue}>
      <th scope="row" class="main">
        {q.queue}
      </th>
      <td>
        <State state={q.paused ? 'paused' : 'open'} />
        {q.paused && (
          <div class="reason">
            by {plain(q.paused.by)}
            {q.paused.reason && `: ${plain(q.paused.reason)}`}
          </div>
        )}
      </td>
      <td class="number" data-label="Waiting">
        {q.ready}
      </td>
      <td class="number" data-label="Running">
        {q.running}
      </td>
      <td class="number" data-label="Agents">
        {q.agents}
      </td>
      <td data-label="Waits longest">
        {q.oldest ? (
          <>
            <RunLink run={q.oldest.run} step={q.oldest.step}>
              {q.oldest.step}
            </RunLink>{' '}
            since <Ago atMs={q.oldest.sinceMs} />
            <div class="reason">{plain(q.oldest.why)}</div>
          </>
        ) : (
          <span class="quiet">nothing</span>
        )}
      </td>
      <td class="actions">
        <button type="button" onClick={() => (q.paused ? resume(q.queue) : pause(q.queue))}>
          {q.paused ? 'Resume' : 'Pause'}
          <span class="hidden"> queue {q.queue}</span>
        </button>
      </td>
    </tr>
  );
}

const pause = (queue: string) =>
  ask({
    title: `Pause queue ${queue}?`,
    text: 'What runs goes on. Nothing that waits in this queue is given to an agent until somebody resumes it.',
    confirm: 'Pause',
    reason: 'Why, for whoever looks',
    act: async ({ reason }) => {
      await post(`/api/queues/${queue}`, { paused: true, ...(reason && { reason }) });
      say(`Queue ${queue} is paused.`);
    },
  });

const resume = (queue: string) =>
  ask({
    title: `Resume queue ${queue}?`,
    text: 'What waits in it goes to agents again.',
    confirm: 'Resume',
    act: async () => {
      await post(`/api/queues/${queue}`, { paused: false });
      say(`Queue ${queue} goes on.`);
    },
  });
