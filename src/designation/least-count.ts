/**
 * Least tunnels and least sessions: the eligible server with the fewest of them for its weight, so that one of weight 2
 * holds twice as many. Tunnels count from the request on (half open and established), sessions likewise. Of equals the
 * one of greater weight, then the one whose last designation is longest ago. In a slow start a server's weight counts
 * for less, so that it is full with fewer.
 */
import { SERVER_CELL, SERVER_FLAG } from '../flow/layout.js';
import type { Algorithm } from './algorithm.js';
import type { ServerTable } from './servers.js';
import type { VipServers } from './vip-servers.js';

/** Whoever makes the tunnel counts it. */
export class LeastTunnels implements Algorithm {
  readonly ranking = 'static';
  readonly counts = SERVER_FLAG.countsTunnels;

  constructor(readonly cells: ServerTable) {}

  before(a: number, b: number): boolean {
    const { cells } = this;
    const one = cells.share(a);
    const other = cells.share(b);
    const difference = cells.tunnels(a) * other - cells.tunnels(b) * one;
    if (difference !== 0) return difference < 0;
    return one === other ? cells.usedBefore(a, b) : one > other;
  }

  choose(of: VipServers): number {
    return of.ranking.first();
  }

  reason(server: number): string {
    return `least tunnels: it has ${this.cells.tunnels(server)} at weight ${this.cells.weight(server)}`;
  }
}

/**
 * A tunnel is chosen for before its sessions are known. So a half-open tunnel counts as a session to come, and what tells
 * servers with equally many apart are their tunnels, or a flood of requests would go to one server until its first
 * sessions stand.
 */
export class LeastSessions implements Algorithm {
  readonly ranking = 'static';
  readonly counts = SERVER_FLAG.countsSessions | SERVER_FLAG.countsTunnels;

  constructor(readonly cells: ServerTable) {}

  before(a: number, b: number): boolean {
    const { cells } = this;
    const one = cells.share(a);
    const other = cells.share(b);
    const difference = this.#count(a) * other - this.#count(b) * one;
    if (difference !== 0) return difference < 0;
    const tunnels = cells.tunnels(a) * other - cells.tunnels(b) * one;
    if (tunnels !== 0) return tunnels < 0;
    return one === other ? cells.usedBefore(a, b) : one > other;
  }

  choose(of: VipServers): number {
    return of.ranking.first();
  }

  reason(server: number): string {
    const { cells } = this;
    const half = cells.get(server, SERVER_CELL.halfOpen);
    const coming = half === 0 ? '' : ` and ${half} half-open ${half === 1 ? 'tunnel' : 'tunnels'}`;
    return `least sessions: it has ${cells.get(server, SERVER_CELL.sessions)}${coming} at weight ${cells.weight(server)}`;
  }

  #count(server: number): number {
    return this.cells.get(server, SERVER_CELL.sessions) + this.cells.get(server, SERVER_CELL.halfOpen);
  }
}
