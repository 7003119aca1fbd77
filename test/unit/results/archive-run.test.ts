import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { type ArchiveRunDeps, archiveRun } from '../../../controller/results/archive-run.ts';
import { advanceLatest } from '../../../controller/results/latest.ts';
import { prowLayout } from '../../../controller/results/paths.ts';
import { stagedFile, stagedManifest } from '../../../controller/results/staged.ts';
import { fileObjects } from '../../../controller/store/file-objects.ts';
import type { Objects } from '../../../controller/store/objects.ts';
import type { AttemptState } from '../../../protocol/attempt.ts';
import { type NewRun, openRun, type Run, type RunEndState, type StepEndState } from '../../../protocol/run.ts';
import { type AttemptKey, keyOf } from '../../../protocol/task.ts';
import { newRun, pullRefs, stepShape } from '../../support/runs.ts';
import { tempDir } from '../../support/temp-dir.ts';

const t0 = Date.UTC(2026, 0, 1);

type StepSaid = {
  name: string;
  state: StepEndState;
  attempts: { state: AttemptState; round?: number; files?: Record<string, string> }[];
};

/** Object storage with what the attempts of a run have sent. */
async function given(said: StepSaid[], end: RunEndState = 'passed', over: Partial<NewRun> = {}, round = 1) {
  const dir = await tempDir('archive');
  const objects = fileObjects(dir.path);
  const logs = new Map<string, string>();
  const created = newRun(
    said.map((s) => stepShape(s.name)),
    { createdAtMs: t0, ...over },
  );
  const at = [];
  for (const { name, state, attempts } of said) {
    const told = [];
    for (const [i, { state: how, round: of = 1, files }] of attempts.entries()) {
      const key = { run: created.id, step: name, attempt: i + 1 };
      logs.set(keyOf(key), `log of ${name} ${i + 1}\n`);
      const manifest = files ? await stage(objects, key, files) : undefined;
      told.push({
        attempt: i + 1,
        round: of,
        agent: 'a1',
        state: how,
        assignedAtMs: t0 + 1_000,
        endedAtMs: t0 + 2_000,
        ...(manifest ? { manifest } : {}),
      });
    }
    at.push({ name, state, attempts: told });
  }
  const run: Run = {
    ...openRun(created),
    state: end,
    round,
    at,
    startedAtMs: t0 + 1_500,
    endedAtMs: t0 + 61_000,
    reason: 'said so',
  };
  const deps: ArchiveRunDeps = {
    objects,
    archiveLog: async (key) => ({ bytes: logs.get(keyOf(key))?.length ?? 0, missing: 0 }),
    readLog: async function* (key) {
      yield Buffer.from(logs.get(keyOf(key)) ?? '');
    },
    publishing: { layout: prowLayout, prefix: '', url: 's3://bucket' },
    wallMs: () => t0 + 70_000,
    logPatienceMs: 60_000,
  };
  return { objects, run, deps, all: () => all(objects), [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose]() };
}

async function stage(objects: Objects, key: AttemptKey, files: Record<string, string>): Promise<string> {
  const list = [];
  for (const [path, text] of Object.entries(files))
    list.push({ path, ...(await objects.put(stagedFile(key, path), Buffer.from(text))) });
  const json = Buffer.from(JSON.stringify({ v: 1, files: list, refused: [], refusedCount: 0 }));
  await objects.put(stagedManifest(key), json);
  return createHash('sha256').update(json).digest('hex');
}

async function all(objects: Objects): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for await (const { key } of objects.list('')) found[key] = String(await objects.get(key));
  return found;
}

test('a presubmit of one step lies where Prow lays it, with the files that Prow writes', async () => {
  const refs = pullRefs('acme/app', 7);
  const head = refs.pulls[0]?.sha;
  await using it = await given(
    [{ name: 'test', state: 'passed', attempts: [{ state: 'passed', files: { 'a/b.txt': 'hi', 'metadata.json': '{"x": 1}' } }] }],
    'passed',
    { type: 'presubmit', job: 'unit', refs },
  );
  assert.equal(await archiveRun(it.run, it.deps), 'archived');
  const objects = await it.all();
  const dir = `pr-logs/pull/acme_app/7/unit/${it.run.id}`;
  const json = (name: string) => JSON.parse(objects[`${dir}/${name}`] ?? '');
  assert.equal(objects[`${dir}/artifacts/a/b.txt`], 'hi');
  assert.equal(objects[`${dir}/build-log.txt`], 'log of test 1\n');
  assert.deepEqual(json('started.json'), {
    timestamp: t0 / 1000 + 1,
    pull: '7',
    repos: { 'acme/app': `main:${'1'.repeat(40)},7:${head}` },
    'repo-commit': head,
    'repo-version': head,
    node: 'a1',
  });
  assert.deepEqual(json('finished.json'), {
    timestamp: t0 / 1000 + 61,
    passed: true,
    result: 'SUCCESS',
    revision: head,
    metadata: { x: 1 },
  });
  const { kind, spec, status } = json('prowjob.json');
  assert.deepEqual(
    [kind, spec.type, spec.job, spec.refs.org, spec.refs.pulls[0].number, status.state, status.build_id, status.completionTime],
    ['ProwJob', 'presubmit', 'unit', 'acme', 7, 'success', it.run.id, '2026-01-01T00:01:01Z'],
  );
  assert.equal(objects[`pr-logs/directory/unit/${it.run.id}.txt`], `s3://bucket/${dir}`);
  assert.equal(objects['pr-logs/directory/unit/latest-build.txt'], it.run.id);
  assert.equal(objects['pr-logs/pull/acme_app/7/unit/latest-build.txt'], it.run.id);
});

test('written twice, by whomever, it is the same to the last byte', async () => {
  await using it = await given(
    [
      {
        name: 'one',
        state: 'passed',
        attempts: [
          { state: 'failed', files: { x: 'first' } },
          { state: 'passed', files: { x: 'second' } },
        ],
      },
      { name: 'two', state: 'failed', attempts: [{ state: 'failed', files: { y: 'why' } }] },
    ],
    'failed',
  );
  await archiveRun(it.run, it.deps);
  const once = await it.all();
  await archiveRun(it.run, it.deps);
  assert.deepEqual(await it.all(), once);
  const dir = `logs/unit/${it.run.id}`;
  assert.equal(once[`${dir}/artifacts/one/x`], 'second');
  assert.ok(!Object.values(once).includes('first'), 'what does not count is gone');
  assert.deepEqual(JSON.parse(once[`${dir}/thresh.json`] ?? '').steps[0].artifacts, {
    files: 1,
    sizeBytes: 6,
    refused: 0,
    missing: [],
  });
});

for (const [when, point] of [
  ['before any artifact is copied', 0],
  ['between two artifacts', 1],
  ['before the log', 6],
  ['before finished.json', 11],
] as const)
  test(`an archiving that dies ${when} is done whole by the next`, async () => {
    const files = Object.fromEntries(Array.from({ length: 4 }, (_, i) => [`f${i}`, String(i)]));
    await using it = await given([{ name: 'test', state: 'passed', attempts: [{ state: 'passed', files }] }]);
    let calls = 0;
    const dying = <T>(act: () => Promise<T>): Promise<T> => {
      calls += 1;
      return calls > point ? Promise.reject(new Error('died')) : act();
    };
    const objects: Objects = {
      ...it.objects,
      put: (key, body) => dying(() => it.objects.put(key, body)),
      copy: (from, to) => dying(() => it.objects.copy(from, to)),
      remove: (key) => dying(() => it.objects.remove(key)),
    };
    await assert.rejects(archiveRun(it.run, { ...it.deps, objects }), /died/);
    await archiveRun(it.run, it.deps);
    const interrupted = await it.all();
    await using whole = await given([{ name: 'test', state: 'passed', attempts: [{ state: 'passed', files }] }]);
    await archiveRun(whole.run, whole.deps);
    assert.deepEqual(interrupted, await whole.all());
  });

test('finished.json is written when all else is there', async () => {
  await using it = await given([{ name: 'test', state: 'passed', attempts: [{ state: 'passed', files: { x: 'x' } }] }]);
  const order: string[] = [];
  const objects: Objects = {
    ...it.objects,
    put: (key, body) => {
      order.push(key);
      return it.objects.put(key, body);
    },
    copy: (from, to) => {
      order.push(to);
      return it.objects.copy(from, to);
    },
  };
  await archiveRun(it.run, { ...it.deps, objects });
  const dir = `logs/unit/${it.run.id}`;
  const ofRun = order.filter((key) => key.startsWith(dir));
  assert.equal(ofRun.at(-1), `${dir}/finished.json`);
  assert.ok(ofRun.includes(`${dir}/artifacts/x`) && ofRun.includes(`${dir}/build-log.txt`));
});

test('only the last attempt of the last round counts, and only with the list that its end names', async () => {
  await using it = await given(
    [
      {
        name: 'again',
        state: 'passed',
        attempts: [
          { state: 'lost', files: { a: 'lost' } },
          { state: 'passed', round: 2, files: { a: 'counts' } },
        ],
      },
      { name: 'not-again', state: 'skipped', attempts: [{ state: 'passed', round: 1, files: { a: 'of the lost round' } }] },
      { name: 'forged', state: 'passed', attempts: [{ state: 'passed', round: 2, files: { a: 'stored later' } }] },
    ],
    'passed',
    {},
    2,
  );
  const forged = it.run.at[2]?.attempts[0];
  assert.ok(forged);
  forged.manifest = 'f'.repeat(64);
  await archiveRun(it.run, it.deps);
  const artifacts = Object.keys(await it.all()).filter((key) => key.includes('/artifacts/'));
  assert.deepEqual(artifacts, [`logs/unit/${it.run.id}/artifacts/again/a`]);
});

test('the logs of several steps stand in order in one, and each by itself', async () => {
  await using it = await given([
    { name: 'one', state: 'passed', attempts: [{ state: 'failed' }, { state: 'passed' }] },
    { name: 'skipped', state: 'skipped', attempts: [] },
    { name: 'two', state: 'passed', attempts: [{ state: 'passed' }] },
  ]);
  const archiveLog: ArchiveRunDeps['archiveLog'] = async ({ step }) => ({ bytes: 9, missing: step === 'two' ? 5 : 0 });
  await archiveRun(it.run, { ...it.deps, archiveLog });
  const objects = await it.all();
  const dir = `logs/unit/${it.run.id}`;
  const lost = '[5 bytes of this output are missing: whoever had them was not heard of again]\n';
  assert.equal(
    objects[`${dir}/build-log.txt`],
    `==> step one: passed (attempt 2) <==\nlog of one 2\n==> step two: passed <==\nlog of two 1\n${lost}`,
  );
  assert.equal(objects[`${dir}/one-build-log.txt`], 'log of one 2\n');
  assert.equal(objects[`${dir}/two-build-log.txt`], `log of two 1\n${lost}`);
});

test('the checkout stands beside the one step of a Prow job, and says the commit', async () => {
  const merged = 'c'.repeat(40);
  const records = JSON.stringify([{ failed: false }, { refs: {}, final_sha: merged }]);
  await using it = await given(
    [
      { name: 'checkout', state: 'passed', attempts: [{ state: 'passed', files: { 'clone-records.json': records } }] },
      { name: 'test', state: 'failed', attempts: [{ state: 'failed', files: { 'out.txt': 'x', 'metadata.json': '{' } }] },
    ],
    'failed',
    { type: 'presubmit', refs: pullRefs('acme/app', 7) },
  );
  await archiveRun(it.run, it.deps);
  const objects = await it.all();
  const dir = `pr-logs/pull/acme_app/7/unit/${it.run.id}`;
  assert.equal(objects[`${dir}/clone-records.json`], records);
  assert.equal(objects[`${dir}/artifacts/out.txt`], 'x');
  assert.equal(objects[`${dir}/build-log.txt`], 'log of test 1\n');
  assert.equal(objects[`${dir}/checkout-build-log.txt`], 'log of checkout 1\n');
  assert.equal(JSON.parse(objects[`${dir}/started.json`] ?? '')['repo-commit'], merged);
  const finished = JSON.parse(objects[`${dir}/finished.json`] ?? '');
  assert.deepEqual([finished.result, finished.revision], ['FAILURE', merged]);
  assert.match(finished.metadata['sidecar-errors'], /metadata.json is no JSON/);
});

test('a run whose logs are on their way, or that goes on, is not archived yet', async () => {
  await using it = await given([{ name: 'test', state: 'passed', attempts: [{ state: 'passed' }] }]);
  assert.equal(await archiveRun(it.run, { ...it.deps, archiveLog: async () => undefined }), 'not yet');
  assert.equal(await archiveRun({ ...it.run, state: 'running' }, it.deps), 'not yet');
  assert.deepEqual(await it.all(), {});
});

test('latest-build.txt never goes back, also when many runs end at the same time', async () => {
  await using it = await given([]);
  const ids = Array.from({ length: 40 }, (_, i) => String(1_958_000_000_000_000_000n + BigInt((i * 17) % 40)));
  await Promise.all(ids.map((id) => advanceLatest(it.objects, 'logs/unit/latest-build.txt', id)));
  const read = async () => String(await it.objects.get('logs/unit/latest-build.txt'));
  assert.equal(await read(), '1958000000000000039');
  await advanceLatest(it.objects, 'logs/unit/latest-build.txt', '999');
  assert.equal(await read(), '1958000000000000039');
});

test('a leader that has lost the lead touches no pointer', async () => {
  await using it = await given([{ name: 'test', state: 'passed', attempts: [{ state: 'passed' }] }]);
  await assert.rejects(archiveRun(it.run, { ...it.deps, signal: AbortSignal.abort(new Error('deposed')) }), /deposed/);
  assert.ok(!Object.keys(await it.all()).some((key) => key.endsWith('latest-build.txt') || key.endsWith('finished.json')));
});
