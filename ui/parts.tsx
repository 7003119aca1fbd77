import type { ComponentChildren } from 'preact';
import { useEffect } from 'preact/hooks';
import { nowMs } from './clock.ts';
import { ago, duration, moment, running } from './words.ts';

/** A page's heading; it is also the title of the tab. */
export function Title({ children, tab }: { children: ComponentChildren; tab: string }) {
  useEffect(() => {
    document.title = `${tab} – Thresh`;
  }, [tab]);
  return <h1>{children}</h1>;
}

export const Ago = ({ atMs }: { atMs: number }) => (
  <time dateTime={new Date(atMs).toISOString()} title={moment(atMs)}>
    {ago(atMs, nowMs.value)}
  </time>
);

/** How long something took, or has taken until now. */
export function Took({ fromMs, toMs }: { fromMs: number | undefined; toMs?: number | undefined }) {
  if (fromMs === undefined) return null;
  return <span class="took">{toMs === undefined ? running(nowMs.value - fromMs) : duration(toMs - fromMs)}</span>;
}

export const Problem = ({ text }: { text: string }) => (
  <p class="problem" role="alert">
    {text}
  </p>
);

export const Loading = () => <p class="quiet">Loading…</p>;

/** What a page shows before its list is there, or instead of it. */
export function Instead({ problem }: { problem: string | undefined }) {
  return problem === undefined ? <Loading /> : <Problem text={problem} />;
}

/** One of the things that are known of something; stands in a `dl`. */
export const Fact = ({ name, children }: { name: string; children: ComponentChildren }) => (
  <div>
    <dt>{name}</dt>
    <dd>{children}</dd>
  </div>
);

export const RunLink = ({ run, step, children }: { run: string; step?: string; children?: ComponentChildren }) => (
  <a href={`/runs/${run}${step === undefined ? '' : `?step=${encodeURIComponent(step)}`}`}>{children ?? run}</a>
);
