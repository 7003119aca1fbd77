import type { RunQuery } from '../../protocol/api.ts';

type Sql = { text: string; values: (string | number | bigint)[] };

/** A run id as the table's key; undefined for what is none (more digits than a run id can have, or other signs). */
export function rowOf(id: string): bigint | undefined {
  if (!/^[0-9]{1,19}$/.test(id)) return undefined;
  const row = BigInt(id);
  return row <= 0x7fff_ffff_ffff_ffffn ? row : undefined;
}

/**
 * The page that `q` wants, newest first. It names the index to use: each holds equal keys in order of age, so the page is read from its
 * end and nothing is sorted, however many runs there are.
 */
export function runsSql(q: RunQuery): Sql {
  const where: string[] = [];
  const values: Sql['values'] = [];
  const equal = (column: string, value: string | number | undefined) => {
    if (value === undefined) return;
    where.push(`${column} = ?`);
    values.push(value);
  };
  if (q.state === 'open') where.push('open = 1');
  else equal('state', q.state);
  equal('job', q.job);
  equal('repo', q.repo);
  equal('pull', q.pull);
  if (q.before !== undefined) {
    where.push('id < ?');
    values.push(rowOf(q.before) ?? 0n);
  }
  const index = indexFor(q);
  const text = [
    `SELECT summary FROM runs ${index ? `INDEXED BY ${index}` : 'NOT INDEXED'}`,
    where.length > 0 ? `WHERE ${where.join(' AND ')}` : '',
    'ORDER BY id DESC LIMIT ?',
  ].join(' ');
  return { text, values: [...values, Math.max(0, Math.trunc(q.limit))] };
}

/** Open runs are few whatever else is asked, and so are those of one pull request. */
function indexFor(q: RunQuery): string | undefined {
  if (q.state === 'open') return 'runs_open';
  if (q.pull !== undefined) return 'runs_pull_repo';
  const columns = [q.repo !== undefined && 'repo', q.job !== undefined && 'job', q.state !== undefined && 'state'];
  const named = columns.filter((c) => c !== false);
  return named.length > 0 ? `runs_${named.join('_')}` : undefined;
}
