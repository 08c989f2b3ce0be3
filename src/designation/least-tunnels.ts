/**
 * Least tunnels: the eligible server with the fewest tunnels (half open and established) for its weight, so that one of
 * weight 2 holds twice as many. Of equals the one of greater weight, then the one whose last designation is longest ago.
 */
import type { Algorithm } from './algorithm.js';
import type { ServerTable } from './servers.js';

export class LeastTunnels implements Algorithm {
  constructor(readonly cells: ServerTable) {}

  choose(servers: Int32Array): number {
    let best = -1;
    for (let i = 0; i < servers.length; i++) {
      const server = servers[i];
      if (this.cells.eligible(server) && (best < 0 || this.#goesBefore(server, best))) best = server;
    }
    return best;
  }

  /** Whoever makes the tunnel counts it. */
  take(): void {}

  reason(server: number): string {
    return `least tunnels: it has ${this.cells.tunnels(server)} at weight ${this.cells.weight(server)}`;
  }

  #goesBefore(a: number, b: number): boolean {
    const { cells } = this;
    const difference = cells.tunnels(a) * cells.weight(b) - cells.tunnels(b) * cells.weight(a);
    if (difference !== 0) return difference < 0;
    if (cells.weight(a) !== cells.weight(b)) return cells.weight(a) > cells.weight(b);
    return cells.usedBefore(a, b);
  }
}
