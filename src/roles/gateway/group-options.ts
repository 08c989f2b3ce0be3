/** A group as it is configured, in the words of the engine. */
import type { GatewayGroupConfig } from '../../config/gateway.js';
import type { GroupOptions, GroupSettings, RouterAdvertisementOptions } from '../../gateway/types.js';

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

/** Everything that a group is made of, besides what the host and the key file say. */
export function optionsOf(
  config: GatewayGroupConfig,
  host: Pick<GroupOptions, 'mac' | 'ownAddress' | 'key' | 'random'>,
): GroupOptions {
  return {
    ...settingsOf(config),
    ...host,
    name: config.name,
    group: config.group,
    number: config.number,
    scheme: config.mac,
    addresses: config.addresses,
    interval: config.advertSeconds,
    losses: config.losses,
    hostLimit: config.hosts.limit,
  };
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
    resolvers: advertise.dns,
  };
}
