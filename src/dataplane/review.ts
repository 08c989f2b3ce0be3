/**
 * A change of rules, servers, routes or captures reaches tunnels that stand already. Two passes over all own tunnels, both
 * in slices between batches, so that a large table does not stop the traffic: the first, quick one gives every tunnel the
 * firewall's new verdict and takes out of the XDP program's hands what it may no longer forward; the second computes next
 * hops anew and lets in what may be forwarded by it. A restart in the middle begins with the first pass again.
 */
import { CELL_WORDS, RECORD, RECORD_STATE, SERVER_CELL } from '../flow/layout.js';
import type { Ageing } from './ageing.js';
import type { ClientHops } from './client-hops.js';
import type { Directory } from './directory.js';
import { TUNNEL_DENIED, TUNNEL_UNDECIDED } from './firewall.js';
import type { Offload } from './offload.js';
import type { RequestPolicy } from './request-policy.js';
import type { TunnelStore } from './tunnel-store.js';

/** Records looked at per turn, in the second pass and in the first. */
const SLICE = 2048;
const QUICK_SLICE = 16384;

const DONE = -1;

export class Review {
  /** Next record of either pass. */
  #withdraw = DONE;
  #renew = DONE;
  #rules = false;

  constructor(
    readonly store: TunnelStore,
    readonly ageing: Ageing,
    readonly hops: ClientHops,
    readonly policy: RequestPolicy,
    readonly offload: Offload,
  ) {}

  /** Starts again from the first record. `rules`: verdicts may be other ones than those in the entries. */
  restart(rules = false): void {
    this.#rules ||= rules;
    this.#withdraw = 0;
    this.#renew = DONE;
    this.offload.forgetWaiting();
  }

  get running(): boolean {
    return this.withdrawing || this.#renew >= 0;
  }

  /** In the first pass: some entries may say what no longer holds. */
  get withdrawing(): boolean {
    return this.#withdraw >= 0;
  }

  /** One tunnel that has come into the table by another way than a request. */
  look(record: number, directory: Directory): void {
    if (this.store.anyEntry(record) < 0) return;
    this.#judge(record, directory);
    if (!this.offload.propose(record)) this.offload.missed = true;
  }

  step(directory: Directory, nowSeconds: number): void {
    if (this.#withdraw >= 0) this.#withdrawSlice(directory);
    if (this.#renew >= 0) this.#renewSlice(directory, nowSeconds);
  }

  #withdrawSlice(directory: Directory): void {
    const { store, offload } = this;
    const count = store.memory.layout.recordCount;
    const limit = Math.min(this.#withdraw + QUICK_SLICE, count);
    for (let record = this.#withdraw; record < limit; record++) {
      if (store.state(record) === RECORD_STATE.free) continue;
      if (!this.#rules && offload.captures.length === 0 && offload.stands(record)) continue;
      if (!this.ageing.owns(record)) continue;
      if (this.#rules) this.#judge(record, directory);
      if (!offload.may(record)) offload.withdraw(record);
    }
    if (limit < count) {
      this.#withdraw = limit;
      return;
    }
    this.#withdraw = DONE;
    this.#renew = 0;
    this.#rules = false;
  }

  #judge(record: number, directory: Directory): void {
    const { store, policy } = this;
    const { table } = store;
    const slot = store.anyEntry(record);
    const vip = directory.vip(store.vipIndex(record));
    if (vip === null) return; // the main thread keeps it in the plan while tunnels use it
    const created = store.word(record, RECORD.created);
    const verdict = policy.firewall.judgeTunnel(
      table.keyWord(slot, 0),
      table.keyWord(slot, 1),
      table.keyWord(slot, 2),
      table.keyWord(slot, 3),
      vip,
      store.protocol(record),
      directory,
      policy.attributesOf(record, created),
    );
    if (verdict !== TUNNEL_UNDECIDED) store.setDenied(record, verdict === TUNNEL_DENIED);
  }

  #renewSlice(directory: Directory, nowSeconds: number): void {
    const { store } = this;
    const count = store.memory.layout.recordCount;
    const limit = Math.min(this.#renew + SLICE, count);
    for (let record = this.#renew; record < limit; record++) {
      if (store.state(record) === RECORD_STATE.free || !this.ageing.owns(record)) continue;
      // The next hops of what others write are entered by the main thread, together with all else of their entries.
      if (!this.store.isForeign(record)) this.#renewOne(record, directory, nowSeconds);
      if (this.offload.propose(record)) continue;
      this.#renew = record; // too many wait: on from here in the next turn
      return;
    }
    this.#renew = limit === count ? DONE : limit;
  }

  #renewOne(record: number, directory: Directory, nowSeconds: number): void {
    const { store, hops } = this;
    const vip = directory.vip(store.vipIndex(record));
    const server = directory.server(store.serverIndex(record));
    if (vip === null || server === null) return;
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
    const clientHop = found < 0 ? store.clientNextHop(record) : found;
    const serverHop =
      store.memory.servers[server.index * CELL_WORDS + SERVER_CELL.nextHop] || store.serverNextHop(record);
    store.retarget(record, store.shownAddress(record, vip), server.address, clientHop, serverHop);
  }
}
