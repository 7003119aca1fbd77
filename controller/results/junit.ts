import { SaxesParser, type SaxesTagPlain } from 'saxes';
import type { JUnitFailure, JUnitReport } from '../../protocol/artifact.ts';

export type JUnitReader = {
  /** Never throws. */
  write: (bytes: Uint8Array) => void;
  end: () => JUnitReport;
};

/** What of a report is read and kept; the rest is counted or said to be missing. */
export const junitLimits = {
  bytes: 64 * 1024 ** 2,
  depth: 64,
  cases: 1_000_000,
  failures: 200,
  /** Between two tags, attributes or texts that are read, characters. */
  piece: 4 * 1024 ** 2,
  name: 512,
  message: 1024,
  text: 4096,
} as const;

/** Whether a file is a test report, by its name, as Prow has it. */
export const isJUnit = (path: string): boolean => /(?:^|\/)junit[^/]*\.xml$/.test(path);

/**
 * Reads a test report as a stream. It counts what is there: the totals that a report states of itself are not believed. A DOCTYPE is
 * not read (so there are no entities but XML's own), and whatever is wrong ends the reading, not the caller's work.
 */
export function junitReader(limits: { [K in keyof typeof junitLimits]: number } = junitLimits): JUnitReader {
  const report: JUnitReport = { tests: 0, failures: 0, errors: 0, skipped: 0, timeS: 0, failed: [], more: 0 };
  const decoder = new TextDecoder();
  const parser = new SaxesParser({ xmlns: false });
  const open: string[] = [];
  let test: Case | undefined;
  let failure: JUnitFailure | undefined;
  let bytes = 0;
  let sinceEvent = 0;
  const stop = (problem: string) => {
    report.problem ??= problem;
  };
  const event = () => {
    sinceEvent = 0;
  };

  const addText = (text: string) => {
    event();
    if (failure && failure.text.length < limits.text) failure.text += text.slice(0, limits.text - failure.text.length);
  };
  const startFailure = (kind: JUnitFailure['kind'], { attributes }: SaxesTagPlain) => {
    if (!test) return;
    // One test is one failure, however often it says so.
    if (test[kind]) return;
    test[kind] = true;
    if (report.failed.length >= limits.failures) {
      report.more += 1;
      return;
    }
    const { name, classname } = test;
    failure = { kind, name, classname, message: cut(attributes.message, limits.message), text: '' };
    report.failed.push(failure);
    // Text is kept only where somebody listens.
    parser.on('text', addText);
  };

  parser.on('error', (error) => stop(`it is not well-formed: ${cut(error.message, 200)}`));
  parser.on('doctype', () => stop('it has a DOCTYPE, which is not read'));
  parser.on('comment', event);
  parser.on('cdata', addText);
  parser.on('attribute', event);
  parser.on('opentag', (tag) => {
    event();
    if (report.problem !== undefined) return;
    open.push(tag.name);
    if (open.length > limits.depth) return stop(`it is nested more than ${limits.depth} deep`);
    const parent = open.at(-2);
    if (tag.name === 'testcase' && !test) {
      if (report.tests >= limits.cases) return stop(`it has more than ${limits.cases} tests`);
      test = { name: cut(tag.attributes.name, limits.name), classname: cut(tag.attributes.classname, limits.name) };
      report.tests += 1;
      report.timeS += seconds(tag.attributes.time);
    } else if (parent === 'testcase' && (tag.name === 'failure' || tag.name === 'error')) startFailure(tag.name, tag);
    else if (parent === 'testcase' && tag.name === 'skipped' && test) test.skipped = true;
  });
  parser.on('closetag', ({ name }) => {
    event();
    if (report.problem !== undefined) return;
    open.pop();
    if (failure && (name === 'failure' || name === 'error')) {
      if (failure.message === '') failure.message = cut(failure.text.trim().split('\n', 1)[0], limits.message);
      failure = undefined;
      parser.off('text');
    }
    if (name !== 'testcase' || open.includes('testcase')) return;
    if (test?.failure) report.failures += 1;
    else if (test?.error) report.errors += 1;
    else if (test?.skipped) report.skipped += 1;
    test = undefined;
  });

  const feed = (text: string) => {
    if (report.problem !== undefined || text === '') return;
    sinceEvent += text.length;
    try {
      parser.write(text.replaceAll(unreadable, ' '));
    } catch (error) {
      stop(`it cannot be read: ${cut(String(error), 200)}`);
    }
    if (sinceEvent > limits.piece) stop(`it has a piece longer than ${limits.piece} characters`);
  };
  return {
    write: (piece) => {
      if (report.problem !== undefined) return;
      bytes += piece.length;
      if (bytes > limits.bytes) stop(`only its first ${limits.bytes} bytes were read`);
      else feed(decoder.decode(piece, { stream: true }));
    },
    end: () => {
      feed(decoder.decode());
      try {
        if (report.problem === undefined) parser.close();
      } catch (error) {
        stop(`it cannot be read: ${cut(String(error), 200)}`);
      }
      report.timeS = Math.round(report.timeS * 1000) / 1000;
      return report;
    },
  };
}

type Case = { name: string; classname: string; failure?: boolean; error?: boolean; skipped?: boolean };

/** What XML forbids and test programs print nevertheless. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const unreadable = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g;

const cut = (text: string | undefined, length: number): string => (text ?? '').slice(0, length).toWellFormed();

/** '1,234.5' too, as some programs write it. */
const seconds = (text: string | undefined): number => {
  const n = Number((text ?? '0').replaceAll(',', ''));
  return Number.isFinite(n) && n > 0 ? Math.min(n, 1e9) : 0;
};
