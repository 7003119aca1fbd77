import type { Static } from 'typebox';
import type { EnvVar, Job, Problem } from '../../protocol/job.ts';
import { checkOf, cut } from './check.ts';
import { readEnv } from './env.ts';
import type { DefinedType } from './job-type.ts';
import { type Draft, normaliseJob } from './normalise.ts';
import { type Finding, type Path, type Place, placeOf } from './place.ts';
import { type ReadYaml, readYaml } from './read-yaml.ts';
import { RawFile, RawPreset, RawRepository } from './schema.ts';
import { validateJob } from './validate.ts';

/** Where something stands, over all files. */
export type FilePlace = Place & { file: string };
export type Preset = { labels: Record<string, string>; env: Static<typeof EnvVar>[]; place: FilePlace };
export type Repository = { repo: string; trust?: Job['trust']; place: FilePlace };
/** What one file says; nothing of it depends on other files. `place` of a job is that of its name. */
export type FileJobs = {
  jobs: { draft: Draft; place: FilePlace }[];
  presets: Preset[];
  repositories: Repository[];
  problems: Problem[];
};

const file = checkOf(RawFile, 'a job file');
const preset = checkOf(RawPreset, 'a preset');
const repository = checkOf(RawRepository, 'a repository');
const lists = { presubmits: 'presubmit', postsubmits: 'postsubmit', periodics: 'periodic', manual: 'manual' } as const;

/**
 * Reads one job file. Pure, and slow for a big one: 5 MB take over a second.
 * @param name its path from the job directory, with '/'; it stands in problems and in `source`
 */
export function readFileJobs(name: string, text: string): FileJobs {
  const into: FileJobs = { jobs: [], presets: [], repositories: [], problems: [] };
  const yaml = readYaml(text);
  if ('problems' in yaml) {
    for (const { offset, message } of yaml.problems) {
      const { line, col } = yaml.lines.linePos(offset);
      into.problems.push({ file: name, line: Math.max(1, line), column: Math.max(1, col), message });
    }
    return into;
  }
  if (yaml.value === null || yaml.value === undefined) return into;
  dropNulls(yaml.value);
  new FileReader(name, yaml, into).read(yaml.value);
  return into;
}

class FileReader {
  readonly #name: string;
  readonly #yaml: ReadYaml;
  readonly #into: FileJobs;
  constructor(name: string, yaml: ReadYaml, into: FileJobs) {
    this.#name = name;
    this.#yaml = yaml;
    this.#into = into;
  }

  read(value: unknown): void {
    this.#report(file.findings(value), []);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return;
    // What is not as it should be has been reported; the rest of the file is read all the same.
    const top = value as Partial<Record<keyof RawFile, unknown>>;
    for (const [i, raw] of listIn(top.presets).entries()) this.#preset(raw, ['presets', i]);
    for (const [repo, raw] of entriesIn(top.repositories)) this.#repository(repo, raw);
    for (const [key, type] of Object.entries(lists) as [keyof typeof lists, DefinedType][]) {
      if (type === 'periodic' || type === 'manual') {
        for (const [i, raw] of listIn(top[key]).entries()) this.#job(raw, type, [key, i]);
      } else {
        for (const [repo, raws] of entriesIn(top[key])) {
          if (!this.#isRepo(repo, [key, repo])) continue;
          for (const [i, raw] of listIn(raws).entries()) this.#job(raw, type, [key, repo, i], repo);
        }
      }
    }
  }

  #job(raw: unknown, type: DefinedType, path: Path, repo?: string): void {
    const result = validateJob(raw, type);
    if ('findings' in result) {
      this.#report(result.findings, path, nameOf(raw));
      return;
    }
    const { line } = this.#place(path);
    const source = { file: this.#name, line };
    const draft = normaliseJob(result.raw, repo === undefined ? { type, source } : { type, source, repo });
    this.#into.jobs.push({ draft, place: this.#place([...path, 'name']) });
  }

  #preset(raw: unknown, path: Path): void {
    if (!preset.is(raw)) {
      this.#report(preset.findings(raw), path);
      return;
    }
    const { env, findings } = readEnv(raw.env, ['env']);
    this.#report(findings, path);
    this.#into.presets.push({ labels: raw.labels ?? {}, env, place: this.#place(path) });
  }

  #repository(repo: string, raw: unknown): void {
    const path = ['repositories', repo];
    if (!this.#isRepo(repo, path)) return;
    if (!repository.is(raw)) this.#report(repository.findings(raw), path);
    else this.#into.repositories.push({ repo, ...(raw.trust ? { trust: raw.trust } : {}), place: this.#place(path, 'key') });
  }

  /** Prow also has `https://host/repo`, for Gerrit. */
  #isRepo(repo: string, path: Path): boolean {
    const ok = repo.length <= 512 && (/^[^/\s]+\/[^/\s]+$/.test(repo) || /^https?:\/\/[^\s]+$/.test(repo));
    if (!ok) this.#report([{ path: [], on: 'key', message: `'${cut(repo)}' is not a repository; write org/repo` }], path);
    return ok;
  }

  #report(findings: Finding[], under: Path, job?: string): void {
    for (const { path, on, message } of findings) {
      const at = this.#place([...under, ...path], on);
      this.#into.problems.push({ ...at, ...(job === undefined ? {} : { job }), message });
    }
  }

  #place(path: Path, on?: 'key'): FilePlace {
    return { file: this.#name, ...placeOf(this.#yaml, path, on) };
  }
}

const listIn = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
const entriesIn = (value: unknown): [string, unknown][] =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.entries(value) : [];

function nameOf(raw: unknown): string | undefined {
  const name = typeof raw === 'object' && raw !== null && 'name' in raw ? raw.name : undefined;
  return typeof name === 'string' ? cut(name) : undefined;
}

const textMaps = new Set(['labels', 'annotations', 'env', 'secrets']);

/** A key without a value counts as absent, as in Go; in a map of texts it is the empty text. Changes what it is given. */
function dropNulls(value: unknown, seen = new WeakSet<object>(), isTextMap = false): void {
  if (typeof value !== 'object' || value === null || seen.has(value)) return;
  seen.add(value);
  if (Array.isArray(value)) {
    for (const item of value) dropNulls(item, seen);
    return;
  }
  const map = value as Record<string, unknown>;
  for (const [key, child] of Object.entries(map)) {
    if (child !== null && child !== undefined) dropNulls(child, seen, textMaps.has(key));
    else if (isTextMap) Object.defineProperty(map, key, { value: '', enumerable: true, configurable: true, writable: true });
    else delete map[key];
  }
}
