/**
 * The server of a group: Maglev's table over all servers of the VIP that have a weight, whatever their state, so that a
 * state moves no group but those of its own server. When the server of a key may take no tunnel, the key is hashed on,
 * and again: at every designator to the same next one. Names and weights decide, nothing that came before.
 */
import { SERVER_CELL } from '../flow/layout.js';
import { buildMaglev, MAGLEV_NONE, maglevPlace } from '../flow/maglev.js';
import { NO_SERVER } from './algorithm.js';
import type { ServerTable } from './servers.js';
import type { VipServers } from './vip-servers.js';

/** Hashes of a key that are tried; then every server in the order of the last. */
const TRIES = 32;

interface Built {
  readonly servers: Int32Array;
  readonly weights: Int32Array;
  readonly table: Uint16Array;
}

export class GroupTable {
  /** By VIP index. */
  readonly #built = new Map<number, Built>();

  constructor(readonly cells: ServerTable) {}

  /** Server cell index, NO_SERVER when none may take a tunnel. */
  choose(of: VipServers, key: number): number {
    const { servers } = of;
    const { table } = this.#tableOf(of);
    for (let hash = 0; hash < TRIES; hash++) {
      const position = table[maglevPlace(0, 0, 0, key, hash)];
      if (position === MAGLEV_NONE) return NO_SERVER;
      if (this.cells.eligible(servers[position])) return servers[position];
    }
    let best = NO_SERVER;
    let least = 0;
    for (const server of servers) {
      if (!this.cells.eligible(server)) continue;
      const rank = maglevPlace(0, 0, this.cells.get(server, SERVER_CELL.identity), key, TRIES);
      if (best >= 0 && rank >= least) continue;
      best = server;
      least = rank;
    }
    return best;
  }

  #tableOf({ index, servers }: VipServers): Built {
    const built = this.#built.get(index);
    if (built !== undefined && this.#isCurrent(built, servers)) return built;
    const weights = servers.map((server) => this.cells.weight(server));
    const identities = servers.map((server) => this.cells.get(server, SERVER_CELL.identity));
    const made = { servers, weights, table: buildMaglev(identities, weights, built?.table) };
    this.#built.set(index, made);
    return made;
  }

  #isCurrent({ servers, weights }: Built, now: Int32Array): boolean {
    if (servers.length !== now.length) return false;
    for (let i = 0; i < now.length; i++)
      if (servers[i] !== now[i] || weights[i] !== this.cells.weight(now[i])) return false;
    return true;
  }
}
