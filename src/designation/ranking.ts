/**
 * Who comes first among the servers of a VIP, kept up to date as they change instead of being looked for at every
 * request: a tournament. The servers are the leaves, in the order of the configuration; every node above them holds the
 * winner of its two halves. A change of one server is played again on its way to the top, ten matches among a thousand.
 * The nodes lie in shared memory, node `n` in the cell of the server at position n (a tree of n leaves has n − 1 nodes),
 * so all threads go on with one tournament. The caller holds the lock.
 */
import { SERVER_CELL, VIP_CELL } from '../flow/layout.js';
import type { Algorithm } from './algorithm.js';
import type { ServerTable } from './servers.js';

/**
 * `static`: an order that only changes with a server. `kinetic`: one that changes with every round as well.
 * `count`: how many may be chosen, and the n-th of them. `none`: nothing is kept.
 */
export type RankingKind = 'static' | 'kinetic' | 'count' | 'none';

/** Rounds for which a node that will not change is believed; rounds are compared modulo 2³². */
const LONG = 1 << 30;

/** A child is a node (its number) or, below 0, a leaf (~position). */
export class Ranking {
  readonly #left: Int32Array;
  readonly #right: Int32Array;
  readonly #parent: Int32Array;
  /** Node above a leaf; 0 none. */
  readonly #above: Int32Array;
  readonly #root: number;
  readonly #kind: RankingKind;

  constructor(
    readonly cells: ServerTable,
    readonly vip: number,
    readonly servers: Int32Array,
    readonly algorithm: Algorithm,
  ) {
    this.#kind = algorithm.ranking;
    const count = servers.length;
    this.#left = new Int32Array(count);
    this.#right = new Int32Array(count);
    this.#parent = new Int32Array(count);
    this.#above = new Int32Array(count);
    this.#root = count === 0 ? 0 : this.#grow(0, count, 0);
  }

  /** The tree over positions [from, to): a node numbered by the middle. */
  #grow(from: number, to: number, parent: number): number {
    if (to - from === 1) {
      this.#above[from] = parent;
      return ~from;
    }
    const middle = (from + to) >> 1;
    this.#parent[middle] = parent;
    this.#left[middle] = this.#grow(from, middle, middle);
    this.#right[middle] = this.#grow(middle, to, middle);
    return middle;
  }

  /** Plays all matches. */
  rebuild(): void {
    if (this.#root > 0) this.#playBelow(this.#root);
  }

  #playBelow(node: number): void {
    if (this.#left[node] > 0) this.#playBelow(this.#left[node]);
    if (this.#right[node] > 0) this.#playBelow(this.#right[node]);
    this.#play(node);
  }

  /** The server at this position has changed. */
  replay(position: number): void {
    if (this.#kind === 'static') return this.#climb(position);
    for (let node = this.#above[position]; node > 0; node = this.#parent[node]) this.#play(node);
  }

  /** The server at this position was designated. Who may be chosen is as before. */
  used(position: number): void {
    if (this.#kind !== 'static') {
      if (this.#kind === 'kinetic') this.replay(position);
    } else if (this.algorithm.counts === 0) this.#climb(position);
    // Its tunnel will be counted in a moment: both together before the next designation.
    else this.cells.changed(this.servers[position]);
  }

  #climb(position: number): void {
    const { servers, cells, algorithm } = this;
    const own = position + 1;
    let won = cells.eligible(servers[position]) ? own : 0;
    let child = ~position;
    for (let node = this.#above[position]; node > 0; node = this.#parent[node]) {
      const isLeft = this.#left[node] === child;
      const other = this.#winner(isLeft ? this.#right[node] : this.#left[node]);
      if (won === 0) won = other;
      else if (other !== 0) {
        const first = isLeft ? won : other;
        const second = isLeft ? other : won;
        won = algorithm.before(servers[second - 1], servers[first - 1]) ? second : first;
      }
      if (cells.get(servers[node], SERVER_CELL.winner) !== won) cells.set(servers[node], SERVER_CELL.winner, won);
      // Another won here before and wins now: above, nothing has changed.
      else if (won !== own) return;
      child = node;
    }
  }

  #play(node: number): void {
    switch (this.#kind) {
      case 'static':
        return this.#set(node, SERVER_CELL.winner, this.#match(this.#left[node], this.#right[node]));
      case 'kinetic':
        return this.#playInTime(node);
      case 'count':
        return this.#set(node, SERVER_CELL.until, this.#count(this.#left[node]) + this.#count(this.#right[node]));
      case 'none':
        return;
    }
  }

  /** Of two children the winner: position + 1, 0 nobody. */
  #match(left: number, right: number): number {
    const a = this.#winner(left);
    const b = this.#winner(right);
    if (a === 0) return b;
    if (b === 0) return a;
    return this.algorithm.before(this.servers[b - 1], this.servers[a - 1]) ? b : a;
  }

  #winner(child: number): number {
    const { servers, cells } = this;
    if (child > 0) return cells.get(servers[child], SERVER_CELL.winner);
    return cells.eligible(servers[~child]) ? ~child + 1 : 0;
  }

  #set(node: number, field: number, value: number): void {
    this.cells.set(this.servers[node], field, value);
  }

  // ── kinetic: a node's winner is believed until a round in which the loser, or one below, may have overtaken ─────────

  #playInTime(node: number): void {
    const { servers, cells, algorithm } = this;
    const round = cells.vip(this.vip, VIP_CELL.rounds);
    const left = this.#left[node];
    const right = this.#right[node];
    let wait = Math.min(this.#refreshed(left, round), this.#refreshed(right, round));
    const a = this.#winner(left);
    const b = this.#winner(right);
    let winner = a === 0 ? b : a;
    if (a !== 0 && b !== 0) {
      const first = servers[a - 1];
      const second = servers[b - 1];
      const isSecond = algorithm.before(second, first);
      if (isSecond) winner = b;
      const rounds =
        (isSecond ? algorithm.overtakenIn?.(second, first, true) : algorithm.overtakenIn?.(first, second, false)) ??
        LONG;
      wait = Math.min(wait, rounds);
    }
    this.#set(node, SERVER_CELL.winner, winner);
    this.#set(node, SERVER_CELL.until, (round + wait) | 0);
  }

  /** Rounds for which a child stays as it is, at least 1; one whose time has come is played first. */
  #refreshed(child: number, round: number): number {
    if (child < 0) return LONG;
    const server = this.servers[child];
    const wait = (this.cells.get(server, SERVER_CELL.until) - round) | 0;
    if (wait > 0) return wait;
    this.#playInTime(child);
    return (this.cells.get(server, SERVER_CELL.until) - round) | 0;
  }

  // ── answers ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The server that comes first, −1 when none may be chosen. */
  first(): number {
    return this.#settled(-1);
  }

  /** With an order in which all are equal: the next after this position that may be chosen, around the end; −1 none. */
  after(position: number): number {
    return this.#settled(position);
  }

  /** A server may have left while the marks were looked at: it is played out, and who comes next is asked. */
  #settled(after: number): number {
    for (let tries = 0; tries <= this.servers.length; tries++) {
      const winner = (after < 0 ? 0 : this.#next(after)) || this.#top();
      if (winner === 0) return -1;
      if (this.cells.eligible(this.servers[winner - 1])) return this.servers[winner - 1];
      this.replay(winner - 1);
    }
    return -1;
  }

  #top(): number {
    return this.#root === 0 ? 0 : this.#winner(this.#root);
  }

  /** Position + 1 of the next to the right, 0 none. */
  #next(position: number): number {
    let child = ~position;
    for (let node = this.#above[position]; node > 0; node = this.#parent[node]) {
      if (this.#left[node] === child) {
        const next = this.#winner(this.#right[node]);
        if (next !== 0) return next;
      }
      child = node;
    }
    return 0;
  }

  /** With `count`: how many may be chosen. */
  get size(): number {
    return this.#root === 0 ? 0 : this.#count(this.#root);
  }

  /** With `count`: the n-th (from 0) that may be chosen. */
  nth(n: number): number {
    let child = this.#root;
    let left = n;
    while (child > 0) {
      const count = this.#count(this.#left[child]);
      if (left < count) child = this.#left[child];
      else {
        left -= count;
        child = this.#right[child];
      }
    }
    return this.servers[~child];
  }

  #count(child: number): number {
    const { servers, cells } = this;
    if (child > 0) return cells.get(servers[child], SERVER_CELL.until);
    return cells.eligible(servers[~child]) ? 1 : 0;
  }
}
