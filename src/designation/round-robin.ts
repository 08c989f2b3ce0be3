/**
 * Round robin: the eligible server that follows, in the order of the configuration, the one designated last. Weights do
 * not matter beyond 0. Servers a, b, c: a b c a b c …; while b is down: a c a c …
 */
import type { Algorithm } from './algorithm.js';
import type { ServerTable } from './servers.js';

export class RoundRobin implements Algorithm {
  constructor(readonly cells: ServerTable) {}

  choose(servers: Int32Array, vip: number): number {
    // A last server that has left the list is found nowhere (−1): the round starts again with the first.
    const last = servers.indexOf(this.cells.cursor(vip));
    for (let step = 1; step <= servers.length; step++) {
      const server = servers[(last + step) % servers.length];
      if (this.cells.eligible(server)) return server;
    }
    return -1;
  }

  take(server: number, _servers: Int32Array, vip: number): void {
    this.cells.setCursor(vip, server);
  }

  reason(server: number, servers: Int32Array): string {
    return `round robin: its turn, number ${servers.indexOf(server) + 1} of ${servers.length}`;
  }
}
