import assert from 'node:assert/strict';
import { rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Loaded } from '../../../controller/jobs/load.ts';
import { type WatchOptions, watchJobs } from '../../../controller/jobs/watch.ts';
import { directoryWith, spec } from './harness.ts';

const good = (name: string) => `manual:\n- name: ${name}\n  ${spec}\n`;
const names = (l: Loaded | undefined) => l?.config?.jobs.map((j) => j.name) ?? l?.problems.map((p) => p.message);

/** A watch whose loads can be awaited one after the other; ended with the test. */
function watching(t: TestContext, dir: string, options: Partial<WatchOptions> = {}) {
  const end = new AbortController();
  const loads: Loaded[] = [];
  const waiting: ((l: Loaded) => void)[] = [];
  const onLoad = (l: Loaded) => {
    const taker = waiting.shift();
    if (taker) taker(l);
    else loads.push(l);
  };
  const watch = watchJobs(dir, onLoad, { signal: end.signal, debounceMs: 20, pollMs: 20, watchedPollMs: 60_000, ...options });
  t.after(async () => {
    end.abort();
    await watch.ended;
  });
  const next = () =>
    new Promise<Loaded>((resolve) => {
      const ready = loads.shift();
      if (ready) resolve(ready);
      else waiting.push(resolve);
    });
  return { ...watch, next, loads, end };
}

/** The first load that shows these jobs: between two writes others may come. */
async function until(w: { next: () => Promise<Loaded> }, expected: string[]): Promise<Loaded> {
  for (;;) {
    const load = await w.next();
    if (JSON.stringify(names(load)) === JSON.stringify(expected)) return load;
  }
}

for (const mode of ['system', 'poll'] as const) {
  test(`jobs are loaded at the start and after each change (${mode})`, { timeout: 15_000 }, async (t) => {
    const dir = await directoryWith(t, { 'a.yaml': good('a'), 'sub/b.yaml': good('b') });
    const w = watching(t, dir, { mode });
    assert.deepEqual(names(await w.next()), ['a', 'b']);
    await writeFile(join(dir, 'sub/b.yaml'), good('b-changed'));
    await until(w, ['a', 'b-changed']);
    await writeFile(join(dir, 'c.yaml'), good('c'));
    await until(w, ['a', 'c', 'b-changed']);
    await rm(join(dir, 'a.yaml'));
    await until(w, ['c', 'b-changed']);
  });
}

test('a bad change is a load with problems, and the next good one a load without', { timeout: 15_000 }, async (t) => {
  const dir = await directoryWith(t, { 'a.yaml': good('a') });
  const w = watching(t, dir);
  await until(w, ['a']);
  await writeFile(join(dir, 'a.yaml'), 'manual: 7\n');
  await until(w, ['manual must be a list of jobs, but is the number 7']);
  await writeFile(join(dir, 'a.yaml'), good('again'));
  await until(w, ['again']);
});

test('the swap of a mounted ConfigMap is one change', { timeout: 15_000 }, async (t) => {
  const dir = await directoryWith(t, { '..1/a.yaml': good('old'), '..2/a.yaml': good('new') });
  await symlink('..1', join(dir, '..data'));
  await symlink('..data/a.yaml', join(dir, 'a.yaml'));
  const w = watching(t, dir);
  await until(w, ['old']);
  await symlink('..2', join(dir, '..tmp'));
  await rename(join(dir, '..tmp'), join(dir, '..data'));
  await until(w, ['new']);
});

test('a directory that appears later is found', { timeout: 15_000 }, async (t) => {
  const parent = await directoryWith(t, { 'later/a.yaml': good('a') });
  const w = watching(t, join(parent, 'now'));
  assert.equal((await w.next()).config, undefined);
  await rename(join(parent, 'later'), join(parent, 'now'));
  await until(w, ['a']);
  await writeFile(join(parent, 'now/a.yaml'), good('b'));
  await until(w, ['b']);
});

test('reloadNow loads although nothing has changed, and is done when the load was handed over', {
  timeout: 15_000,
}, async (t) => {
  const dir = await directoryWith(t, { 'a.yaml': good('a') });
  const w = watching(t, dir);
  await w.next();
  await w.reloadNow();
  assert.deepEqual(names(w.loads[0]), ['a']);
});

test('what onLoad throws is told and ends nothing', { timeout: 15_000 }, async (t) => {
  const dir = await directoryWith(t, { 'a.yaml': good('a') });
  const end = new AbortController();
  const errors: unknown[] = [];
  const watch = watchJobs(dir, () => Promise.reject(new Error('no')), { signal: end.signal, onError: (e) => errors.push(e) });
  t.after(() => end.abort());
  await watch.reloadNow();
  await watch.reloadNow();
  assert.equal(errors.length, 3);
});

test('when the signal ends the watch nothing is handed over any more', { timeout: 15_000 }, async (t) => {
  const dir = await directoryWith(t, { 'a.yaml': good('a') });
  const w = watching(t, dir, { mode: 'poll' });
  await w.next();
  w.end.abort();
  await w.ended;
  await writeFile(join(dir, 'a.yaml'), good('b'));
  await w.reloadNow();
  assert.equal(w.loads.length, 0);
});
