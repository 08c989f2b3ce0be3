/** The configuration of `designator gateway`: read, checked as a whole, and compiled. */
import { dirname, resolve } from 'node:path';
import type { z } from 'zod';
import type { AddressWords, ConfigProblem, Prefix, Secret } from './compiled.js';
import { parseBandwidth, parseRate } from './durations.js';
import { compileControl, type ControlConfig, type LogLevel, seconds, valid } from './endpoint-parts.js';
import { readFileText } from './file-text.js';
import { type AdvertiseConfig, compileAdvertise } from './gateway-advertise.js';
import { checkGatewayRelations } from './gateway-check.js';
import { type GATEWAY_ALGORITHMS, type gatewayGroupSchema, gatewaySchema } from './gateway-schema.js';
import { configError } from './load.js';
import { isError } from './problem.js';
import { checkShapeOf } from './shape.js';
import { ConfigSource } from './source.js';
import { parsePrefix, parseSharedAddress } from './values.js';

const LENGTH_LIMIT = 1024 * 1024;
const DEFAULT_PREEMPT_SECONDS = 5;

export type GatewayInput = z.output<typeof gatewaySchema>;
export type GatewayGroupInput = z.output<typeof gatewayGroupSchema>;
export type GatewayAlgorithm = (typeof GATEWAY_ALGORITHMS)[number];

/** What one item of `track` watches. */
export type TrackTarget =
  | { readonly kind: 'interface'; readonly device: string }
  | { readonly kind: 'route'; readonly prefix: Prefix }
  | { readonly kind: 'script'; readonly command: readonly string[]; readonly timeoutSeconds: number }
  /** `share`: 0 … 1. */
  | { readonly kind: 'load'; readonly share: number };

export interface TrackConfig {
  readonly name: string;
  readonly target: TrackTarget;
  readonly everySeconds: number;
  readonly rise: number;
  readonly fall: number;
  /** Taken off while it fails. */
  readonly priorityLoss: number;
  readonly weightLoss: number;
  /** This gateway cannot forward while it fails. */
  readonly blocks: boolean;
}

export interface GatewayGroupConfig {
  readonly name: string;
  readonly group: number;
  readonly device: string;
  readonly number: number;
  readonly addresses: readonly AddressWords[];
  /** null: GLBP without authentication. */
  readonly key: Secret | null;
  readonly priority: number;
  /** null: no pre-emption. */
  readonly preemptDelaySeconds: number | null;
  readonly advertSeconds: number;
  readonly losses: number;
  readonly algorithm: GatewayAlgorithm;
  readonly weight: number;
  /** Bits a second that are a load of 1; null: only the processor counts. */
  readonly capacity: number | null;
  readonly sticky: boolean;
  readonly replies: 'master' | 'forwarder';
  readonly takeover: 'master' | 'least-loaded';
  /** null: never. */
  readonly permanentSeconds: number | null;
  readonly redirectSeconds: number;
  readonly timeoutSeconds: number;
  readonly return: 'gradual' | 'stay' | 'at-once';
  readonly rebalance: {
    readonly by: 'load' | 'hosts';
    readonly everySeconds: number;
    readonly hosts: number;
    readonly difference: number;
  } | null;
  readonly hosts: { readonly limit: number; readonly idleSeconds: number };
  readonly limits: { readonly perSource: number; readonly burst: number };
  readonly mac: 'local' | 'cisco';
  readonly accept: boolean;
  readonly advertise: AdvertiseConfig | null;
  readonly track: readonly TrackConfig[];
  /** null: the group speaks its own messages. */
  readonly glbp: GlbpConfig | null;
}

export interface GlbpConfig {
  readonly authentication: 'none' | 'text' | 'md5' | 'md5-chain';
  readonly keyNumber: number;
  readonly helloSeconds: number;
  readonly holdSeconds: number;
  readonly learnTimers: boolean;
  readonly forwarderDelaySeconds: number;
}

export interface GatewayConfig {
  readonly file: string;
  readonly groups: readonly GatewayGroupConfig[];
  readonly control: ControlConfig;
  readonly logLevel: LogLevel;
}

export interface ParsedGateway {
  /** null: there is an error. */
  readonly config: GatewayConfig | null;
  /** In the order of the file; errors and warnings. */
  readonly problems: readonly ConfigProblem[];
}

/** `folder`: what relative paths of keys are relative to. */
export function parseGatewayConfig(file: string, content: string, folder = dirname(resolve(file))): ParsedGateway {
  const source = new ConfigSource(file, content);
  if (source.data === undefined) return { config: null, problems: source.problems };
  const { input, problems: shape } = checkShapeOf(source, gatewaySchema);
  const problems = [...source.problems, ...shape];
  if (input !== null) problems.push(...checkGatewayRelations(source, input.groups));
  problems.sort((a, b) => a.line - b.line || a.column - b.column);
  if (input === null || problems.some(isError)) return { config: null, problems };
  const { groups, control, log } = input;
  const config: GatewayConfig = {
    file,
    groups: groups.map((group) => compileGatewayGroup(group, folder)),
    control: compileControl(control),
    logLevel: log.level,
  };
  return { config, problems };
}

/** Reads and parses; a file that cannot be read is a problem without a line. */
export function readGatewayConfig(file: string, shownAs = file): ParsedGateway {
  const content = readFileText(file, shownAs, LENGTH_LIMIT);
  return typeof content === 'string'
    ? parseGatewayConfig(shownAs, content, dirname(resolve(file)))
    : { config: null, problems: [content] };
}

/** Errors: TD_CONFIG with all problems in `context.problems`. */
export function loadGatewayConfig(
  file: string,
  shownAs = file,
): { config: GatewayConfig; warnings: readonly ConfigProblem[] } {
  const { config, problems } = readGatewayConfig(file, shownAs);
  if (config === null) throw configError(shownAs, problems);
  return { config, warnings: problems };
}

/** `input` has passed the schema and `checkGatewayRelations`. */
export function compileGatewayGroup(input: GatewayGroupInput, folder: string): GatewayGroupConfig {
  const { adverts, hosts, limits, preempt, rebalance, permanentAfter, key } = input;
  return {
    name: input.name,
    group: input.group,
    device: input.interface,
    number: input.number,
    addresses: input.addresses.map((text) => valid(parseSharedAddress(text))),
    key: compileKey(key, folder),
    priority: input.priority,
    preemptDelaySeconds:
      typeof preempt === 'object' ? seconds(preempt.delay) : preempt ? DEFAULT_PREEMPT_SECONDS : null,
    advertSeconds: seconds(adverts.interval),
    losses: adverts.losses,
    algorithm: input.algorithm,
    weight: input.weight,
    capacity: input.capacity === undefined ? null : parseBandwidth(input.capacity),
    sticky: input.sticky,
    replies: input.replies,
    takeover: input.takeover,
    permanentSeconds: permanentAfter === 'never' ? null : seconds(permanentAfter),
    redirectSeconds: seconds(input.redirect),
    timeoutSeconds: seconds(input.timeout),
    return: input.return,
    rebalance:
      rebalance === false
        ? null
        : {
            by: rebalance.by,
            everySeconds: seconds(rebalance.every),
            hosts: rebalance.hosts,
            difference: shareOf(rebalance.difference),
          },
    hosts: { limit: hosts.limit, idleSeconds: seconds(hosts.idle) },
    limits: { perSource: parseRate(limits.perSource) as number, burst: limits.burst },
    mac: input.mac,
    accept: input.accept,
    advertise: input.advertise === undefined ? null : compileAdvertise(input.advertise),
    track: input.track.map(compileTrack),
    glbp: input.compatibility === 'glbp' ? compileGlbp(input.glbp) : null,
  };
}

function compileKey(key: GatewayGroupInput['key'], folder: string): Secret | null {
  if (key === undefined) return null;
  return key.text === undefined ? { file: resolve(folder, key.file as string) } : { text: key.text };
}

function compileGlbp(input: GatewayGroupInput['glbp']): GlbpConfig {
  const { authentication, keyNumber, learnTimers } = input;
  return {
    authentication,
    keyNumber,
    learnTimers,
    helloSeconds: seconds(input.hello),
    holdSeconds: seconds(input.hold),
    forwarderDelaySeconds: seconds(input.forwarderDelay),
  };
}

function compileTrack(input: GatewayGroupInput['track'][number]): TrackConfig {
  const target = targetOf(input);
  return {
    name: input.name ?? nameOf(target),
    target,
    everySeconds: seconds(input.interval),
    rise: input.rise,
    fall: input.fall,
    priorityLoss: input.priority ?? 0,
    weightLoss: input.weight ?? 0,
    blocks: !input.forward,
  };
}

function targetOf(input: GatewayGroupInput['track'][number]): TrackTarget {
  if (input.interface !== undefined) return { kind: 'interface', device: input.interface };
  if (input.route !== undefined) return { kind: 'route', prefix: valid(parsePrefix(input.route)) };
  if (input.script !== undefined)
    return { kind: 'script', command: input.script, timeoutSeconds: seconds(input.timeout) };
  return { kind: 'load', share: shareOf(input.load as string) };
}

/** For people: what is watched, in a word or two. */
function nameOf(target: TrackTarget): string {
  switch (target.kind) {
    case 'interface':
      return `interface ${target.device}`;
    case 'route':
      return `route ${target.prefix.text}`;
    case 'script':
      return `script ${target.command[0].split('/').at(-1)}`;
    case 'load':
      return 'load';
  }
}

/** `80%` is 0.8. */
function shareOf(written: string): number {
  return Number(written.slice(0, -1)) / 100;
}
