/** `designator explain`: which server a client's tunnel request would get, and why. Nothing is sent, no turn is used up. */
import type { Command } from 'commander';
import type { ExplainRow } from '../ops/appliance.js';
import { ControlClient, type Target, withTarget } from './client.js';
import type { CliContext } from './context.js';
import { write, writeJson } from './output.js';
import { clientValue, tunnelId } from './values.js';

interface ExplainOptions extends Target {
  readonly client: string;
  readonly vip: string;
  readonly tunnel?: number;
  readonly json?: boolean;
}

export function register(program: Command, context: CliContext): void {
  withTarget(program.command('explain').description('which server a tunnel request would get, and why; sends nothing'))
    .requiredOption('--client <ip:port>', 'the client', clientValue)
    .requiredOption('--vip <name>', 'the virtual address that it asks')
    .option('--tunnel <id>', 'tunnel id that the client assigned', tunnelId)
    .option('--json', 'one JSON object')
    .action(async ({ client, vip, tunnel, json, ...target }: ExplainOptions) => {
      const row = await new ControlClient(target, context).get<ExplainRow>('/v1/explain', { client, vip, tunnel });
      if (json === true) return void (await writeJson(context.stdout, row));
      const kind = row.existing ? 'a tunnel of the table' : 'a new tunnel';
      await write(context.stdout, `${row.server ?? 'no server'}\n${kind}: ${row.reason}\n`);
    });
}
