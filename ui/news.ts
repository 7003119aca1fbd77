import { signal } from '@preact/signals';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { FarmNews } from '../protocol/live.ts';
import { get, messageOf, Refusal } from './api.ts';
import { keepOpen, type Link } from './socket.ts';

/** Whether this page hears of what happens. */
export const link = signal<Link>('connecting');

const listeners = new Set<(news: FarmNews) => void>();
const tell = (news: FarmNews) => {
  for (const listener of [...listeners]) listener(news);
};

/** Opens the farm's feed; every page hears it. What was missed while it was away is asked for again. @returns closes it */
export const followFarm = (): (() => void) =>
  keepOpen({
    url: () => '/api/events',
    text: (message) => tell(JSON.parse(message) as FarmNews),
    opened: () => tell({ type: 'resync' }),
    link: (state) => {
      link.value = state;
    },
  });

export function useNews(hear: (news: FarmNews) => void): void {
  const latest = useRef(hear);
  latest.current = hear;
  useEffect(() => {
    const listener = (news: FarmNews) => latest.current(news);
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, []);
}

export type Answer<T> = { data: T | undefined; problem: string | undefined; status: number; reload: () => void };

/** At most so often is one list asked for again, milliseconds. */
const againMs = 500;

/**
 * What the API answers, and again whenever one of `kinds` is in the news.
 * @param path undefined: nothing is asked
 * @param turn asks again when it changes, and shows what it has meanwhile
 */
export function useAnswer<T>(path: string | undefined, kinds: readonly FarmNews['type'][], turn: unknown = undefined): Answer<T> {
  const [state, setState] = useState<{ path: string | undefined; data?: T; problem?: string; status: number }>({
    path,
    status: 0,
  });
  const asking = useRef<{ ask: () => void } | undefined>(undefined);

  useEffect(() => {
    if (path === undefined) return;
    const gone = new AbortController();
    let [busy, wanted] = [false, false];
    const ask = async () => {
      wanted = true;
      if (busy) return;
      busy = true;
      while (wanted && !gone.signal.aborted) {
        wanted = false;
        try {
          const data = await get<T>(path, gone.signal);
          setState({ path, data, status: 200 });
        } catch (error) {
          if (gone.signal.aborted) return;
          const status = error instanceof Refusal ? error.status : 0;
          setState((before) => ({ ...(before.path === path ? before : { path }), problem: messageOf(error), status }));
        }
        await new Promise((resolve) => setTimeout(resolve, againMs));
      }
      busy = false;
    };
    asking.current = { ask: () => void ask() };
    void ask();
    return () => {
      gone.abort();
      asking.current = undefined;
    };
  }, [path]);
  // `turn` asks again; at first the effect above has asked.
  useEffect(() => asking.current?.ask(), [turn]);
  useNews((news) => {
    if (news.type === 'resync' || kinds.includes(news.type)) asking.current?.ask();
  });

  const fresh = state.path === path ? state : { status: 0 };
  return {
    data: 'data' in fresh ? fresh.data : undefined,
    problem: 'problem' in fresh ? fresh.problem : undefined,
    status: fresh.status,
    reload: () => asking.current?.ask(),
  };
}
