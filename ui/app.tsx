import type { ComponentChild } from 'preact';
import { useEffect } from 'preact/hooks';
import type { FarmSummary } from '../protocol/api.ts';
import type { Session } from '../protocol/session.ts';
import { AgentsPage } from './agents.tsx';
import { get, post, Refusal } from './api.ts';
import { DeliveriesPage } from './deliveries.tsx';
import { DeliveryPage } from './delivery.tsx';
import { Dialog, Said } from './dialog.tsx';
import { LoginPage } from './login.tsx';
import { followFarm, link, useAnswer } from './news.ts';
import { Title } from './parts.tsx';
import { QueuesPage } from './queues.tsx';
import { go, path } from './router.ts';
import { RunPage } from './run/page.tsx';
import { RunsPage } from './runs.tsx';
import { session } from './session.ts';
import { count } from './words.ts';

export function App() {
  useEffect(() => {
    // Whoever comes with a login link wants the login that it gives.
    if (path.value[0] === 'login' && window.location.hash) session.value = null;
    else
      void get<Session>('/api/session').then(
        (found) => {
          session.value = found;
        },
        (error) => {
          session.value = error instanceof Refusal && error.status === 0 ? undefined : null;
        },
      );
  }, []);
  if (session.value === undefined) return <p class="quiet splash">Asking the farm who you are…</p>;
  return session.value === null ? <LoginPage /> : <Frame />;
}

const sections = [
  ['runs', 'Runs'],
  ['queues', 'Queues'],
  ['agents', 'Agents'],
  ['deliveries', 'Deliveries'],
] as const;

function Frame() {
  const [section = ''] = path.value;
  useEffect(followFarm, []);
  useEffect(() => {
    if (section === '' || section === 'login') go('/runs', { replace: true });
  }, [section]);
  const logOut = async () => {
    await post('/logout');
    session.value = null;
  };
  return (
    <>
      <a class="skip" href="#main">
        To the content
      </a>
      <header class="top">
        <a class="brand" href="/runs">
          <svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true">
            <rect width="32" height="32" rx="7" fill="var(--brand)" />
            <path d="M8 9h16M16 9v15M10.5 14.5h11M12 19.5h8" stroke="#fff" stroke-width="2.6" stroke-linecap="round" />
          </svg>
          Thresh
        </a>
        <nav aria-label="Pages">
          {sections.map(([name, title]) => (
            <a key={name} href={`/${name}`} aria-current={section === name ? 'page' : undefined}>
              {title}
            </a>
          ))}
        </nav>
        <button type="button" class="plain" onClick={() => void logOut()}>
          Log out
        </button>
      </header>
      <Banners />
      <main id="main" tabIndex={-1}>
        {pageOf(path.value)}
      </main>
      <Dialog />
      <Said />
    </>
  );
}

function pageOf([section, first, second, ...rest]: readonly string[]): ComponentChild {
  if (rest.length > 0) return <NoPage />;
  switch (section) {
    case undefined:
    case 'login':
      return null;
    case 'runs':
      return second !== undefined ? <NoPage /> : first === undefined ? <RunsPage /> : <RunPage key={first} id={first} />;
    case 'queues':
      return first === undefined ? <QueuesPage /> : <NoPage />;
    case 'agents':
      return first === undefined ? <AgentsPage /> : <NoPage />;
    case 'deliveries':
      if (first === undefined) return <DeliveriesPage />;
      return second === undefined ? <NoPage /> : <DeliveryPage key={`${first}/${second}`} source={first} id={second} />;
    default:
      return <NoPage />;
  }
}

const NoPage = () => (
  <>
    <Title tab="Not found">There is no such page</Title>
    <p>
      <a href="/runs">All runs</a>
    </p>
  </>
);

/** What whoever looks at any page has to know. */
function Banners() {
  const { data: farm } = useAnswer<FarmSummary>('/api/farm', ['farm']);
  const problems = farm?.config.problems ?? [];
  return (
    <div class="banners">
      {link.value === 'lost' && (
        <p class="banner warn" role="status">
          The connection to the farm is lost; reconnecting. What you see may be old.
        </p>
      )}
      {farm?.leaderless && (
        <p class="banner warn" role="status">
          No controller leads now: what runs goes on, and what is asked is stored and decided by the next leader.
        </p>
      )}
      {problems.length > 0 && (
        <details class="banner bad">
          <summary>
            The job configuration has {count(problems.length, 'problem')};{' '}
            {farm?.config.hash ? 'the last good version stays in force.' : 'no job is in force.'}
          </summary>
          <ul>
            {problems.slice(0, 50).map((problem) => (
              <li key={problem}>{problem}</li>
            ))}
            {problems.length > 50 && <li>and {problems.length - 50} more: thresh check tells all</li>}
          </ul>
        </details>
      )}
    </div>
  );
}
