import { computed, signal } from '@preact/signals';

/** Where the page is: the path's segments and the query, after the history of the browser. */
const href = signal(window.location.pathname + window.location.search);

export const path = computed(() => (href.value.split('?', 1)[0] ?? '').split('/').filter(Boolean).map(decode));
export const query = computed(() => new URLSearchParams(href.value.split('?')[1] ?? ''));

/** @param o.replace without a step to go back to; keep: what is shown stays the same page, so it keeps its place */
export function go(to: string, o: { replace?: boolean; keep?: boolean } = {}): void {
  if (to !== window.location.pathname + window.location.search)
    window.history[o.replace ? 'replaceState' : 'pushState'](null, '', to);
  href.value = to;
  if (!o.keep) window.scrollTo(0, 0);
}

/** An address with some of the query changed; undefined or '' takes a name out. */
export function withQuery(base: string, from: URLSearchParams, change: Record<string, string | undefined>): string {
  const next = new URLSearchParams(from);
  for (const [name, value] of Object.entries(change)) {
    if (value) next.set(name, value);
    else next.delete(name);
  }
  const text = next.toString();
  return text ? `${base}?${text}` : base;
}

/** Links of the page's own are followed here; those to the API and those that want a tab of their own are the browser's. */
export function followLinks(): void {
  window.addEventListener('popstate', () => {
    href.value = window.location.pathname + window.location.search;
  });
  document.addEventListener('click', (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (!link || link.target || link.hasAttribute('download') || link.origin !== window.location.origin) return;
    if (link.pathname.startsWith('/api/') || link.hash) return;
    event.preventDefault();
    go(link.pathname + link.search, { keep: link.dataset.keep !== undefined });
  });
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
