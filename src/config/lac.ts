/** The configuration of `designator lac`: where calls come from, and which LNS they go to. */
import { formatWords } from '../wire/address.js';
import type { ConfigProblem, Secret } from './compiled.js';
import { parseRate } from './durations.js';
import {
  type ControlConfig,
  compileControl,
  compileSecret,
  compileTimers,
  type Endpoint,
  type LogLevel,
  parseListenAddress,
  seconds,
  type TunnelTimers,
  valid,
} from './endpoint-parts.js';
import { type CompiledLacSwitchover, compileLacSwitchover } from './lac-switchover.js';
import { type CHOICES, type LAC_AUTHENTICATION, type LAC_GROUPS, type LacInput, lacSchema } from './lac-schema.js';
import { readFileText } from './file-text.js';
import { configError } from './load.js';
import { isError } from './problem.js';
import { compileRadius, type RadiusSettings, radiusProblems } from './radius.js';
import { checkShapeOf } from './shape.js';
import { ConfigSource, type Path } from './source.js';
import { parseUnicast } from './values.js';

const LENGTH_LIMIT = 16 * 1024 * 1024;

export type LacChoice = (typeof CHOICES)[number];
export type LacGroup = (typeof LAC_GROUPS)[number];

export interface RateLimit {
  /** A second. */
  readonly rate: number;
  readonly burst: number;
}

export interface LacPppoeConfig {
  readonly interfaces: readonly string[];
  readonly acName: string;
  readonly services: readonly string[];
  readonly anyService: boolean;
  readonly sessions: number;
  readonly perClient: number;
  readonly clientRequests: RateLimit;
  readonly requests: RateLimit;
}

export interface LacLnsConfig {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly secret: Secret | null;
  readonly hostName: string;
  /** null: any. */
  readonly serverName: string | null;
  readonly weight: number;
  readonly sessions: number;
  readonly follow: boolean;
  readonly hide: 'none' | 'private' | 'all';
  readonly sequencing: boolean;
}

/** Names of LNSs, best first; those in one list have the same priority. */
export type LnsOrder = readonly (readonly string[])[];

/** Patterns, any of which may match; null: no condition. */
export type Patterns = readonly string[] | null;

export interface LacTableRow {
  readonly realm: Patterns;
  readonly user: Patterns;
  readonly service: Patterns;
  readonly interface: readonly string[] | null;
  readonly client: Patterns;
  readonly lns: LnsOrder;
}

export interface LacNumberRow {
  readonly called: Patterns;
  readonly calling: Patterns;
  readonly lns: LnsOrder;
}

export interface LacConfig {
  readonly file: string;
  readonly name: string;
  readonly listen: readonly Endpoint[];
  readonly pppoe: LacPppoeConfig | null;
  readonly ppp: {
    readonly mode: 'terminate' | 'relay';
    readonly authentication: readonly (typeof LAC_AUTHENTICATION)[number][];
    readonly mru: number | null;
  };
  readonly call: {
    readonly called: string;
    readonly calling: 'mac' | 'circuit-id' | 'remote-id';
    readonly speed: number;
  };
  readonly lns: readonly LacLnsConfig[];
  readonly choose: readonly LacChoice[];
  readonly table: readonly LacTableRow[];
  readonly numbers: readonly LacNumberRow[];
  /** null: calls are on their own. */
  readonly groupBy: LacGroup | null;
  readonly statement: {
    readonly in: 'user' | 'service';
    readonly separator: string;
    readonly allow: readonly string[];
    readonly strip: boolean;
  };
  readonly radiusQuestion: {
    readonly ask: 'user' | 'realm' | 'number';
    readonly password: string;
    readonly noAnswer: 'refuse' | 'next';
  };
  /** null: nobody is asked. */
  readonly radius: RadiusSettings | null;
  readonly tunnels: TunnelTimers & {
    readonly limit: number;
    readonly setup: number;
    readonly dead: number;
    readonly idle: number;
    readonly perGroup: boolean;
  };
  readonly buffer: { readonly session: number; readonly total: number; readonly time: number };
  readonly switchover: CompiledLacSwitchover;
  readonly setup: number;
  readonly control: ControlConfig;
  /** 0: as many as there are cores. */
  readonly workers: number;
  readonly logLevel: LogLevel;
}

export function parseLacConfig(
  file: string,
  content: string,
): { config: LacConfig | null; problems: readonly ConfigProblem[] } {
  const source = new ConfigSource(file, content);
  if (source.data === undefined) return { config: null, problems: source.problems };
  const { input, problems: shape } = checkShapeOf(source, lacSchema);
  const problems = [...source.problems, ...shape];
  if (input !== null) problems.push(...new Relations(source, input).check());
  problems.sort((a, b) => a.line - b.line || a.column - b.column);
  return { config: input === null || problems.some(isError) ? null : compile(file, input), problems };
}

/** Errors: TD_CONFIG with all problems in `context.problems`. */
export function loadLacConfig(file: string, shownAs = file): { config: LacConfig; warnings: readonly ConfigProblem[] } {
  const content = readFileText(file, shownAs, LENGTH_LIMIT);
  if (typeof content !== 'string') throw configError(shownAs, [content]);
  const { config, problems } = parseLacConfig(shownAs, content);
  if (config === null) throw configError(shownAs, problems);
  return { config, warnings: problems };
}

/** What needs more than one value to judge. */
class Relations {
  readonly #problems: ConfigProblem[] = [];
  readonly #names: ReadonlySet<string>;

  constructor(
    private readonly source: ConfigSource,
    private readonly input: LacInput,
  ) {
    this.#names = new Set(input.lns.map(({ name }) => name));
  }

  check(): ConfigProblem[] {
    const { input } = this;
    this.#servers();
    for (const section of ['table', 'numbers'] as const) {
      for (const [index, row] of input[section].entries()) this.#order([section, index, 'lns'], row.lns);
    }
    for (const [index, name] of input.statement.allow.entries()) this.#known(['statement', 'allow', index], name);
    const catchAll = input.table.findIndex(
      ({ realm, user, service, interface: device, client }) =>
        (realm ?? user ?? service ?? device ?? client) === undefined,
    );
    if (catchAll >= 0 && catchAll < input.table.length - 1)
      this.#say('warning', ['table', catchAll + 1], 'this row is never reached: the one before holds always');
    for (const [index, row] of input.numbers.entries()) {
      if ((row.called ?? row.calling) === undefined)
        this.#say('error', ['numbers', index], 'write called, calling or both; `table` has rows without conditions');
    }
    this.#choices();
    if (input.pppoe === undefined)
      this.#say('error', [], 'no calls can come: write pppoe with the interfaces that customers are on');
    return this.#problems;
  }

  #servers(): void {
    const seen = new Set<string>();
    for (const [index, server] of this.input.lns.entries()) {
      if (seen.has(server.name)) this.#say('error', ['lns', index, 'name'], `there is another LNS ${server.name}`);
      seen.add(server.name);
      const isSecret = server.secret !== undefined || server.secretFile !== undefined;
      if (server.secret !== undefined && server.secretFile !== undefined)
        this.#say('error', ['lns', index, 'secret'], 'write either secret or secretFile');
      if (server.hide !== 'none' && !isSecret)
        this.#say('error', ['lns', index, 'hide'], 'attributes are hidden with the secret: write secret or secretFile');
      const isIpv6 = server.address.includes(':');
      const listen = [this.input.listen].flat().map((written) => valid(parseListenAddress(written)).host);
      if (!listen.some((host) => host.includes(':') === isIpv6))
        this.#say(
          'error',
          ['lns', index, 'address'],
          `listen has no IPv${isIpv6 ? 6 : 4} address that it could be dialled from`,
        );
    }
  }

  #choices(): void {
    const { choose, table, numbers, statement, ppp } = this.input;
    const { radius, radiusQuestion, groupBy, tunnels } = this.input;
    if (radius !== undefined) this.#problems.push(...radiusProblems(this.source, radius, ['radius']));
    if (radius !== undefined && !choose.includes('radius'))
      this.#say('warning', ['radius'], 'choose does not name radius: nobody is asked');
    if (radius?.dynamic !== undefined)
      this.#say('error', ['radius', 'dynamic'], 'a LAC takes no requests of RADIUS servers (RFC 5176): the LNS does');
    if (radius !== undefined && ppp.mode === 'relay' && radiusQuestion.ask !== 'number')
      this.#say(
        'error',
        ['radiusQuestion', 'ask'],
        'with ppp.mode relay neither user nor realm is known: write number',
      );
    const has = (choice: LacChoice): boolean => choose.includes(choice);
    if (!has('table') && table.length > 0)
      this.#say('warning', ['table'], 'choose does not name table: these rows are not looked at');
    if (!has('number') && numbers.length > 0)
      this.#say('warning', ['numbers'], 'choose does not name number: these rows are not looked at');
    if (!has('client') && statement.allow.length > 0)
      this.#say('warning', ['statement', 'allow'], 'choose does not name client: nobody is listened to');
    if (tunnels.perGroup && groupBy === undefined)
      this.#say('error', ['tunnels', 'perGroup'], 'there are no groups: write groupBy');
    if (ppp.mode !== 'relay') return;
    if (groupBy !== undefined && groupBy !== 'calling-number')
      this.#say('error', ['groupBy'], 'with ppp.mode relay neither user nor realm is known: write calling-number');
    for (const [index, { realm, user }] of table.entries()) {
      if ((realm ?? user) !== undefined)
        this.#say('error', ['table', index], 'with ppp.mode relay neither user nor realm is known');
    }
    if (statement.in === 'user' && statement.allow.length > 0)
      this.#say('error', ['statement', 'in'], 'with ppp.mode relay the user is not known: write in: service');
  }

  #order(path: Path, order: LacInput['table'][number]['lns']): void {
    if (typeof order === 'string') return this.#known(path, order);
    for (const [index, entry] of order.entries()) {
      if (typeof entry === 'string') this.#known([...path, index], entry);
      else for (const [inner, name] of entry.entries()) this.#known([...path, index, inner], name);
    }
  }

  #known(path: Path, name: string): void {
    if (!this.#names.has(name))
      this.#say('error', path, `there is no LNS ${name}; there are ${[...this.#names].join(', ')}`);
  }

  #say(severity: 'error' | 'warning', path: Path, message: string): void {
    this.#problems.push(this.source.problem(severity, path, message));
  }
}

function compile(file: string, input: LacInput): LacConfig {
  const { pppoe, radiusQuestion, tunnels, buffer } = input;
  return {
    file,
    name: input.name,
    listen: [input.listen].flat().map((written) => valid(parseListenAddress(written))),
    pppoe: pppoe === undefined ? null : compilePppoe(pppoe, input.name),
    ppp: { ...input.ppp, mru: input.ppp.mru ?? null },
    call: input.call,
    lns: input.lns.map((server) => ({
      name: server.name,
      address: formatWords(valid(parseUnicast(server.address))),
      port: server.port,
      secret: compileSecret(server),
      hostName: server.hostName ?? input.name,
      serverName: server.serverName ?? null,
      weight: server.weight,
      sessions: server.sessions,
      follow: server.follow,
      hide: server.hide,
      sequencing: server.sequencing,
    })),
    choose: [...new Set(input.choose)],
    table: input.table.map((row) => ({
      realm: patterns(row.realm),
      user: patterns(row.user),
      service: patterns(row.service),
      interface: patterns(row.interface),
      client: patterns(row.client),
      lns: orderOf(row.lns),
    })),
    numbers: input.numbers.map((row) => ({
      called: patterns(row.called),
      calling: patterns(row.calling),
      lns: orderOf(row.lns),
    })),
    groupBy: input.groupBy ?? null,
    statement: input.statement,
    radiusQuestion,
    radius: input.radius === undefined ? null : compileRadius(input.radius),
    tunnels: {
      ...compileTimers(tunnels),
      limit: tunnels.limit,
      setup: seconds(tunnels.setup),
      dead: seconds(tunnels.dead),
      idle: seconds(tunnels.idle),
      perGroup: tunnels.perGroup,
    },
    buffer: { session: buffer.session, total: buffer.total, time: seconds(buffer.time) },
    switchover: compileLacSwitchover(input.switchover),
    setup: seconds(input.setup),
    control: compileControl(input.control),
    workers: input.workers === 'auto' ? 0 : input.workers,
    logLevel: input.log.level,
  };
}

function compilePppoe(input: NonNullable<LacInput['pppoe']>, name: string): LacPppoeConfig {
  const limit = ({ rate, burst }: { rate: string; burst: number }): RateLimit => ({
    rate: parseRate(rate) as number,
    burst,
  });
  return {
    interfaces: [...new Set([input.interfaces].flat())],
    acName: input.acName ?? name,
    services: [...new Set(input.services)],
    anyService: input.anyService,
    sessions: input.sessions,
    perClient: input.perClient,
    clientRequests: limit(input.clientRequests),
    requests: limit(input.requests),
  };
}

function patterns(value: string | readonly string[] | undefined): readonly string[] | null {
  return value === undefined ? null : [value].flat();
}

function orderOf(order: LacInput['table'][number]['lns']): LnsOrder {
  return [order].flat(1).map((entry) => [entry].flat());
}
