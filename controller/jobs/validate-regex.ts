import { RE2JS } from 're2js';
import { cut } from './check.ts';

/** Kubernetes' longest has 216 characters. A short text can still make a big automaton. */
export const maxPatternLength = 2_000;

const faults = new Map<string, string | undefined>();

/** What is wrong with a regular expression (RE2 syntax, as Go has it); undefined: nothing. Answers are remembered. */
export function regexFault(pattern: string): string | undefined {
  if (pattern.length > maxPatternLength) return `it is longer than ${maxPatternLength} characters`;
  if (!faults.has(pattern)) {
    if (faults.size >= 10_000) faults.clear();
    faults.set(pattern, compileFault(pattern));
  }
  return faults.get(pattern);
}

function compileFault(pattern: string): string | undefined {
  try {
    RE2JS.compile(pattern);
    return undefined;
  } catch (error) {
    const detail = error instanceof Error ? error.message.replace(/^error parsing regexp: /, '') : String(error);
    const why = /\(\?(=|!|<=|<!)/.test(pattern) ? '; look-around is not possible here' : '';
    return `${cut(detail)}${why}`;
  }
}
