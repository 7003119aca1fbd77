import assert from 'node:assert/strict';
import { chmod } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { processExecutor } from '../../../agent/executor/process.ts';
import { fileObjects } from '../../../controller/store/file-objects.ts';
import type { ArtifactList, JUnitAnswer } from '../../../protocol/artifact.ts';
import { quickTimes, type TestAgentOptions, TestFarm } from '../../support/farm.ts';
import { ProcessFarm } from '../../support/processes.ts';
import { tempDir } from '../../support/temp-dir.ts';

/** A farm whose agent runs real processes. @param steps of the one job, as YAML */
async function farmWith(steps: string, agent: Partial<TestAgentOptions> = {}) {
  const jobs = { 'jobs.yaml': `manual:\n- name: job\n  steps:\n${steps}` };
  const farm = await TestFarm.start({ jobs, times: quickTimes });
  // Steps run as another user.
  await chmod(farm.dir, 0o711);
  await farm.addAgent({ name: 'a1', executor: processExecutor(), ...agent });
  return farm;
}

const step = (name: string, script: string, more = '') =>
  `  - name: ${name}\n    ${more}\n    script: |\n${script
    .split('\n')
    .map((line) => `      ${line}`)
    .join('\n')}\n`;

const artifactsOf = (farm: TestFarm, run: string) => farm.api<ArtifactList>('GET', `/api/runs/${run}/artifacts`);

const fetched = (farm: TestFarm, run: string, path: string, headers: Record<string, string> = {}) =>
  fetch(`${farm.url}/api/runs/${run}/artifacts/${path}`, {
    headers: { authorization: `Bearer ${farm.settings.adminToken}`, ...headers },
  });

const archived = (farm: TestFarm, run: string) =>
  farm.until(`run ${run} is archived`, async () => (await farm.getRun(run)).archived);

async function published(farm: TestFarm, prefix = 'results/') {
  const objects = fileObjects(farm.settings.objectsDir);
  const found: Record<string, string> = {};
  for await (const { key } of objects.list(prefix)) found[key] = String(await objects.get(key));
  return found;
}

test('what a step leaves is listed, read and published; its test report is counted', async () => {
  await using farm = await farmWith(
    step(
      'test',
      `mkdir -p "$ARTIFACTS/sub dir"
echo hello > "$ARTIFACTS/sub dir/a#b.txt"
head -c 300000 /dev/zero > "$THRESH_ARTIFACTS/zeros.bin"
echo '<html><script>alert(1)</script></html>' > "$ARTIFACTS/page.html"
cat > "$ARTIFACTS/junit_unit.xml" <<'X'
<testsuites><testsuite tests="99"><testcase name="good" classname="c" time="1.5"/>
<testcase name="bad" classname="c" time="0.25"><failure message="1 != 2">at line 7</failure></testcase>
<testcase name="odd"><skipped/></testcase></testsuite></testsuites>
X
echo out`,
    ),
  );
  const run = await farm.ended(await farm.run('job'));
  assert.equal(run.state, 'passed', run.reason);
  const look = async () => {
    const list = await artifactsOf(farm, run.id);
    assert.deepEqual(
      list.files.map(({ step: s, path, sizeBytes }) => [s, path, sizeBytes]),
      [
        ['test', 'junit_unit.xml', 255],
        ['test', 'page.html', 39],
        ['test', 'sub dir/a#b.txt', 6],
        ['test', 'zeros.bin', 300_000],
      ],
    );
    assert.deepEqual([list.refusedCount, list.truncated], [0, false]);
    const text = await fetched(farm, run.id, 'test/sub%20dir/a%23b.txt');
    assert.equal(await text.text(), 'hello\n');
    assert.equal(text.headers.get('content-type'), 'text/plain; charset=utf-8');
    const page = await fetched(farm, run.id, 'test/page.html');
    assert.match(page.headers.get('content-security-policy') ?? '', /^sandbox;/);
    assert.equal(page.headers.get('x-content-type-options'), 'nosniff');
    const part = await fetched(farm, run.id, 'test/zeros.bin', { range: 'bytes=299990-' });
    assert.deepEqual([part.status, part.headers.get('content-range')], [206, 'bytes 299990-299999/300000']);
    assert.equal((await part.arrayBuffer()).byteLength, 10);
    assert.equal((await fetched(farm, run.id, 'test/no/such')).status, 404);
    assert.equal((await fetched(farm, run.id, 'test/..%2f..%2fmanifest.json')).status, 404);
    const { files, ...totals } = await farm.api<JUnitAnswer>('GET', `/api/runs/${run.id}/junit`);
    assert.deepEqual(totals, { tests: 3, failures: 1, errors: 0, skipped: 1, timeS: 1.75 });
    assert.deepEqual(files[0]?.failed, [{ kind: 'failure', name: 'bad', classname: 'c', message: '1 != 2', text: 'at line 7' }]);
  };
  await look();
  await archived(farm, run.id);
  await look();

  const dir = `results/logs/job/${run.id}`;
  const objects = await published(farm);
  assert.deepEqual(Object.keys(objects), [
    `${dir}/artifacts/junit_unit.xml`,
    `${dir}/artifacts/page.html`,
    `${dir}/artifacts/sub dir/a#b.txt`,
    `${dir}/artifacts/zeros.bin`,
    `${dir}/build-log.txt`,
    `${dir}/finished.json`,
    `${dir}/prowjob.json`,
    `${dir}/started.json`,
    `${dir}/thresh.json`,
    'results/logs/job/latest-build.txt',
  ]);
  assert.equal(objects[`${dir}/build-log.txt`], 'out\n');
  assert.equal(objects['results/logs/job/latest-build.txt'], run.id);
  const finished = JSON.parse(objects[`${dir}/finished.json`] ?? '');
  assert.deepEqual([finished.passed, finished.result], [true, 'SUCCESS']);
  assert.deepEqual(Object.keys(await published(farm, `staged/${run.id}/test/1/files/`)), []);
});

test('hostile names and links are refused by name, the rest is stored, and the run passes', async () => {
  await using farm = await farmWith(
    step(
      'test',
      `cd "$ARTIFACTS"
echo ok > fine.txt
echo x > '..\\..\\etc\\passwd'
echo x > "$(printf 'line\\nbreak')"
echo x > "$(printf 'not-utf8-\\377')"
ln -s /etc/passwd absolute
ln -s ../../../../../../etc/passwd climbing
ln -s /etc etc
ln -s fine.txt harmless
mkfifo pipe
mkdir -p deep; (cd deep; for i in $(seq 40); do mkdir d; cd d; done; echo x > bottom)
mkdir dir; echo y > dir/file; chmod 000 dir`,
    ),
  );
  const run = await farm.ended(await farm.run('job'));
  assert.equal(run.state, 'passed', run.reason);
  const { files, refused, refusedCount } = await artifactsOf(farm, run.id);
  assert.deepEqual(
    files.map((f) => f.path),
    // The agent of a root may read what its steps may not.
    process.getuid?.() === 0 ? ['dir/file', 'fine.txt'] : ['fine.txt'],
  );
  const why = Object.fromEntries(refused.map((r) => [r.path, r.why]));
  assert.match(why['..\\..\\etc\\passwd'] ?? '', /backslash/);
  assert.match(why['line\ufffdbreak'] ?? '', /control characters/);
  assert.match(why['not-utf8-\ufffd'] ?? '', /no UTF-8/);
  for (const name of ['absolute', 'climbing', 'etc', 'harmless']) assert.match(why[name] ?? '', /links are not followed/, name);
  assert.match(why.pipe ?? '', /no regular file/);
  assert.ok(Object.entries(why).some(([path, text]) => path.startsWith('deep/d/') && /directories deep/.test(text)));
  assert.ok(refusedCount >= 9);
  assert.match(run.at[0]?.attempts[0]?.message ?? '', /was not stored: .*more were not stored/);
  await archived(farm, run.id);
  for (const [key, content] of Object.entries(await published(farm, '')))
    assert.ok(!content.includes('root:x:0'), `${key} holds a file of the machine`);
});

test('of 100,000 files as many as are allowed are stored, and the others counted', async () => {
  await using dir = await tempDir('agent', { inMemory: true });
  await chmod(dir.path, 0o711);
  await using farm = await farmWith(
    step('test', `cd "$ARTIFACTS"; for d in $(seq 100 199); do mkdir $d; (cd $d; touch $(seq 1000 1999)); done`),
    { artifactLimits: { files: 1_000 }, dataDir: join(dir.path, 'agent') },
  );
  const run = await farm.ended(await farm.run('job'), 30_000);
  assert.equal(run.state, 'passed', run.reason);
  const list = await artifactsOf(farm, run.id);
  assert.equal(list.files.length, 1_000);
  assert.equal(list.files.at(-1)?.path, '100/1999');
  assert.equal(list.refusedCount, 99_000);
  assert.deepEqual(
    [list.refused.length, list.refused[0]],
    [100, { step: 'test', path: '101/1000', why: 'there are more than 1000 files' }],
  );
  assert.match(run.at[0]?.attempts[0]?.message ?? '', /'101\/1000' was not stored: .*, and 98999 more were not stored/);
});

test('of several steps only the attempts that count are to be seen', async () => {
  await using farm = await farmWith(
    step(
      'flaky',
      `echo $THRESH_ATTEMPT > "$ARTIFACTS/attempt"; test -e again || { touch again; exit 1; }; echo flaky`,
      'retries: 1',
    ) +
      step('broken', `echo '{"a": 1}' > "$ARTIFACTS/metadata.json"; echo broken; exit 3`, 'needs: [flaky]') +
      step('never', `echo x > "$ARTIFACTS/x"`, 'needs: [broken]'),
  );
  const run = await farm.ended(await farm.run('job'));
  assert.deepEqual([run.state, run.at[0]?.attempts.length], ['failed', 2]);
  await archived(farm, run.id);
  const dir = `results/logs/job/${run.id}`;
  const objects = await published(farm);
  assert.deepEqual(Object.keys(objects), [
    `${dir}/artifacts/broken/metadata.json`,
    `${dir}/artifacts/flaky/attempt`,
    `${dir}/broken-build-log.txt`,
    `${dir}/build-log.txt`,
    `${dir}/finished.json`,
    `${dir}/flaky-build-log.txt`,
    `${dir}/prowjob.json`,
    `${dir}/started.json`,
    `${dir}/thresh.json`,
    'results/logs/job/latest-build.txt',
  ]);
  assert.equal(objects[`${dir}/artifacts/flaky/attempt`], `${run.id}.flaky.2\n`);
  assert.equal(
    objects[`${dir}/build-log.txt`],
    '==> step flaky: passed (attempt 2) <==\nflaky\n==> step broken: failed <==\nbroken\n',
  );
  const finished = JSON.parse(objects[`${dir}/finished.json`] ?? '');
  assert.deepEqual([finished.passed, finished.result, finished.metadata], [false, 'FAILURE', { a: 1 }]);
});

test('when no controller takes them the end says so, and the run passes', async () => {
  await using farm = await farmWith(step('test', `echo x > "$ARTIFACTS/x"`), {
    artifactPatienceMs: 100,
    // All but the artifacts comes through.
    fetch: (url, init) => (init?.method === 'PUT' ? Promise.reject(new Error('the cable is out')) : fetch(url, init)),
  });
  const run = await farm.ended(await farm.run('job'));
  assert.equal(run.state, 'passed', run.reason);
  assert.match(
    run.at[0]?.attempts[0]?.message ?? '',
    /artifacts were not stored: no controller has taken them: the cable is out/,
  );
});

test('a controller that is killed in the middle of an upload loses nothing: it is sent again', async () => {
  const script = `head -c 5000000 /dev/urandom > "$ARTIFACTS/big"\nsha256sum < "$ARTIFACTS/big"`;
  await using farm = await ProcessFarm.start({
    jobs: { 'jobs.yaml': `manual:\n- name: job\n  steps:\n${step('test', script)}` },
    times: quickTimes,
  });
  await chmod(farm.dir, 0o711);
  const first = await farm.startController('c1', { probe: { point: 'artifact-half-received', nth: 3 } });
  await farm.leader();
  await farm.startAgent({ name: 'a1', executor: 'process' });
  const id = await farm.run('job');
  await farm.until('the controller is killed', async () => !first.running);
  await farm.startController('c1');
  const run = await farm.ended(id, 20_000);
  assert.deepEqual([run.state, run.at[0]?.attempts.length], ['passed', 1], run.reason);
  const list = await farm.api<ArtifactList>('GET', `/api/runs/${id}/artifacts`);
  // The log comes by its own way, and may come later than the end.
  const [sha256] = await farm.until('its log is stored', async () => {
    const words = (await farm.logOf(id, 'test')).split(' ');
    return words.length > 1 && words;
  });
  assert.deepEqual(
    list.files.map((f) => [f.path, f.sizeBytes, f.sha256]),
    [['big', 5_000_000, sha256]],
  );
});
