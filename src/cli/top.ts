/** `designator top`: who carries what now, sorted; live on a terminal, else one table after the other. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Command, Option } from 'commander';
import { DesignatorError } from '../errors.js';
import { TOP_LIMIT_MAX, TOP_SORTS, TOP_VIEWS, type TopAnswer, type TopSort, type TopView } from '../ops/top.js';
import { ControlClient, type Target, withTarget } from './client.js';
import type { CliContext } from './context.js';
import { write } from './output.js';
import { newTopState, pressKey, type TopState } from './top-state.js';
import { topHead, topScreen, topTable } from './top-text.js';
import { clientValue, secondsOrDuration, wholeNumber } from './values.js';

interface TopOptions extends Target {
  readonly view: TopView;
  readonly sort?: TopSort;
  readonly reverse?: boolean;
  readonly vip?: string;
  readonly server?: string;
  readonly client?: string;
  readonly limit?: number;
  readonly delay: number;
  readonly iterations?: number;
  readonly json?: boolean;
}

/** Rows of a table that nobody gave a limit, where there is no screen that ends. */
const ROWS_DEFAULT = 50;
const DELAY_SECONDS = 2;
/** The first rates come this soon: they need two looks. */
const FIRST_DELAY_SECONDS = 1;

const ENTER = '\u001b[?1049h\u001b[?25l';
const LEAVE = '\u001b[?25h\u001b[?1049l';

export function register(program: Command, context: CliContext): void {
  withTarget(
    program
      .command('top')
      .description('who carries what now, sorted; live on a terminal, else one table after the other')
      .addHelpText(
        'after',
        `\nSort by:\n${TOP_VIEWS.map((view) => `  ${view}: ${TOP_SORTS[view].join(', ')}\n`).join('')}`,
      ),
  )
    .addOption(new Option('--view <view>', 'what is shown').choices(TOP_VIEWS).default('tunnels'))
    .option('--sort <figure>', 'largest first by this figure (see below)')
    .option('--reverse', 'smallest first')
    .option('--vip <name>', 'only of this virtual address')
    .option('--server <name>', 'only at this server')
    .option('--client <ip:port>', 'only of this client', clientValue)
    .option(
      '--limit <rows>',
      `rows at most (default: what fits the screen, else ${ROWS_DEFAULT})`,
      wholeNumber(1, TOP_LIMIT_MAX),
    )
    .option('-d, --delay <seconds>', 'time between two looks', secondsOrDuration, DELAY_SECONDS)
    .option('-n, --iterations <count>', 'end after so many looks', wholeNumber(1, 1_000_000_000))
    .option('--json', 'one JSON object a look, one a line')
    .action((options: TopOptions) => top(options, context));
}

async function top(options: TopOptions, context: CliContext): Promise<void> {
  const { view, sort } = options;
  if (sort !== undefined && !(TOP_SORTS[view] as readonly string[]).includes(sort)) {
    throw new DesignatorError('TD_USAGE', `${view} are not sorted by "${sort}", but by ${TOP_SORTS[view].join(', ')}`);
  }
  const interrupt = new AbortController();
  const forget = (['SIGINT', 'SIGTERM'] as const).map((signal) => context.onSignal(signal, () => interrupt.abort()));
  try {
    const state = newTopState(options);
    const live = context.isTty && options.json !== true && options.iterations === undefined;
    await (live ? watch(state, options, context, interrupt) : print(state, options, context, interrupt.signal));
  } finally {
    for (const stop of forget) stop();
  }
}

function query(state: TopState, limit: number): Record<string, string | number | undefined> {
  const { view, sort, reverse, vip, server, client } = state;
  return { view, sort, limit, vip, server, client, reverse: reverse ? 'true' : undefined };
}

/** One look after the other, as text or JSON lines. */
async function print(state: TopState, options: TopOptions, context: CliContext, signal: AbortSignal): Promise<void> {
  const client = new ControlClient(options, context);
  const limit = options.limit ?? ROWS_DEFAULT;
  const look = (): Promise<TopAnswer> => client.get<TopAnswer>('/v1/top', query(state, limit));
  let answer = await look();
  for (let n = 0; n < (options.iterations ?? Number.POSITIVE_INFINITY) && !signal.aborted; n++) {
    // Rates need two looks: a first one without them is not worth a table.
    if (n > 0 || answer.seconds === null) {
      if (!(await pause(n === 0 ? FIRST_DELAY_SECONDS : options.delay, signal))) return;
      answer = await look();
    }
    const time = new Date();
    if (options.json === true) {
      const { view, seconds, totals, rows } = answer;
      await write(context.stdout, `${JSON.stringify({ time: time.toISOString(), view, seconds, totals, rows })}\n`);
    } else {
      const table = topTable(answer, context.color);
      await write(context.stdout, `${n > 0 ? '\n' : ''}${topHead(answer, time)}\n\n${table}`);
    }
  }
}

/** False: interrupted. */
async function pause(seconds: number, signal: AbortSignal): Promise<boolean> {
  try {
    await sleep(seconds * 1000, undefined, { signal });
    return true;
  } catch {
    return false;
  }
}

/** What a terminal has besides a stream. */
interface RawInput {
  readonly isTTY?: boolean;
  setRawMode?(raw: boolean): unknown;
}

/** The screen of a terminal, until q or an interrupt; left as it was found, whatever happens. */
async function watch(
  state: TopState,
  options: TopOptions,
  context: CliContext,
  interrupt: AbortController,
): Promise<void> {
  const client = new ControlClient(options, context);
  const { stdin, stdout } = context;
  const input = stdin as NodeJS.ReadableStream & RawInput;
  let answer: TopAnswer | null = null;
  let wake: () => void = () => {};
  const draw = (): void => {
    stdout.write(topScreen(answer, state, stdout.columns ?? 80, stdout.rows ?? 24, new Date(), context.color));
  };
  const onKeys = (chunk: Buffer | string): void => {
    for (const key of keysOf(String(chunk))) {
      const did = pressKey(state, key);
      if (did === 'quit') return interrupt.abort();
      if (did === 'look') wake();
    }
    draw();
  };
  let first = await client.get<TopAnswer>('/v1/top', query(state, 1)); // what fails here is said on an untouched screen
  if (input.isTTY === true) input.setRawMode?.(true);
  stdout.write(ENTER);
  stdout.on('resize', draw);
  input.on('data', onKeys);
  try {
    while (!interrupt.signal.aborted) {
      const rows = options.limit ?? Math.max(1, Math.min(TOP_LIMIT_MAX, stdout.rows ?? 24));
      answer = await client.get<TopAnswer>('/v1/top', query(state, rows));
      draw();
      const seconds = first.seconds === null && answer.seconds === null ? FIRST_DELAY_SECONDS : options.delay;
      first = answer;
      const woken = new AbortController();
      wake = () => woken.abort();
      await pause(seconds, AbortSignal.any([interrupt.signal, woken.signal]));
    }
  } finally {
    input.off('data', onKeys);
    stdout.off('resize', draw);
    stdout.write(LEAVE);
    if (input.isTTY === true) input.setRawMode?.(false);
    input.pause();
  }
}

/** Single keys of what a terminal sends; arrows and the like are one key. */
function keysOf(text: string): string[] {
  return text.match(/\u001b\[[0-9;]*[A-Za-z~]|[^]/gu) ?? [];
}
