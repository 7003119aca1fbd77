import { found } from './check.ts';
import { durationMs, maxDurationMs } from './go-duration.ts';
import type { Finding, Path } from './place.ts';

/** What is wrong with an optional duration. */
export function checkDuration(value: unknown, path: Path, { minMs }: { minMs: number }, field = path.join('.')): Finding[] {
  if (value === undefined) return [];
  const ms = durationMs(value);
  if (ms === undefined)
    return [
      { path, message: `${field} must be a duration such as "90m" or "1h30m" (units: h, m, s, ms), but is ${found(value)}` },
    ];
  if (ms >= minMs && ms <= maxDurationMs) return [];
  return [{ path, message: `${field} must be from ${minMs / 1000}s to ${maxDurationMs / 3_600_000}h, but is ${found(value)}` }];
}
