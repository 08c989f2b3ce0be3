/** `designator check`: everything that is wrong with a configuration file, at once; nothing is started or changed. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { ConfigProblem } from '../config/compiled.js';
import { formatProblem, isError } from '../config/problem.js';
import type { ConfigRole } from '../config/role-of.js';
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
  const { ok, problems, role } = await problemsOf(file, context);
  if (!ok) context.setExitStatus(EXIT.config);
  if (json === true) return await writeJson(context.stdout, problems);
  await write(context.stdout, problems.map((problem) => `${formatProblem(problem)}\n`).join(''));
  const errors = problems.filter(isError).length;
  const warnings = problems.length - errors;
  const summary = [
    ...(errors === 0 ? ['fine'] : [counted(errors, 'error')]),
    ...(warnings === 0 ? [] : [counted(warnings, 'warning')]),
  ];
  const whose = role === 'designator' ? '' : ` (${role})`;
  await write(context.stderr, `${file}${whose}: ${summary.join(', ')}\n`);
}

/** By the rules of the role whose file it is. */
async function problemsOf(
  file: string,
  context: CliContext,
): Promise<{ ok: boolean; problems: readonly ConfigProblem[]; role: ConfigRole }> {
  const { readRoleConfig, roleOfFile } = await import('../config/role-file.js');
  const path = resolve(context.cwd, file);
  const role = roleOfFile(path);
  if (role !== 'designator') {
    const problems = readRoleConfig(role, path, file);
    return { ok: !problems.some(isError), problems, role };
  }
  const [{ readConfig }, { sessionFromSsh }] = await Promise.all([
    import('../config/load.js'),
    import('../config/operator-access.js'),
  ]);
  const session = sessionFromSsh(context.env.SSH_CONNECTION);
  const { config, problems } = readConfig(path, { session, shownAs: file });
  return { ok: config !== null, problems, role };
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
