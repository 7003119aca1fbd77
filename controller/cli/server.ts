import { type Command, Option } from 'commander';
import type { Problem } from '../../protocol/job.ts';
import { usage } from './exit.ts';
import { examples } from './help.ts';
import {
  asIs,
  type Listen,
  parseListen,
  parseName,
  parseNames,
  parseRepo,
  parseSize,
  parseUrl,
  parseWhole,
  several,
} from './parse.ts';
import { defaultData, parseUrls } from './settings.ts';
import type { Env } from './terminal.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type Executor = 'docker' | 'process' | 'scripted' | 'auto';

/** What every controller needs. Files and directories are as they were written: relative to the working directory. */
export type ServerOptions = {
  data: string;
  listen: Listen;
  jobs?: string;
  secrets?: string;
  /** Several while secrets are exchanged. */
  webhookSecretFiles: string[];
  /** Address of a NATS server that is there already; absent: an embedded one is started. */
  nats?: string;
  /** Where the keys and the configuration for NATS are, as `nats-config` writes them. */
  natsDir?: string;
  /** GitHub's REST API; absent: that of github.com. */
  githubApi?: string;
  githubTokenFile?: string;
  githubAppId?: string;
  githubAppKeyFile?: string;
  /** How many writes an hour GitHub gets; 0: as many as there are; absent: what GitHub publishes. */
  githubWritesPerHour?: number;
  /** Under which people reach the farm; absent: the address at which it answers. */
  publicUrl?: string;
  /** A directory, or `s3://...`; absent: below `data`. */
  objects?: string;
  resultsPrefix: string;
  pathStrategy: 'legacy' | 'single' | 'explicit';
  defaultRepo?: { org: string; repo: string };
  /** Where agents reach NATS; absent: where the controller does, under the name by which they reached that. */
  agentsNats?: string;
  /** With a token that reads `/metrics` and nothing else. */
  metricsTokenFile?: string;
  /** Free space of a disk below which nothing new is accepted; absent: 1 GiB or 5 %. */
  leastFree?: number;
  /** Names under which the farm answers, beside that of `listen`. */
  hosts: string[];
  logLevel: LogLevel;
};
export type UpOptions = ServerOptions & {
  /** Where the embedded NATS server listens; absent: on loopback, so that only agents of this machine reach it. */
  natsListen?: Listen;
  /** How many agents to start beside the controller. */
  agents: number;
  executor: Executor;
  /** Of each agent. */
  slots: number;
  /** File that says what steps may ask of this machine. */
  policy?: string;
  /** Of steps that name none. */
  defaultImage?: string;
  /** Agents may clone from this machine's own files. */
  allowFileClone?: boolean;
};
export type ControllerOptions = ServerOptions & { keyFile?: string };
export type AgentOptions = {
  /** Controllers, in the order in which they are tried. */
  urls: string[];
  /** Join token. Absent: the agent has joined before. */
  token?: string;
  tokenFile?: string;
  name?: string;
  data: string;
  /** Absent: all that the token allows. */
  queues?: string[];
  /** Absent: as when it joined, or 2. */
  slots?: number;
  /** Absent: as when it joined, or what suits the machine. */
  executor?: Executor;
  /** File that says what steps may ask of this machine. */
  policy?: string;
  /** Of steps that name none. */
  defaultImage?: string;
  /** The user as whom steps run. */
  stepUser?: string;
  /** It may clone from the machine's own files. */
  allowFileClone?: boolean;
  logLevel: LogLevel;
};
export type NatsConfigOptions = { dir: string; data: string };
export type CheckOptions = { dir: string };
/** `summary`: one line, such as '12 jobs in 3 files'. */
export type CheckAnswer = { problems: Problem[]; summary: string };

/** What main.ts hands over: the parts of the program that are not the command line's. Each ends when its work does. */
export type Actions = {
  up: (o: UpOptions) => Promise<void>;
  controller: (o: ControllerOptions) => Promise<void>;
  agent: (o: AgentOptions) => Promise<void>;
  /** @returns the files that it wrote */
  natsConfig: (o: NatsConfigOptions) => Promise<{ files: string[] }>;
  check: (o: CheckOptions) => Promise<CheckAnswer>;
};

const logLevel = () =>
  new Option('--log-level <level>', 'how much the servers tell on standard error')
    .choices(['debug', 'info', 'warn', 'error'])
    .default('info');
const executor = () =>
  new Option(
    '--executor <name>',
    'docker: containers; process: commands on this machine, for trusted jobs only; auto: docker if it is there, else process; scripted: pretends, for tests',
  )
    .choices(['docker', 'process', 'auto', 'scripted'])
    .default('process');
const slots = (command: Command) =>
  command
    .option('--slots <n>', 'steps that an agent runs at the same time', parseWhole(1, 1_000), 2)
    .addOption(executor())
    .option('--default-image <image>', 'with docker: the image of steps that name none')
    .option('--policy <file>', 'with docker: what steps may ask of this machine (privileged, host paths...); default: nothing')
    .option('--allow-file-clone', "sources may be cloned from this machine's own files (file://)");

/** commander calls options by their last word; here a list has the name of many. */
type ParsedServer = Omit<ServerOptions, 'webhookSecretFiles' | 'hosts'> & { webhookSecretFile?: string[]; host?: string[] };

const serverOptions = (command: Command): Command =>
  command
    .option('--data <dir>', 'where everything is kept', defaultData)
    .addOption(
      new Option('--listen <host:port>', 'where to answer; beyond this machine, put TLS before it')
        .argParser(parseListen)
        .default({ host: '127.0.0.1', port: 8787 }, '127.0.0.1:8787'),
    )
    .option('--jobs <dir>', "the job configuration ('thresh check DIR' looks for problems in it)")
    .option('--secrets <dir>', 'secrets for trusted jobs, one file each')
    .option('--webhook-secret-file <file>', 'secret of the webhook; several while it is exchanged', several(asIs))
    .option('--host <name>', 'a host name under which people and GitHub reach the farm; several times', several(asIs))
    .option('--public-url <url>', 'under which people reach the farm, for links on GitHub (default: where it answers)', parseUrl)
    .optionsGroup('GitHub:')
    .option('--github-token-file <file>', 'a token that may write commit statuses (read anew for each request)')
    .option('--github-app-id <id>', 'instead, a GitHub App that may,')
    .option('--github-app-key-file <file>', 'and its private key')
    .option(
      '--github-api <url>',
      'of a GitHub Enterprise Server: https://HOST/api/v3 (default: https://api.github.com)',
      parseUrl,
    )
    .option(
      '--github-writes-per-hour <n>',
      'statuses told at most; 0: no bound (default: 500, as GitHub asks)',
      parseWhole(0, 1_000_000),
    )
    .optionsGroup('Results:')
    .option('--objects <where>', 'a directory, or s3://BUCKET/PREFIX?endpoint=URL&region=NAME (default: in --data)')
    .option('--results-prefix <prefix>', 'what stands before the results of runs, laid out as in Prow’s bucket', 'results/')
    .addOption(
      new Option('--path-strategy <name>', 'which repositories have a directory named for them')
        .choices(['legacy', 'single', 'explicit'])
        .default('legacy'),
    )
    .option('--default-repo <org/repo>', 'the repository that legacy and single leave out', parseRepo)
    .optionsGroup('NATS:')
    .option('--nats <url>', 'a NATS server that is there already (default: one is started)')
    .option('--nats-dir <dir>', "the keys for it, as 'thresh nats-config' writes them")
    .option('--agents-nats <url>', 'where agents reach NATS, when not under the name by which they reach the farm')
    .optionsGroup('Options:')
    .option('--metrics-token-file <file>', 'a token with which /metrics can be read, and nothing else (default: only the admin)')
    .option('--least-free <size>', 'free disk below which nothing new is accepted: 500M, 2G (default: 1 GiB or 5 %)', parseSize)
    .addOption(logLevel());

const server = <T extends ParsedServer>({ webhookSecretFile, host, ...rest }: T) => ({
  ...rest,
  webhookSecretFiles: webhookSecretFile ?? [],
  hosts: host ?? [],
});

export function addUp(parent: Command, actions: Actions): void {
  const command = parent
    .command('up')
    .description('run a whole farm on this machine: controller, NATS, agents')
    .action((o: ParsedServer & Pick<UpOptions, 'agents' | 'executor' | 'slots' | 'natsListen'>) => actions.up(server(o)));
  serverOptions(command);
  command
    .optionsGroup('NATS:')
    .option('--nats-listen <host:port>', 'lets agents of other machines in (default: this machine only)', parseListen)
    .optionsGroup('Agents:')
    .option('--agents <n>', 'agents to start beside it', parseWhole(0, 100), 1);
  slots(command);
  examples(
    command,
    [
      ['thresh up --jobs ./jobs', 'everything in ./.thresh, on http://127.0.0.1:8787'],
      [
        'thresh up --jobs ./jobs --webhook-secret-file hook.secret --host ci.example.org',
        'with webhooks, behind a proxy that is called so',
      ],
      [
        'thresh up --listen :8787 --nats-listen :4222 --host ci.example.org',
        "agents of other machines may join ('thresh agents token' says how)",
      ],
    ],
    'It needs nats-server to be installed. The first start makes an admin token, .thresh/admin.token, which the\n' +
      'commands in the same directory use by themselves. Ctrl-C ends all of it; nothing is lost.',
  );
}

export function addController(parent: Command, actions: Actions): void {
  const command = parent
    .command('controller')
    .description('run a controller alone; several share the work, one of them leads')
    .action((o: ParsedServer & { keyFile?: string }) => actions.controller(server(o)));
  serverOptions(command);
  command.option('--key-file <file>', "the farm's key, the same for all its controllers (default: made in --data)");
  examples(command, [
    ['thresh controller --nats nats://nats:4222 --nats-dir /etc/thresh/nats --listen :8787', 'with a NATS server of your own'],
    ['thresh controller --key-file /etc/thresh/farm.key --host ci.example.org', 'one of several replicas'],
  ]);
}

type ParsedAgent = Omit<AgentOptions, 'urls'> & { url?: string[] };

export function addAgent(parent: Command, actions: Actions, env: Env): void {
  const command = parent
    .command('agent')
    .description('run an agent: it takes steps from the farm and runs them here')
    .option('--url <url>', 'a controller; several times for replicas (default: THRESH_URL)', several(asIs))
    .option('--token-file <file>', "file with a join token ('thresh agents token'); needed the first time only")
    .option('--token <token>', 'the join token itself; others on this machine can read it in the list of processes')
    .option('--name <name>', 'how the agent is called (default: the name of the machine)', parseName('agent'))
    .option('--data <dir>', 'where its keys, journal and workspaces are kept', '.thresh-agent')
    .option('--queues <names>', 'of the queues that the token allows, those to serve (default: all)', parseNames)
    .option('--step-user <user>', 'the user as whom steps run')
    .addOption(logLevel())
    .action((o: ParsedAgent, self: Command) => actions.agent(agentOptions(asSaid(o, self), env)));
  slots(command);
  addJoin(command, actions, env);
  examples(command, [
    ['thresh agent --url https://ci.example.org --token-file join.token', 'joins, then serves until it is stopped'],
    ['thresh agent --url http://a:8787 --url http://b:8787 --slots 8', 'two replicas; it has joined before'],
  ]);
}

function addJoin(parent: Command, actions: Actions, env: Env): void {
  const command = parent
    .command('join')
    .description('let this machine join a farm, then serve it; later `thresh agent` is enough')
    .argument('<url>', 'a controller; several with commas for replicas')
    .argument('<token>', "the join token that 'thresh agents token' made")
    .action((url: string, token: string, _: object, self: Command) => {
      const o = self.optsWithGlobals<ParsedAgent>();
      return actions.agent(agentOptions(asSaid({ ...o, url: [url], token }, self, parent), env));
    });
  examples(command, [
    [
      'thresh agent join https://ci.example.org TOKEN --name node-7 --slots 8',
      'the token is good for an hour, the agent until it is revoked',
    ],
  ]);
}

/** Without what is only a default: an agent that has joined before goes on as it was. */
const asSaid = (o: ParsedAgent, ...commands: Command[]): ParsedAgent => {
  const isSaid = (name: string) => commands.some((c) => !['default', undefined].includes(c.getOptionValueSource(name)));
  const { slots: n, executor: kind, ...rest } = o;
  return {
    ...rest,
    ...(n !== undefined && isSaid('slots') ? { slots: n } : {}),
    ...(kind && isSaid('executor') ? { executor: kind } : {}),
  };
};

/** @throws FarmError BAD_USAGE */
function agentOptions({ url, ...rest }: ParsedAgent, env: Env): AgentOptions {
  if (rest.token !== undefined && rest.tokenFile !== undefined) throw usage('--token and --token-file exclude each other');
  const list = url?.join(',') ?? env.THRESH_URL;
  // Absent: those with which it has joined.
  if (!list) return { ...rest, urls: [] };
  return { ...rest, urls: parseUrls(list).map((u) => u.href.replace(/\/$/, '')) };
}
