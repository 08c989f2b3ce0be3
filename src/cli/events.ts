/** `designator events`: what happens, as it happens: JSON lines for programs, sentences on a terminal. */
import type { IncomingMessage } from 'node:http';
import { createInterface } from 'node:readline';
import { type Command, InvalidArgumentError } from 'commander';
import type { ApplianceEvent } from '../ops/events.js';
import { EVENT_TYPES } from '../ops/events.js';
import { brokenOff, ControlClient, type Target, withTarget } from './client.js';
import type { CliContext } from './context.js';
import { eventText } from './event-text.js';
import { copy } from './output.js';
import { clientValue, countValue, secondsOrDuration } from './values.js';

interface EventOptions extends Target {
  readonly type?: string;
  readonly vip?: string;
  readonly server?: string;
  readonly client?: string;
  readonly since?: number;
  readonly follow?: boolean;
  readonly count?: number;
  readonly json?: boolean;
}

export function register(program: Command, context: CliContext): void {
  withTarget(
    program
      .command('events')
      .description('what happens, as it happens: sentences on a terminal, else JSON lines')
      .addHelpText('after', `\nTypes:\n${typeHelp()}`),
  )
    .option('--type <types>', 'only of these types, commas between them', typeList)
    .option('--vip <name>', 'only of this virtual address')
    .option('--server <name>', 'only of this server')
    .option('--client <ip:port>', 'only of this client', clientValue)
    .option(
      '--since <duration>',
      'begin with what happened so long ago (30s, 5m, 1h), as far as it is remembered',
      secondsOrDuration,
    )
    .option('--follow', 'go on with what happens from now on (the default)')
    .option('--no-follow', 'only what is remembered')
    .option('--count <events>', 'end after so many; with --no-follow the last so many', countValue)
    .option('--json', 'JSON lines on a terminal, too')
    .action((options: EventOptions) => events(options, context));
}

async function events(options: EventOptions, context: CliContext): Promise<void> {
  const { type, vip, server, client, since, count, json, follow, ...target } = options;
  const interrupt = new AbortController();
  const forget = (['SIGINT', 'SIGTERM'] as const).map((signal) => context.onSignal(signal, () => interrupt.abort()));
  try {
    const query = {
      type,
      vip,
      server,
      client,
      sinceSeconds: since,
      count,
      follow: follow === false ? 'false' : undefined,
    };
    const response = await new ControlClient(target, context).stream('/v1/events', query, interrupt.signal);
    if (json === true || !context.isTty) await copy(response, context.stdout);
    else await copy(sentences(response, context.color), context.stdout);
  } catch (error) {
    if (!interrupt.signal.aborted) throw brokenOff(error, 'its events');
  } finally {
    for (const stop of forget) stop();
  }
}

async function* sentences(response: IncomingMessage, color: boolean): AsyncGenerator<Uint8Array> {
  // readline hides an error of its input: it is thrown here instead.
  let failure: Error | null = null;
  response.on('error', (error) => (failure = error));
  for await (const line of createInterface({ input: response, crlfDelay: Number.POSITIVE_INFINITY })) {
    if (line !== '') yield Buffer.from(`${eventText(JSON.parse(line) as ApplianceEvent, color)}\n`);
  }
  if (failure !== null) throw failure;
}

function typeList(text: string): string {
  const unknown = text.split(',').find((name) => name !== '' && !Object.hasOwn(EVENT_TYPES, name));
  if (unknown !== undefined) throw new InvalidArgumentError(`There is no type "${unknown}".`);
  return text;
}

function typeHelp(): string {
  return Object.entries(EVENT_TYPES)
    .map(([type, sentence]) => `  ${type.padEnd(20)}  ${sentence}\n`)
    .join('');
}
