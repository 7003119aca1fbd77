import type { DeliverySummary } from '../protocol/api.ts';
import { useAnswer } from './news.ts';
import { Ago, Instead, Problem, Title } from './parts.tsx';
import { query, withQuery } from './router.ts';
import { State } from './state.tsx';
import { plain } from './words.ts';

const pageSize = 50;

export function DeliveriesPage() {
  const before = query.value.get('before') ?? undefined;
  const path = withQuery('/api/deliveries', new URLSearchParams({ limit: String(pageSize) }), { before });
  const { data, problem } = useAnswer<{ deliveries: DeliverySummary[] }>(path, before === undefined ? ['deliveries'] : []);
  const last = data?.deliveries.length === pageSize ? data.deliveries.at(-1) : undefined;
  return (
    <>
      <div class="head">
        <Title tab="Deliveries">Deliveries</Title>
      </div>
      {problem && data && <Problem text={problem} />}
      {!data ? (
        <Instead problem={problem} />
      ) : data.deliveries.length === 0 ? (
        <p class="empty">Nothing has come from outside yet: no webhook, no clock tick, no request of a person.</p>
      ) : (
        <table class="list deliveries">
          <thead>
            <tr>
              <th scope="col">Led to</th>
              <th scope="col">Event</th>
              <th scope="col">Change</th>
              <th scope="col">By</th>
              <th scope="col">When</th>
              <th scope="col" class="number">
                Runs
              </th>
            </tr>
          </thead>
          <tbody>
            {data.deliveries.map((d) => (
              <Row key={`${d.source}/${d.id}`} delivery={d} />
            ))}
          </tbody>
        </table>
      )}
      <nav class="pager" aria-label="Older and newer deliveries">
        {before && <a href="/deliveries">Newest deliveries</a>}
        {last && (
          <a href={withQuery('/deliveries', new URLSearchParams(), { before: `${last.source}/${last.id}` })}>Older deliveries</a>
        )}
      </nav>
    </>
  );
}

function Row({ delivery: { source, id, atMs, verdict } }: { delivery: DeliverySummary }) {
  return (
    <tr>
      <td>
        <State state={verdict.decision} />
      </td>
      <td class="main">
        <a class="name" href={`/deliveries/${source}/${id}`}>
          {plain(verdict.event)}
        </a>
        <span class="quiet"> {source}</span>
        <div class="reason">{plain(verdict.reason)}</div>
      </td>
      <td class="inline">
        {verdict.repo === undefined ? (
          <span class="quiet none">none</span>
        ) : (
          `${plain(verdict.repo)}${verdict.pull === undefined ? '' : `#${verdict.pull}`}`
        )}
      </td>
      <td class="inline">{plain(verdict.by)}</td>
      <td class="inline">
        <Ago atMs={atMs} />
      </td>
      <td class="number" data-label="Runs">
        {verdict.creates.length}
      </td>
    </tr>
  );
}
