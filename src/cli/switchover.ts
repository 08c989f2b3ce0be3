/** `designator switchover` and `designator failback`: an operator lets an LNS hand its sessions to its peer. */
import { type Command, InvalidArgumentError } from 'commander';
import { EXIT } from '../errors.js';
import type { CliContext } from './context.js';
import { ControlClient, type Target, withTarget } from './client.js';
import { write, writeJson } from './output.js';
import { type Column, renderTable } from './table.js';
import { wholeNumber } from './values.js';

const ID_MAX = 65_535;
const TYPES = ['all', 'new', 'some'] as const;

interface Options extends Target {
  readonly tunnel?: number;
  readonly type?: (typeof TYPES)[number];
  readonly sessions?: readonly number[];
  readonly json?: boolean;
}

interface Outcome {
  readonly tunnel: number;
  readonly type: string;
  readonly outcome: string;
  readonly reason: string;
}

const COLUMNS: readonly Column<Outcome>[] = [
  { head: 'tunnel', value: ({ tunnel }) => tunnel },
  { head: 'type', value: ({ type }) => type },
  { head: 'outcome', value: ({ outcome }) => outcome },
  { head: 'reason', value: ({ reason }) => reason },
];

export function register(program: Command, context: CliContext): void {
  const id = wholeNumber(1, ID_MAX);
  withTarget(program.command('switchover').description('hand tunnels of a running LNS to its peer'))
    .option('--tunnel <id>', 'only this one, by the id assigned here', id)
    .option('--type <type>', 'all sessions, new calls only, or some (with --sessions)', (text) => {
      const type = TYPES.find((known) => known === text);
      if (type === undefined) throw new InvalidArgumentError(`Write one of ${TYPES.join(', ')}.`);
      return type;
    })
    .option('--sessions <ids>', 'session ids with commas, by the ids assigned here', (text) =>
      text.split(',').map((word) => id(word)),
    )
    .option('--json', 'the outcomes as JSON')
    .action((options: Options) => run('switchover', options, context));
  withTarget(program.command('failback').description('give tunnels that a running LNS has taken over back to its peer'))
    .option('--tunnel <id>', 'only this one, by the id assigned here', id)
    .option('--json', 'the outcomes as JSON')
    .action((options: Options) => run('failback', options, context));
}

async function run(name: string, options: Options, context: CliContext): Promise<void> {
  const { tunnel, type, sessions } = options;
  const body = Object.fromEntries(
    Object.entries({ tunnel, type, sessions }).filter(([, value]) => value !== undefined),
  );
  const client = new ControlClient(options, context);
  const { outcomes } = await client.post<{ outcomes: readonly Outcome[] }>(`/v1/command/${name}`, body);
  if (outcomes.some(({ outcome }) => outcome !== 'moved' && outcome !== 'asked-new'))
    context.setExitStatus(EXIT.unavailable);
  if (options.json === true) return writeJson(context.stdout, outcomes);
  await write(
    context.stdout,
    outcomes.length === 0 ? 'there is nothing to move\n' : renderTable(COLUMNS, outcomes, context.color),
  );
}
