// Makes a checkout ready. Runs on Node 18 and newer, with nothing installed yet.
//
//   node deploy/setup.mjs                packages installed as package-lock.json says, Node 24 in node_modules/.bin
//   node deploy/setup.mjs COMMAND [...]  that, then the command under Node 24:
//     test [FILE...]   the servers that tests start, then lint and the tests (or only these files, unlinted)
//     lint, format, build, dev, demo, bench
//
// The commands are here and not in package.json's scripts because a shell that has found one `node` does not look for a newer one.

import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, utimesSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const bin = join(root, 'node_modules', '.bin');
const windows = process.platform === 'win32';
const inCi = process.env.CI === 'true';

// A Ctrl-C reaches the program that runs too; it decides how to end, and this one waits for it.
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => {});

const lints = [
  ['biome', 'check', '.'],
  ['tsc', '--noEmit'],
  ['tsc', '--noEmit', '-p', 'ui'],
];
const builds = [
  ['tsc', '-p', 'tsconfig.build.json'],
  ['vite', 'build', 'ui', '--logLevel', 'warn'],
];

/** Each returns an exit code. */
const commands = {
  test,
  lint: () => inTurn(lints),
  format: () => inTurn([['biome', 'check', '--write', '.']]),
  build: () => inTurn(builds),
  dev: (args) => inTurn([builds[1], ['node', 'controller/main.ts', 'up', ...args]]),
  bench: (args) => {
    ensureServer('nats-server', ['nats-server'], 'the bench starts real servers');
    return inTurn([['node', 'test/bench/run.ts', ...args]]);
  },
  demo: (args) => {
    // A Docker Engine that answers can run it too.
    if (!args.some((arg) => arg.startsWith('--nats')) && !dockerAnswers())
      ensureServer('nats-server', ['nats-server'], 'the farm needs it');
    return inTurn([...builds, ['node', 'deploy/quickstart/demo.ts', ...args]]);
  },
};

const [command, ...rest] = process.argv.slice(2);
if (command !== undefined && !Object.hasOwn(commands, command))
  fail(`unknown command '${command}'; there are: ${Object.keys(commands).join(', ')}, or none`, 2);
mustHave('npm', 'it comes with Node.js: https://nodejs.org');
mustHave('git', installHint('git'));
ensurePackages();
if (command !== undefined) process.exitCode = commands[command](rest);

/** Runs programs of the tree one after the other, until one fails. @returns {number} exit code */
function inTurn(programs) {
  for (const program of programs) {
    if (program[0] !== 'node') say(program.join(' '));
    const code = inTree(program);
    if (code !== 0) return code;
  }
  return 0;
}

/** @returns {number} exit code */
function test(files) {
  ensureServer('nats-server', ['nats-server']);
  // Containers of a Docker Engine of the tests' own, with an image that is made of busybox.
  ensureServer('dockerd', ['docker.io', 'iptables']);
  ensureServer('busybox', ['busybox-static']);
  // For a machine with a network and a file system of its own (test/vm).
  ensureServer('ip', ['iproute2']);
  // Machines of the tests' own, and a file server for them.
  ensureServer('linux.uml', ['user-mode-linux', 'kmod', 'gcc', 'libc6-dev']);
  ensureServer('ganesha.nfsd', ['nfs-ganesha', 'nfs-ganesha-vfs']);
  ensureServer('mount.nfs4', ['nfs-common']);
  ensureServer('iptables', ['iptables']);
  // An S3 server: Ceph's object gateway on a cluster in memory.
  ensureServer('radosgw', ['ceph-mon', 'ceph-osd', 'radosgw', 'ceph-common']);
  // A browser, and letters for it to draw.
  ensureServer('chromium', ['chromium', 'fonts-dejavu-core']);
  if (files.length === 0 && inTurn(lints) !== 0) return 1;
  // Controllers under test serve the page as it is built.
  if (files.length === 0 || files.some((file) => file.includes('browser'))) {
    if (inTurn([builds[1]]) !== 0) return 1;
  }
  const counts = join(root, 'coverage', 'counts.json');
  mkdirSync(dirname(counts), { recursive: true });
  rmSync(counts, { force: true });
  if (files.length > 0) return runTests(files, 'junit.xml', 2);
  // Two at once: a laptop stays usable. Those that watch machines to the second go alone.
  const code = runTests(['test/unit/**/*.test.ts', 'test/integration/**/*.test.ts', 'test/browser/**/*.test.ts'], 'junit.xml', 2);
  return runTests(['test/vm/**/*.test.ts'], 'junit-vm.xml', 1) || code;
}

/** The closing line counts the tests of the runs before, too. @returns {number} exit code */
function runTests(globs, junit, concurrency) {
  return inTree([
    'node',
    '--test',
    `--test-concurrency=${concurrency}`,
    '--test-timeout=120000',
    '--import=./deploy/test-guard.mjs',
    '--test-reporter=./deploy/test-reporter.mjs',
    '--test-reporter-destination=stdout',
    '--test-reporter=junit',
    `--test-reporter-destination=coverage/${junit}`,
    ...globs,
  ]);
}

function ensurePackages() {
  if (isInstalled() && nodeMajor() === wantedNode()) return;
  say('installing packages (npm ci)');
  const ci = npm(['ci']);
  if (ci.status !== 0) {
    // A lock made where a registry lacks the packages of other platforms is refused by `npm ci`, but not by `npm install`.
    if (!/EUSAGE/.test(ci.output)) fail(`npm ci failed:\n${ci.output}`);
    say('package-lock.json does not name all packages of package.json, so npm ci refuses it; trying npm install');
    const install = npm(['install', '--no-save']);
    if (install.status !== 0) fail(`npm install failed:\n${install.output}`);
  }
  if (nodeMajor() !== wantedNode()) fetchNode();
  if (nodeMajor() !== wantedNode()) fail(`node_modules/.bin/node is not Node ${wantedNode()}; try: npm rebuild node`);
}

/** What the install script of the package 'node' does, for where such scripts are switched off. */
function fetchNode() {
  const cwd = join(root, 'node_modules', 'node');
  const fetched = run(process.execPath, ['installArchSpecificPackage.js'], { cwd });
  if (fetched.status !== 0) fail(`Node ${wantedNode()} could not be installed:\n${fetched.output}`);
  rmSync(join(bin, 'node'), { force: true });
  symlinkSync(join('..', 'node', 'bin', 'node'), join(bin, 'node'));
}

/** Whether node_modules holds what package-lock.json says. By content when the lock is newer: a checkout touches it too. */
function isInstalled() {
  const [lock, hidden] = [join(root, 'package-lock.json'), join(root, 'node_modules', '.package-lock.json')];
  if (!existsSync(hidden)) return false;
  if (statSync(hidden).mtimeMs >= statSync(lock).mtimeMs) return true;
  const wanted = Object.entries(readJson(lock).packages).filter(([path, p]) => path !== '' && !p.optional);
  const there = readJson(hidden).packages;
  if (!wanted.every(([path, p]) => there[path]?.version === p.version && existsSync(join(root, path)))) return false;
  utimesSync(hidden, new Date(), new Date());
  return true;
}

function wantedNode() {
  return Number(/\d+/.exec(readJson(join(root, 'package.json')).devDependencies.node)?.[0]);
}

function nodeMajor() {
  const { status, stdout } = spawnSync(join(bin, 'node'), ['--version'], { encoding: 'utf8', shell: windows });
  return status === 0 ? Number(/\d+/.exec(stdout)?.[0]) : undefined;
}

/** A server that tests start, by the program that tells whether it is there. Where it cannot be had its tests are skipped, in CI that is a failure. */
function ensureServer(program, packages, why = 'tests start real servers') {
  if (onPath(program)) return;
  if (isRoot() && onPath('apt-get')) {
    say(`installing ${program} (apt-get install ${packages.join(' ')}): ${why}`);
    const apt = (...args) => run('apt-get', ['-q', ...args], { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } });
    const install = () => apt('install', '--yes', '--no-install-recommends', ...packages);
    // Old package lists name versions that are gone: fetch new ones only when it does not work without.
    if (install().status !== 0) {
      apt('update');
      const second = install();
      if (second.status !== 0) say(`${program} could not be installed:\n${second.output}`);
    }
    if (onPath(program)) return;
  }
  const hint = `${program} is missing; ${installHint(packages.join(' '))}`;
  if (inCi) fail(hint);
  say(`${hint}\n       until then what needs it is left out`);
}

function installHint(name) {
  if (process.platform === 'darwin') return `install it with: brew install ${name}`;
  if (onPath('apt-get')) return `install it with: sudo apt-get install ${name}`;
  return name === 'nats-server' ? 'install it from https://nats.io/download' : `install ${name}`;
}

function mustHave(name, hint) {
  if (!onPath(name)) fail(`${name} is missing; ${hint}`);
}

/** Runs a program of node_modules/.bin with Node 24 first on the path, its output straight to ours. */
function inTree([program, ...args]) {
  const env = { ...process.env, PATH: bin + delimiter + process.env.PATH };
  // A test runner that finds itself inside another one reports to that instead of to people.
  delete env.NODE_TEST_CONTEXT;
  const { status, error } = spawnSync(program, args, { cwd: root, env, stdio: 'inherit', shell: windows });
  if (error) fail(`${program}: ${error.message}`);
  return status ?? 1;
}

/** npm must not run on the Node that it is about to replace. */
function npm(args) {
  const PATH = (process.env.PATH ?? '')
    .split(delimiter)
    .filter((dir) => dir !== bin)
    .join(delimiter);
  return run('npm', [...args, '--no-audit', '--no-fund', '--loglevel=error'], { cwd: root, env: { ...process.env, PATH } });
}

function run(program, args, options) {
  const done = spawnSync(program, args, { encoding: 'utf8', shell: windows, maxBuffer: 64 * 1024 * 1024, ...options });
  return { status: done.status, output: `${done.stdout ?? ''}${done.stderr ?? ''}${done.error?.message ?? ''}`.trim() };
}

function onPath(name) {
  const names = windows ? [`${name}.exe`, `${name}.cmd`] : [name];
  return (process.env.PATH ?? '').split(delimiter).some((dir) => dir !== '' && names.some((n) => isExecutable(join(dir, n))));
}

function dockerAnswers() {
  return onPath('docker') && run('docker', ['version', '--format', '{{.Server.Version}}'], { timeout: 5_000 }).status === 0;
}

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function isRoot() {
  return process.getuid?.() === 0;
}

function readJson(file) {
  return JSON.parse(readFileSync(file, 'utf8'));
}

function say(text) {
  process.stdout.write(`setup: ${text}\n`);
}

function fail(text, code = 1) {
  process.stderr.write(`setup: ${text}\n`);
  process.exit(code);
}
