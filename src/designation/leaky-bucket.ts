/**
 * Leaky bucket (document 001): every server has a bucket into which each designation pours one tunnel, and which leaks
 * at `rate` tunnels a second for each unit of weight; `burst` for each unit of weight is what it holds. The tunnel goes to
 * the server whose bucket will first have leaked it away. When all are full the request is refused: there is no queue,
 * the client's own retransmission a second later (RFC 2661 §5.8) is the next attempt.
 *
 * A bucket is one number, the time at which it will be empty (the generic cell rate algorithm, ITU-T I.371), so nothing
 * has to be written as time passes. In a slow start a bucket leaks more slowly.
 */
import { SERVER_CELL, VIP_LIMIT } from '../flow/layout.js';
import { type Algorithm, NO_ROOM, NO_SERVER } from './algorithm.js';
import { SHARE_UNIT, type ServerTable } from './servers.js';
import type { VipServers } from './vip-servers.js';

/** A bucket cannot be full for longer than this: what says so was written by another clock. */
const LONGEST_SECONDS = 86_400;

export class LeakyBucket implements Algorithm {
  readonly ranking = 'static';
  readonly counts = 0;
  /** Seconds in which a unit of weight leaks one tunnel, by VIP index. */
  readonly #interval = new Float64Array(VIP_LIMIT);

  constructor(readonly cells: ServerTable) {}

  before(a: number, b: number): boolean {
    const first = this.#leakedBy(a);
    const second = this.#leakedBy(b);
    return first !== second ? first < second : this.cells.usedBefore(a, b);
  }

  update(server: number, of: VipServers, isNew: boolean): void {
    const { cells } = this;
    cells.set(server, SERVER_CELL.share, cells.shareNow(server));
    const empty = cells.bucket(server);
    if (isNew || !(empty <= cells.now + LONGEST_SECONDS)) cells.setBucket(server, 0);
    this.#interval[of.index] = 1 / of.rate;
  }

  choose(of: VipServers): number {
    this.#interval[of.index] = 1 / of.rate;
    const server = of.ranking.first();
    if (server < 0) return NO_SERVER;
    const { cells } = this;
    const isEmpty = cells.bucket(server) <= cells.now;
    return isEmpty || this.#leakedBy(server) <= cells.now + of.burst / of.rate ? server : NO_ROOM;
  }

  take(server: number, of: VipServers): void {
    const { cells } = this;
    const share = Math.max(1, cells.share(server)) / SHARE_UNIT;
    cells.setBucket(server, Math.max(cells.now, cells.bucket(server)) + 1 / (of.rate * share));
  }

  /** When one more tunnel would have leaked away. */
  #leakedBy(server: number): number {
    const { cells } = this;
    const interval = this.#interval[cells.get(server, SERVER_CELL.vip)];
    return cells.bucket(server) + interval / Math.max(1, cells.weight(server));
  }

  reason(server: number, of: VipServers): string {
    const { cells } = this;
    const waiting = Math.max(0, cells.bucket(server) - cells.now) * of.rate * cells.weight(server);
    const room = of.burst * cells.weight(server);
    return `leaky bucket: it holds ${waiting.toFixed(1)} of ${room} tunnels and is the first to have leaked one more`;
  }
}
