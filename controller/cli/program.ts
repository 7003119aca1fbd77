import { Command, CommanderError } from 'commander';
import { addAgents, addDrain, addRevoke } from './agents.ts';
import { addArtifacts } from './artifacts.ts';
import { addCancel, addRetry } from './cancel.ts';
import { addCheck } from './check.ts';
import { type CliDeps, sayError, withDefaults } from './cli.ts';
import { addDeliveries } from './deliveries.ts';
import { addDoctor } from './doctor.ts';
import { Exit, exitCodeOf, exitCodes } from './exit.ts';
import { bold, cyan, environmentHelp, groups } from './help.ts';
import { addLogin } from './login.ts';
import { addLogs } from './logs.ts';
import { addNatsConfig } from './nats-config.ts';
import { addQueues } from './queues.ts';
import { addRun } from './run.ts';
import { addRuns } from './runs.ts';
import { addAgent, addController, addUp } from './server.ts';
import { addShow } from './show.ts';
import { terminal, wantsColour } from './terminal.ts';
import { addWebhook } from './webhook.ts';

export type { CliDeps } from './cli.ts';
export type * from './server.ts';

/**
 * The command line, ready to parse. What it throws while parsing carries an exit code (`exitCodeOf`); all but errors of the
 * server actions has been said by then. `runProgram` does both.
 */
export function createProgram(deps: CliDeps): Command {
  const cli = withDefaults(deps);
  const [out, err] = [terminal(cli.out, cli.env), terminal(cli.err, cli.env)];
  const program = new Command('thresh')
    .description('Thresh, a build farm: signed webhooks become runs, agents run their steps, logs are live, nothing is lost.')
    .version(cli.version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'explain a command')
    .helpCommand('help [command]', 'explain a command')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void cli.out.write(text),
      writeErr: (text) => void cli.err.write(text),
      getOutHelpWidth: () => Math.min(out.width, 120),
      getErrHelpWidth: () => Math.min(err.width, 120),
      getOutHasColors: () => wantsColour(cli.out, cli.env),
      getErrHasColors: () => wantsColour(cli.err, cli.env),
      outputError: (text, write) => write(text.replace(/^error: /, `${err.paint('red', 'thresh:')} `)),
    })
    .configureHelp({ styleTitle: bold, styleCommandText: cyan, styleSubcommandTerm: cyan, styleOptionTerm: cyan })
    .addHelpText('after', environmentHelp());

  program.commandsGroup(groups.servers);
  addUp(program, cli.actions);
  addController(program, cli.actions);
  addAgent(program, cli.actions, cli.env);
  program.commandsGroup(groups.runs);
  addRun(program, cli);
  addRuns(program, cli);
  addShow(program, cli);
  addLogs(program, cli);
  addArtifacts(program, cli);
  addCancel(program, cli);
  addRetry(program, cli);
  program.commandsGroup(groups.farm);
  addQueues(program, cli);
  addAgents(program, cli);
  addDrain(program, cli);
  addRevoke(program, cli);
  addDeliveries(program, cli);
  addLogin(program, cli);
  addDoctor(program, cli);
  program.commandsGroup(groups.configuration);
  addCheck(program, cli);
  addWebhook(program, cli);
  addNatsConfig(program, cli);
  for (const command of everyCommand(program)) command.showHelpAfterError(`(see '${pathOf(command)} --help')`);
  return program;
}

/**
 * Parses and runs. Never throws; every error has been printed as one sentence.
 * @param args without the program and the script
 * @returns the exit code; the output may not be flushed yet, so set `process.exitCode` rather than call `process.exit`
 */
export async function runProgram(deps: CliDeps, args: readonly string[]): Promise<number> {
  // A reader that went away ('| head') is no error of ours; commands that wait for it hear of it themselves.
  for (const stream of [deps.out, deps.err]) stream.on('error', () => {});
  try {
    await createProgram(deps).parseAsync(args, { from: 'user' });
    return exitCodes.ok;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    if (!(error instanceof Exit)) sayError(terminal(deps.err, deps.env), error, args.includes('--json'), deps.env);
    return exitCodeOf(error);
  }
}

const everyCommand = (command: Command): Command[] => [command, ...command.commands.flatMap(everyCommand)];

const pathOf = (command: Command): string => (command.parent ? `${pathOf(command.parent)} ${command.name()}` : command.name());
