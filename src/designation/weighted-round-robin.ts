/**
 * Smooth weighted round robin, as nginx spreads it: at every request each eligible server's current weight grows by its
 * weight; the one with the greatest (the first of equals) is designated and gives up the sum of all weights. Over a round
 * of that many requests each server gets exactly its weight, and heavy servers are not designated in a row.
 * Weights a 1, b 2: b a b, b a b … (document 003's example). Weights a 5, b 1, c 1: a a b a c a a …
 *
 * Nothing is written for those that only grow: a cell holds the current weight of some round and the share by which it
 * has grown since. So current weights are straight lines over rounds, and the ranking knows when one crosses another.
 * Shares are weights in parts of SHARE_UNIT; the factor, the same for all, changes no choice.
 */
import { SERVER_CELL, VIP_CELL } from '../flow/layout.js';
import type { Algorithm } from './algorithm.js';
import type { ServerTable } from './servers.js';
import type { VipServers } from './vip-servers.js';

const LEAST = -(2 ** 31);
const MOST = 2 ** 31 - 1;

export class WeightedRoundRobin implements Algorithm {
  readonly ranking = 'kinetic';
  readonly counts = 0;

  constructor(readonly cells: ServerTable) {}

  before(a: number, b: number): boolean {
    return this.#grown(a) > this.#grown(b);
  }

  overtakenIn(a: number, b: number, isEarlier: boolean): number {
    const faster = this.cells.share(b) - this.cells.share(a);
    if (faster <= 0) return Number.POSITIVE_INFINITY;
    const ahead = this.#grown(a) - this.#grown(b);
    return isEarlier ? Math.max(1, Math.ceil(ahead / faster)) : Math.floor(ahead / faster) + 1;
  }

  update(server: number, of: VipServers): void {
    const { cells } = this;
    const before = cells.share(server);
    this.#set(server, this.#at(server, 0), of.index);
    const share = cells.eligible(server) ? cells.shareNow(server) : 0;
    cells.set(server, SERVER_CELL.share, share);
    cells.setVip(of.index, VIP_CELL.totalShare, cells.vip(of.index, VIP_CELL.totalShare) + share - before);
  }

  choose(of: VipServers): number {
    return of.ranking.first();
  }

  take(server: number, of: VipServers): void {
    const { cells } = this;
    cells.setVip(of.index, VIP_CELL.rounds, (cells.vip(of.index, VIP_CELL.rounds) + 1) | 0);
    this.#set(server, this.#at(server, 0) - cells.vip(of.index, VIP_CELL.totalShare), of.index);
  }

  reason(server: number, of: VipServers): string {
    const { cells } = this;
    const total = of.servers.reduce((sum, other) => sum + (cells.eligible(other) ? cells.weight(other) : 0), 0);
    return `weighted round robin: its turn, weight ${cells.weight(server)} of ${total}`;
  }

  /** Its current weight as the next designation will compare it. */
  #grown(server: number): number {
    return this.#at(server, 1);
  }

  /** Its current weight so many rounds from now. */
  #at(server: number, rounds: number): number {
    const { cells } = this;
    const passed =
      (cells.vip(cells.get(server, SERVER_CELL.vip), VIP_CELL.rounds) - cells.get(server, SERVER_CELL.roundAt)) | 0;
    return cells.get(server, SERVER_CELL.current) + cells.share(server) * (passed + rounds);
  }

  #set(server: number, current: number, vip: number): void {
    this.cells.set(server, SERVER_CELL.current, Math.max(LEAST, Math.min(MOST, current)));
    this.cells.set(server, SERVER_CELL.roundAt, this.cells.vip(vip, VIP_CELL.rounds));
  }
}
