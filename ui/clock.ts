import { signal } from '@preact/signals';

/** Milliseconds since the epoch, moved once a second while somebody looks. */
export const nowMs = signal(Date.now());

export function startClock(): void {
  const tick = () => {
    if (!document.hidden) nowMs.value = Date.now();
  };
  setInterval(tick, 1_000);
  document.addEventListener('visibilitychange', tick);
}
