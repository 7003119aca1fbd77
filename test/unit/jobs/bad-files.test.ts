import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeProblems } from '../../../controller/jobs/describe.ts';
import { loadJobs } from '../../../controller/jobs/load.ts';
import { directoryWith, presubmit, spec, withSteps } from './harness.ts';

/** A file in which one thing is wrong, and all that is said about it. */
type Bad = [what: string, file: string, said: string];

const bomb = [
  'prow_ignored:',
  '  a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]',
  ...Array.from({ length: 9 }, (_, i) => `  a${i + 1}: &a${i + 1} [${Array(10).fill(`*a${i}`).join(', ')}]`),
].join('\n');

const bad: Bad[] = [
  // YAML
  [
    'a tab as indentation',
    'manual:\n- name: a\n\tsteps: []\n',
    'bad.yaml:3:1: this line is indented with a tab; YAML wants spaces, so replace the tab by spaces',
  ],
  [
    'an alias bomb',
    bomb,
    'bad.yaml:8:17: with this alias (*name) the file becomes bigger than 32 MiB; write out what is really needed',
  ],
  [
    'very many aliases',
    `prow_ignored:\n  a: &a 1\n  b: [${'*a,'.repeat(10_001)}]\n`,
    'bad.yaml:3:30007: here begins alias (*name) number 10001, one more than is possible; write some of them out',
  ],
  [
    'an alias without an anchor',
    withSteps('- {name: a, image: *busybox}'),
    'bad.yaml:4:22: *busybox has no anchor before it; define &busybox above, or put the text in quotes',
  ],
  [
    'a regular expression that YAML takes for an alias',
    presubmit(spec, 'branches:', '- *.x'),
    'bad.yaml:6:7: *.x has no anchor before it; define &.x above, or put the text in quotes',
  ],
  [
    'an anchor that contains itself',
    'prow_ignored: &a [*a]\n',
    'bad.yaml:1:19: *a stands for something that contains itself; remove it',
  ],
  [
    'a key twice',
    presubmit(spec, 'always_run: true', 'optional: true', 'always_run: false'),
    "bad.yaml:7:5: the key 'always_run' is there twice in this map; remove one",
  ],
  [
    'two documents',
    'periodics: []\n---\nmanual: []\n',
    'bad.yaml:2:1: a second YAML document begins here; put it into a file of its own',
  ],
  [
    'an indentation that fits nothing',
    'manual:\n  - name: a\n - name: b\n',
    'bad.yaml:3:1: the indentation does not fit; align this line with its neighbours',
  ],
  [
    'two colons in a line',
    presubmit(spec, 'context: a: b'),
    "bad.yaml:5:14: there is a second ': ' in this line; put the value in quotes",
  ],
  [
    'a value that begins with @',
    presubmit(spec, 'context: @daily'),
    "bad.yaml:5:14: a value cannot begin with '@'; put it in quotes",
  ],
  [
    'a quote that is not closed',
    presubmit(spec, 'context: "a'),
    'bad.yaml:6:1: a text in quotes is not closed before here; add the closing quote',
  ],
  ['an unknown tag', presubmit(spec, 'context: !secret a'), 'bad.yaml:5:14: Unresolved tag: !secret; remove the tag'],
  [
    'ten thousand brackets',
    `prow_ignored: ${'['.repeat(10_000)}`,
    'bad.yaml:1:79: lists and maps stand more than 64 deep in each other; flatten them',
  ],
  [
    'braces as keys of braces',
    `prow_ignored: ${'{'.repeat(5_000)}${'}'.repeat(5_000)}`,
    'bad.yaml:1:79: lists and maps stand more than 64 deep in each other; flatten them',
  ],

  // The file
  ['a list instead of a map', '- name: a\n', 'bad.yaml:1:1: a job file must be a map, but is a list'],
  [
    'an unknown key',
    'presubmit:\n  org/repo: []\n',
    "bad.yaml:1:1: 'presubmit' is not a field of a job file; did you mean 'presubmits'?",
  ],
  [
    'jobs without a repository',
    `presubmits:\n- name: unit\n  ${spec}\n`,
    'bad.yaml:2:1: presubmits must be a map from org/repo to a list of jobs, but is a list',
  ],
  [
    'a repository without its organisation',
    `presubmits:\n  repo:\n  - name: unit\n    ${spec}\n`,
    "bad.yaml:2:3: 'repo' is not a repository; write org/repo",
  ],
  [
    'one job where a list must be',
    `periodics:\n  name: unit\n  cron: "@daily"\n`,
    'bad.yaml:2:3: periodics must be a list of jobs, but is a map',
  ],
  ['a job that is text', 'manual:\n- hello\n', "bad.yaml:2:3: a job must be a map, but is the text 'hello'"],
  [
    'a trust that does not exist',
    'repositories:\n  org/repo: {trust: everybody}\n',
    "bad.yaml:2:21: trust must be one of members, all, but is the text 'everybody'",
  ],
  [
    'an unknown setting of a repository',
    'repositories:\n  org/repo: {thrust: all}\n',
    "bad.yaml:2:14: 'thrust' is not a field of a repository; did you mean 'trust'?",
  ],

  // Any job
  ['no name', `manual:\n- ${spec}\n`, "bad.yaml:2:3: a job has no 'name'; add it"],
  [
    'a name with a space',
    `manual:\n- name: a b\n  ${spec}\n`,
    "bad.yaml:2:9: job 'a b': name must be at most 255 letters, digits, '.', '_' and '-' that begin and end with a letter or digit, but is the text 'a b'",
  ],
  [
    'a name that YAML takes for a boolean',
    `manual:\n- name: on\n  ${spec}\n`,
    "bad.yaml:2:9: name must be at most 255 letters, digits, '.', '_' and '-' that begin and end with a letter or digit, but is the boolean true; put it in quotes (without them yes, no, on, off, y and n are true or false)",
  ],
  [
    'nothing to run',
    presubmit('always_run: true'),
    "bad.yaml:3:5: job 'unit': the job runs nothing; give it 'spec' (a PodSpec with one container) or 'steps'",
  ],
  [
    'both spec and steps',
    presubmit(spec, 'steps: [{name: a, image: b}]'),
    "bad.yaml:5:5: job 'unit': the job has both 'spec' and 'steps'; keep one of them",
  ],
  [
    'finally beside spec',
    presubmit(spec, 'finally: [{name: a, image: b}]'),
    "bad.yaml:5:5: job 'unit': 'finally' goes with 'steps', not with 'spec'; write the container as a step",
  ],
  [
    'a number that is text',
    presubmit(spec, 'max_concurrency: three'),
    "bad.yaml:5:22: job 'unit': max_concurrency must be a whole number of at least 0, but is the text 'three'",
  ],
  [
    'a number in quotes',
    presubmit(spec, 'max_concurrency: "3"'),
    "bad.yaml:5:22: job 'unit': max_concurrency must be a whole number of at least 0, but is the text '3'; take the quotes away",
  ],
  [
    'a negative number',
    presubmit(spec, 'max_concurrency: -1'),
    "bad.yaml:5:22: job 'unit': max_concurrency must be a whole number of at least 0, but is the number -1",
  ],
  [
    'an unknown priority',
    presubmit(spec, 'priority: urgent'),
    "bad.yaml:5:15: job 'unit': priority must be one of high, normal, low, but is the text 'urgent'",
  ],
  [
    'a queue with a dot',
    presubmit(spec, 'queue: linux.arm64'),
    "bad.yaml:5:12: job 'unit': queue must be at most 64 letters, digits, '_' and '-' that begin and end with a letter or digit, but is the text 'linux.arm64'",
  ],
  [
    'a timeout in days',
    presubmit(spec, 'decoration_config: {timeout: 1d}'),
    `bad.yaml:5:34: job 'unit': decoration_config.timeout must be a duration such as "90m" or "1h30m" (units: h, m, s, ms), but is the text '1d'`,
  ],
  [
    'a timeout longer than timers count',
    presubmit(spec, 'timeout: 1000h'),
    "bad.yaml:5:14: job 'unit': timeout must be from 1s to 576h, but is the text '1000h'",
  ],
  [
    'a misspelt field of a job with steps',
    'manual:\n- name: a\n  steps: [{name: a, image: b}]\n  priorty: high\n',
    "bad.yaml:4:3: job 'a': 'priorty' is not a field of a job; did you mean 'priority'?",
  ],
  [
    'a schedule of a manual job',
    `manual:\n- name: a\n  cron: "@daily"\n  ${spec}\n`,
    "bad.yaml:3:3: job 'a': cron has no meaning for a manual job, which only people start; remove it",
  ],

  // Triggers
  [
    'a flag in quotes',
    presubmit(spec, 'always_run: "true"'),
    "bad.yaml:5:17: job 'unit': always_run must be true or false, but is the text 'true'; take the quotes away",
  ],
  [
    'branches that are no list',
    presubmit(spec, 'branches: main'),
    `bad.yaml:5:15: job 'unit': branches must be a list of regular expressions, but is the text 'main'; write it as ["main"]`,
  ],
  [
    'a branch that is a number',
    presubmit(spec, 'branches: [1.0]'),
    "bad.yaml:5:16: job 'unit': branches[0] must be text, but is the number 1; put it in quotes",
  ],
  [
    'a bad regular expression',
    presubmit(spec, "branches: ['^main$', '^(release']"),
    "bad.yaml:5:26: job 'unit': branches[1]: '^(release' is not a regular expression (RE2): missing closing ): `^(release`",
  ],
  [
    'look-ahead',
    presubmit(spec, "run_if_changed: '^(?!docs/)'"),
    "bad.yaml:5:21: job 'unit': run_if_changed: '^(?!docs/)' is not a regular expression (RE2): invalid or unsupported Perl syntax: `(?!`; look-around is not possible here",
  ],
  [
    'a very long regular expression',
    presubmit(spec, `run_if_changed: '${'a|'.repeat(1_500)}'`),
    "bad.yaml:5:21: job 'unit': run_if_changed: 'a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a...' is not a regular expression (RE2): it is longer than 2000 characters",
  ],
  [
    'always_run with run_if_changed',
    presubmit(spec, 'always_run: true', 'run_if_changed: a'),
    "bad.yaml:6:5: job 'unit': always_run: true and run_if_changed exclude each other; remove one of them",
  ],
  [
    'both change filters',
    presubmit(spec, 'run_if_changed: a', 'skip_if_only_changed: b'),
    "bad.yaml:6:5: job 'unit': the job has both run_if_changed and skip_if_only_changed; keep one of them",
  ],
  [
    'an empty context',
    presubmit(spec, 'context: ""'),
    "bad.yaml:5:14: job 'unit': context is empty; remove it to report under the name of the job, or say skip_report: true",
  ],
  [
    'a periodic without a schedule',
    `periodics:\n- name: a\n  ${spec}\n`,
    "bad.yaml:2:3: job 'a': a periodic job needs a schedule; add cron, interval or minimum_interval",
  ],
  [
    'a periodic with two schedules',
    `periodics:\n- name: a\n  cron: "@daily"\n  interval: 1h\n  ${spec}\n`,
    "bad.yaml:4:3: job 'a': a periodic job has one schedule, but this has cron and interval; keep one of them",
  ],
  [
    'a minute 61',
    `periodics:\n- name: a\n  cron: 61 * * * *\n  ${spec}\n`,
    "bad.yaml:3:9: job 'a': cron '61 * * * *' is not a schedule: '61' is not a minute (0 to 59, ranges a-b, steps */n)",
  ],
  [
    'a cron line with four fields',
    `periodics:\n- name: a\n  cron: 0 3 * *\n  ${spec}\n`,
    "bad.yaml:3:9: job 'a': cron '0 3 * *' is not a schedule: it has 4 fields; write minute, hour, day, month and day of the week",
  ],
  [
    'an interval that is no duration',
    `periodics:\n- name: a\n  interval: soon\n  ${spec}\n`,
    `bad.yaml:3:13: job 'a': interval must be a duration such as "1h" or "90m" (units: h, m, s, ms), but is the text 'soon'`,
  ],

  // spec
  [
    'no container',
    presubmit('spec: {containers: []}'),
    "bad.yaml:4:24: job 'unit': spec.containers must be a list of one container, but has 0; write several as 'steps'",
  ],
  [
    'two containers',
    presubmit('spec: {containers: [{image: a}, {image: b}]}'),
    "bad.yaml:4:24: job 'unit': spec.containers must be a list of one container, but has 2; write several as 'steps'",
  ],
  [
    'an init container',
    presubmit('spec: {containers: [{image: a}], initContainers: [{image: b}]}'),
    "bad.yaml:4:38: job 'unit': initContainers are not possible; write them as 'steps'",
  ],
  [
    'a command that is text',
    presubmit('spec: {containers: [{image: a, command: make all}]}'),
    `bad.yaml:4:45: job 'unit': container: command must be a list of text, but is the text 'make all'; write it as ["make all"]`,
  ],
  [
    'an argument that YAML takes for a boolean',
    presubmit('spec: {containers: [{image: a, command: [y]}]}'),
    "bad.yaml:4:46: job 'unit': container: command[0] must be text, but is the boolean true; put it in quotes (without them yes, no, on, off, y and n are true or false)",
  ],
  [
    'a variable twice',
    presubmit('spec: {containers: [{image: a, env: [{name: A, value: b}, {name: A, value: c}]}]}'),
    "bad.yaml:4:63: job 'unit': env: the variable A is there twice; remove one",
  ],
  [
    'a variable that the farm sets',
    presubmit('spec: {containers: [{image: a, env: [{name: JOB_NAME, value: b}]}]}'),
    "bad.yaml:4:41: job 'unit': env: the farm sets JOB_NAME itself; give the variable another name",
  ],

  // Steps
  [
    'no steps',
    'manual:\n- name: build\n  steps: []\n',
    "bad.yaml:3:10: job 'build': steps is an empty list; write at least one step",
  ],
  [
    'an unknown step in needs',
    withSteps('- {name: build, image: a}', '- {name: test, image: a, needs: [biuld]}'),
    "bad.yaml:5:36: job 'build': step 'test' needs 'biuld', which is no step of this job; did you mean 'build'?",
  ],
  [
    'a cycle',
    withSteps('- {name: a, image: x, needs: [c]}', '- {name: b, image: x, needs: [a]}', '- {name: c, image: x, needs: [b]}'),
    "bad.yaml:4:32: job 'build': the steps need each other in a circle: a -> c -> b -> a; remove one of these needs",
  ],
  [
    'a step that needs itself',
    withSteps('- {name: a, image: x, needs: [a]}'),
    "bad.yaml:4:32: job 'build': the steps need each other in a circle: a -> a; remove one of these needs",
  ],
  [
    'a step name twice',
    withSteps('- {name: a, image: x}', '- {name: a, image: z}'),
    "bad.yaml:5:12: job 'build': two steps have the name 'a'; rename one of them",
  ],
  [
    'a step name with a dot',
    withSteps('- {name: a.b, image: x}'),
    "bad.yaml:4:12: job 'build': step 'a.b': name must be at most 63 letters, digits, '_' and '-' that begin and end with a letter or digit, but is the text 'a.b'",
  ],
  ['a step without a name', withSteps('- {image: x}'), "bad.yaml:4:5: job 'build': steps[0]: a step has no 'name'; add it"],
  [
    'both script and command',
    withSteps('- {name: a, script: make, command: [make]}'),
    "bad.yaml:4:29: job 'build': step 'a': has both script and command; keep one of them",
  ],
  [
    'a step that runs nothing',
    withSteps('- {name: a, args: [x]}'),
    "bad.yaml:4:5: job 'build': step 'a': runs nothing; give it script, command or image",
  ],
  [
    'another system’s word',
    withSteps('- {name: a, image: x}', '- {name: b, image: x, depends_on: [a]}'),
    "bad.yaml:5:25: job 'build': step 'b': 'depends_on' is not a field of a step; did you mean 'needs'?",
  ],
  [
    'a field that resembles nothing',
    withSteps('- {name: a, image: x, hologram: true}'),
    "bad.yaml:4:25: job 'build': step 'a': 'hologram' is not a field of a step; there are: name, image, command, args, script, env, secrets, needs, when, timeout, grace_period, retries, queue, workdir, on_lease_loss, pull_policy, resources, user, network, privileged, capabilities, host_paths",
  ],
  [
    'needs that are no list',
    withSteps('- {name: a, image: x}', '- {name: b, image: x, needs: a}'),
    `bad.yaml:5:32: job 'build': step 'b': needs must be a list of at most 500 step names, but is the text 'a'; write it as ["a"]`,
  ],
  [
    'an unknown when',
    withSteps('- {name: a, image: x, when: never}'),
    "bad.yaml:4:31: job 'build': step 'a': when must be one of success, failure, always, but is the text 'never'",
  ],
  [
    'a step for failures that needs nothing',
    withSteps('- {name: a, image: x, when: failure}'),
    "bad.yaml:4:31: job 'build': step 'a' runs when a step that it needs has failed, but it needs none; add needs",
  ],
  [
    'too many retries',
    withSteps('- {name: a, image: x, retries: 11}'),
    "bad.yaml:4:34: job 'build': step 'a': retries must be a whole number from 0 to 10, but is the number 11",
  ],
  [
    'a timeout of a step that is too short',
    withSteps('- {name: a, image: x, timeout: 10ms}'),
    "bad.yaml:4:34: job 'build': step 'a': timeout must be from 1s to 576h, but is the text '10ms'",
  ],
  [
    'a variable that is a number',
    withSteps('- {name: a, image: x, env: {VERSION: 1.10}}'),
    "bad.yaml:4:40: job 'build': step 'a': env.VERSION must be text, but is the number 1.1; put it in quotes",
  ],
  [
    'a variable with a dash',
    withSteps('- {name: a, image: x, env: {MY-VAR: b}}'),
    "bad.yaml:4:31: job 'build': step 'a': env: name must be the name of an environment variable (letters, digits and '_', not beginning with a digit), but is the text 'MY-VAR'",
  ],
  [
    'env that is text',
    withSteps('- {name: a, image: x, env: A=b}'),
    "bad.yaml:4:30: job 'build': step 'a': env must be a map, or a list of name and value, but is the text 'A=b'",
  ],
  [
    'a secret that is also a variable',
    withSteps('- {name: a, image: x, env: {A: b}, secrets: {A: token}}'),
    "bad.yaml:4:48: job 'build': step 'a': A is in both env and secrets; keep one of them",
  ],
  [
    'a secret that is a map',
    withSteps('- {name: a, image: x, secrets: {A: {name: b}}}'),
    "bad.yaml:4:38: job 'build': step 'a': secrets.A must be text, but is a map",
  ],
  [
    'a workdir outside of the workspace',
    withSteps('- {name: a, image: x, workdir: ../..}'),
    "bad.yaml:4:34: job 'build': step 'a': workdir must be a path inside the workspace, without '..' and not beginning with '/', but is the text '../..'",
  ],
  [
    'two queues on a local workspace',
    withSteps('- {name: a, image: x}', '- {name: b, image: x, queue: gpu}'),
    "bad.yaml:5:32: job 'build': with a local workspace all steps go to one agent, so to one queue, but 'a' is of 'default' and 'b' of 'gpu'; give them one queue, or say workspace: shared",
  ],
  [
    'a step that needs one of finally',
    `${withSteps('- {name: a, image: x, needs: [z]}')}  finally: [{name: z, image: x}]\n`,
    "bad.yaml:4:33: job 'build': step 'a' needs 'z', which is in finally and runs after it; move one of them",
  ],

  // Between jobs
  [
    'a job twice',
    `presubmits:\n  org/repo:\n  - name: unit\n    ${spec}\n  - name: unit\n    ${spec}\n`,
    "bad.yaml:5:11: job 'unit': a presubmit 'unit' of org/repo for the same branches already stands in bad.yaml:3; rename one of them",
  ],
  [
    'a job twice for one branch',
    `postsubmits:\n  org/repo:\n  - name: unit\n    branches: [main, next]\n    ${spec}\n  - name: unit\n    branches: [next]\n    ${spec}\n`,
    "bad.yaml:6:11: job 'unit': a postsubmit 'unit' of org/repo for the same branches already stands in bad.yaml:3; rename one of them, or give them different branches",
  ],
  [
    'a periodic twice',
    `periodics:\n- name: a\n  cron: "@daily"\n  ${spec}\n- name: a\n  interval: 1h\n  ${spec}\n`,
    "bad.yaml:5:9: job 'a': a periodic job 'a' already stands in bad.yaml:2; rename one of them",
  ],
  [
    'a context twice',
    `presubmits:\n  org/repo:\n  - name: a\n    context: ci\n    ${spec}\n  - name: b\n    context: ci\n    ${spec}\n`,
    "bad.yaml:6:11: job 'b': 'a' in bad.yaml:3 reports under the context 'ci' too; give each its own",
  ],
  [
    'two presets for a label',
    'presets:\n- labels: {a: "b"}\n- labels: {a: "b"}\n',
    'bad.yaml:3:3: a preset for a: "b" already stands in bad.yaml:2; put them together',
  ],
  [
    'a preset that sets what the job sets',
    `presets:\n- env: [{name: A, value: b}]\nmanual:\n- name: a\n  steps: [{name: s, image: x, env: {A: c}}]\n`,
    "bad.yaml:4:9: job 'a': the preset of bad.yaml:2 sets A, which the job sets too; remove one of them",
  ],
  [
    'a repository with settings twice',
    'prow_ignored: &r {trust: all}\nrepositories:\n  org/repo: *r\n  org/repo : *r\n',
    "bad.yaml:4:3: the key 'org/repo' is there twice in this map; remove one",
  ],
];

for (const [what, file, said] of bad) {
  test(`${what} is one problem with its place`, async (t) => {
    const loaded = await loadJobs(await directoryWith(t, { 'bad.yaml': file }));
    assert.equal(describeProblems(loaded.problems), said);
    assert.equal(loaded.config, undefined);
  });
}
