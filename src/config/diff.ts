/** What a reload would change, in words for the log, and what it may not change. */
import type { CompiledConfig, CompiledServer, CompiledVip, ConfigProblem } from './compiled.js';
import { formatDuration } from './durations.js';
import type { Path, Place } from './source.js';

export interface ConfigDiff {
  /** Sentences; empty when nothing has changed. */
  readonly changes: readonly string[];
  /** Not empty: the reload must be refused as a whole, because these are fixed while the process runs. */
  readonly refused: readonly ConfigProblem[];
}

/** Keys that a running process cannot change, with their values. */
const FIXED: readonly (readonly [Path, (config: CompiledConfig) => string])[] = [
  [['interfaces', 'outside'], (config) => config.outside.name],
  [['interfaces', 'inside'], (config) => config.inside.name],
  [['io'], (config) => config.io],
  [['offload'], (config) => String(config.offload)],
  [['spread'], (config) => String(config.spread)],
  [['workers'], (config) => String(config.workers)],
  [['part'], (config) => config.part ?? 'all'],
  [['table', 'connections'], (config) => String(config.table.connections)],
  [['control', 'socket'], (config) => config.control.socket],
  [
    ['control', 'http'],
    (config) => (config.control.http === null ? 'none' : `${config.control.http.host}:${config.control.http.port}`),
  ],
  [['state', 'pin'], (config) => config.state.pin],
];

/** `placeOf` comes from the load of `next`. */
export function diffConfigs(
  old: CompiledConfig,
  next: CompiledConfig,
  placeOf: (path: Path) => Place = () => ({ line: 0, column: 0 }),
): ConfigDiff {
  const refused: ConfigProblem[] = [];
  for (const [path, read] of FIXED) {
    const [before, after] = [read(old), read(next)];
    if (before === after) continue;
    const key = path.join('.');
    const message = `${key} cannot change from ${before} to ${after} while the designator runs: restart it`;
    refused.push({ severity: 'error', file: next.file, ...placeOf(path), path: key, message });
  }
  if (JSON.stringify(old.gateway ?? null) !== JSON.stringify(next.gateway ?? null)) {
    const message = 'the groups with other designators cannot change while the designator runs: restart it';
    refused.push({ severity: 'error', file: next.file, ...placeOf(['gateway']), path: 'gateway', message });
  }
  for (const key of ['cluster', 'announce'] as const) {
    if (JSON.stringify(old[key] ?? null) === JSON.stringify(next[key] ?? null)) continue;
    const message = `${key} cannot change while the designator runs: restart it`;
    refused.push({ severity: 'error', file: next.file, ...placeOf([key]), path: key, message });
  }
  return {
    changes: [...vipChanges(old.vips, next.vips), ...firewallChanges(old, next), ...otherChanges(old, next)],
    refused,
  };
}

function vipChanges(old: readonly CompiledVip[], next: readonly CompiledVip[]): string[] {
  const changes: string[] = [];
  for (const vip of old) if (!next.some(({ name }) => name === vip.name)) changes.push(`VIP ${vip.name} removed`);
  for (const vip of next) {
    const before = old.find(({ name }) => name === vip.name);
    if (before === undefined) {
      changes.push(
        `VIP ${vip.name} added: ${vip.address} port ${vip.port}, servers ${vip.servers.map(({ name }) => name).join(', ')}`,
      );
      continue;
    }
    const changed = (what: string, from: string | number, to: string | number): void => {
      if (from !== to) changes.push(`VIP ${vip.name}: ${what} ${from} → ${to}`);
    };
    changed('address', before.address, vip.address);
    changed('port', before.port, vip.port);
    changed('protocols', before.protocols.join(', '), vip.protocols.join(', '));
    changed('algorithm', before.algorithm, vip.algorithm);
    changed('leakyBucket.rate', before.leakyBucket.rate, vip.leakyBucket.rate);
    changed('leakyBucket.burst', before.leakyBucket.burst, vip.leakyBucket.burst);
    changed('reply', before.reply ?? 'vip', vip.reply ?? 'vip');
    changed('natAddress', before.natAddress?.address ?? 'none', vip.natAddress?.address ?? 'none');
    changed('localAddress', before.localAddress?.address ?? 'none', vip.localAddress?.address ?? 'none');
    changed('serverPort', before.serverPort, vip.serverPort);
    changed('clampMss', before.clampMss ?? 'none', vip.clampMss ?? 'none');
    if (before.tunnelSecret !== vip.tunnelSecret) changes.push(`VIP ${vip.name}: tunnelSecret changed`);
    changed('hiddenIds', before.hiddenIds, vip.hiddenIds);
    changed('clientPort', before.clientPort, vip.clientPort);
    changed('groupBy', before.groupBy ?? 'none', vip.groupBy ?? 'none');
    if (JSON.stringify(before.inactivate ?? null) !== JSON.stringify(vip.inactivate ?? null))
      changes.push(`VIP ${vip.name}: inactivate settings changed`);
    changes.push(...serverChanges(before.servers, vip.servers));
  }
  return changes;
}

function serverChanges(old: readonly CompiledServer[], next: readonly CompiledServer[]): string[] {
  const changes: string[] = [];
  for (const server of old) {
    if (!next.some(({ name }) => name === server.name)) changes.push(`server ${server.name} removed`);
  }
  for (const server of next) {
    const before = old.find(({ name }) => name === server.name);
    if (before === undefined) {
      changes.push(`server ${server.name} added: ${server.address} port ${server.port} weight ${server.weight}`);
      continue;
    }
    if (before.address !== server.address)
      changes.push(`server ${server.name}: address ${before.address} → ${server.address}`);
    if (before.port !== server.port) changes.push(`server ${server.name}: port ${before.port} → ${server.port}`);
    const [was, is] = [before.globalAddress?.address ?? 'none', server.globalAddress?.address ?? 'none'];
    if (was !== is) changes.push(`server ${server.name}: globalAddress ${was} → ${is}`);
    if (before.weight !== server.weight)
      changes.push(`server ${server.name}: weight ${before.weight} → ${server.weight}`);
    if (JSON.stringify(before.loadStatus) !== JSON.stringify(server.loadStatus))
      changes.push(`server ${server.name}: load status settings changed`);
    if ((before.peer ?? null) !== (server.peer ?? null))
      changes.push(`server ${server.name}: peer ${before.peer ?? 'none'} → ${server.peer ?? 'none'}`);
  }
  return changes;
}

function firewallChanges({ firewall: old }: CompiledConfig, { firewall: next }: CompiledConfig): string[] {
  const changes: string[] = [];
  if (old.default !== next.default) changes.push(`firewall default ${old.default} → ${next.default}`);
  if (JSON.stringify(old.rules) !== JSON.stringify(next.rules)) {
    changes.push(`firewall rules replaced: ${old.rules.length} before, ${next.rules.length} now`);
  }
  const limit = (what: string, from: number | null, to: number | null): void => {
    if (from !== to) changes.push(`tunnel requests: ${what} ${from ?? 'unlimited'} → ${to ?? 'unlimited'}`);
  };
  limit('perSource', old.requestsPerSecond, next.requestsPerSecond);
  limit('burst', old.burst, next.burst);
  limit('halfOpen', old.halfOpen, next.halfOpen);
  limit('total', old.policy.totalPerSecond, next.policy.totalPerSecond);
  const policy = (what: keyof typeof old.policy): void => {
    const [before, after] = [old.policy[what], next.policy[what]];
    if (before !== after) changes.push(`tunnel requests: ${what} ${before ?? 'none'} → ${after ?? 'none'}`);
  };
  if (old.policy.totalPerSecond === next.policy.totalPerSecond) policy('totalBurst');
  for (const key of ['prefixIpv4', 'prefixIpv6', 'unknownSources', 'duplicatesMs'] as const) policy(key);
  return changes;
}

function otherChanges(old: CompiledConfig, next: CompiledConfig): string[] {
  const changes: string[] = [];
  for (const key of ['halfOpen', 'idle', 'closing'] as const) {
    const [before, after] = [old.timeouts[key], next.timeouts[key]];
    if (before !== after) changes.push(`timeout ${key} ${formatDuration(before)} → ${formatDuration(after)}`);
  }
  // Without values: a secret has no place in a log.
  if (JSON.stringify(old.takeOver) !== JSON.stringify(next.takeOver)) changes.push('take-over settings changed');
  if (JSON.stringify(old.loadStatus) !== JSON.stringify(next.loadStatus)) changes.push('load status settings changed');
  if (old.log.level !== next.log.level) changes.push(`log level ${old.log.level} → ${next.log.level}`);
  return changes;
}
