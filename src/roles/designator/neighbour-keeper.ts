/**
 * Keeps next hops resolved. Which neighbour leads to a server or client is the host's routes' decision; its link-layer
 * address comes from the host's neighbour table, or from the ARP and ND answers that the shards see pass by.
 */
import { CELL_WORDS, NEXT_HOP_STATE, SERVER_CELL, SHARD_LIMIT, type TableMemory } from '../../flow/layout.js';
import { NextHopTable } from '../../flow/next-hop-table.js';
import { type RouteSnapshot, RouteTable } from '../../flow/route-table.js';
import { AddressTable } from '../../flow/address-table.js';
import { SpinLock } from '../../flow/spin-lock.js';
import type { BoundServer } from './binding.js';

/** Gateways and servers are asked again so often, so that a changed address is noticed. */
const REFRESH_SECONDS = 30;
/** Neighbours asked for in one round. */
const ROUND_LIMIT = 256;
/** Gateways entered in advance; beyond it they are entered when a client needs them. */
const GATEWAY_LIMIT = 256;

export interface Resolver {
  /** Starts a resolution; the answer comes as `learnt`, or through the shards. */
  resolve(port: number, words: readonly [number, number, number, number]): void;
}

export class NeighbourKeeper {
  readonly #table: NextHopTable;
  readonly #addresses: AddressTable;
  readonly #lock: SpinLock;
  #routes: RouteTable | null = null;
  /** Next hops that tunnels will need whoever comes: servers and gateways. */
  readonly #permanent = new Set<number>();
  #rounds = 0;

  constructor(
    readonly memory: TableMemory,
    readonly resolver: Resolver,
  ) {
    this.#table = new NextHopTable(memory);
    this.#addresses = new AddressTable(memory);
    this.#lock = new SpinLock(memory);
  }

  /** Waits until all next hops are known, at most so long. False: some are not. */
  async settle(waitMs: number): Promise<boolean> {
    const until = performance.now() + waitMs;
    while (!this.settled() && performance.now() < until) await new Promise((resolve) => setTimeout(resolve, 20));
    return this.settled();
  }

  /** New routes or servers: every server gets its next hop. Returns names of servers without a route. */
  setRoutes(snapshot: RouteSnapshot, servers: readonly BoundServer[]): string[] {
    this.#routes = new RouteTable(snapshot);
    this.#permanent.clear();
    const unreachable: string[] = [];
    this.#lock.acquire(SHARD_LIMIT);
    try {
      for (const server of servers) {
        const hop = this.#hopOf(server);
        this.memory.servers[server.index * CELL_WORDS + SERVER_CELL.nextHop] = Math.max(0, hop);
        if (hop < 0) unreachable.push(server.name);
        else this.#permanent.add(hop);
      }
      for (let row = 0; row < snapshot.lengths.length && this.#permanent.size < GATEWAY_LIMIT; row++) {
        const [g0, g1, g2, g3] = snapshot.gateways.subarray(row * 4, row * 4 + 4);
        if (snapshot.ports[row] > 1 || (g0 | g1 | g2 | g3) === 0) continue;
        const hop = this.#table.ensure(snapshot.ports[row], g0, g1, g2, g3);
        if (hop >= 0) this.#permanent.add(hop);
      }
    } finally {
      this.#lock.release(SHARD_LIMIT);
    }
    for (const hop of this.#permanent) if (this.#table.state(hop) !== NEXT_HOP_STATE.resolved) this.#ask(hop);
    return unreachable;
  }

  #hopOf(server: BoundServer): number {
    const routes = this.#routes as RouteTable;
    const words = [0, 1, 2, 3].map((word) => this.#addresses.word(server.address, word)) as [
      number,
      number,
      number,
      number,
    ];
    const row = routes.lookup(...words);
    if (row < 0 || routes.port(row) > 1) return -1;
    const hop = routes.onLink(row)
      ? words
      : ([0, 1, 2, 3].map((word) => routes.gatewayWord(row, word)) as typeof words);
    return this.#table.ensure(routes.port(row), ...hop);
  }

  /** The host's neighbour table says so. Neighbours that nobody needs are not entered. */
  learnt(port: number, words: readonly [number, number, number, number], mac: Uint8Array, nowSeconds: number): void {
    const hop = this.#table.find(port, ...words);
    if (hop < 0) return;
    this.#lock.acquire(SHARD_LIMIT);
    this.#table.setMac(hop, mac, nowSeconds);
    this.#lock.release(SHARD_LIMIT);
  }

  /** A shard needs these now. */
  wanted(hops: readonly number[]): void {
    for (const hop of hops) this.#ask(hop);
  }

  /** Once a second: asks again for what is unresolved, now and then for what must stay known. */
  tick(): void {
    let asked = 0;
    this.#table.forEach((hop) => {
      if (asked >= ROUND_LIMIT || this.#table.state(hop) !== NEXT_HOP_STATE.unresolved) return;
      this.#ask(hop);
      asked++;
    });
    if (++this.#rounds % REFRESH_SECONDS === 0) for (const hop of this.#permanent) this.#ask(hop);
  }

  /** All servers' and gateways' link-layer addresses are known. */
  settled(): boolean {
    for (const hop of this.#permanent) if (this.#table.state(hop) !== NEXT_HOP_STATE.resolved) return false;
    return true;
  }

  #ask(hop: number): void {
    const word = (i: number): number => this.#table.addressWord(hop, i);
    this.resolver.resolve(this.#table.port(hop), [word(0), word(1), word(2), word(3)]);
  }
}
