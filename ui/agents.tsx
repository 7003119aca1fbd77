import type { AgentSummary } from '../protocol/api.ts';
import { post } from './api.ts';
import { ask, say } from './dialog.tsx';
import { useAnswer } from './news.ts';
import { Ago, Instead, Problem, RunLink, Title, Took } from './parts.tsx';
import { State } from './state.tsx';
import { plain } from './words.ts';

export function AgentsPage() {
  const { data, problem } = useAnswer<{ agents: AgentSummary[] }>('/api/agents', ['agents']);
  return (
    <>
      <div class="head">
        <Title tab="Agents">Agents</Title>
      </div>
      {problem && data && <Problem text={problem} />}
      {!data ? (
        <Instead problem={problem} />
      ) : data.agents.length === 0 ? (
        <p class="empty">
          No agent has joined. <code>thresh agents token</code> makes a token with which one can.
        </p>
      ) : (
        <table class="list agents">
          <thead>
            <tr>
              <th scope="col">Agent</th>
              <th scope="col">State</th>
              <th scope="col">Queues</th>
              <th scope="col">Takes</th>
              <th scope="col">Runs now</th>
              <th scope="col">
                <span class="hidden">Actions</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {data.agents.map((agent) => (
              <Row key={agent.id} agent={agent} />
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}

/** One that is draining or revoked may well be silent; its own state then says more. */
const stateOf = (a: AgentSummary) => (a.silentSinceMs !== undefined && a.state === 'serving' ? 'silent' : a.state);

function Row({ agent: a }: { agent: AgentSummary }) {
  return (
    <tr data-agent={a.id}>
      <th scope="row" class="main">
        {a.id}
        <div class="reason">
          {plain(a.host)}, {plain(a.executor)}, version {plain(a.version)}
        </div>
      </th>
      <td>
        <State state={stateOf(a)} />
        {a.silentSinceMs !== undefined && (
          <div class="reason">
            not heard since <Ago atMs={a.silentSinceMs} />
          </div>
        )}
        {a.stateBy !== undefined && a.state !== 'serving' && <div class="reason">by {plain(a.stateBy)}</div>}
      </td>
      <td data-label="Queues">{a.queues.join(', ')}</td>
      <td data-label="Takes">{a.trust === 'any' ? 'all runs' : 'trusted runs'}</td>
      <td data-label="Runs now">
        {a.running.length === 0 ? (
          <span class="quiet">nothing</span>
        ) : (
          <ul class="bare">
            {a.running.map((t) => (
              <li key={`${t.run}/${t.step}`}>
                <RunLink run={t.run} step={t.step}>
                  {t.step}
                </RunLink>{' '}
                <span class="quiet">
                  <Took fromMs={t.sinceMs} />
                </span>
              </li>
            ))}
          </ul>
        )}
      </td>
      <td class="actions">
        {a.state === 'serving' && <Button agent={a.id} to="draining" word="Drain" />}
        {(a.state === 'draining' || a.state === 'cordoned') && <Button agent={a.id} to="serving" word="Serve again" />}
        {a.state !== 'revoked' && <Button agent={a.id} to="revoked" word="Revoke" danger />}
      </td>
    </tr>
  );
}

type Change = 'draining' | 'serving' | 'revoked';
const texts: Record<Change, { title: (agent: string) => string; text: string; confirm: string; said: string }> = {
  draining: {
    title: (agent) => `Drain ${agent}?`,
    text: 'It gets nothing new and finishes what it has, so that its machine can be taken away.',
    confirm: 'Drain',
    said: 'gets nothing new and finishes what it has.',
  },
  serving: {
    title: (agent) => `Let ${agent} serve again?`,
    text: 'It gets work again.',
    confirm: 'Serve again',
    said: 'serves again.',
  },
  revoked: {
    title: (agent) => `Revoke ${agent}?`,
    text: 'It is shut out at once: it loses what it runs and cannot come back with its keys. To take a machine away in peace, drain it.',
    confirm: 'Revoke',
    said: 'is shut out.',
  },
};

function Button({ agent, to, word, danger = false }: { agent: string; to: Change; word: string; danger?: boolean }) {
  const { title, text, confirm, said } = texts[to];
  const click = () =>
    ask({
      ...{ title: title(agent), text, confirm, danger, reason: 'Why, for whoever looks' },
      act: async ({ reason }) => {
        await post(`/api/agents/${agent}`, { state: to, ...(reason && { reason }) });
        say(`Agent ${agent} ${said}`);
      },
    });
  return (
    <button type="button" class={danger ? 'danger' : ''} onClick={click}>
      {word}
      <span class="hidden"> agent {agent}</span>
    </button>
  );
}
