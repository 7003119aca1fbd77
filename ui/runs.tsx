import { useEffect, useRef, useState } from 'preact/hooks';
import type { RunSummary } from '../protocol/api.ts';
import type { FarmNews } from '../protocol/live.ts';
import { get, messageOf } from './api.ts';
import { useNews } from './news.ts';
import { Ago, Instead, Problem, Title, Took } from './parts.tsx';
import { go, query, withQuery } from './router.ts';
import { type RunsFilter, type RunsPage as RunsList, withNews } from './runs-list.ts';
import { State } from './state.tsx';
import { plain, shortSha } from './words.ts';

const states = ['open', 'queued', 'running', 'stopping', 'passed', 'failed', 'errored', 'cancelled'];
const pageSize = 50;

export function RunsPage() {
  const q = query.value;
  const names = ['state', 'repo', 'job', 'pull', 'before'] as const;
  const filter: RunsFilter = Object.fromEntries(names.flatMap((name) => (q.get(name) ? [[name, q.get(name)]] : [])));
  const { runs, before, problem } = useRuns(filter);
  const filtered = names.some((name) => name !== 'before' && filter[name] !== undefined);
  return (
    <>
      <div class="head">
        <Title tab="Runs">Runs</Title>
      </div>
      <Filters filter={filter} runs={runs ?? []} />
      {runs === undefined ? (
        <Instead problem={problem} />
      ) : (
        <>
          {problem && <Problem text={problem} />}
          {runs.length === 0 ? <Nothing filtered={filtered} /> : <Table runs={runs} />}
          <nav class="pager" aria-label="Older and newer runs">
            {filter.before && <a href={withQuery('/runs', q, { before: undefined })}>Newest runs</a>}
            {before && <a href={withQuery('/runs', q, { before })}>Older runs</a>}
          </nav>
        </>
      )}
    </>
  );
}

const Nothing = ({ filtered }: { filtered: boolean }) =>
  filtered ? (
    <p class="empty">
      No run is like that. <a href="/runs">Show all runs</a>
    </p>
  ) : (
    <p class="empty">
      Nothing has run yet. <code>thresh run JOB</code> starts a job by hand; a webhook starts those that its event asks for.
    </p>
  );

type Page = { runs?: RunSummary[]; before?: string | undefined; problem?: string };

/** A page of runs that stays right: what is heard is put in; where that is not enough it is asked for again. */
function useRuns(filter: RunsFilter): Page {
  const path = withQuery('/api/runs', new URLSearchParams({ limit: String(pageSize) }), filter);
  const [page, setPage] = useState<Page & { path: string }>({ path });
  /** What was heard while the list was on its way. */
  const heard = useRef<Extract<FarmNews, { type: 'run' }>[]>([]);
  const [turn, setTurn] = useState(0);

  // `turn` asks again.
  useEffect(() => {
    const gone = new AbortController();
    heard.current = [];
    get<{ runs: RunSummary[]; before?: string }>(path, gone.signal).then(
      ({ runs, before }) =>
        setPage({
          path,
          ...heard.current.reduce<RunsList>((p, { run }) => withNews(p, run, filter, pageSize), { runs, before }),
        }),
      (error) => {
        if (!gone.signal.aborted) setPage((p) => ({ ...(p.path === path ? p : { path }), problem: messageOf(error) }));
      },
    );
    return () => gone.abort();
  }, [path, turn]);
  useNews((news) => {
    if (news.type === 'resync') setTurn((n) => n + 1);
    if (news.type !== 'run') return;
    heard.current.push(news);
    setPage((p) => (p.runs && p.path === path ? { ...p, ...withNews({ ...p, runs: p.runs }, news.run, filter, pageSize) } : p));
  });
  return page.path === path ? page : {};
}

function Filters({ filter, runs }: { filter: RunsFilter; runs: readonly RunSummary[] }) {
  const set = (change: Record<string, string | undefined>) =>
    go(withQuery('/runs', query.value, { ...change, before: undefined }), { keep: true });
  const text = (name: 'repo' | 'job', label: string, hint: string, known: (string | undefined)[]) => (
    <label class="field">
      <span>{label}</span>
      <input
        type="search"
        list={`known-${name}`}
        value={filter[name] ?? ''}
        placeholder={hint}
        spellcheck={false}
        maxLength={512}
        onChange={(e) => set({ [name]: e.currentTarget.value.trim() })}
      />
      <datalist id={`known-${name}`}>
        {[...new Set(known)].flatMap((value) => (value === undefined ? [] : [<option key={value} value={value} />]))}
      </datalist>
    </label>
  );
  return (
    <form class="filters" aria-label="Filter runs" onSubmit={(e) => e.preventDefault()}>
      <label class="field">
        <span>State</span>
        <select value={filter.state ?? ''} onChange={(e) => set({ state: e.currentTarget.value })}>
          <option value="">any</option>
          {states.map((state) => (
            <option key={state} value={state}>
              {state === 'open' ? 'not ended' : state}
            </option>
          ))}
        </select>
      </label>
      {text(
        'repo',
        'Repository',
        'org/repo',
        runs.map((r) => r.repo),
      )}
      {text(
        'job',
        'Job',
        'name of a job',
        runs.map((r) => r.job),
      )}
      {(filter.state || filter.repo || filter.job || filter.pull) && (
        <a class="clear" href="/runs">
          Clear
        </a>
      )}
    </form>
  );
}

const Table = ({ runs }: { runs: readonly RunSummary[] }) => (
  <table class="list runs">
    <thead>
      <tr>
        <th scope="col">State</th>
        <th scope="col">Job</th>
        <th scope="col">Change</th>
        <th scope="col">By</th>
        <th scope="col">Created</th>
        <th scope="col" class="number">
          Took
        </th>
      </tr>
    </thead>
    <tbody>
      {runs.map((run) => (
        <Row key={run.id} run={run} />
      ))}
    </tbody>
  </table>
);

function Row({ run }: { run: RunSummary }) {
  const reason = run.reason !== undefined && run.state !== 'passed' ? plain(run.reason) : undefined;
  return (
    <tr>
      <td>
        <State state={run.state} />
      </td>
      <td class="main">
        <a class="name" href={`/runs/${run.id}`}>
          {plain(run.job)}
        </a>
        <span class="quiet"> {run.type}</span>
        {reason && <div class="reason">{reason}</div>}
      </td>
      <td class="inline">
        <Change run={run} />
      </td>
      <td class="inline">{plain(run.by)}</td>
      <td class="inline">
        <Ago atMs={run.createdAtMs} />
      </td>
      <td class="number inline">
        <Took fromMs={run.startedAtMs} toMs={run.endedAtMs} />
      </td>
    </tr>
  );
}

function Change({ run }: { run: RunSummary }) {
  if (run.repo === undefined) return <span class="quiet none">none</span>;
  return (
    <>
      {plain(run.repo)}
      {run.pull !== undefined && `#${run.pull}`}
      {run.sha !== undefined && (
        <>
          {' '}
          <code title={run.sha}>{shortSha(run.sha)}</code>
        </>
      )}
    </>
  );
}
