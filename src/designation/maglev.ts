/**
 * Maglev: the client's address and channel decide, through a consistent-hashing table of names and weights. The same
 * client and channel get the same server on every box with the same configuration, and when a server goes nearly all
 * others keep theirs. No scheduler state; each thread builds the table for itself when the set of eligible servers or a
 * weight has changed.
 */
import { MAGLEV_NONE, buildMaglev, maglevPlace } from '../flow/maglev.js';
import { SERVER_CELL, VIP_CELL } from '../flow/layout.js';
import { type Algorithm, NO_SERVER } from './algorithm.js';
import { SHARE_UNIT, type ServerTable } from './servers.js';
import type { VipServers } from './vip-servers.js';

interface Built {
  readonly servers: Int32Array;
  /** As of the table: 0 for a server that was not eligible. */
  readonly weights: Int32Array;
  readonly table: Uint16Array;
  /** VIP_CELL.changes when the table was last found to be right. */
  changes: number;
}

/** A slow start makes a table anew at each of so many steps, not at every second. */
const SLOW_STEPS = 4;

export class Maglev implements Algorithm {
  readonly ranking = 'none';
  readonly counts = 0;
  /** By VIP index. */
  readonly #built = new Map<number, Built>();

  constructor(readonly cells: ServerTable) {}

  before(): boolean {
    return false;
  }

  choose(of: VipServers, a0: number, a1: number, a2: number, a3: number, channel: number): number {
    const { servers } = of;
    const table = this.#tableOf(of);
    const position = table[maglevPlace(a0, a1, a2, a3, channel)];
    return position === MAGLEV_NONE ? NO_SERVER : servers[position];
  }

  reason(server: number): string {
    return `maglev: the hash of the client's address and tunnel id, weight ${this.cells.weight(server)}`;
  }

  #tableOf(of: VipServers): Uint16Array {
    const { index, servers } = of;
    const changes = this.cells.vip(index, VIP_CELL.changes);
    const built = this.#built.get(index);
    if (built !== undefined && built.servers === servers && built.changes === changes) return built.table;
    if (built !== undefined && this.#isCurrent(built, servers)) {
      this.#built.set(index, { ...built, servers, changes });
      return built.table;
    }
    const weights = servers.map((server) => this.#weight(server));
    const identities = servers.map((server) => this.cells.get(server, SERVER_CELL.identity));
    const table = buildMaglev(identities, weights, built?.table);
    this.#built.set(index, { servers, weights, table, changes });
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
    const { cells } = this;
    if (!cells.eligible(server)) return 0;
    const weight = cells.weight(server);
    const share = cells.share(server);
    if (share >= weight * SHARE_UNIT) return weight * SLOW_STEPS;
    return weight * Math.ceil((share * SLOW_STEPS) / (weight * SHARE_UNIT));
  }
}
