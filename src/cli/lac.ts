/** `designator lac`: takes calls over PPPoE and puts them into tunnels, in the foreground. */
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { formatProblem } from '../config/problem.js';
import type { CliContext } from './context.js';
import { addConfigOption } from './options.js';
import { write } from './output.js';
import { runRole } from './role.js';

interface LacCommandOptions {
  readonly config: string;
  readonly check?: boolean;
}

export function register(program: Command, context: CliContext): void {
  addConfigOption(
    program.command('lac').description('an access concentrator: takes PPPoE calls into L2TP tunnels, until SIGTERM'),
  )
    .option('--check', 'name every error of the configuration file and end')
    .action((options: LacCommandOptions) => run(options, context));
}

async function run(options: LacCommandOptions, context: CliContext): Promise<void> {
  const { loadLacConfig } = await import('../config/lac.js');
  const file = resolve(context.cwd, options.config);
  const { config, warnings } = loadLacConfig(file, options.config);
  if (options.check === true) {
    await write(context.stdout, warnings.map((warning) => `${formatProblem(warning)}\n`).join(''));
    return write(context.stderr, `${options.config}: fine\n`);
  }
  await runRole(context, { logLevel: config.logLevel, control: config.control, warnings }, async (hooks) => {
    const { Lac } = await import('../roles/lac/lac.js');
    const lac = new Lac({ config, ...hooks, cores: availableParallelism(), file, shownAs: options.config });
    return { endpoint: lac, start: () => lac.start(), stop: () => lac.stop() };
  });
}
