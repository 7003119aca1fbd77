import type { Problem } from '../../protocol/job.ts';
import type { Draft } from './normalise.ts';
import type { FilePlace, Preset } from './read-file.ts';

/**
 * Adds the environment of each preset to the steps of the jobs that carry all its labels; a preset without labels is for every job.
 * As in Prow, two presets must not have a label with the same value in common, and a variable must not be there already.
 * @param problems what is wrong is added here
 */
export function applyPresets(
  jobs: readonly { draft: Draft; place: FilePlace }[],
  presets: Preset[],
  problems: Problem[],
): Draft[] {
  const byLabel = new Map<string, Preset>();
  const forAll = presets.filter((p) => Object.keys(p.labels).length === 0);
  for (const preset of presets) {
    for (const [key, value] of Object.entries(preset.labels)) {
      const first = byLabel.get(labelKey(key, value));
      if (first && first !== preset) {
        const message = `a preset for ${key}: "${value}" already stands in ${first.place.file}:${first.place.line}; put them together`;
        problems.push({ ...preset.place, message });
      } else byLabel.set(labelKey(key, value), preset);
    }
  }
  return jobs.map(({ draft, place }) => {
    const chosen = new Set(forAll);
    for (const [key, value] of Object.entries(draft.labels)) {
      const preset = byLabel.get(labelKey(key, value));
      if (preset && Object.entries(preset.labels).every(([k, v]) => Object.hasOwn(draft.labels, k) && draft.labels[k] === v))
        chosen.add(preset);
    }
    const added = [...chosen];
    return added.some((p) => p.env.length > 0) ? withPresets(draft, place, added, problems) : draft;
  });
}

const labelKey = (key: string, value: string): string => JSON.stringify([key, value]);

function withPresets(draft: Draft, place: FilePlace, presets: Preset[], problems: Problem[]): Draft {
  const from = new Map<string, Preset>();
  const twice = new Set<string>();
  const say = (name: string, preset: Preset, already: string) => {
    if (twice.has(name)) return;
    twice.add(name);
    const message = `the preset of ${preset.place.file}:${preset.place.line} sets ${name}, which ${already}; remove one of them`;
    problems.push({ ...place, job: draft.name, message });
  };
  for (const preset of presets)
    for (const { name } of preset.env) {
      const other = from.get(name);
      if (other) say(name, preset, `the preset of ${other.place.file}:${other.place.line} also sets`);
      else from.set(name, preset);
    }
  for (const step of draft.steps)
    for (const name of [...step.env.map((v) => v.name), ...Object.keys(step.secrets)]) {
      const preset = from.get(name);
      if (preset) say(name, preset, 'the job sets too');
    }
  const added = presets.flatMap((p) => p.env);
  return { ...draft, steps: draft.steps.map((s) => ({ ...s, env: [...s.env, ...added] })) };
}
