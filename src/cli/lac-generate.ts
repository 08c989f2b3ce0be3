/** `designator lac --generate`: tunnels and sessions with real PPP against any LNS; results as a table and as JSON. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { DesignatorError, EXIT } from '../errors.js';
import type { GeneratorResults, TrafficResult } from '../roles/lac/generator/results.js';
import type { GeneratorSettings } from '../roles/lac/generator/settings.js';
import type { TimeFigures } from '../roles/lac/generator/histogram.js';
import type { CliContext } from './context.js';
import { write, writeJson } from './output.js';
import { type Column, renderTable } from './table.js';
import { secondsOrDuration, wholeNumber } from './values.js';

const DEFAULT_PORT = 1701;
const PROGRESS_MS = 1000;
const METHODS = ['ms-chap-v2', 'chap-md5', 'pap'] as const;

/** As commander hands them over; each is there only when it was written. */
export interface GenerateOptions {
  readonly generate?: boolean;
  readonly lns?: readonly string[];
  readonly tunnels?: number;
  readonly sessions?: number;
  readonly rate?: number;
  readonly seconds?: number;
  readonly inFlight?: number;
  readonly lifetime?: number;
  readonly sockets?: number;
  readonly source?: string;
  readonly hostName?: string;
  readonly secret?: string;
  readonly user?: string;
  readonly password?: string;
  readonly methods?: readonly (typeof METHODS)[number][];
  readonly mru?: number;
  readonly ipv6?: boolean;
  readonly called?: string;
  readonly calling?: string;
  readonly traffic?: readonly string[];
  readonly target?: string;
  readonly workers?: number;
  readonly switchover?: boolean;
  readonly standby?: boolean;
  readonly json?: boolean;
}

const list = (text: string): string[] => text.split(',');

function methods(text: string): string[] {
  return text.split(',').map((word) => {
    if (!METHODS.some((known) => known === word)) {
      throw new InvalidArgumentError(`Write some of ${METHODS.join(', ')} with commas.`);
    }
    return word;
  });
}

/** The options of the call generator; they mean nothing without `--generate`. */
export function addGenerateOptions(command: Command): Command {
  const group = 'Call generator:';
  const add = (flags: string, text: string, parse?: (text: string) => unknown): void => {
    const option = new Option(flags, text).helpGroup(group);
    if (parse !== undefined) option.argParser(parse);
    command.addOption(option);
  };
  add('--generate', 'make calls instead of taking them: a load test of any LNS; needs no configuration file');
  add('--lns <addresses>', 'ADDRESS[:PORT] of one or more LNSs, with commas', list);
  add('--tunnels <n>', 'tunnels (1)', wholeNumber(1, 60_000));
  add('--sessions <n>', 'sessions in all tunnels together (10)', wholeNumber(1, 1_000_000));
  add('--rate <n>', 'calls begun each second (100)', wholeNumber(1, 100_000));
  add('--seconds <n>', 'how long the sessions are held once all are up (10)', secondsOrDuration);
  add('--in-flight <n>', 'calls under way at a time (1000)', wholeNumber(1, 100_000));
  add('--lifetime <n>', 'hang each call up after so many seconds and dial it again', secondsOrDuration);
  add('--sockets <n>', 'UDP ports that the tunnels are spread over (1)', wholeNumber(1, 64));
  add('--source <address>', 'local address');
  add('--host-name <name>', 'host name that the LNS is told (generator)');
  add('--secret <text>', 'secret of the tunnels; @FILE reads it from a file');
  add('--user <name>', '{n} becomes the number of the call (user{n})');
  add('--password <text>', 'of all users; @FILE reads it from a file');
  add('--methods <names>', `how to prove oneself, best first: ${METHODS.join(',')}`, methods);
  add('--mru <bytes>', 'MRU that is asked for (1500)', wholeNumber(128, 65_535));
  add('--ipv6', 'ask for IPv6 too');
  add('--called <number>', 'called number of the calls');
  add('--calling <number>', 'calling number of the calls');
  add('--traffic <specs>', 'KIND[:LENGTH|:imix][@RATE] with commas, e.g. ping:64@1,pairs:imix@100', list);
  add('--target <address>', 'IPv4 address that pings go to (the LNS’s end of each link)');
  add('--workers <n>', 'threads that read the sockets (1)', wholeNumber(1, 16));
  add('--switchover', 'be a LAC that can move its tunnels to an LNS’s peer (document 002)');
  add('--standby', 'the same, with a tunnel to the peer open in advance, which LNSs may use to reach each other');
  add('--json', 'one object instead of tables');
  return command;
}

function secretOf(text: string | undefined, context: CliContext): string | null {
  if (text === undefined) return null;
  if (!text.startsWith('@')) return text;
  const file = resolve(context.cwd, text.slice(1));
  try {
    return readFileSync(file, 'utf8').trimEnd();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new DesignatorError('TD_USAGE', `${file} cannot be read: ${code}`, { file }, error);
  }
}

async function settingsOf(options: GenerateOptions, context: CliContext): Promise<GeneratorSettings> {
  const { createLogger } = await import('../ops/log.js');
  // Moves are told beside the progress; standard output has the results.
  const logger = createLogger('info', { write: (line) => void context.stderr.write(line) });
  const { ipv4Of, parseFarEnd, parseTraffic } = await import('../roles/lac/generator/settings.js');
  const usage = (message: string): DesignatorError => new DesignatorError('TD_USAGE', message);
  if (options.lns === undefined) throw usage('--generate needs --lns ADDRESS[:PORT]');
  const lns = options.lns.map((text) => {
    const end = parseFarEnd(text, DEFAULT_PORT);
    if (end === null) throw usage(`--lns ${text}: write it as 192.0.2.1, 192.0.2.1:1701 or [2001:db8::1]:1701`);
    return end;
  });
  if (lns.some(({ address }) => address.includes(':') !== lns[0].address.includes(':'))) {
    throw usage('--lns: IPv4 and IPv6 need runs of their own');
  }
  const traffic = (options.traffic ?? []).map((text) => {
    const spec = parseTraffic(text);
    if (typeof spec === 'string') throw usage(`--traffic ${text}: ${spec}`);
    return spec;
  });
  const target = options.target === undefined ? null : ipv4Of(options.target);
  if (options.target !== undefined && target === null) throw usage(`--target ${options.target} is no IPv4 address`);
  const tunnels = options.tunnels ?? 1;
  return {
    lns,
    tunnels,
    sessions: options.sessions ?? 10,
    rate: options.rate ?? 100,
    seconds: options.seconds ?? 10,
    inFlight: options.inFlight ?? 1000,
    lifetime: options.lifetime ?? null,
    sockets: options.sockets ?? 1,
    source: options.source ?? null,
    hostName: options.hostName ?? 'generator',
    secret: secretOf(options.secret, context),
    user: options.user ?? 'user{n}',
    password: secretOf(options.password, context) ?? '',
    methods: options.methods ?? METHODS,
    mru: options.mru ?? 1500,
    ipv6: options.ipv6 ?? false,
    called: options.called ?? null,
    calling: options.calling ?? null,
    traffic,
    target,
    workers: options.workers ?? 1,
    switchover: options.switchover === true || options.standby === true,
    standby: options.standby ?? false,
    logger,
  };
}

/** Runs the generator to its end. Status 69 when not one session came up. */
export async function runGenerate(options: GenerateOptions, context: CliContext): Promise<void> {
  const settings = await settingsOf(options, context);
  const { CallGenerator } = await import('../roles/lac/generator/generator.js');
  const generator = await CallGenerator.open(settings);
  const forget = (['SIGTERM', 'SIGINT'] as const).map((signal) => context.onSignal(signal, () => generator.stop()));
  const ticker = setInterval(() => context.stderr.write(`${generator.progress()}\n`), PROGRESS_MS);
  try {
    const results = await generator.complete();
    if (options.json === true) await writeJson(context.stdout, results);
    else await write(context.stdout, resultText(results, context.color));
    if (results.sessions.up === 0) context.setExitStatus(EXIT.unavailable);
  } finally {
    clearInterval(ticker);
    for (const off of forget) off();
  }
}

interface TimeRow {
  readonly what: string;
  readonly figures: TimeFigures | null;
}

const TIME_COLUMNS: readonly Column<TimeRow>[] = [
  { head: 'milliseconds', value: ({ what }) => what },
  { head: 'count', value: ({ figures }) => figures?.count ?? null },
  { head: 'median', value: ({ figures }) => figures?.median ?? null },
  { head: '95%', value: ({ figures }) => figures?.p95 ?? null },
  { head: '99%', value: ({ figures }) => figures?.p99 ?? null },
  { head: 'max', value: ({ figures }) => figures?.max ?? null },
];

const TRAFFIC_COLUMNS: readonly Column<TrafficResult>[] = [
  { head: 'traffic', value: ({ name }) => name },
  { head: 'sent', value: ({ sent }) => sent },
  { head: 'received', value: ({ received }) => received },
  { head: 'lost %', value: ({ lossPercent }) => lossPercent },
  { head: 'out of order', value: ({ outOfOrder }) => outOfOrder },
  { head: 'packets/s', value: ({ packetsPerSecond }) => packetsPerSecond },
  { head: 'latency ms', value: ({ latencyMs }) => latencyMs?.median ?? null },
  { head: '99%', value: ({ latencyMs }) => latencyMs?.p99 ?? null },
  { head: 'gap ms', value: ({ gapMs }) => gapMs?.median ?? null },
  { head: 'max', value: ({ gapMs }) => gapMs?.max ?? null },
];

/** The results for people. */
export function resultText(results: GeneratorResults, style: boolean): string {
  const { tunnels, sessions, failures, traffic, ownDrops, busyPercent } = results;
  const drops = Object.entries(ownDrops).map(([reason, packets]) => `${reason} ${packets}`);
  const lines = [
    `tunnels   ${tunnels.up} of ${tunnels.asked} up`,
    `sessions  ${sessions.up} up, ${sessions.failed} failed, ${sessions.lost} lost, ${sessions.held} held to the end`,
    `rate      ${sessions.perSecond} set-ups/s, best second ${sessions.bestSecond}`,
    `generator ${busyPercent} % of a core${drops.length === 0 ? '' : `, dropped by itself: ${drops.join(', ')}`}`,
    '',
  ];
  const times = [
    { what: 'tunnel', figures: tunnels.setupMs },
    { what: 'session, L2TP', figures: sessions.l2tpMs },
    { what: 'session, address', figures: sessions.setupMs },
  ];
  const tables = [renderTable(TIME_COLUMNS, times, style)];
  if (traffic.length > 0) tables.push(renderTable(TRAFFIC_COLUMNS, traffic, style));
  if (failures.length > 0) {
    tables.push(
      renderTable(
        [
          { head: 'failed', value: ({ count }) => count },
          { head: 'at', value: ({ stage }) => stage },
          { head: 'reason', value: ({ reason }) => reason },
        ],
        failures,
        style,
      ),
    );
  }
  return `${lines.join('\n')}\n${tables.join('\n')}`;
}
