/**
 * Ports of the designator's own making. Towards a server, a client's port is replaced where the server could not tell two
 * of its tunnels apart: the same port and the same id, through two VIPs that share the server, or because the client gave
 * an id again while its older tunnel still stands; and, where the configuration says so, for every second tunnel of one
 * client port. Towards a client, the VIP's port is replaced for a tunnel whose id nobody can read (RFC 2661 §8.1 lets a
 * responder answer from any port).
 *
 * Whoever is a *peer of its own* to a server decides `taken`; when security associations tell clients apart that are
 * one address and port without them, that is the place where they come in.
 */
import { RECORD, RECORD_STATE } from '../flow/layout.js';
import { COUNTER } from './counters.js';
import type { TunnelDraft } from './tunnel-draft.js';
import { LOOK_LIMIT, type TunnelStore } from './tunnel-store.js';

/** The dynamic ports (RFC 6335 §6). */
const FIRST = 49_152;
const COUNT = 16_384;
const TRIES = 256;
const STRIDE = 0x1e37; // odd: it visits every port of the range

export class VirtualPorts {
  readonly #key = new Int32Array(8);

  constructor(
    readonly store: TunnelStore,
    readonly statistics: Float64Array,
  ) {}

  /**
   * The client port for the server to see: 0 the client's own will do, −1 none is free. `draft` has client and server; a
   * `clientChannel` of 0 is one that is hidden.
   */
  towardsServer(draft: TunnelDraft): number {
    if (!draft.hasPorts || !this.#taken(draft, draft.clientPort)) return 0;
    const start = Math.imul(draft.clientPort ^ (draft.requestKey << 3), 0x9e3779b1) >>> 18;
    for (let n = 0; n < TRIES; n++) {
      const port = FIRST + ((start + n * STRIDE) & (COUNT - 1));
      if (port !== draft.clientPort && !this.#taken(draft, port)) {
        this.statistics[COUNTER.virtualPorts]++;
        return port;
      }
    }
    return -1;
  }

  /** Would the server take a tunnel that comes from this port for another one that it has? */
  #taken(draft: TunnelDraft, port: number): boolean {
    const { store } = this;
    if (draft.clientChannel !== 0) {
      store.entries.reverseKey(this.#key, draft, port, draft.clientChannel);
      const slot = store.table.find(this.#key, 0);
      if (slot >= 0 && store.state(store.table.recordOf(slot)) !== RECORD_STATE.closing) return true;
    }
    const distinct = draft.vip.distinctClientPorts === true;
    if (draft.clientChannel !== 0 && !distinct) return false;
    let looks = LOOK_LIMIT;
    for (let record = store.clients.first(draft.a0, draft.a1, draft.a2, draft.a3); record >= 0 && looks > 0; looks--) {
      // Of two ids that nobody knows yet nobody could say which answer is whose.
      const counts = distinct || store.word(record, RECORD.entryReverse) === 0;
      if (
        counts &&
        store.serverAddress(record) === draft.server.address &&
        store.portTowardsServer(record) === port &&
        store.state(record) !== RECORD_STATE.closing &&
        store.isClient(record, draft.a0, draft.a1, draft.a2, draft.a3)
      )
        return true;
      record = store.clients.next(record);
    }
    return false;
  }

  /** A port of the VIP's that no other tunnel of this client's port is shown; −1 none is free. */
  towardsClient(draft: TunnelDraft): number {
    const start = Math.imul(draft.clientPort ^ (draft.clientChannel << 3), 0x85ebca6b) >>> 18;
    for (let n = 0; n < TRIES; n++) {
      const port = FIRST + ((start + n * STRIDE) & (COUNT - 1));
      if (!this.#shown(draft, port)) return port;
    }
    return -1;
  }

  #shown(draft: TunnelDraft, port: number): boolean {
    const { store } = this;
    let looks = LOOK_LIMIT;
    for (let record = store.clients.first(draft.a0, draft.a1, draft.a2, draft.a3); record >= 0 && looks > 0; looks--) {
      if (
        (store.word(record, RECORD.ports) & 0xffff) === port &&
        store.clientPort(record) === draft.clientPort &&
        store.isClient(record, draft.a0, draft.a1, draft.a2, draft.a3)
      )
        return true;
      record = store.clients.next(record);
    }
    return false;
  }
}
