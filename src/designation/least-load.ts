/**
 * Least load (document 000, claims 6, 12 and 19): the server with the lowest load, as its last load status message
 * reported it. Between two messages of a server every tunnel that is designated to it adds what a tunnel of its is
 * expected to add, so that a flood of requests is spread and not sent whole to the one that was lowest a second ago.
 * Without such a designation the choice is exactly the lowest reported load.
 *
 * A server without a fresh status comes after those that say that they have room and before those that say that they
 * are full; among several the fall-back of the configuration decides. During a slow start a tunnel adds more.
 */
import { SERVER_CELL, SERVER_FLAG } from '../flow/layout.js';
import type { Algorithm } from './algorithm.js';
import { LeastTunnels, LeastSessions } from './least-count.js';
import { SHARE_UNIT, type ServerTable } from './servers.js';
import type { LoadFallback, VipServers } from './vip-servers.js';

/** A load of 1: the server is as full as its capacity. */
export const LOAD_FULL = 1_000_000;
/** What a load word may hold. */
export const LOAD_MOST = 2_000_000_000;

const HAS_ROOM = 0;
const UNKNOWN = 1;
const FULL = 2;

export class LeastLoad implements Algorithm {
  readonly ranking = 'static';
  readonly counts = 0;
  readonly #fallback: { readonly counts: number; before(a: number, b: number): boolean };

  constructor(
    readonly cells: ServerTable,
    readonly fallback: LoadFallback = 'least-tunnels',
  ) {
    if (fallback === 'least-tunnels') this.#fallback = new LeastTunnels(cells);
    else if (fallback === 'least-sessions') this.#fallback = new LeastSessions(cells);
    else this.#fallback = { counts: 0, before: (a, b) => cells.usedBefore(a, b) };
  }

  before(a: number, b: number): boolean {
    const one = this.#class(a);
    const other = this.#class(b);
    if (one !== other) return one < other;
    if (one === UNKNOWN) return this.#fallback.before(a, b);
    const difference = load(this.cells, a) - load(this.cells, b);
    return difference !== 0 ? difference < 0 : this.cells.usedBefore(a, b);
  }

  /** Its counts matter only as long as there is no load to go by. */
  flags(server: number): number {
    if (this.cells.has(server, SERVER_FLAG.reported)) return 0;
    return this.#fallback.counts | (this.fallback === 'none' ? SERVER_FLAG.heldBack : 0);
  }

  choose(of: VipServers): number {
    return of.ranking.first();
  }

  take(server: number): void {
    predict(this.cells, server);
  }

  reason(server: number, of: VipServers): string {
    const { cells } = this;
    if (!cells.has(server, SERVER_FLAG.reported)) {
      return `least load: no server that says it has room; of those without a load status ${this.fallback.replace('-', ' ')} decides`;
    }
    const predicted = cells.get(server, SERVER_CELL.predictedLoad);
    const more = predicted === 0 ? '' : ` and ${shown(predicted)} for tunnels designated since`;
    return `least load: it reported ${shown(cells.get(server, SERVER_CELL.reportedLoad))}${more}, the lowest of ${of.eligible}`;
  }

  #class(server: number): number {
    if (!this.cells.has(server, SERVER_FLAG.reported)) return UNKNOWN;
    return load(this.cells, server) < LOAD_FULL ? HAS_ROOM : FULL;
  }
}

/** Reported and predicted, millionths. */
function load(cells: ServerTable, server: number): number {
  return cells.get(server, SERVER_CELL.reportedLoad) + cells.get(server, SERVER_CELL.predictedLoad);
}

/** One tunnel more, of which the server has not spoken yet. */
export function predict(cells: ServerTable, server: number): void {
  if (!cells.has(server, SERVER_FLAG.reported)) return;
  const slow = (cells.weight(server) * SHARE_UNIT) / Math.max(1, cells.share(server));
  const added = cells.get(server, SERVER_CELL.predictedLoad) + cells.get(server, SERVER_CELL.tunnelLoad) * slow;
  cells.set(server, SERVER_CELL.predictedLoad, Math.min(LOAD_MOST - LOAD_FULL, Math.round(added)));
}

const shown = (millionths: number): string => String(Number((millionths / LOAD_FULL).toFixed(4)));
