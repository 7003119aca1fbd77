import type { ComponentChildren } from 'preact';
import { lookOf, type Shape } from './states.ts';

const stroke = {
  fill: 'none',
  stroke: 'currentColor',
  'stroke-width': 1.8,
  'stroke-linecap': 'round',
  'stroke-linejoin': 'round',
} as const;
const cut = { ...stroke, stroke: 'var(--on-tone)' } as const;
const disc = <circle cx="8" cy="8" r="7" fill="currentColor" />;

const shapes: Record<Shape, ComponentChildren> = {
  tick: [disc, <path {...cut} d="M4.8 8.3 7 10.4l4.2-4.6" />],
  cross: [disc, <path {...cut} d="m5.5 5.5 5 5m0-5-5 5" />],
  alarm: [<path fill="currentColor" d="M8 1.2 15.2 14H.8z" />, <path {...cut} d="M8 6v3.6m0 2.1v.1" />],
  barred: <path {...stroke} d="M3.4 3.4l9.2 9.2M8 1.6a6.4 6.4 0 1 1 0 12.8A6.4 6.4 0 0 1 8 1.6z" />,
  skip: <path {...stroke} d="m3 4 4 4-4 4m6-8 4 4-4 4" />,
  spin: [
    <circle {...stroke} cx="8" cy="8" r="6.2" opacity=".3" />,
    <path {...stroke} class="turns" d="M8 1.8A6.2 6.2 0 0 1 14.2 8" />,
  ],
  clock: [<circle {...stroke} cx="8" cy="8" r="6.4" />, <path {...stroke} d="M8 4.5V8l2.4 1.6" />],
  hollow: <circle {...stroke} cx="8" cy="8" r="5.6" stroke-dasharray="2 2.4" />,
  stop: [<circle {...stroke} cx="8" cy="8" r="6.4" />, <rect x="5.6" y="5.6" width="4.8" height="4.8" fill="currentColor" />],
  lost: [
    <circle {...stroke} cx="8" cy="8" r="6.4" stroke-dasharray="6 2" />,
    <path {...stroke} d="M6.2 6.3a1.9 1.9 0 1 1 2.6 1.9c-.6.3-.8.6-.8 1.2m0 2v.1" />,
  ],
  back: <path {...stroke} d="M6 3 2.6 6.4 6 9.8M3 6.4h6.4a3.6 3.6 0 0 1 0 7.2H7" />,
  dot: <circle cx="8" cy="8" r="4.2" fill="currentColor" />,
  pause: <path {...stroke} stroke-width="2.6" d="M5.6 3.6v8.8m4.8-8.8v8.8" />,
};

export function Icon({ state }: { state: string }) {
  const { shape, tone } = lookOf(state);
  return (
    <svg class={`icon tone-${tone}`} viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      {shapes[shape]}
    </svg>
  );
}

export function State({ state }: { state: string }) {
  const { word, tone } = lookOf(state);
  return (
    <span class={`state tone-${tone}`} data-state={state}>
      <Icon state={state} />
      {word}
    </span>
  );
}
