/** Where the VIPs, servers and next hops of other members' tunnels are in our own table. */
import type { Places } from '../../../cluster/table-apply.js';
import { ClientHops } from '../../../dataplane/client-hops.js';
import {
  CELL_WORDS,
  SERVER_CELL,
  SERVER_LIMIT,
  SERVER_STATE,
  SHARD_LIMIT,
  type TableMemory,
  VIP_CELL,
  VIP_LIMIT,
} from '../../../flow/layout.js';
import { NextHopTable } from '../../../flow/next-hop-table.js';
import type { RouteSnapshot } from '../../../flow/route-table.js';
import { SpinLock } from '../../../flow/spin-lock.js';

export class SharePlaces implements Places {
  readonly #memory: TableMemory;
  readonly #hops: ClientHops;
  readonly #lock: SpinLock;
  readonly #now: () => number;
  #vips = new Map<number, number>();
  #servers = new Map<number, number>();

  constructor(memory: TableMemory, now: () => number) {
    this.#memory = memory;
    this.#hops = new ClientHops(new NextHopTable(memory));
    this.#lock = new SpinLock(memory);
    this.#now = now;
    this.planChanged();
  }

  /** Cells have other owners than before. */
  planChanged(): void {
    const { vips, servers } = this.#memory;
    this.#vips = new Map();
    this.#servers = new Map();
    for (let index = 0; index < VIP_LIMIT; index++)
      if (vips[index * CELL_WORDS + VIP_CELL.state] !== 0)
        this.#vips.set(vips[index * CELL_WORDS + VIP_CELL.identity], index);
    for (let index = 0; index < SERVER_LIMIT; index++)
      if (servers[index * CELL_WORDS + SERVER_CELL.state] !== SERVER_STATE.free)
        this.#servers.set(servers[index * CELL_WORDS + SERVER_CELL.identity], index);
  }

  setRoutes(routes: RouteSnapshot): void {
    this.#hops.setRoutes(routes);
  }

  /** Next hops whose link-layer addresses nobody knows yet; emptied by this. */
  takeUnresolved(): number[] {
    const { unresolved } = this.#hops;
    if (unresolved.length > 0) this.#hops.unresolved = [];
    return unresolved;
  }

  vip(identity: number): number {
    return this.#checked(this.#memory.vips, this.#vips.get(identity), VIP_CELL.identity, identity);
  }

  server(identity: number): number {
    return this.#checked(this.#memory.servers, this.#servers.get(identity), SERVER_CELL.identity, identity);
  }

  serverAddress(server: number): number {
    return this.#memory.servers[server * CELL_WORDS + SERVER_CELL.address];
  }

  serverPort(server: number): number {
    return this.#memory.servers[server * CELL_WORDS + SERVER_CELL.port] & 0xffff;
  }

  /** 0, which is never resolved, while there is no route. */
  clientNextHop(a0: number, a1: number, a2: number, a3: number): number {
    this.#lock.acquire(SHARD_LIMIT);
    const hop = this.#hops.find(a0, a1, a2, a3, null, 0, 0, Math.floor(this.#now()));
    this.#lock.release(SHARD_LIMIT);
    return Math.max(0, hop);
  }

  serverNextHop(server: number): number {
    return this.#memory.servers[server * CELL_WORDS + SERVER_CELL.nextHop];
  }

  /** While a reload is under way a cell may be another's already. */
  #checked(cells: Int32Array, index: number | undefined, word: number, identity: number): number {
    return index !== undefined && cells[index * CELL_WORDS + word] === identity ? index : -1;
  }
}
