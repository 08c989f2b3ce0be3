/**
 * The command line: all commands, one way of reporting errors, one exit status. Each command is one file with
 * `register`; what is heavy there (fastify, pino, zod) is imported by the action, so that `--help` stays quick.
 */
import { Command, CommanderError } from 'commander';
import { formatProblem } from '../config/problem.js';
import { DesignatorError, EXIT } from '../errors.js';
import * as agent from './agent.js';
import * as bench from './bench.js';
import * as capture from './capture.js';
import * as check from './check.js';
import * as completion from './completion.js';
import type { CliContext } from './context.js';
import * as demo from './demo.js';
import * as events from './events.js';
import * as explain from './explain.js';
import * as gateway from './gateway.js';
import * as lns from './lns.js';
import * as reload from './reload.js';
import * as lac from './lac.js';
import * as replay from './replay.js';
import * as run from './run.js';
import * as server from './server.js';
import * as show from './show.js';
import * as switchover from './switchover.js';
import * as top from './top.js';
import * as tune from './tune.js';
import * as unpin from './unpin.js';

/** In the order of the help. */
const COMMANDS: readonly { register(program: Command, context: CliContext): void }[] = [
  run,
  replay,
  check,
  show,
  top,
  events,
  explain,
  server,
  reload,
  unpin,
  capture,
  lac,
  agent,
  lns,
  gateway,
  switchover,
  demo,
  bench,
  tune,
  completion,
];

export function buildProgram(context: CliContext): Command {
  const program = new Command('designator')
    .description('An inline appliance that makes a farm of VPN tunnel servers look like one.')
    .version(context.version, '-V, --version', 'print the version')
    // Before any command is added: commands copy these settings when they are made.
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void context.stdout.write(text),
      writeErr: (text) => void context.stderr.write(text),
      getOutHelpWidth: () => context.stdout.columns ?? 100,
      getErrHelpWidth: () => context.stderr.columns ?? 100,
      getOutHasColors: () => context.color,
      getErrHasColors: () => false,
      outputError: (text, write) => write(text.replace(/^error: /, 'designator: ')),
    })
    .showSuggestionAfterError()
    .helpCommand('help [command]', 'explain a command');
  for (const command of COMMANDS) command.register(program, context);
  return program;
}

/** Runs one command line (without the program's own name). Resolves to the exit status; never rejects. */
export async function runCommandLine(
  args: readonly string[],
  context: CliContext,
  build = buildProgram,
): Promise<number> {
  let status: number = EXIT.ok;
  const recording: CliContext = Object.create(context, {
    setExitStatus: { value: (value: number) => (status = value) },
  });
  try {
    await build(recording).parseAsync([...args], { from: 'user' });
    return status;
  } catch (error) {
    return report(error, context);
  }
}

function report(error: unknown, context: CliContext): number {
  // commander has already said what was wrong; help and version that were asked for are no errors.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  if (error instanceof DesignatorError) {
    const { problems } = error.context;
    if (Array.isArray(problems)) for (const problem of problems) context.stderr.write(`${formatProblem(problem)}\n`);
    const cause = context.env.TD_DEBUG === '1' && error.cause !== undefined ? `\n${inspect(error.cause)}` : '';
    context.stderr.write(`designator: ${error.message}${cause}\n`);
    return error.exitStatus;
  }
  context.stderr.write(`designator: internal error: ${inspect(error)}\n`);
  return EXIT.internal;
}

function inspect(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
