/** The configuration of `designator agent`: what it reads, and where it tells. */
import { z } from 'zod';
import { isAbsolute } from 'node:path';
import { type CandidateConfig, candidateSchema, compileCandidate } from './candidate.js';
import { checkCluster, type ClusterMemberConfig, compileMember } from './cluster.js';
import { endpointCluster } from './cluster-schema.js';
import type { ConfigProblem, Secret } from './compiled.js';
import { parseBandwidth, parseDuration } from './durations.js';
import { readFileText } from './file-text.js';
import { configError } from './load.js';
import { isError } from './problem.js';
import { bandwidth, name, secret, secretFile } from './schema.js';
import { duration, listOf, text } from './schema-parts.js';
import { checkShapeOf } from './shape.js';
import { ConfigSource } from './source.js';
import { parseListen, parsePath, parseInterface } from './values.js';

const LENGTH_LIMIT = 1024 * 1024;
const COUNT_MAX = 1_000_000_000;
const count = z.int().min(1).max(COUNT_MAX);
const percent = z.int().min(1).max(100);
const password = z.string().min(1).max(200);
const words = z.array(z.string().min(1)).min(1);

/** One of these is written; none: the tunnels are not counted. */
const sourceSchema = z
  .strictObject({
    xl2tpd: z
      .strictObject({ log: text(parsePath).describe('The file that xl2tpd logs to.') })
      .optional()
      .describe('xl2tpd, by its log; its control pipe is left alone.'),
    l2tpns: z
      .strictObject({
        cli: text(parseListen).default('127.0.0.1:23').describe('Address and port of its command line.'),
        username: password.optional().describe('When the command line asks for one.'),
        password: password.optional().describe('When the command line asks for one.'),
      })
      .optional()
      .describe('l2tpns, by its command line.'),
    accelPpp: z
      .strictObject({
        cli: text(parseListen).default('127.0.0.1:2001').describe('Address and port of its command line (cli tcp).'),
        password: password.optional().describe('When the command line asks for one.'),
      })
      .optional()
      .describe('accel-ppp, by its command line.'),
    command: z
      .strictObject({
        run: words.describe('Program and arguments; no shell. It prints one JSON object of fields.'),
        timeout: duration(0.1, 60).default('2s').describe('A command that takes longer is ended.'),
      })
      .optional()
      .describe('Anything else.'),
  })
  .describe('The tunnel server to look at.');

export const agentSchema = z.strictObject({
  server: listOf(name).describe(
    'Name of this server in the designator’s configuration; all of them, if it has several.',
  ),
  designators: listOf(text(parseListen))
    .optional()
    .describe('Address and port of loadStatus.listen of each designator; obligatory without `cluster`.'),
  cluster: endpointCluster,
  secret,
  secretFile,
  every: duration(0.1, 60).default('1s').describe('Time between two messages.'),
  source: sourceSchema.default({}),
  interface: text(parseInterface)
    .optional()
    .describe('Interface towards the designator: what it receives is traffic in, what it sends traffic out.'),
  capacity: bandwidth.optional().describe('Bits a second that this server can carry, each way.'),
  packetCapacity: count.optional().describe('Packets a second that it can carry, each way.'),
  tunnelLimit: count.optional().describe('Tunnels that it can carry.'),
  sessionLimit: count.optional().describe('Sessions that it can carry.'),
  refuseAbove: z
    .strictObject({
      cpu: percent.optional().describe('Percent of processor time.'),
      memory: percent.optional().describe('Percent of memory in use.'),
      tunnels: count.optional().describe('Number of tunnels.'),
      sessions: count.optional().describe('Number of sessions.'),
    })
    .default({})
    .describe('The server says that it takes no new tunnels while one of these is exceeded.'),
  master: candidateSchema.optional(),
  log: z.strictObject({ level: z.enum(['trace', 'debug', 'info', 'warn', 'error']).default('info') }).prefault({}),
});

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}
export type AgentSource =
  | { readonly kind: 'none' }
  | { readonly kind: 'xl2tpd'; readonly log: string }
  | {
      readonly kind: 'l2tpns';
      readonly cli: Endpoint;
      readonly username: string | null;
      readonly password: string | null;
    }
  | { readonly kind: 'accel-ppp'; readonly cli: Endpoint; readonly password: string | null }
  | { readonly kind: 'command'; readonly run: readonly string[]; readonly timeoutSeconds: number };

export interface AgentConfig {
  readonly file: string;
  readonly servers: readonly string[];
  readonly designators: readonly Endpoint[];
  /** null: it tells no bus. */
  readonly cluster: ClusterMemberConfig | null;
  readonly secret: Secret;
  readonly everySeconds: number;
  readonly source: AgentSource;
  /** null: traffic is not known. */
  readonly device: string | null;
  readonly bitCapacity: number | null;
  readonly packetCapacity: number | null;
  readonly tunnelLimit: number | null;
  readonly sessionLimit: number | null;
  readonly refuseAbove: {
    /** Shares, 0 … 1. */
    readonly cpu: number | null;
    readonly memory: number | null;
    readonly tunnels: number | null;
    readonly sessions: number | null;
  };
  /** null: it carries no master part. */
  readonly master: CandidateConfig | null;
  readonly logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error';
}

export function parseAgentConfig(
  file: string,
  content: string,
): { config: AgentConfig | null; problems: readonly ConfigProblem[] } {
  const source = new ConfigSource(file, content);
  if (source.data === undefined) return { config: null, problems: source.problems };
  const { input, problems: shape } = checkShapeOf(source, agentSchema);
  const problems = [...source.problems, ...shape];
  if (input !== null) problems.push(...relations(source, input));
  problems.sort((a, b) => a.line - b.line || a.column - b.column);
  return { config: input === null || problems.some(isError) ? null : compile(file, input), problems };
}

/** Errors: TD_CONFIG with all problems in `context.problems`. */
export function loadAgentConfig(
  file: string,
  shownAs = file,
): { config: AgentConfig; warnings: readonly ConfigProblem[] } {
  const content = readFileText(file, shownAs, LENGTH_LIMIT);
  if (typeof content !== 'string') throw configError(shownAs, [content]);
  const { config, problems } = parseAgentConfig(shownAs, content);
  if (config === null) throw configError(shownAs, problems);
  return { config, warnings: problems };
}

type Input = z.output<typeof agentSchema>;

function relations(source: ConfigSource, input: Input): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const say = (severity: 'error' | 'warning', path: (string | number)[], message: string): void => {
    problems.push(source.problem(severity, path, message));
  };
  if ((input.secret === undefined) === (input.secretFile === undefined))
    say('error', ['secret'], 'write either secret or secretFile');
  if (input.designators === undefined && input.cluster === undefined)
    say('error', ['designators'], 'nobody would be told: write designators or cluster');
  problems.push(...checkCluster(source, input.cluster));
  const kinds = Object.keys(input.source);
  if (kinds.length > 1) say('error', ['source'], `one of ${kinds.join(', ')}, not all`);
  const program = input.source.command?.run[0];
  if (program !== undefined && !isAbsolute(program))
    say('error', ['source', 'command', 'run', 0], `${JSON.stringify(program)} is no absolute path`);
  const refused = input.refuseAbove;
  if (kinds.length === 0 && (refused.tunnels ?? refused.sessions) !== undefined)
    say('warning', ['refuseAbove'], 'tunnels and sessions are not known without a source');
  if (input.interface !== undefined && input.capacity === undefined && input.packetCapacity === undefined)
    say(
      'warning',
      ['interface'],
      'traffic makes a load only with a capacity, here or in the designator’s configuration',
    );
  return problems;
}

function compile(file: string, input: Input): AgentConfig {
  const endpoint = (written: string): Endpoint => valid(parseListen(written));
  const share = (value: number | undefined): number | null => (value === undefined ? null : value / 100);
  return {
    file,
    servers: [...new Set([input.server].flat())],
    designators: [input.designators ?? []].flat().map(endpoint),
    cluster: input.cluster === undefined ? null : compileMember(input.cluster),
    secret: input.secret === undefined ? { file: input.secretFile as string } : { text: input.secret },
    everySeconds: parseDuration(input.every) as number,
    source: sourceOf(input.source, endpoint),
    device: input.interface ?? null,
    bitCapacity: input.capacity === undefined ? null : parseBandwidth(input.capacity),
    packetCapacity: input.packetCapacity ?? null,
    tunnelLimit: input.tunnelLimit ?? null,
    sessionLimit: input.sessionLimit ?? null,
    refuseAbove: {
      cpu: share(input.refuseAbove.cpu),
      memory: share(input.refuseAbove.memory),
      tunnels: input.refuseAbove.tunnels ?? null,
      sessions: input.refuseAbove.sessions ?? null,
    },
    master: compileCandidate(input.master),
    logLevel: input.log.level,
  };
}

function sourceOf(input: Input['source'], endpoint: (written: string) => Endpoint): AgentSource {
  const { xl2tpd, l2tpns, accelPpp, command } = input;
  if (xl2tpd !== undefined) return { kind: 'xl2tpd', log: xl2tpd.log };
  if (l2tpns !== undefined) {
    const { username = null, password = null } = l2tpns;
    return { kind: 'l2tpns', cli: endpoint(l2tpns.cli), username, password };
  }
  if (accelPpp !== undefined)
    return { kind: 'accel-ppp', cli: endpoint(accelPpp.cli), password: accelPpp.password ?? null };
  if (command !== undefined)
    return { kind: 'command', run: command.run, timeoutSeconds: parseDuration(command.timeout) as number };
  return { kind: 'none' };
}

function valid<T>(result: { readonly value: T } | { readonly error: string }): T {
  if ('error' in result) throw new TypeError(`a value has passed the schema: ${result.error}`);
  return result.value;
}
