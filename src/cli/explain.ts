/**
 * `designator explain`: which server a client's tunnel request would get, and why; or what a drop reason means. Nothing is
 * sent, no turn is used up.
 */
import type { Command } from 'commander';
import { DesignatorError } from '../errors.js';
import type { DropRow, ExplainCandidate, ExplainRow } from '../ops/appliance.js';
import type { ApplianceEvent } from '../ops/events.js';
import { ControlClient, type Target, withTarget } from './client.js';
import type { CliContext } from './context.js';
import { eventText } from './event-text.js';
import { write, writeJson } from './output.js';
import { briefDuration, type Column, renderTable } from './table.js';
import { clientValue, tunnelId, tunnelPair } from './values.js';

interface ExplainOptions extends Target {
  readonly client?: string;
  readonly vip?: string;
  readonly tunnel?: number;
  readonly drop?: string;
  readonly recover?: string;
  readonly tie?: boolean;
  readonly group?: string;
  readonly json?: boolean;
}

/** Refusals with the reason that are shown. */
const EXAMPLES = 5;

const CANDIDATE_COLUMNS: readonly Column<ExplainCandidate>[] = [
  { head: 'server', value: (row) => row.server },
  { head: 'state', value: (row) => row.state },
  { head: 'since', value: (row) => briefDuration(row.sinceSeconds), align: 'right' },
  { head: 'weight', value: (row) => row.weight },
  { head: 'load', value: (row) => row.load, align: 'right' },
  { head: 'tunnels', value: (row) => row.tunnels },
  { head: 'new tunnels', value: (row) => (row.takes ? 'yes' : `no, ${row.why ?? row.state}`) },
];

export function register(program: Command, context: CliContext): void {
  withTarget(
    program
      .command('explain')
      .description('which server a tunnel request would get, and why, or what a drop reason means; sends nothing'),
  )
    .option('--client <ip:port>', 'the client', clientValue)
    .option('--vip <name>', 'the virtual address that it asks')
    .option('--tunnel <id>', 'tunnel id that the client assigned', tunnelId)
    .option('--recover <own:shown>', 'the request recovers the tunnel with these ids (RFC 4951)', tunnelPair)
    .option('--tie', 'the request has a tie breaker')
    .option('--group <text>', 'its Host Name or Calling Number, where the VIP groups requests')
    .option('--drop <reason>', 'a drop reason instead: what it means, how often, the last refusals with it')
    .option('--json', 'one JSON object')
    .action((options: ExplainOptions) => explain(options, context));
}

async function explain(
  { client, vip, tunnel, recover, tie, group, drop, json, ...target }: ExplainOptions,
  context: CliContext,
): Promise<void> {
  const control = new ControlClient(target, context);
  if (drop !== undefined) {
    if (client !== undefined || vip !== undefined || tunnel !== undefined)
      throw new DesignatorError('TD_USAGE', '--drop explains a drop reason: it goes without a client');
    return explainDrop(control, drop, json === true, context);
  }
  if (client === undefined || vip === undefined)
    throw new DesignatorError(
      'TD_USAGE',
      'say whose request: --client IP:PORT and --vip NAME, or a reason with --drop',
    );
  const row = await control.get<ExplainRow>('/v1/explain', {
    client,
    vip,
    tunnel,
    recover,
    tie: tie === true ? 'true' : undefined,
    group,
  });
  if (json === true) return void (await writeJson(context.stdout, row));
  await write(context.stdout, explainText(row, context.color));
}

export function explainText(row: ExplainRow, style: boolean): string {
  const kind = row.existing ? 'a tunnel of the table' : 'a new tunnel';
  const refusal = row.refusal === null ? '' : ` (dropped, counted as ${row.refusal})`;
  return [
    `${row.server ?? 'no server'}\n`,
    `${kind}: ${row.reason}${refusal}\n`,
    ...row.notes.map((note) => `- ${note}\n`),
    ...(row.candidates.length === 0 ? [] : ['\n', renderTable(CANDIDATE_COLUMNS, row.candidates, style)]),
  ].join('');
}

async function explainDrop(control: ControlClient, reason: string, json: boolean, context: CliContext): Promise<void> {
  const rows = await control.get<DropRow[]>('/v1/drops');
  const row = rows.find((candidate) => candidate.reason === reason);
  if (row === undefined) {
    const names = rows.map((candidate) => candidate.reason).join(', ');
    throw new DesignatorError('TD_NOT_FOUND', `no drop reason "${reason}"; there are ${names}`, { reason });
  }
  const lines = await control.text('/v1/events', { type: 'request-refused', follow: 'false' });
  const last = lines
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as ApplianceEvent)
    .filter((event) => event.reason === reason)
    .slice(-EXAMPLES);
  if (json) return void (await writeJson(context.stdout, { ...row, last }));
  const examples =
    last.length === 0
      ? ''
      : `\nThe last tunnel requests that ended so:\n${last.map((event) => `${eventText(event, context.color)}\n`).join('')}`;
  await write(context.stdout, `${row.reason}: ${row.packets} packets\n${row.description}\n${examples}`);
}
