/**
 * Keeps next hops resolved. Which neighbour leads to a server or client is the host's routes' decision; its link-layer
 * address comes from the host's neighbour table, or from the ARP and ND answers that the shards see pass by.
 */
import { CELL_WORDS, NEXT_HOP_STATE, SERVER_CELL, SHARD_LIMIT, type TableMemory } from '../../flow/layout.js';
import { NextHopTable } from '../../flow/next-hop-table.js';
import { type RouteSnapshot, RouteTable } from '../../flow/route-table.js';
import { AddressTable } from '../../flow/address-table.js';
import { SpinLock } from '../../flow/spin-lock.js';
import { PORT_HOST } from '../../io/port.js';
import type { AddressWords } from '../../wire/address.js';
import type { BoundServer } from './binding.js';

/** Gateways and servers are asked again so often, so that a changed address is noticed. */
const REFRESH_SECONDS = 30;
/** Neighbours asked for in one round. */
const ROUND_LIMIT = 256;
/** What goes into the host itself needs no link-layer address; the XDP program writes its device's own. */
const NO_MAC = new Uint8Array(6);
/** Gateways entered in advance; beyond it they are entered when a client needs them. */
const GATEWAY_LIMIT = 256;

export interface Resolver {
  /** Starts a resolution; the answer comes as `learnt`, or through the shards. */
  resolve(port: number, words: readonly [number, number, number, number]): void;
  /** Addresses of this host. */
  own(): readonly AddressWords[];
  /** May this server be the host itself? What it answers then does not pass the designator. */
  mayBeOwn(server: BoundServer): boolean;
}

/** One text an address: words of the shared memory have a sign, others may have none. */
const textOf = (words: readonly number[]): string => words.map((word) => word | 0).join();

/** Servers that have no next hop, by name. */
export interface Unreachable {
  /** The host has no route there. */
  readonly routes: readonly string[];
  /** The host itself has their address, and must not. */
  readonly own: readonly string[];
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

  /** New routes, servers or addresses of the host: every server gets its next hop. */
  setRoutes(snapshot: RouteSnapshot, servers: readonly BoundServer[]): Unreachable {
    this.#routes = new RouteTable(snapshot);
    this.#permanent.clear();
    const unreachable = { routes: [] as string[], own: [] as string[] };
    const own = new Set(this.resolver.own().map(textOf));
    this.#lock.acquire(SHARD_LIMIT);
    try {
      for (const server of servers) {
        const words = this.#wordsOf(server);
        const here = own.has(textOf(words));
        const hop = here ? this.#hostHop(server, words) : this.#hopOf(words);
        this.memory.servers[server.index * CELL_WORDS + SERVER_CELL.nextHop] = Math.max(0, hop);
        if (hop < 0) unreachable[here ? 'own' : 'routes'].push(server.name);
        else if (!here) this.#permanent.add(hop);
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

  #wordsOf({ address }: BoundServer): [number, number, number, number] {
    const word = (n: number): number => this.#addresses.word(address, n);
    return [word(0), word(1), word(2), word(3)];
  }

  /** Into this host; the caller holds the lock. */
  #hostHop(server: BoundServer, words: readonly [number, number, number, number]): number {
    if (!this.resolver.mayBeOwn(server)) return -1;
    const hop = this.#table.ensure(PORT_HOST, ...words);
    if (hop >= 0 && this.#table.state(hop) !== NEXT_HOP_STATE.resolved) this.#table.setMac(hop, NO_MAC, 0);
    return hop;
  }

  #hopOf(words: readonly [number, number, number, number]): number {
    const routes = this.#routes as RouteTable;
    const row = routes.lookup(...words);
    if (row < 0 || routes.port(row) > 1) return -1;
    const hop = routes.onLink(row)
      ? words
      : ([0, 1, 2, 3].map((word) => routes.gatewayWord(row, word)) as [number, number, number, number]);
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
