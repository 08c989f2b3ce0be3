/**
 * Least recent use: the eligible server whose last designation is longest ago; one that never had any comes first, in
 * the order of the configuration. Servers a, b, c: a b c a b c …; one that comes back after a pause is next.
 */
import type { Algorithm } from './algorithm.js';
import type { ServerTable } from './servers.js';

export class LeastRecentUse implements Algorithm {
  constructor(readonly cells: ServerTable) {}

  choose(servers: Int32Array): number {
    let best = -1;
    for (let i = 0; i < servers.length; i++) {
      const server = servers[i];
      if (this.cells.eligible(server) && (best < 0 || this.cells.usedBefore(server, best))) best = server;
    }
    return best;
  }

  /** The stamp that every designation leaves is all that this algorithm needs. */
  take(): void {}

  reason(server: number): string {
    return this.cells.lastUse(server) === 0
      ? 'least recent use: it has not been designated yet'
      : 'least recent use: its last designation is the longest ago';
  }
}
