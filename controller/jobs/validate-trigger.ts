import { cut, found } from './check.ts';
import { cronFault } from './cron-syntax.ts';
import { durationMs } from './go-duration.ts';
import type { DefinedType } from './job-type.ts';
import type { Finding } from './place.ts';
import type { RawJob } from './schema.ts';
import { regexFault } from './validate-regex.ts';

const schedules = ['cron', 'interval', 'minimum_interval'] as const;
const filters = ['run_if_changed', 'skip_if_only_changed'] as const;

/** What is wrong with when a job runs and how it reports. Fields that do not count for this type are not looked at, as in Prow. */
export function validateTrigger(raw: RawJob, type: DefinedType): Finding[] {
  if (type === 'periodic') return schedule(raw);
  if (type === 'manual')
    return [...schedules, ...filters, 'always_run' as const]
      .filter((field) => raw[field] !== undefined)
      .map((field) => ({
        path: [field],
        on: 'key',
        message: `${field} has no meaning for a manual job, which only people start; remove it`,
      }));
  return [...changeFilters(raw), ...regexes(raw), ...reporting(raw)];
}

function changeFilters(raw: RawJob): Finding[] {
  const [first, second] = filters.filter((f) => raw[f]);
  if (first && second)
    return [{ path: [second], on: 'key', message: `the job has both ${first} and ${second}; keep one of them` }];
  if (first && raw.always_run)
    return [{ path: [first], on: 'key', message: `always_run: true and ${first} exclude each other; remove one of them` }];
  return [];
}

function regexes(raw: RawJob): Finding[] {
  const patterns = [
    ...filters.map((f) => ({ path: [f], pattern: raw[f] })),
    ...(['branches', 'skip_branches'] as const).flatMap((f) => (raw[f] ?? []).map((pattern, i) => ({ path: [f, i], pattern }))),
  ];
  return patterns.flatMap(({ path, pattern }) => {
    const fault = pattern === undefined ? undefined : regexFault(pattern);
    const field = path.length > 1 ? `${path[0]}[${path[1]}]` : path[0];
    return fault === undefined
      ? []
      : [{ path, message: `${field}: '${cut(pattern ?? '')}' is not a regular expression (RE2): ${fault}` }];
  });
}

function reporting(raw: RawJob): Finding[] {
  if (raw.context !== '' || raw.skip_report) return [];
  return [
    { path: ['context'], message: 'context is empty; remove it to report under the name of the job, or say skip_report: true' },
  ];
}

function schedule(raw: RawJob): Finding[] {
  const [first, ...more] = schedules.filter((f) => raw[f]);
  if (!first) return [{ path: [], message: 'a periodic job needs a schedule; add cron, interval or minimum_interval' }];
  if (more.length > 0)
    return [
      {
        path: [more[0] ?? first],
        on: 'key',
        message: `a periodic job has one schedule, but this has ${[first, ...more].join(' and ')}; keep one of them`,
      },
    ];
  const value = raw[first] ?? '';
  if (first === 'cron') {
    const fault = cronFault(value);
    return fault ? [{ path: ['cron'], message: `cron '${cut(value)}' is not a schedule: ${fault}` }] : [];
  }
  const ms = durationMs(value);
  if (ms !== undefined && ms >= 0) return [];
  return [
    { path: [first], message: `${first} must be a duration such as "1h" or "90m" (units: h, m, s, ms), but is ${found(value)}` },
  ];
}
