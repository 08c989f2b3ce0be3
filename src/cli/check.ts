/** `designator check`: everything that is wrong with a configuration file, at once; nothing is started or changed. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { formatProblem, isError } from '../config/problem.js';
import { EXIT } from '../errors.js';
import type { CliContext } from './context.js';
import { addConfigOption } from './options.js';
import { write, writeJson } from './output.js';

interface CheckOptions {
  readonly config: string;
  readonly json?: boolean;
}

export function register(program: Command, context: CliContext): void {
  addConfigOption(
    program.command('check').description('name every error of a configuration file, with line and column'),
  )
    .option('--json', 'problems as one JSON array')
    .action((options: CheckOptions) => check(options, context));
  program
    .command('schema')
    .description('print the JSON schema of the configuration file, for editors')
    .action(async () => {
      const { jsonSchema } = await import('../config/reference.js');
      await write(context.stdout, `${JSON.stringify(jsonSchema(), null, 2)}\n`);
    });
}

async function check({ config: file, json }: CheckOptions, context: CliContext): Promise<void> {
  const { readConfig } = await import('../config/load.js');
  const { sessionFromSsh } = await import('../config/operator-access.js');
  const session = sessionFromSsh(context.env.SSH_CONNECTION);
  const { config, problems } = readConfig(resolve(context.cwd, file), { session, shownAs: file });
  if (config === null) context.setExitStatus(EXIT.config);
  if (json === true) return await writeJson(context.stdout, problems);
  await write(context.stdout, problems.map((problem) => `${formatProblem(problem)}\n`).join(''));
  const errors = problems.filter(isError).length;
  const warnings = problems.length - errors;
  const summary = [
    ...(errors === 0 ? ['fine'] : [counted(errors, 'error')]),
    ...(warnings === 0 ? [] : [counted(warnings, 'warning')]),
  ];
  await write(context.stderr, `${file}: ${summary.join(', ')}\n`);
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
