/** Valid input into the form that the rest of the product reads: defaults, numbers, canonical addresses. */
import { dirname, resolve } from 'node:path';
import type { RuleAttributes, RuleLimit } from '../flow/rule-list.js';
import { formatWords } from '../wire/address.js';
import type {
  CompiledAddress,
  CompiledConfig,
  CompiledLoadStatus,
  CompiledHealth,
  CompiledRule,
  CompiledServer,
  CompiledTakeOverDesk,
  CompiledVip,
  Prefix,
  Protocol,
  Secret,
} from './compiled.js';
import { announcedAddresses, compileAnnounce } from './announce.js';
import { compileCluster } from './cluster.js';
import { compileDesignatorGroups } from './designator-group.js';
import { compileInactivation } from './inactivation.js';
import { parseBandwidth, parseDuration, parseRate } from './durations.js';
import type { ConfigInput, RuleInput, VipInput } from './schema.js';
import {
  DEFAULT_PORTS,
  familyOf,
  type Parsed,
  parseChannels,
  parseInterface,
  parseListen,
  parsePrefix,
  parseProtocolVersion,
  parseRuleProtocol,
  parseUnicast,
} from './values.js';

/** `input` has passed the schema and `checkRelations` without an error. */
export function compile(file: string, input: ConfigInput): CompiledConfig {
  const { firewall, timeouts, control } = input;
  const limits = firewall.tunnelRequestRate;
  const perSource = rateOf(limits.perSource);
  const total = rateOf(limits.total);
  const outside = valid(parseInterface(input.interfaces.outside));
  const inside = valid(parseInterface(input.interfaces.inside));
  const vips = input.vips.map((vip) => compileVip(vip, input.part));
  const devices = { outside: outside.name, inside: inside.name };
  return {
    file,
    outside,
    inside,
    io: input.io,
    offload: input.offload,
    spread: input.spread,
    workers: input.workers,
    part: input.part,
    vips,
    gateway: compileDesignatorGroups(input.gateway, devices, vips, dirname(resolve(file))),
    cluster: compileCluster(input.cluster),
    announce: compileAnnounce(input.announce, announcedAddresses(vips, input.part)),
    firewall: {
      default: firewall.default,
      rules: firewall.rules.map(compileRule),
      requestsPerSecond: perSource,
      burst: perSource === null ? null : (limits.burst ?? oneSecond(perSource)),
      halfOpen: limits.halfOpen ?? null,
      policy: {
        totalPerSecond: total,
        totalBurst: limits.totalBurst ?? oneSecond(total),
        prefixIpv4: limits.prefixIpv4,
        prefixIpv6: limits.prefixIpv6,
        unknownSources: limits.unknownSources,
        duplicatesMs: Math.round(seconds(limits.duplicates) * 1000),
      },
    },
    timeouts: {
      halfOpen: seconds(timeouts.halfOpen),
      idle: seconds(timeouts.idle),
      closing: seconds(timeouts.closing),
    },
    health: compileHealth(input.health),
    table: { connections: input.table.connections },
    loadStatus: compileLoadStatus(input.loadStatus),
    takeOver: compileTakeOverDesk(input.takeOver),
    control: { socket: control.socket, http: control.http === undefined ? null : valid(parseListen(control.http)) },
    state: { pin: input.state.pin },
    log: { level: input.log.level },
  };
}

function compileHealth(health: ConfigInput['health']): CompiledHealth {
  const { onDown, active } = health;
  return {
    passive: health.passive,
    suspectAfter: seconds(health.suspectAfter),
    downAfter: seconds(health.downAfter),
    downAfterAlone: seconds(health.downAfterAlone),
    slowStart: seconds(health.slowStart),
    lendFirst: seconds(health.lendFirst),
    lendMost: seconds(health.lendMost),
    onDown: {
      close: onDown.tunnels === 'close',
      result: onDown.result,
      error: onDown.error,
      pace: parseRate(onDown.pace) ?? 0,
    },
    active:
      active === undefined || active === false || !active.enabled
        ? null
        : {
            type: active.type,
            every: seconds(active.every),
            timeout: seconds(active.timeout),
            failures: active.failures,
          },
  };
}

function compileVip(vip: VipInput, part: ConfigInput['part']): CompiledVip {
  const protocols = [...new Set(toList(vip.protocols))] as Protocol[];
  const ownPort = DEFAULT_PORTS[protocols[0]];
  return {
    name: vip.name,
    // The NAT server alone has the VIP's part at its own address; the VIP is the master's.
    ...compileAddress(part === 'nat' && vip.natAddress !== undefined ? vip.natAddress : vip.address),
    port: vip.port ?? ownPort,
    protocols,
    algorithm: vip.algorithm,
    leakyBucket: { rate: parseRate(vip.leakyBucket?.rate ?? '50/s') ?? 50, burst: vip.leakyBucket?.burst ?? 50 },
    reply: vip.reply,
    oneWay: vip.reply === 'direct' || (vip.reply === 'nat' && part === 'master'),
    natAddress: part === 'nat' || vip.natAddress === undefined ? null : compileAddress(vip.natAddress),
    localAddress: vip.localAddress === undefined ? null : compileAddress(vip.localAddress),
    serverPort: vip.serverPort,
    clampMss: vip.clampMss ?? null,
    tunnelSecret: vip.tunnelSecret ?? null,
    hiddenIds: vip.hiddenIds,
    clientPort: vip.clientPort,
    ...(vip.groupBy === undefined ? {} : { groupBy: vip.groupBy }),
    ...(vip.inactivate === undefined ? {} : { inactivate: compileInactivation(vip.inactivate) }),
    servers: vip.servers.map(
      (server): CompiledServer => ({
        name: server.name,
        ...compileAddress(server.address),
        port: server.port ?? ownPort,
        globalAddress: server.globalAddress === undefined ? null : compileAddress(server.globalAddress),
        weight: server.weight,
        loadStatus: {
          secret: secretOf(server.loadStatus),
          capacityBits: server.loadStatus?.capacity === undefined ? null : parseBandwidth(server.loadStatus.capacity),
          tunnelLimit: server.loadStatus?.tunnels ?? null,
          sessionLimit: server.loadStatus?.sessions ?? null,
        },
        peer: server.peer ?? null,
      }),
    ),
  };
}

function compileLoadStatus(input: ConfigInput['loadStatus']): CompiledLoadStatus {
  return {
    listen: input.listen === undefined ? null : valid(parseListen(input.listen)),
    secret: secretOf(input),
    staleAfter: seconds(input.staleAfter),
    clockSkew: seconds(input.clockSkew),
    fallback: input.fallback,
    tunnelLoad: input.tunnelLoad,
    formula: input.formula,
  };
}

function compileTakeOverDesk(input: ConfigInput['takeOver']): CompiledTakeOverDesk {
  return {
    listen: input.listen === undefined ? null : valid(parseListen(input.listen)),
    secret: secretOf(input),
    clockSkew: seconds(input.clockSkew),
    quiet: seconds(input.quiet),
    wait: seconds(input.wait),
  };
}

function secretOf(from: { secret?: string; secretFile?: string } | undefined): Secret | null {
  if (from?.secret !== undefined) return { text: from.secret };
  return from?.secretFile === undefined ? null : { file: from.secretFile };
}

function compileAddress(text: string): CompiledAddress {
  const words = valid(parseUnicast(text));
  return { address: formatWords(words), words, family: familyOf(words) };
}

function compileRule(rule: RuleInput, index: number): CompiledRule {
  const match = rule.allow ?? rule.deny ?? rule.limit ?? {};
  const attributes = attributesOf(match);
  const prefixes = (value: string | string[] | undefined): Prefix[] =>
    toList(value).map((text) => valid(parsePrefix(text)));
  return {
    name: rule.name ?? null,
    action: rule.allow !== undefined ? 'allow' : rule.deny !== undefined ? 'deny' : 'limit',
    from: prefixes(match.from),
    to: prefixes(match.to),
    vips: toList(match.vip),
    protocols: toList(match.protocol).map((text) => valid(parseRuleProtocol(text))),
    ...(attributes === null ? {} : { attributes }),
    ...(rule.limit === undefined ? {} : { limit: limitOf(rule) }),
    path: `firewall.rules[${index}]`,
  };
}

/** Null: the rule asks for none. */
function attributesOf(match: NonNullable<RuleInput['allow']>): RuleAttributes | null {
  const { hostName, vendorName, protocolVersion, framing, bearer, clientTunnelId } = match;
  const attributes: RuleAttributes = {
    ...(hostName === undefined ? {} : { hostName: toList(hostName) }),
    ...(vendorName === undefined ? {} : { vendorName: toList(vendorName) }),
    ...(protocolVersion === undefined
      ? {}
      : { protocolVersion: toList(protocolVersion).map((version) => valid(parseProtocolVersion(version))) }),
    ...(framing === undefined ? {} : { framing: toList(framing).map((kind) => FRAMING[kind]) }),
    ...(bearer === undefined ? {} : { bearer: toList(bearer).map((kind) => BEARER[kind]) }),
    ...(clientTunnelId === undefined
      ? {}
      : { channel: toList(clientTunnelId).map((ids) => valid(parseChannels(ids))) }),
  };
  return Object.keys(attributes).length === 0 ? null : attributes;
}

/** RFC 2661 §4.4.3: bits of the capabilities AVPs. */
const FRAMING = { none: 0, synchronous: 1, asynchronous: 2 } as const;
const BEARER = { none: 0, digital: 1, analog: 2 } as const;

function limitOf(rule: RuleInput): RuleLimit {
  const all = rateOf(rule.rate);
  const each = rateOf(rule.perSource);
  return {
    rate: all,
    burst: rule.burst ?? oneSecond(all),
    perSource: each,
    perSourceBurst: rule.perSourceBurst ?? oneSecond(each),
  };
}

function rateOf(text: string | undefined): number | null {
  return text === undefined ? null : parseRate(text);
}

/** Burst of a rate for which none is written. */
function oneSecond(rate: number | null): number {
  return Math.max(1, Math.ceil(rate ?? 0));
}

function toList<T>(value: T | T[] | undefined): T[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? value : [value];
}

function seconds(text: string): number {
  const value = parseDuration(text);
  if (value === null) throw new TypeError(`${text} has passed the schema and is no duration`);
  return value;
}

function valid<T>(result: Parsed<T>): T {
  if ('error' in result) throw new TypeError(`a value has passed the schema: ${result.error}`);
  return result.value;
}
