import { useEffect, useState } from 'preact/hooks';
import { foldNews, type RunNews } from '../../protocol/live.ts';
import type { Run } from '../../protocol/run.ts';
import { keepOpen } from '../socket.ts';

/** A run as it stands, folded from its events as the controller folds them. */
export function useRun(id: string): { run: Run | undefined; problem: string | undefined } {
  const [state, setState] = useState<{ run?: Run; problem?: string }>({});
  useEffect(() => {
    let run: Run | undefined;
    let close = () => {};
    const hear = (message: string) => {
      const news = JSON.parse(message) as RunNews;
      if (news.type === 'error') return setState((s) => ({ ...s, problem: news.message }));
      // Events that are older than the run that will come.
      if (!run && news.type === 'events') return;
      const next = foldNews(run, news);
      if (next === run) return;
      run = next;
      if (run) setState({ run });
      else open();
    };
    const open = () => {
      close();
      close = keepOpen({ url: () => `/api/runs/${id}/events`, text: hear });
    };
    open();
    return () => close();
  }, [id]);
  return { run: state.run, problem: state.problem };
}
