/**
 * Round robin: the eligible server that follows, in the order of the configuration, the one designated last. Weights do
 * not matter beyond 0. Servers a, b, c: a b c a b c …; while b is down: a c a c …
 */
import type { Algorithm } from './algorithm.js';
import type { ServerTable } from './servers.js';
import type { VipServers } from './vip-servers.js';

export class RoundRobin implements Algorithm {
  readonly ranking = 'static';
  readonly counts = 0;

  constructor(readonly cells: ServerTable) {}

  /** All are equal: a half's winner is the first of it that may be chosen. */
  before(): boolean {
    return false;
  }

  choose(of: VipServers): number {
    // A last server that has left the list is nowhere (−1): the round starts again with the first.
    const last = this.cells.cursor(of.index);
    return of.ranking.after(last < 0 ? -1 : of.position(last));
  }

  take(server: number, of: VipServers): void {
    this.cells.setCursor(of.index, server);
  }

  reason(server: number, of: VipServers): string {
    return `round robin: its turn, number ${of.position(server) + 1} of ${of.servers.length}`;
  }
}
