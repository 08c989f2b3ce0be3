/** The configuration of `designator lns`: read, checked as a whole, and compiled. */
import type { z } from 'zod';
import type { AddressWords, ConfigProblem, Prefix, Secret } from './compiled.js';
import {
  compileControl,
  compileSecret,
  compileTimers,
  type ControlConfig,
  type Endpoint,
  type LogLevel,
  parseListenAddress,
  seconds,
  type TunnelTimers,
  valid,
} from './endpoint-parts.js';
import { type CandidateConfig, compileCandidate } from './candidate.js';
import { type ClusterMemberConfig, compileMember } from './cluster.js';
import { checkLnsRelations } from './lns-check.js';
import { type CompiledOffload, compileOffload } from './lns-offload.js';
import { lnsSchema } from './lns-schema.js';
import { readFileText } from './file-text.js';
import { configError } from './load.js';
import { isError } from './problem.js';
import { compileRadius, type RadiusSettings } from './radius.js';
import { checkShapeOf } from './shape.js';
import { ConfigSource } from './source.js';
import { type CompiledTakeOver, compileTakeOver } from './take-over.js';
import { type AddressRange, parseIdRange, parseIpv4Range, parseListen, parsePrefix, parseUnicast } from './values.js';

const LENGTH_LIMIT = 4 * 1024 * 1024;

export type LnsInput = z.output<typeof lnsSchema>;
export type LnsAuthMethod = 'pap' | 'chap-md5' | 'ms-chap-v2';
/** What is believed of a LAC's negotiations. */
export type ProxyTrust = 'none' | 'lcp' | 'authentication';

export interface LnsPeerRule {
  /** Empty: any address. */
  readonly from: readonly Prefix[];
  /** Patterns; empty: any host name. */
  readonly hostName: readonly string[];
  readonly allow: boolean;
  readonly secret: Secret | null;
  readonly hide: boolean;
  readonly proxy: ProxyTrust;
}

export interface LnsPool {
  readonly name: string;
  readonly ipv4: readonly AddressRange[];
  readonly ipv6: readonly Prefix[];
  /** Length of a subscriber's prefix. */
  readonly length: number;
}

export interface LnsLoadStatus {
  readonly designators: readonly Endpoint[];
  readonly servers: readonly string[];
  readonly secret: Secret;
  readonly everySeconds: number;
}

/** Where requests are answered from, but for those of `except`. */
export interface LnsAnswer extends Endpoint {
  readonly except: readonly Prefix[];
}

export interface LnsConfig {
  readonly file: string;
  readonly name: string;
  readonly listen: readonly Endpoint[];
  /** For each of `listen`: where its requests are answered from, null: from there. */
  readonly answerFrom: readonly (LnsAnswer | null)[];
  /** null: as many as there are cores. */
  readonly workers: number | null;
  readonly tunnels: {
    readonly ids: readonly [number, number];
    readonly limit: number;
    readonly sessions: number;
    readonly timers: TunnelTimers;
    readonly secret: Secret | null;
    readonly floatingPort: boolean;
    readonly alwaysSequence: boolean;
    readonly peers: readonly LnsPeerRule[];
    readonly refuseOthers: boolean;
  };
  readonly ppp: {
    /** Empty: subscribers need not prove who they are. */
    readonly authentication: readonly LnsAuthMethod[];
    readonly mru: number;
    /** 0: left alone; null: by the subscriber's MRU. */
    readonly clampMss: number | null;
    readonly echoSeconds: number;
    readonly echoFailures: number;
    readonly proxy: ProxyTrust;
    readonly authenticateSeconds: number;
    readonly networkSeconds: number;
  };
  readonly ipv4: { readonly local: AddressWords | null; readonly pool: string | null; readonly dns: AddressWords[] };
  readonly ipv6: { readonly pool: string | null; readonly dns: AddressWords[] };
  readonly pools: readonly LnsPool[];
  readonly authenticate: readonly ('users' | 'radius')[];
  readonly usersFile: string | null;
  readonly radius: RadiusSettings | null;
  /** Taking over addresses and tunnels at the network; null: not configured. */
  readonly offload: CompiledOffload | null;
  readonly takeOver: CompiledTakeOver | null;
  /** null: it tells no bus of its load. */
  readonly cluster: ClusterMemberConfig | null;
  /** null: it carries no master part. */
  readonly master: CandidateConfig | null;
  readonly tun: { readonly device: string; readonly mtu: number; readonly routes: boolean };
  readonly sessions: {
    readonly limit: number;
    /** 0: never. */
    readonly idleSeconds: number;
    readonly timeoutSeconds: number;
    /** 0: any number. */
    readonly perUser: number;
    readonly dropSpoofed: boolean;
  };
  readonly loadStatus: LnsLoadStatus | null;
  readonly refuseAbove: {
    /** Shares, 0 … 1. */
    readonly cpu: number | null;
    readonly memory: number | null;
    readonly sessions: number | null;
  };
  readonly control: ControlConfig;
  readonly logLevel: LogLevel;
}

export interface ParsedLns {
  /** null: there is an error. */
  readonly config: LnsConfig | null;
  /** In the order of the file; errors and warnings. */
  readonly problems: readonly ConfigProblem[];
}

export function parseLnsConfig(file: string, content: string): ParsedLns {
  const source = new ConfigSource(file, content);
  if (source.data === undefined) return { config: null, problems: source.problems };
  const { input, problems: shape } = checkShapeOf(source, lnsSchema);
  const problems = [...source.problems, ...shape];
  if (input !== null) problems.push(...checkLnsRelations(source, input));
  problems.sort((a, b) => a.line - b.line || a.column - b.column);
  return { config: input === null || problems.some(isError) ? null : compileLns(file, input), problems };
}

/** Reads and parses; a file that cannot be read is a problem without a line. */
export function readLnsConfig(file: string, shownAs = file): ParsedLns {
  const content = readFileText(file, shownAs, LENGTH_LIMIT);
  return typeof content === 'string' ? parseLnsConfig(shownAs, content) : { config: null, problems: [content] };
}

/** Errors: TD_CONFIG with all problems in `context.problems`. */
export function loadLnsConfig(file: string, shownAs = file): { config: LnsConfig; warnings: readonly ConfigProblem[] } {
  const { config, problems } = readLnsConfig(file, shownAs);
  if (config === null) throw configError(shownAs, problems);
  return { config, warnings: problems };
}

function compileLns(file: string, input: LnsInput): LnsConfig {
  const { tunnels, ppp, sessions, tun } = input;
  const share = (value: number | undefined): number | null => (value === undefined ? null : value / 100);
  const words = (text: string): AddressWords => valid(parseUnicast(text));
  const methods = [ppp.authentication].flat();
  const listen = [input.listen].flat().map((text) => valid(parseListenAddress(text)));
  return {
    file,
    name: input.name,
    listen,
    answerFrom: listen.map((at) => answerOf(input, at)),
    workers: input.workers === 'auto' ? null : input.workers,
    tunnels: {
      ids: valid(parseIdRange(tunnels.ids)),
      limit: tunnels.limit,
      sessions: tunnels.sessions,
      timers: compileTimers(tunnels),
      secret: compileSecret(tunnels),
      floatingPort: tunnels.floatingPort,
      alwaysSequence: tunnels.sequencing === 'always',
      peers: tunnels.peers.map((rule) => ({
        from: [rule.from ?? []].flat().map((text) => valid(parsePrefix(text))),
        hostName: [rule.hostName ?? []].flat(),
        allow: rule.allow,
        secret: compileSecret(rule) ?? compileSecret(tunnels),
        hide: rule.hide,
        proxy: rule.proxy ?? ppp.proxy,
      })),
      refuseOthers: tunnels.others === 'refuse',
    },
    ppp: {
      authentication: methods.filter((method) => method !== 'none'),
      mru: ppp.mru,
      clampMss: ppp.clampMss === 'auto' ? null : ppp.clampMss === 'off' ? 0 : ppp.clampMss,
      echoSeconds: seconds(ppp.echo),
      echoFailures: ppp.echoFailures,
      proxy: ppp.proxy,
      authenticateSeconds: seconds(ppp.authenticateWithin),
      networkSeconds: seconds(ppp.networkWithin),
    },
    ipv4: {
      local: input.ipv4.local === undefined ? null : words(input.ipv4.local),
      pool: input.ipv4.pool ?? null,
      dns: input.ipv4.dns.map(words),
    },
    ipv6: { pool: input.ipv6.pool ?? null, dns: input.ipv6.dns.map(words) },
    pools: input.pools.map((pool) => ({
      name: pool.name,
      ipv4: [pool.ipv4 ?? []].flat().map((text) => valid(parseIpv4Range(text))),
      ipv6: [pool.ipv6 ?? []].flat().map((text) => valid(parsePrefix(text))),
      length: pool.length,
    })),
    authenticate: [input.authenticate ?? judgesOf(input)].flat(),
    usersFile: input.users?.file ?? null,
    radius: input.radius === undefined ? null : compileRadius(input.radius),
    offload: input.offload === undefined ? null : compileOffload(input.offload),
    master: compileCandidate(input.master),
    cluster: input.cluster === undefined ? null : compileMember(input.cluster),
    takeOver: input.takeOver === undefined ? null : compileTakeOver(input.takeOver),
    tun: { device: tun.device, mtu: tun.mtu, routes: tun.routes === 'pools' },
    sessions: {
      limit: sessions.limit,
      idleSeconds: seconds(sessions.idle),
      timeoutSeconds: seconds(sessions.timeout),
      perUser: sessions.perUser,
      dropSpoofed: sessions.spoofing === 'drop',
    },
    loadStatus:
      input.loadStatus === undefined
        ? null
        : {
            designators: [input.loadStatus.designators ?? []].flat().map((text) => valid(parseListen(text))),
            servers: [...new Set([input.loadStatus.servers ?? input.name].flat())],
            secret: compileSecret(input.loadStatus) as Secret,
            everySeconds: seconds(input.loadStatus.every),
          },
    refuseAbove: {
      cpu: share(input.refuseAbove.cpu),
      memory: share(input.refuseAbove.memory),
      sessions: input.refuseAbove.sessions ?? null,
    },
    control: compileControl(input.control),
    logLevel: input.log.level,
  };
}

function answerOf(input: LnsInput, at: Endpoint): LnsAnswer | null {
  const found = input.answerFrom.find(({ listen }) => {
    const { host, port } = valid(parseListenAddress(listen));
    return host === at.host && port === at.port;
  });
  if (found === undefined) return null;
  const except = [found.except ?? []].flat().map((text) => valid(parsePrefix(text)));
  return { ...valid(parseListenAddress(found.address, at.port)), except };
}

function judgesOf({ users, radius }: LnsInput): ('users' | 'radius')[] {
  return [...(users === undefined ? [] : ['users' as const]), ...(radius === undefined ? [] : ['radius' as const])];
}
