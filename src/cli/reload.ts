/** `designator reload`: the running designator reads its configuration again; an error changes nothing there. */
import type { Command } from 'commander';
import type { ConfigProblem } from '../config/compiled.js';
import { DesignatorError } from '../errors.js';
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
      let result: ReloadResult;
      try {
        result = await new ControlClient(target, context).post<ReloadResult>('/v1/reload');
      } catch (error) {
        if (error instanceof DesignatorError) await write(context.stderr, problemLines(error.context.problems));
        throw error;
      }
      if (json === true) return void (await writeJson(context.stdout, result));
      await write(context.stderr, problemLines(result.problems));
      await write(
        context.stdout,
        result.changes.length === 0 ? 'applied: nothing has changed\n' : lines('applied: ', result.changes),
      );
    });
}

/** In the form of `check`: `file:line:col: path: message`. */
function problemLines(problems: unknown): string {
  if (!Array.isArray(problems)) return '';
  return lines(
    '',
    (problems as ConfigProblem[]).map(
      ({ severity, file, line, column, path, message }) =>
        `${file}:${line}:${column}: ${severity === 'warning' ? 'warning: ' : ''}${path === '' ? '' : `${path}: `}${message}`,
    ),
  );
}

function lines(prefix: string, texts: readonly string[]): string {
  return texts.map((text) => `${prefix}${text}\n`).join('');
}
