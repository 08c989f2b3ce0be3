/** `designator lac`: takes calls over PPPoE and puts them into tunnels, in the foreground. */
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { formatProblem } from '../config/problem.js';
import { DesignatorError } from '../errors.js';
import type { CliContext } from './context.js';
import { addGenerateOptions, type GenerateOptions, runGenerate } from './lac-generate.js';
import { write } from './output.js';
import { runRole } from './role.js';

interface LacCommandOptions extends GenerateOptions {
  /** Always there without `--generate`. */
  readonly config?: string;
  readonly check?: boolean;
}

export function register(program: Command, context: CliContext): void {
  const command = program
    .command('lac')
    .description('an access concentrator: takes PPPoE calls into L2TP tunnels, until SIGTERM; or a generator of calls')
    .option('-c, --config <file>', 'configuration file')
    .option('--check', 'name every error of the configuration file and end');
  addGenerateOptions(command).action((options: LacCommandOptions) =>
    options.generate === true ? runGenerate(options, context) : run(options, context),
  );
}

async function run(options: LacCommandOptions, context: CliContext): Promise<void> {
  if (options.config === undefined) {
    throw new DesignatorError('TD_USAGE', "required option '-c, --config <file>' not specified");
  }
  const { loadLacConfig } = await import('../config/lac.js');
  const shownAs = options.config;
  const file = resolve(context.cwd, shownAs);
  const { config, warnings } = loadLacConfig(file, shownAs);
  if (options.check === true) {
    await write(context.stdout, warnings.map((warning) => `${formatProblem(warning)}\n`).join(''));
    return write(context.stderr, `${shownAs}: fine\n`);
  }
  await runRole(context, { logLevel: config.logLevel, control: config.control, warnings }, async (hooks) => {
    const { Lac } = await import('../roles/lac/lac.js');
    const { LacSwitchoverDesk } = await import('../roles/lac/switchover.js');
    const lac = new Lac({
      config,
      ...hooks,
      cores: availableParallelism(),
      file,
      shownAs,
      switchover: (host, { switchover }, events) => new LacSwitchoverDesk(host, switchover, hooks.logger, events),
    });
    return { endpoint: lac, start: () => lac.start(), stop: () => lac.stop() };
  });
}
