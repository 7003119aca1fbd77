import { durationMs } from './go-duration.ts';

const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const days = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const fields = [
  { name: 'second', min: 0, max: 59, words: [] as string[] },
  { name: 'minute', min: 0, max: 59, words: [] },
  { name: 'hour', min: 0, max: 23, words: [] },
  { name: 'day of the month', min: 1, max: 31, words: [] },
  { name: 'month', min: 1, max: 12, words: months },
  { name: 'day of the week', min: 0, max: 6, words: days },
];
const descriptors = ['@yearly', '@annually', '@monthly', '@weekly', '@daily', '@midnight', '@hourly'];

/** What is wrong with a cron line as Prow reads it (five fields, six with leading seconds, or a descriptor); undefined: nothing. */
export function cronFault(line: string): string | undefined {
  if (line.length > 256) return 'it is longer than 256 characters';
  const schedule = line.replace(/^(CRON_)?TZ=\S+\s+/, '').trim();
  if (schedule.startsWith('@every ')) {
    const every = durationMs(schedule.slice(7).trim());
    return every !== undefined && every > 0 ? undefined : `'${schedule}' has no duration such as 1h30m`;
  }
  if (schedule.startsWith('@'))
    return descriptors.includes(schedule) ? undefined : `there are only ${descriptors.join(', ')} and @every 1h`;
  const parts = schedule.split(/\s+/);
  if (parts.length !== 5 && parts.length !== 6)
    return `it has ${schedule ? parts.length : 0} fields; write minute, hour, day, month and day of the week`;
  const names = parts.length === 6 ? fields : fields.slice(1);
  for (const [i, field] of names.entries()) {
    for (const item of (parts[i] ?? '').split(',')) {
      if (!fits(item, field)) return `'${item}' is not a ${field.name} (${field.min} to ${field.max}, ranges a-b, steps */n)`;
    }
  }
  return undefined;
}

function fits(item: string, { min, max, words }: (typeof fields)[number]): boolean {
  const [, range = '', step] = /^([^/]+)(?:\/([0-9]{1,4}))?$/.exec(item) ?? [];
  if (step !== undefined && Number(step) === 0) return false;
  if (range === '*' || range === '?') return true;
  const ends = range.split('-').map((end) => {
    const word = words.indexOf(end.toLowerCase());
    return word >= 0 ? word + min : /^[0-9]{1,4}$/.test(end) ? Number(end) : Number.NaN;
  });
  const [from = Number.NaN, to = from] = ends;
  return ends.length <= 2 && from >= min && to <= max && from <= to;
}
