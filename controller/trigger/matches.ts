import { RE2JS } from 're2js';
import { messageOf } from '../../protocol/errors.ts';
import { cut, type Problem } from './read.ts';

/** How many compiled expressions are kept. The largest public Prow configuration has some hundreds. */
const cacheSize = 4_096;
const cache = new Map<string, RE2JS | Problem>();

/** An expression of a job file, compiled once. Written by whoever writes job files, so only linear-time matching will do. */
function compiled(pattern: string): RE2JS | Problem {
  const known = cache.get(pattern);
  if (known) return known;
  if (cache.size >= cacheSize) for (const oldest of [...cache.keys()].slice(0, cacheSize / 4)) cache.delete(oldest);
  const fresh = compile(pattern);
  cache.set(pattern, fresh);
  return fresh;
}

function compile(pattern: string): RE2JS | Problem {
  try {
    return RE2JS.compile(pattern);
  } catch (error) {
    return { problem: `${cut(pattern, 100)} is not a regular expression that RE2 reads: ${cut(messageOf(error), 200)}` };
  }
}

/**
 * Looks for `pattern` anywhere in each text (unanchored, as Prow does).
 * @returns a test, or why the expression cannot be used
 */
export function matcher(pattern: string): ((text: string) => boolean) | Problem {
  const expression = compiled(pattern);
  return expression instanceof RE2JS ? (text) => expression.test(text) : expression;
}
