/**
 * Least recent use: the eligible server whose last designation is longest ago; one that never had any comes first, in
 * the order of the configuration. Servers a, b, c: a b c a b c …; one that comes back after a pause is next.
 */
import type { Algorithm } from './algorithm.js';
import type { ServerTable } from './servers.js';
import type { VipServers } from './vip-servers.js';

export class LeastRecentUse implements Algorithm {
  readonly ranking = 'static';
  readonly counts = 0;

  constructor(readonly cells: ServerTable) {}

  /** The stamp that every designation leaves is all that this algorithm needs. */
  before(a: number, b: number): boolean {
    return this.cells.usedBefore(a, b);
  }

  choose(of: VipServers): number {
    return of.ranking.first();
  }

  reason(server: number): string {
    return this.cells.lastUse(server) === 0
      ? 'least recent use: it has not been designated yet'
      : 'least recent use: its last designation is the longest ago';
  }
}
