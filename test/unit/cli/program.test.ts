import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Actions } from '../../../controller/cli/program.ts';
import { FarmError } from '../../../protocol/errors.ts';
import { noActions, thresh } from './harness.ts';

/** What an action is given for these arguments. */
async function given<K extends keyof Actions>(action: K, args: string[], env = {}): Promise<Parameters<Actions[K]>[0]> {
  const { promise, resolve } = Promise.withResolvers<Parameters<Actions[K]>[0]>();
  const actions = { ...noActions, [action]: async (o: Parameters<Actions[K]>[0]) => resolve(o) };
  const ran = await thresh(args, { actions, env });
  assert.equal(ran.code, 0, ran.err);
  return promise;
}

test('the help names every command, the environment and the exit codes', async () => {
  const { out, code } = await thresh(['--help']);
  assert.equal(code, 0);
  const commands =
    'up controller agent run runs show logs cancel retry queues agents drain revoke deliveries login doctor check webhook nats-config';
  for (const command of commands.split(' ')) assert.match(out, new RegExp(`^  ${command}\\b`, 'm'));
  for (const word of ['THRESH_URL', 'THRESH_TOKEN', 'NO_COLOR', 'FORCE_COLOR', 'Exit codes:', '130'])
    assert.ok(out.includes(word), word);
  assert.ok(!out.includes('\x1b'), 'no colours in a pipe');
});

test('each command teaches by example', async () => {
  const { out } = await thresh(['--help']);
  const commands = [...out.matchAll(/^ {2}([a-z-]+)(?: \[options\]| <)/gm)].map((m) => m[1] ?? '');
  assert.ok(commands.length >= 17);
  for (const path of [...commands.map((c) => [c]), ['queues', 'pause'], ['queues', 'resume'], ['agents', 'token']]) {
    const help = await thresh([...path, '--help']);
    assert.equal(help.code, 0);
    assert.match(help.out, new RegExp(`Examples:\n(.|\n)*thresh ${path.join(' ')}`), path.join(' '));
  }
});

test('every command that talks to the farm has --url, --token-file and --json', async () => {
  for (const command of 'run runs show logs cancel retry queues agents drain revoke deliveries login webhook'.split(' ')) {
    const { out } = await thresh([command, '--help']);
    for (const option of ['--url', '--token-file', '--json']) assert.ok(out.includes(option), `${command} ${option}`);
  }
});

test('the version is printed', async () => {
  assert.deepEqual(await thresh(['--version']).then(({ code, out }) => [code, out]), [0, '1.2.3\n']);
});

test('wrong usage ends with 2, one sentence and where to look', async () => {
  const cases: [string[], RegExp][] = [
    [['rnu'], /unknown command 'rnu'(.|\n)*run/],
    [['runs', '--nope'], /unknown option '--nope'/],
    [['show'], /missing required argument 'run'/],
    [['show', 'abc'], /Expected a run's id/],
    [['runs', '--limit', '1e3'], /--limit.*whole number from 1 to 1000/],
    [['runs', '--state', 'done'], /Allowed choices are open/],
    [['run', 'unit', '--repo', 'app'], /Expected ORG\/REPO/],
    [['run', 'unit', '--repo', 'o/r', '--ref', 'main:123'], /full SHA/],
    [['run', 'unit', '--repo', 'o/r', '--ref', 'main', '--pull', '12'], /NUMBER:SHA/],
    [['agents', 'token', '--ttl', '3y'], /a time such as 90s/],
    [['drain', '../x'], /the name of an agent/],
    [['up', '--listen', 'nowhere'], /HOST:PORT/],
    [['up', '--executor', 'nothing'], /Allowed choices are/],
    [['webhook', 'x.json'], /required option '--event/],
  ];
  for (const [args, sentence] of cases) {
    const { code, out, err } = await thresh(args);
    assert.equal(code, 2, args.join(' '));
    assert.match(err, sentence);
    assert.match(err, /\(see 'thresh.* --help'\)/);
    assert.doesNotMatch(err, /\n {4}at /);
    assert.equal(out, '');
  }
});

test('no command at all shows the help as wrong usage', async () => {
  const { code, err } = await thresh([]);
  assert.equal(code, 2);
  assert.match(err, /Usage: thresh/);
});

test('up has defaults for a laptop', async () => {
  assert.deepEqual(await given('up', ['up']), {
    data: '.thresh',
    listen: { host: '127.0.0.1', port: 8787 },
    webhookSecretFiles: [],
    hosts: [],
    resultsPrefix: 'results/',
    pathStrategy: 'legacy',
    logLevel: 'info',
    agents: 1,
    executor: 'process',
    slots: 2,
  });
});

test('up takes every option, some of them several times', async () => {
  const args =
    'up --data d --listen [::1]:0 --jobs j --secrets s --webhook-secret-file a --webhook-secret-file b --agents 3 --executor scripted --slots 4 --nats nats://n:4222 --nats-dir nd --host x --host y --objects s3://b/p --results-prefix r --path-strategy single --default-repo o/r --log-level debug';
  assert.deepEqual(await given('up', args.split(' ')), {
    data: 'd',
    listen: { host: '::1', port: 0 },
    jobs: 'j',
    secrets: 's',
    webhookSecretFiles: ['a', 'b'],
    agents: 3,
    executor: 'scripted',
    slots: 4,
    nats: 'nats://n:4222',
    natsDir: 'nd',
    hosts: ['x', 'y'],
    objects: 's3://b/p',
    resultsPrefix: 'r',
    pathStrategy: 'single',
    defaultRepo: { org: 'o', repo: 'r' },
    logLevel: 'debug',
  });
});

test('a controller takes the farm key and listens where it is told', async () => {
  const o = await given('controller', ['controller', '--key-file', 'k', '--listen', ':9000']);
  assert.equal(o.keyFile, 'k');
  assert.deepEqual(o.listen, { host: '0.0.0.0', port: 9000 });
});

test('an agent takes replicas from --url, or from THRESH_URL', async () => {
  const args = [
    'agent',
    '--url',
    'http://a:1',
    '--url',
    'http://b:2/',
    '--token-file',
    't',
    '--queues',
    'x,y',
    '--step-user',
    'ci',
  ];
  const o = await given('agent', args);
  assert.deepEqual(
    { urls: o.urls, tokenFile: o.tokenFile, queues: o.queues, stepUser: o.stepUser, data: o.data },
    { urls: ['http://a:1', 'http://b:2'], tokenFile: 't', queues: ['x', 'y'], stepUser: 'ci', data: '.thresh-agent' },
  );
  assert.deepEqual((await given('agent', ['agent'], { THRESH_URL: 'http://c:3,http://d:4' })).urls, ['http://c:3', 'http://d:4']);
});

test('an agent that has joined needs no options: what is only a default is not said', async () => {
  assert.deepEqual(await given('agent', ['agent']), { urls: [], data: '.thresh-agent', logLevel: 'info' });
  const o = await given('agent', ['agent', 'join', 'http://a:1,http://b:2', 'tok', '--slots', '8', '--name', 'n']);
  assert.deepEqual(
    [o.urls, o.token, o.slots, o.executor, o.name, o.data],
    [['http://a:1', 'http://b:2'], 'tok', 8, undefined, 'n', '.thresh-agent'],
  );
});

test('an agent with two tokens is told so', async () => {
  const both = await thresh(['agent', '--url', 'http://a', '--token', 'x', '--token-file', 'y']);
  assert.deepEqual([both.code, /exclude each other/.test(both.err)], [2, true]);
});

test('an error of a server is one sentence and a code, its stack only for those who ask', async () => {
  const up = async () => {
    throw new FarmError('BAD_SETTINGS', { problems: ['--jobs: there is no directory x'] });
  };
  const said = await thresh(['up'], { actions: { ...noActions, up } });
  assert.deepEqual([said.code, said.err], [2, 'thresh: --jobs: there is no directory x\n']);
  const debug = await thresh(['up'], { actions: { ...noActions, up }, env: { THRESH_DEBUG: '1' } });
  assert.match(debug.err, /\n {4}at /);
});

test('check prints each problem with its place, and ends with 1', async () => {
  const problems = [
    { file: 'jobs/a.yaml', line: 3, column: 5, job: 'unit', message: 'no image' },
    { file: 'jobs/b.yaml', message: 'not YAML\x1b[2J' },
  ];
  const check = async ({ dir }: { dir: string }) => ({ problems, summary: `2 files in ${dir}` });
  const actions = { ...noActions, check };
  const { code, out } = await thresh(['check', 'jobs'], { actions });
  assert.equal(code, 1);
  assert.equal(out, "jobs/a.yaml:3:5: job 'unit': no image\njobs/b.yaml: not YAML?[2J\n2 problems: 2 files in jobs\n");
  const json = await thresh(['check', 'jobs', '--json'], { actions });
  assert.deepEqual([json.code, JSON.parse(json.out)], [1, { problems, summary: '2 files in jobs' }]);
});

test('check of a sound configuration ends with 0', async () => {
  const actions = { ...noActions, check: async () => ({ problems: [], summary: '3 jobs in one file' }) };
  assert.deepEqual(await thresh(['check', '.'], { actions }).then((r) => [r.code, r.out]), [
    0,
    'no problems: 3 jobs in one file\n',
  ]);
});

test('nats-config prints the files that were written', async () => {
  const actions = { ...noActions, natsConfig: async ({ dir }: { dir: string }) => ({ files: [`${dir}/nats.conf`] }) };
  assert.equal((await thresh(['nats-config', 'out'], { actions })).out, 'out/nats.conf\n');
});

test('up and controller take what opens GitHub, and the address for links', async () => {
  const args = '--github-app-id 17 --github-app-key-file k --github-api https://ghe/api/v3/ --github-writes-per-hour 0';
  const expected = { githubAppId: '17', githubAppKeyFile: 'k', githubApi: 'https://ghe/api/v3', githubWritesPerHour: 0 };
  assert.partialDeepStrictEqual(await given('up', ['up', ...args.split(' ')]), expected);
  const more = ['--github-token-file', 't', '--public-url', 'https://ci.example.org/'];
  assert.partialDeepStrictEqual(await given('controller', ['controller', ...more]), {
    githubTokenFile: 't',
    publicUrl: 'https://ci.example.org',
  });
  assert.match((await thresh(['up', '--public-url', 'ci.example.org'])).err, /an address such as https:\/\/ci\.example\.org/);
});
