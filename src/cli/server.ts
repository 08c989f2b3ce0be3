/** `designator server …`: changes to servers at run time. Prints the servers' rows as they are then. */
import type { Command } from 'commander';
import type { ServerCommand, ServerRow } from '../ops/appliance.js';
import { ControlClient, type Target, withTarget } from './client.js';
import type { CliContext } from './context.js';
import { write, writeJson } from './output.js';
import { SERVER_COLUMNS } from './show.js';
import { renderTable } from './table.js';
import { durationSeconds, weightValue } from './values.js';

interface ServerOptions extends Target {
  readonly json?: boolean;
  readonly deadline?: number;
}

export function register(program: Command, context: CliContext): void {
  const server = program.command('server').description('change servers of the running designator');

  const run = async (command: ServerCommand, options: ServerOptions) => {
    const rows = await new ControlClient(options, context).post<ServerRow[]>('/v1/servers/command', command);
    if (options.json === true) return void (await writeJson(context.stdout, rows));
    await write(context.stdout, renderTable(SERVER_COLUMNS, rows, context.color));
  };

  change(server, 'drain', 'no new tunnels; those that are there go on')
    .argument('<names...>', 'server names')
    .option('--deadline <duration>', 'close the tunnels that are left then: 30s, 2m …', durationSeconds)
    .action((names: string[], options: ServerOptions) =>
      run({ action: 'drain', names, deadlineSeconds: options.deadline }, options),
    );

  change(server, 'enable', 'new tunnels again')
    .argument('<names...>', 'server names')
    .action((names: string[], options: ServerOptions) => run({ action: 'enable', names }, options));

  change(server, 'disable', 'out of service at once')
    .argument('<names...>', 'server names')
    .action((names: string[], options: ServerOptions) => run({ action: 'disable', names }, options));

  change(server, 'inactivate', 'empty it, then power it off; the load does not bring it back')
    .argument('<names...>', 'server names')
    .option('--deadline <duration>', 'close the tunnels that are left then: 30s, 2m …', durationSeconds)
    .action((names: string[], options: ServerOptions) =>
      run({ action: 'inactivate', names, deadlineSeconds: options.deadline }, options),
    );

  change(server, 'activate', 'power it on; new tunnels when it is heard')
    .argument('<names...>', 'server names')
    .action((names: string[], options: ServerOptions) => run({ action: 'activate', names }, options));

  change(server, 'weight', 'another weight for designation')
    .argument('<name>', 'server name')
    .argument('<weight>', 'whole number', weightValue)
    .action((name: string, weight: number, options: ServerOptions) =>
      run({ action: 'weight', names: [name], weight }, options),
    );
}

function change(server: Command, name: string, description: string): Command {
  return withTarget(server.command(name).description(description)).option('--json', 'one JSON array of flat objects');
}
