/** A group as it is configured, in the words of the engine. */
import type { GatewayGroupConfig } from '../../config/gateway.js';
import { DesignatorError } from '../../errors.js';
import { GlbpGroup } from '../../gateway/glbp/group.js';
import { glbpSecret } from '../../gateway/glbp/options.js';
import { GatewayGroup } from '../../gateway/group.js';
import type { MacScheme } from '../../gateway/mac.js';
import type { GroupOptions, GroupSettings, RouterAdvertisementOptions } from '../../gateway/types.js';

export type GroupEngine = GatewayGroup | GlbpGroup;
export type EngineHost = Pick<GroupOptions, 'mac' | 'ownAddress' | 'key' | 'random'>;

/** Configured keys of which a running group takes another value; any other one needs the group to begin anew. */
export const LIVE_KEYS: ReadonlySet<keyof GatewayGroupConfig> = new Set([
  'priority',
  'preemptDelaySeconds',
  'algorithm',
  'weight',
  'capacity',
  'sticky',
  'replies',
  'takeover',
  'permanentSeconds',
  'redirectSeconds',
  'timeoutSeconds',
  'return',
  'rebalance',
  'limits',
  'advertise',
  'track',
] as const);

/** The part that a reload may change while the group runs. */
export function settingsOf(config: GatewayGroupConfig): GroupSettings {
  const { rebalance, preemptDelaySeconds: delay } = config;
  return {
    priority: config.priority,
    preempt: delay === null ? null : { delay },
    weight: config.weight,
    algorithm: config.algorithm,
    sticky: config.sticky,
    replies: config.replies,
    takeover: config.takeover,
    permanentAfter: config.permanentSeconds ?? Number.POSITIVE_INFINITY,
    redirect: config.redirectSeconds,
    timeout: config.timeoutSeconds,
    return: config.return,
    rebalance:
      rebalance === null
        ? null
        : {
            by: rebalance.by,
            interval: rebalance.everySeconds,
            hosts: rebalance.hosts,
            threshold: rebalance.difference,
          },
    hostIdle: config.hosts.idleSeconds,
    perSource: { rate: config.limits.perSource, burst: config.limits.burst },
    advertise: advertiseOf(config),
  };
}

/** GLBP knows only its own form of virtual MACs. */
export function schemeOf(config: GatewayGroupConfig): MacScheme {
  return config.glbp === null ? config.mac : 'cisco';
}

/** Everything that a group is made of, besides what the host and the key file say. */
export function optionsOf(config: GatewayGroupConfig, host: EngineHost): GroupOptions {
  return {
    ...settingsOf(config),
    ...host,
    name: config.name,
    group: config.group,
    number: config.number,
    scheme: schemeOf(config),
    addresses: config.addresses,
    interval: config.advertSeconds,
    losses: config.losses,
    hostLimit: config.hosts.limit,
  };
}

/**
 * The engine of a group: in its own words or in GLBP's. Errors: TD_CONFIG the key does not fit GLBP, or GLBP needs an own
 * address and there is none.
 */
export function engineOf(config: GatewayGroupConfig, host: EngineHost, now: number): GroupEngine {
  const options = optionsOf(config, host);
  const { glbp } = config;
  if (glbp === null) return new GatewayGroup(options);
  const refuse = (why: string): never => {
    throw new DesignatorError('TD_CONFIG', `group ${config.name}: ${why}`, { group: config.name });
  };
  const secret = glbpSecret(glbp.authentication, host.key, glbp.keyNumber);
  if (secret === null) return refuse('GLBP has no room for a key of this length');
  if (host.ownAddress === null) return refuse(`GLBP needs an address of this gateway on ${config.device}`);
  const { helloSeconds: hello, holdSeconds: hold, learnTimers, forwarderDelaySeconds: forwarderDelay } = glbp;
  return new GlbpGroup({ ...options, glbp: { secret, hello, hold, learnTimers, forwarderDelay } }, now);
}

function advertiseOf({ advertise }: GatewayGroupConfig): RouterAdvertisementOptions | null {
  if (advertise === null) return null;
  return {
    interval: advertise.intervalSeconds,
    lifetime: advertise.lifetimeSeconds,
    managed: advertise.managed,
    other: advertise.other,
    mtu: advertise.mtu ?? 0,
    prefixes: advertise.prefixes.map(({ prefix, onLink, autonomous, validSeconds, preferredSeconds }) => ({
      prefix: prefix.words,
      length: prefix.length,
      onLink,
      autonomous,
      validLifetime: validSeconds,
      preferredLifetime: preferredSeconds,
    })),
    routes: advertise.routes.map(({ words, length }) => ({ prefix: words, length })),
    resolvers: advertise.dns,
  };
}
