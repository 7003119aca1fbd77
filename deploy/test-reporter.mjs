// A reporter for node:test: one line per file, each failure in full, each skipped test with its reason, and the counts as the last line.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import { inspect } from 'node:util';

/** @param {AsyncIterable<{ type: string, data: any }>} source */
export default async function* report(source) {
  const skipped = new Map();
  const failures = [];
  let total;
  for await (const { type, data } of source) {
    if (type === 'test:pass' && data.skip !== undefined)
      count(skipped, String(data.skip === true ? 'no reason given' : data.skip));
    else if (type === 'test:fail' && isOwnFailure(data)) {
      failures.push(data);
      yield failure(data);
    } else if (type === 'test:stderr' || type === 'test:stdout') yield data.message;
    else if (type === 'test:summary' && data.file !== undefined) yield fileLine(data);
    else if (type === 'test:summary') total = data.counts;
  }
  if (failures.length > 0) yield `\nfailed:\n${failures.map((f) => `  ${place(f)}  ${f.name}\n`).join('')}`;
  for (const [reason, times] of skipped) yield `\nskipped ${times}: ${reason}\n`;
  const { passed = 0, failed = 0, cancelled = 0, skipped: notRun = 0, todo = 0 } = total ?? {};
  const bad = Math.max(failed + cancelled, failures.length);
  if (passed + bad === 0) process.exitCode = 1;
  const sum = addToBefore({ passed, failed: bad, skipped: notRun + todo });
  yield `\n${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped\n`;
}

/** The counts of this run and of those before it in one `npm test` (setup.mjs begins with none). */
function addToBefore(counts) {
  const file = 'coverage/counts.json';
  const before = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : { passed: 0, failed: 0, skipped: 0 };
  const sum = Object.fromEntries(Object.entries(counts).map(([name, n]) => [name, n + before[name]]));
  mkdirSync('coverage', { recursive: true });
  writeFileSync(file, JSON.stringify(sum));
  return sum;
}

/** A suite fails because a test in it does: that one was shown. */
const isOwnFailure = (data) => data.todo === undefined && data.details?.error?.failureType !== 'subtestsFailed';

function failure(data) {
  const error = data.details?.error;
  // A file that ends by itself before its tests do says only how it ended.
  const ended = error?.exitCode ? ` (exit code ${error.exitCode})` : error?.signal ? ` (${error.signal})` : '';
  const cause = error?.cause ?? error;
  const text = typeof cause === 'string' ? cause + ended : inspect(cause, { depth: 6, breakLength: 120 });
  return `\n✖ ${place(data)}  ${data.name}\n${text.replace(/^/gm, '    ')}\n\n`;
}

const place = (data) => (data.file ? `${relative('.', data.file)}${data.line > 1 ? `:${data.line}` : ''}` : '');

function fileLine({ file, counts, duration_ms: ms }) {
  const bad = counts.failed + counts.cancelled;
  const parts = [`${counts.passed} passed`, bad > 0 && `${bad} failed`, counts.skipped > 0 && `${counts.skipped} skipped`];
  return `${bad > 0 ? '✖' : '✔'} ${relative('.', file)}  ${parts.filter(Boolean).join(', ')}  (${(ms / 1000).toFixed(1)} s)\n`;
}

const count = (map, key) => map.set(key, (map.get(key) ?? 0) + 1);
