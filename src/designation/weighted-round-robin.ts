/**
 * Smooth weighted round robin, as nginx spreads it: at every request each eligible server's current weight grows by its
 * weight; the one with the greatest (the first of equals) is designated and gives up the sum of all weights. Over a round
 * of that many requests each server gets exactly its weight, and heavy servers are not designated in a row.
 * Weights a 1, b 2: b a b, b a b … (document 003's example). Weights a 5, b 1, c 1: a a b a c a a …
 */
import type { Algorithm } from './algorithm.js';
import type { ServerTable } from './servers.js';

export class WeightedRoundRobin implements Algorithm {
  constructor(readonly cells: ServerTable) {}

  choose(servers: Int32Array): number {
    const { cells } = this;
    let best = -1;
    let most = 0;
    for (let i = 0; i < servers.length; i++) {
      const server = servers[i];
      if (!cells.eligible(server)) continue;
      const grown = cells.current(server) + cells.weight(server);
      if (best < 0 || grown > most) {
        best = server;
        most = grown;
      }
    }
    return best;
  }

  take(chosen: number, servers: Int32Array): void {
    const { cells } = this;
    let total = 0;
    for (let i = 0; i < servers.length; i++) {
      const server = servers[i];
      if (!cells.eligible(server)) continue;
      total += cells.weight(server);
      cells.setCurrent(server, cells.current(server) + cells.weight(server));
    }
    cells.setCurrent(chosen, cells.current(chosen) - total);
  }

  reason(server: number, servers: Int32Array): string {
    const eligible = [...servers].filter((candidate) => this.cells.eligible(candidate));
    const total = eligible.reduce((sum, candidate) => sum + this.cells.weight(candidate), 0);
    return `weighted round robin: its turn, weight ${this.cells.weight(server)} of ${total}`;
  }
}
