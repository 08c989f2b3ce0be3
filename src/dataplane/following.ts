/**
 * Requests that no algorithm decides, because an older tunnel does: one that recovers a tunnel (RFC 4951 §3) must reach the
 * server that has it; one with a tie breaker (RFC 2661 §4.4.3) must meet the server that dials the same client at the
 * moment, or neither end would see the tie; and where a VIP's servers hide their ids, all tunnels of one client port go
 * to one server, because ids of one server cannot be alike.
 */
import type { ServerTable } from '../designation/servers.js';
import { CELL_WORDS, RECORD, RECORD_STATE, SERVER_STATE, VIP_CELL } from '../flow/layout.js';
import type { ControlEvent } from '../tunnels/descriptor.js';
import type { PlanVip } from './plan.js';
import { LOOK_LIMIT, type TunnelStore } from './tunnel-store.js';

/** What a request tells about itself, as far as it matters here. */
export type FollowRequest = Pick<ControlEvent, 'recoverOwn' | 'recoverPeer' | 'tie'>;

/** How long a VIP is known by an id that one of its servers hid, in seconds. */
export const HIDDEN_SECONDS = 600;

export const FOLLOW_NOTHING = 0;
export const FOLLOW_RECOVERY = 1;
export const FOLLOW_TIE = 2;
export const FOLLOW_HIDDEN = 3;

export class Following {
  /** FOLLOW_* of the last answer, and the older tunnel's record. */
  why = FOLLOW_NOTHING;
  record = -1;
  /** The last request names an older tunnel that is not in the table, or whose server takes nothing. */
  lost = false;

  constructor(
    readonly store: TunnelStore,
    readonly servers: ServerTable,
  ) {}

  /** Server cell index that the request must go to, −1 where the algorithm decides. Changes nothing but the answer's reason. */
  server(
    vip: PlanVip,
    request: FollowRequest,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
    port: number,
    nowSeconds: number,
    /** All tunnels of one client port go to one server, whatever its ids are. */
    together = false,
  ): number {
    this.why = FOLLOW_NOTHING;
    this.record = -1;
    this.lost = false;
    const recovers = request.recoverPeer !== 0;
    const hides = together || (!vip.hiddenByPort && hidesIds(this.store, vip, nowSeconds));
    if (!recovers && !request.tie && !hides) return -1;
    const { store } = this;
    let best = FOLLOW_NOTHING;
    let looks = LOOK_LIMIT;
    for (let record = store.clients.first(a0, a1, a2, a3); record >= 0 && looks > 0; looks--) {
      if (store.vipIndex(record) === vip.index && store.isClient(record, a0, a1, a2, a3)) {
        const why = this.#reason(record, request, hides && store.clientPort(record) === port);
        // Newest first, and the lower the number the stronger.
        if (why !== FOLLOW_NOTHING && (best === FOLLOW_NOTHING || why < best)) {
          best = why;
          this.record = record;
          if (best === FOLLOW_RECOVERY) break;
        }
      }
      record = store.clients.next(record);
    }
    this.lost = recovers && best !== FOLLOW_RECOVERY;
    this.why = best;
    return best === FOLLOW_NOTHING ? -1 : store.serverIndex(this.record);
  }

  /** The older tunnel of the same client and VIP that a client's request names, −1 when there is none. */
  recovered(record: number, own: number, peer: number): number {
    const { store } = this;
    const slot = store.anyEntry(record);
    if (slot < 0) return -1;
    const [a0, a1, a2, a3] = [0, 1, 2, 3].map((word) => store.table.keyWord(slot, word));
    let looks = LOOK_LIMIT;
    for (let old = store.clients.first(a0, a1, a2, a3); old >= 0 && looks > 0; looks--) {
      const shown = store.word(old, RECORD.virtualChannel) || store.word(old, RECORD.serverChannel);
      if (
        old !== record &&
        store.serverIndex(old) === store.serverIndex(record) &&
        shown === peer &&
        store.word(old, RECORD.clientChannel) === own &&
        store.isClient(old, a0, a1, a2, a3)
      )
        return old;
      old = store.clients.next(old);
    }
    return -1;
  }

  /** The older tunnel that a server's request to this client (four words of `keys`) names, −1 when there is none. */
  recovering(keys: Int32Array, row: number, server: number, own: number, peer: number): number {
    const { store } = this;
    const [a0, a1, a2, a3] = [keys[row], keys[row + 1], keys[row + 2], keys[row + 3]];
    let looks = LOOK_LIMIT;
    for (let old = store.clients.first(a0, a1, a2, a3); old >= 0 && looks > 0; looks--) {
      if (
        store.serverAddress(old) === server &&
        store.word(old, RECORD.serverChannel) === own &&
        store.word(old, RECORD.clientChannel) === peer &&
        store.isClient(old, a0, a1, a2, a3)
      )
        return old;
      old = store.clients.next(old);
    }
    return -1;
  }

  #reason(record: number, { recoverOwn, recoverPeer, tie }: FollowRequest, hides: boolean): number {
    const { store } = this;
    const server = store.serverIndex(record);
    const state = store.state(record);
    const channel = store.word(record, RECORD.virtualChannel) || store.word(record, RECORD.serverChannel);
    const own = store.word(record, RECORD.clientChannel);
    if (recoverPeer !== 0 && channel === recoverPeer && own === recoverOwn && this.#lives(server))
      return FOLLOW_RECOVERY;
    if (tie && state === RECORD_STATE.halfOpen && own === 0 && channel !== 0 && this.#lives(server)) return FOLLOW_TIE;
    return hides && state !== RECORD_STATE.closing && this.servers.eligible(server) ? FOLLOW_HIDDEN : FOLLOW_NOTHING;
  }

  /** It answers, whether it takes new clients or not: a tunnel that it has already is no new one. */
  #lives(server: number): boolean {
    const state = this.servers.state(server);
    return (
      state === SERVER_STATE.up ||
      state === SERVER_STATE.slowStart ||
      state === SERVER_STATE.suspect ||
      state === SERVER_STATE.draining
    );
  }
}

/** Notes that a server of the VIP hid an id that could not be read. */
export function noteHidden(store: TunnelStore, vip: PlanVip, nowSeconds: number): void {
  store.memory.vips[vip.index * CELL_WORDS + VIP_CELL.hiddenSeen] = nowSeconds + 1;
}

function hidesIds(store: TunnelStore, vip: PlanVip, nowSeconds: number): boolean {
  const seen = store.memory.vips[vip.index * CELL_WORDS + VIP_CELL.hiddenSeen];
  return seen !== 0 && nowSeconds - seen < HIDDEN_SECONDS;
}
