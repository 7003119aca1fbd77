const unitMs: Record<string, number> = { ns: 1e-6, us: 1e-3, µs: 1e-3, μs: 1e-3, ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
const whole = /^[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/;
const part = /(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g;

/** Timers count in 32 bits: what is longer would be over at once. */
export const maxDurationMs = 24 * 24 * 3_600_000;

/**
 * A duration as Go writes it: '90m', '1h30m', '1.5s', '0'. A number counts nanoseconds, as in Prow's files.
 * @returns milliseconds; undefined when it is not a duration
 */
export function durationMs(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? value / 1e6 : undefined;
  if (typeof value !== 'string' || value.length > 64) return undefined;
  if (/^[+-]?0$/.test(value)) return 0;
  if (!whole.test(value)) return undefined;
  let ms = 0;
  for (const [, amount, unit] of value.matchAll(part)) ms += Number(amount) * (unitMs[unit ?? ''] ?? Number.NaN);
  return value.startsWith('-') ? -ms : ms;
}
