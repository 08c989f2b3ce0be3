/** What a reload of a gateway would change, and what it may not change. */
import type { ConfigProblem } from './compiled.js';
import type { GatewayConfig, GatewayGroupConfig } from './gateway.js';

export interface GatewayDiff {
  /** For people, one item a change. */
  readonly changes: readonly string[];
  /** Groups by name: those that are new, those that are no more, and those of which something differs. */
  readonly added: readonly GatewayGroupConfig[];
  readonly removed: readonly string[];
  readonly changed: readonly GatewayGroupConfig[];
  /** Not empty: the reload is refused as a whole. */
  readonly refused: readonly ConfigProblem[];
}

export function diffGateway(old: GatewayConfig, next: GatewayConfig): GatewayDiff {
  const refused: ConfigProblem[] = differs(old.control, next.control)
    ? [
        {
          severity: 'error',
          file: next.file,
          line: 0,
          column: 0,
          path: 'control',
          message: 'control cannot change while the gateway runs: restart it',
        },
      ]
    : [];
  const before = new Map(old.groups.map((group) => [group.name, group]));
  const after = new Map(next.groups.map((group) => [group.name, group]));
  const added = next.groups.filter(({ name }) => !before.has(name));
  const removed = old.groups.filter(({ name }) => !after.has(name)).map(({ name }) => name);
  const changed = next.groups.filter((group) => before.has(group.name) && differs(before.get(group.name), group));
  const changes = [
    ...added.map(({ name }) => `group ${name} added`),
    ...removed.map((name) => `group ${name} removed`),
    ...changed.map((group) => {
      const former = before.get(group.name) as GatewayGroupConfig;
      return `group ${group.name}: ${changedKeys(former, group).join(', ')}`;
    }),
    ...(old.logLevel === next.logLevel ? [] : ['log']),
  ];
  return { changes, added, removed, changed, refused };
}

/** Names of the settings that differ. */
export function changedKeys(old: GatewayGroupConfig, next: GatewayGroupConfig): (keyof GatewayGroupConfig)[] {
  return (Object.keys(next) as (keyof GatewayGroupConfig)[]).filter((key) => differs(old[key], next[key]));
}

function differs(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) !== JSON.stringify(b);
}
