/**
 * Tunnels whose ids are hidden (RFC 2661 §4.3) from a designator that has no secret, or another one. An id that its owner
 * hides is said in the clear by the other end, in the header of its first message: so it is learnt there, provided that
 * exactly one tunnel waits that it can be meant for. What makes it exactly one is decided when the answer passes.
 */
import type { ServerTable } from '../designation/servers.js';
import { RECORD, RECORD_STATE } from '../flow/layout.js';
import { EVENT_CLOSE, EVENT_CONNECTED, EVENT_REPLY } from '../tunnels/descriptor.js';
import { type Batch, KEY_STRIDE } from './batch.js';
import { COUNTER } from './counters.js';
import { noteHidden } from './following.js';
import type { TunnelDraft } from './tunnel-draft.js';
import { LOOK_LIMIT, type TunnelStore } from './tunnel-store.js';
import type { VirtualPorts } from './virtual-ports.js';

/** Answers of `shownPort` below 0. */
export const HIDDEN_WAITS = -1; // another tunnel of the client waits for its id: let the server say it again
export const HIDDEN_MOVES = -2; // the client's tunnels are another server's: the request is to go there
export const HIDDEN_FULL = -3; // no port is free

/** An answer that the client has not taken up after so long does not keep others waiting: it repeats within 8 s. */
const WAIT_SECONDS = 9;

export class HiddenIds {
  constructor(
    readonly store: TunnelStore,
    readonly servers: ServerTable,
    readonly ports: VirtualPorts,
    readonly statistics: Float64Array,
  ) {}

  /**
   * A server's answer hides its id: the VIP's port that the client is to see it from, or HIDDEN_*. `usual` is the port it
   * would see if nothing was hidden.
   */
  shownPort(draft: TunnelDraft, record: number, usual: number, nowSeconds: number): number {
    const { store } = this;
    const known = store.word(record, RECORD.ports) & 0xffff;
    if (known !== 0) return known; // a copy of the answer
    noteHidden(store, draft.vip, nowSeconds);
    if (draft.vip.hiddenByPort === true) return this.ownPort(draft);
    let waits = false;
    let company = false;
    let elsewhere = false;
    let better = false;
    let looks = LOOK_LIMIT;
    for (let other = store.clients.first(draft.a0, draft.a1, draft.a2, draft.a3); other >= 0 && looks > 0; looks--) {
      if (other !== record && this.#shares(draft, other)) {
        if (store.serverIndex(other) === draft.server.index) {
          company = true;
          waits ||= this.#waits(other) && nowSeconds - store.lastSeen(other) < WAIT_SECONDS;
        } else if (store.word(other, RECORD.ports) !== 0) {
          // One that is still to be answered is looked at when it is.
          elsewhere = true;
          better ||= this.servers.eligible(store.serverIndex(other));
        }
      }
      other = store.clients.next(other);
    }
    // One of another server's tunnels may have the very id. Where following it would lead here again, a port of its own
    // tells the tunnel apart, if the client goes along.
    if (elsewhere) return better && !company ? HIDDEN_MOVES : this.ownPort(draft);
    return waits ? HIDDEN_WAITS : usual;
  }

  /** A port of the VIP's that is this tunnel's alone, or HIDDEN_FULL. */
  ownPort(draft: TunnelDraft): number {
    const port = this.ports.towardsClient(draft);
    return port < 0 ? HIDDEN_FULL : port;
  }

  /** A living tunnel of the same client port through the same VIP. */
  #shares(draft: TunnelDraft, record: number): boolean {
    const { store } = this;
    return (
      store.vipIndex(record) === draft.vip.index &&
      store.state(record) !== RECORD_STATE.closing &&
      store.clientPort(record) === draft.clientPort &&
      store.isClient(record, draft.a0, draft.a1, draft.a2, draft.a3)
    );
  }

  /** Its server has answered and the client has not spoken yet. */
  #waits(record: number): boolean {
    const { store } = this;
    return (
      store.state(record) === RECORD_STATE.halfOpen &&
      store.word(record, RECORD.serverChannel) === 0 &&
      store.word(record, RECORD.ports) !== 0
    );
  }

  /**
   * A client's message with an id that no table knows: the one waiting tunnel that it can belong to, or −1. A tunnel that
   * is shown at the port of the message comes before those that the client could reach at the VIP's own.
   */
  meantByClient(batch: Batch, i: number, kind: number, vipPort: number): number {
    if (kind !== EVENT_CONNECTED && kind !== EVENT_CLOSE) return -1;
    const { store } = this;
    const { keys } = batch;
    const row = i * KEY_STRIDE;
    const clientPort = keys[row + 4] >>> 16;
    const port = keys[row + 4] & 0xffff;
    let found = -1;
    let atOwnPort = -1;
    let rivals = 0;
    let looks = LOOK_LIMIT;
    for (let record = this.#first(keys, row); record >= 0 && looks > 0; looks--) {
      if (
        this.#waits(record) &&
        !store.isForeign(record) &&
        isShownAt(store, record, keys[row + 6] >>> 16) &&
        store.clientPort(record) === clientPort &&
        store.isClient(record, keys[row], keys[row + 1], keys[row + 2], keys[row + 3])
      ) {
        if ((store.word(record, RECORD.ports) & 0xffff) === port) {
          if (found < 0 || store.lastSeen(record) > store.lastSeen(found)) found = record;
        } else if (port === vipPort) {
          atOwnPort = record;
          rivals++;
        }
      }
      record = store.clients.next(record);
    }
    if (found < 0 && rivals === 1) found = atOwnPort;
    if (found >= 0) this.statistics[COUNTER.hiddenLearnt]++;
    return found;
  }

  /** A client's answer to its server's request, from another port than the one that was asked: that tunnel, or −1. */
  movedClient(batch: Batch, i: number): number {
    const { store } = this;
    const { keys } = batch;
    const row = i * KEY_STRIDE;
    let found = -1;
    let looks = LOOK_LIMIT;
    for (let record = this.#first(keys, row); record >= 0 && looks > 0; looks--) {
      if (
        store.state(record) === RECORD_STATE.halfOpen &&
        !store.isForeign(record) &&
        store.word(record, RECORD.clientChannel) === 0 &&
        (store.word(record, RECORD.virtualChannel) || store.word(record, RECORD.serverChannel)) === keys[row + 5] &&
        isShownAt(store, record, keys[row + 6] >>> 16) &&
        store.isClient(record, keys[row], keys[row + 1], keys[row + 2], keys[row + 3])
      ) {
        if (found >= 0) return -1;
        found = record;
      }
      record = store.clients.next(record);
    }
    return found;
  }

  /** A server's message with an id that no table knows: the one tunnel whose client hides its own, or −1. */
  meantByServer(batch: Batch, i: number, kind: number): number {
    if (kind !== EVENT_REPLY && kind !== EVENT_CONNECTED && kind !== EVENT_CLOSE) return -1;
    const { store } = this;
    const { keys } = batch;
    const row = i * KEY_STRIDE;
    let found = -1;
    let looks = LOOK_LIMIT;
    for (let record = this.#first(keys, row); record >= 0 && looks > 0; looks--) {
      if (
        store.state(record) === RECORD_STATE.halfOpen &&
        !store.isForeign(record) &&
        store.word(record, RECORD.entryReverse) === 0 &&
        store.word(record, RECORD.clientChannel) === 0 &&
        store.serverAddress(record) === keys[row + 6] >>> 16 &&
        store.portTowardsServer(record) === keys[row + 4] >>> 16 &&
        store.isClient(record, keys[row], keys[row + 1], keys[row + 2], keys[row + 3])
      ) {
        if (found >= 0) return -1;
        found = record;
      }
      record = store.clients.next(record);
    }
    if (found >= 0) this.statistics[COUNTER.hiddenLearnt]++;
    return found;
  }

  #first(keys: Int32Array, row: number): number {
    return this.store.clients.first(keys[row], keys[row + 1], keys[row + 2], keys[row + 3]);
  }
}

/** The client may send this tunnel's messages to that address. */
function isShownAt(store: TunnelStore, record: number, address: number): boolean {
  if (store.vipAddress(record) === address) return true;
  const slot = store.word(record, RECORD.entryReverse) - 1;
  return slot >= 0 && store.table.targetOf(slot) >>> 16 === address;
}
