/** `designator reload`: the running designator reads its configuration again; an error changes nothing there. */
import type { Command } from 'commander';
import { formatProblem } from '../config/problem.js';
import type { ReloadResult } from '../ops/appliance.js';
import { ControlClient, type Target, withTarget } from './client.js';
import type { CliContext } from './context.js';
import { write, writeJson } from './output.js';

interface ReloadOptions extends Target {
  readonly json?: boolean;
}

export function register(program: Command, context: CliContext): void {
  withTarget(program.command('reload').description('let the running designator read its configuration again'))
    .option('--json', 'one JSON object')
    .action(async ({ json, ...target }: ReloadOptions) => {
      // A refusal carries its problems, which the frame prints like those of any configuration.
      const result = await new ControlClient(target, context).post<ReloadResult>('/v1/reload');
      if (json === true) return void (await writeJson(context.stdout, result));
      await write(context.stderr, lines('', result.problems.map(formatProblem)));
      await write(
        context.stdout,
        result.changes.length === 0 ? 'applied: nothing has changed\n' : lines('applied: ', result.changes),
      );
    });
}

function lines(prefix: string, texts: readonly string[]): string {
  return texts.map((text) => `${prefix}${text}\n`).join('');
}
