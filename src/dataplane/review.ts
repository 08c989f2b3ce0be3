/**
 * A change of rules, servers or routes reaches tunnels that stand already: every own tunnel's firewall verdict and next
 * hops are computed anew. Done in slices between batches, so that a large table does not stop the traffic.
 */
import { CELL_WORDS, RECORD_STATE, SERVER_CELL } from '../flow/layout.js';
import type { Ageing } from './ageing.js';
import type { ClientHops } from './client-hops.js';
import type { Directory } from './directory.js';
import type { Firewall } from './firewall.js';
import type { TunnelStore } from './tunnel-store.js';

/** Records looked at per turn. */
const SLICE = 2048;

export class Review {
  #next = -1;

  constructor(
    readonly store: TunnelStore,
    readonly ageing: Ageing,
    readonly hops: ClientHops,
    readonly firewall: Firewall,
  ) {}

  /** Starts again from the first record. */
  restart(): void {
    this.#next = 0;
  }

  get running(): boolean {
    return this.#next >= 0;
  }

  step(directory: Directory, nowSeconds: number): void {
    if (this.#next < 0) return;
    const { store } = this;
    const limit = Math.min(this.#next + SLICE, store.memory.layout.recordCount);
    for (let record = this.#next; record < limit; record++) {
      if (store.state(record) !== RECORD_STATE.free && this.ageing.owns(record))
        this.#one(record, directory, nowSeconds);
    }
    this.#next = limit === store.memory.layout.recordCount ? -1 : limit;
  }

  #one(record: number, directory: Directory, nowSeconds: number): void {
    const { store, hops } = this;
    const vip = directory.vip(store.vipIndex(record));
    const server = directory.server(store.serverIndex(record));
    if (vip === null || server === null) return; // the main thread keeps both in the plan while tunnels use them
    const slot = store.anyEntry(record);
    const { table } = store;
    const a0 = table.keyWord(slot, 0);
    const a1 = table.keyWord(slot, 1);
    const a2 = table.keyWord(slot, 2);
    const a3 = table.keyWord(slot, 3);
    store.lock.acquire(store.shard);
    const found = hops.find(a0, a1, a2, a3, null, 0, 0, nowSeconds);
    store.lock.release(store.shard);
    // Without a route the old next hop stays: the tunnel may live until the route returns.
    const hop = found < 0 ? store.clientNextHop(record) : found;
    const denied = this.firewall.deniesTunnel(a0, a1, a2, a3, vip, store.protocol(record), directory);
    store.retarget(
      record,
      vip.address,
      server.address,
      hop,
      store.memory.servers[server.index * CELL_WORDS + SERVER_CELL.nextHop],
      denied,
    );
  }
}
