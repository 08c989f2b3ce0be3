/**
 * Full NAT: a tunnel whose server is to answer to the designator, because its client takes answers from the VIP alone and
 * the server, left to itself, would answer the client directly (document 001, FIG. 4). The server sees a port of the VIP's
 * `localAddress` as its client. Each port stands for one tunnel towards one server, so what comes to it is that tunnel's,
 * whatever id it names.
 */
import { ADDRESS, ADDRESS_LIMIT, ADDRESS_ROLE, ADDRESS_WORDS, RECORD, TABLE_LOCAL } from '../flow/layout.js';
import { COUNTER } from './counters.js';
import type { PlanServer, PlanVip } from './plan.js';
import { TunnelDraft } from './tunnel-draft.js';
import type { TunnelStore } from './tunnel-store.js';

/** Ports of a local address, for each server. Below are those that mean something, such as IPsec's 4500 (RFC 3948). */
const FIRST = 16_384;
const COUNT = 49_152;
const TRIES = 256;
const STRIDE = 0x3e35; // has no divisor in common with COUNT: it visits every port of the range

export class FullNat {
  readonly #key = new Int32Array(8);
  readonly #draft = new TunnelDraft();

  constructor(
    readonly store: TunnelStore,
    readonly statistics: Float64Array,
  ) {}

  /**
   * A port of the draft's `localAddress` that no tunnel has towards its server; −1 none was found. It is taken by `create`
   * or `putOnFullNat`; the caller holds the lock from here to there.
   */
  port(draft: TunnelDraft): number {
    const { store } = this;
    const seed = draft.a0 ^ draft.a1 ^ draft.a2 ^ draft.a3 ^ (draft.clientPort << 15) ^ draft.requestKey;
    const start = (Math.imul(seed, 0x9e3779b1) >>> 8) % COUNT;
    for (let n = 0; n < TRIES; n++) {
      const port = FIRST + ((start + n * STRIDE) % COUNT);
      store.entries.localKey(this.#key, draft, port);
      if (store.table.find(this.#key, 0) < 0) return port;
    }
    this.statistics[COUNTER.localPortsShort]++;
    return -1;
  }

  /** Gives a new tunnel's draft a port of this address. The caller holds the lock. False: there is none. */
  choose(draft: TunnelDraft, localAddress: number): boolean {
    draft.localAddress = localAddress;
    draft.virtualPort = this.port(draft);
    if (draft.virtualPort >= 0) {
      this.statistics[COUNTER.fullNats]++;
      return true;
    }
    draft.localAddress = -1;
    draft.virtualPort = 0;
    return false;
  }

  /**
   * Puts a tunnel that is in the table on full NAT: its request has gone out, and its client takes no answer but the VIP's.
   * `clientNextHop`: where the client's packets go (the tunnel may have no entry that says so). Takes the lock. False: there
   * is no port, or no room in the table; then the tunnel is as it was.
   */
  put(
    record: number,
    vip: PlanVip,
    server: PlanServer,
    localAddress: number,
    clientNextHop: number,
    nowSeconds: number,
    nowMs: number,
  ): boolean {
    const { store } = this;
    const slot = store.anyEntry(record);
    if (slot < 0 || store.localEntry(record) >= 0) return slot >= 0;
    const draft = this.#draft;
    draft.vip = vip;
    draft.shownAddress = vip.address;
    draft.server = server;
    draft.protocol = store.protocol(record);
    draft.hasPorts = true;
    draft.a0 = store.table.keyWord(slot, 0);
    draft.a1 = store.table.keyWord(slot, 1);
    draft.a2 = store.table.keyWord(slot, 2);
    draft.a3 = store.table.keyWord(slot, 3);
    draft.clientPort = store.clientPort(record);
    draft.clientChannel = store.word(record, RECORD.clientChannel);
    draft.requestKey = draft.clientChannel;
    draft.clientNextHop = clientNextHop;
    store.lock.acquire(store.shard);
    const done = this.choose(draft, localAddress) && store.putOnFullNat(record, draft, nowSeconds, nowMs);
    store.lock.release(store.shard);
    return done;
  }

  /** The tunnel whose server's packet has this key (local address, its port …, server), whatever id it names; or −1. */
  recordOf(keys: Int32Array, row: number): number {
    const key = this.#key;
    for (let word = 0; word < 7; word++) key[word] = keys[row + word];
    key[5] = 0;
    key[6] = (key[6] & ~0xff) | TABLE_LOCAL;
    const slot = this.store.table.find(key, 0);
    return slot < 0 ? -1 : this.store.table.recordOf(slot);
  }

  /** Address index of the local address in the key of a tunnel's `localEntry`, −1 where it is none any more. */
  addressOf(slot: number): number {
    const { memory, table } = this.store;
    // Few addresses are local ones, and few messages ask: those that are answered or learnt from.
    for (let index = 0; index < ADDRESS_LIMIT; index++) {
      const at = index * ADDRESS_WORDS;
      if (
        (memory.addresses[at + ADDRESS.role] & ADDRESS_ROLE.local) !== 0 &&
        [0, 1, 2, 3].every((word) => memory.addresses[at + word] === table.keyWord(slot, word))
      )
        return index;
    }
    return -1;
  }
}
