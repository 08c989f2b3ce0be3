/**
 * Can this designator forward? Looked at several times a second, and told to whoever leads traffic here: the cluster's
 * members, and the routes that routers have.
 */
import type { ShardStatus } from '../../workers/pool.js';

export interface AbilityParts {
  readonly shards: () => readonly ShardStatus[];
  /** Names of the interfaces' devices. */
  readonly outside: string;
  readonly inside: string;
  /** The device is there, up, and its link too. */
  readonly isUp: (device: string) => boolean;
  /** Some server takes tunnels. */
  readonly serves: () => boolean;
  /** Some server has tunnels, or takes them: one that is emptied by an operator goes on with those that it has. */
  readonly carries: () => boolean;
  /** It takes no requests: whether servers take tunnels is another's affair. */
  readonly natOnly: boolean;
}

/** A shard that has made no turn for so long forwards nothing. */
const HEARTBEAT_SECONDS = 1;

export class Ability {
  /** Empty: it can. */
  reasons: readonly string[] = ['it is starting'];
  /** Why packets of clients, also those of tunnels that stand, had better not come here. */
  outsideReasons: readonly string[] = ['it is starting'];
  /** What is behind it is of no matter for who comes from inside: only that the way out is there. */
  insideReasons: readonly string[] = ['it is starting'];

  constructor(readonly parts: AbilityParts) {}

  look(): void {
    const { shards, outside, inside, isUp, serves, carries, natOnly } = this.parts;
    const hung = shards().find(({ heartbeatAgeSeconds: age, state }) => state !== 'running' || age > HEARTBEAT_SECONDS);
    const devices = [...new Set([outside, inside])]
      .filter((device) => !isUp(device))
      .map((device) => `${device} is down`);
    this.insideReasons = [...(hung === undefined ? [] : [`shard ${hung.shard} does not run`]), ...devices];
    this.outsideReasons = [...this.insideReasons, ...(natOnly || carries() ? [] : ['every server is down'])];
    this.reasons = [...this.insideReasons, ...(natOnly || serves() ? [] : ['no server takes tunnels'])];
  }

  /** null: it can. */
  get trouble(): string | null {
    return this.reasons.length === 0 ? null : this.reasons.join('; ');
  }
}
