/**
 * Maglev: the client's address and channel decide, through a consistent-hashing table of names and weights. The same
 * client and channel get the same server on every box with the same configuration, and when a server goes nearly all
 * others keep theirs. No scheduler state; each thread builds the table for itself when the set of eligible servers or a
 * weight has changed.
 */
import { MAGLEV_NONE, buildMaglev, maglevPlace } from '../flow/maglev.js';
import { SERVER_CELL } from '../flow/layout.js';
import type { Algorithm } from './algorithm.js';
import type { ServerTable } from './servers.js';

interface Built {
  readonly servers: Int32Array;
  /** As of the table: 0 for a server that was not eligible. */
  readonly weights: Int32Array;
  readonly table: Uint16Array;
}

export class Maglev implements Algorithm {
  /** By VIP index. */
  readonly #built = new Map<number, Built>();

  constructor(readonly cells: ServerTable) {}

  choose(servers: Int32Array, vip: number, a0: number, a1: number, a2: number, a3: number, channel: number): number {
    const position = this.#tableOf(servers, vip)[maglevPlace(a0, a1, a2, a3, channel)];
    return position === MAGLEV_NONE ? -1 : servers[position];
  }

  take(): void {}

  reason(server: number): string {
    return `maglev: the hash of the client's address and tunnel id, weight ${this.cells.weight(server)}`;
  }

  #tableOf(servers: Int32Array, vip: number): Uint16Array {
    const built = this.#built.get(vip);
    if (built !== undefined && this.#isCurrent(built, servers)) return built.table;
    const weights = servers.map((server) => this.#weight(server));
    const identities = servers.map((server) => this.cells.get(server, SERVER_CELL.identity));
    const table = buildMaglev(identities, weights, built?.table);
    this.#built.set(vip, { servers: servers.slice(), weights, table });
    return table;
  }

  #isCurrent(built: Built, servers: Int32Array): boolean {
    if (built.servers.length !== servers.length) return false;
    for (let i = 0; i < servers.length; i++) {
      if (built.servers[i] !== servers[i] || built.weights[i] !== this.#weight(servers[i])) return false;
    }
    return true;
  }

  #weight(server: number): number {
    return this.cells.eligible(server) ? this.cells.weight(server) : 0;
  }
}
