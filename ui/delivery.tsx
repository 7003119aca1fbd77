import { useState } from 'preact/hooks';
import type { DeliverySummary } from '../protocol/api.ts';
import type { Rule } from '../protocol/record.ts';
import { useAnswer } from './news.ts';
import { Ago, Fact, Instead, Problem, RunLink, Title } from './parts.tsx';
import { State } from './state.tsx';
import { count, plain } from './words.ts';

export function DeliveryPage({ source, id }: { source: string; id: string }) {
  const path = `/api/deliveries/${encodeURIComponent(source)}/${encodeURIComponent(id)}`;
  const { data, problem, status } = useAnswer<DeliverySummary>(path, ['deliveries']);
  if (!data && status === 404)
    return (
      <>
        <Title tab="Delivery">Nothing is decided about this delivery</Title>
        <p class="empty">
          It is not known here: not decided yet (this page shows it when it is), decided long ago, or never accepted.{' '}
          <a href="/deliveries">All deliveries</a>
        </p>
      </>
    );
  if (!data) return <Instead problem={problem} />;
  const { verdict, atMs } = data;
  return (
    <>
      <p class="crumb">
        <a href="/deliveries">Deliveries</a>
      </p>
      <div class="head">
        <Title tab={`${verdict.event} ${id}`}>
          {plain(verdict.event)}
          {verdict.repo !== undefined && ` of ${plain(verdict.repo)}${verdict.pull === undefined ? '' : `#${verdict.pull}`}`}
        </Title>
        <State state={verdict.decision} />
      </div>
      {problem && <Problem text={problem} />}
      <p class="lead">{plain(verdict.reason)}</p>
      <dl class="facts">
        <Fact name="By">{plain(verdict.by)}</Fact>
        <Fact name="Decided">
          <Ago atMs={atMs} />
        </Fact>
        <Fact name="Delivery">
          <code>
            {source}/{id}
          </code>
        </Fact>
        {verdict.config !== undefined && (
          <Fact name="Configuration">
            <code title={verdict.config}>{verdict.config.slice(0, 12)}</code>
          </Fact>
        )}
      </dl>
      {verdict.creates.length > 0 && (
        <section>
          <h2>Runs that it started</h2>
          <ul>
            {verdict.creates.map((run) => (
              <li key={run.id}>
                <RunLink run={run.id}>{plain(run.job)}</RunLink> <span class="quiet">{run.id}</span>
              </li>
            ))}
          </ul>
        </section>
      )}
      {verdict.cancels.length > 0 && (
        <section>
          <h2>Runs that it cancelled</h2>
          <ul>
            {verdict.cancels.map((cancel) => (
              <li key={cancel.run}>
                <RunLink run={cancel.run} />: {plain(cancel.reason)}
              </li>
            ))}
          </ul>
        </section>
      )}
      <Rules rules={verdict.rules} elsewhere={verdict.rulesObject !== undefined} />
    </>
  );
}

const shownAtOnce = 200;

function Rules({ rules, elsewhere }: { rules: readonly Rule[]; elsewhere: boolean }) {
  const [all, setAll] = useState(false);
  if (elsewhere) return <p class="quiet">So many rules were looked at that their answers are kept in object storage.</p>;
  if (rules.length === 0) return null;
  const shown = all ? rules : rules.slice(0, shownAtOnce);
  return (
    <section>
      <h2>{count(rules.length, 'rule')} looked at</h2>
      <table class="list rules">
        <thead>
          <tr>
            <th scope="col">Job</th>
            <th scope="col">Answer</th>
            <th scope="col">Why</th>
          </tr>
        </thead>
        <tbody>
          {shown.map((rule) => (
            <tr key={rule.job}>
              <th scope="row" class="main">
                {plain(rule.job)}
              </th>
              <td>
                <State state={rule.runs ? 'runs' : 'no'} />
              </td>
              <td data-label="Why">{plain(rule.why)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {!all && rules.length > shownAtOnce && (
        <button type="button" onClick={() => setAll(true)}>
          Show all {rules.length}
        </button>
      )}
    </section>
  );
}
