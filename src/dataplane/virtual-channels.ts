/**
 * Ids that a client sees in place of its server's (DESIGN §3). Two servers may choose one id for two tunnels of one client
 * port, and a server that was started again may choose an id that a tunnel of before still has: then, and only then, the
 * newer tunnel gets another one.
 */
import { RECORD_STATE } from '../flow/layout.js';
import { COUNTER } from './counters.js';
import type { TunnelDraft } from './tunnel-draft.js';
import type { TunnelStore } from './tunnel-store.js';

/** Ids tried before a collision is given up. */
const TRIES = 64;
const STRIDE = 0x9e37;

export class VirtualChannels {
  readonly #key = new Int32Array(8);

  constructor(
    readonly store: TunnelStore,
    readonly statistics: Float64Array,
  ) {}

  /**
   * 0 when the server's id is free for this client, a virtual id when another living tunnel of the same client shows it
   * already, −1 when none was found. `record`: the tunnel itself, −1 when it is still to be made.
   */
  choose(draft: TunnelDraft, port: number, channel: number, record: number): number {
    const other = this.#occupant(draft, port, channel, record);
    if (other < 0) return 0;
    if (this.store.serverIndex(other) === draft.server.index) this.statistics[COUNTER.idsReused]++;
    for (let n = 1; n <= TRIES; n++) {
      const candidate = (channel + n * STRIDE) & 0xffff;
      if (candidate !== 0 && this.#occupant(draft, port, candidate, record) < 0) return candidate;
    }
    return -1;
  }

  /** Another living tunnel that the client reaches by this id, where it is shown or at the VIP itself; −1 none. */
  #occupant(draft: TunnelDraft, port: number, channel: number, record: number): number {
    const { vip, shownAddress } = draft;
    const other = this.#at(draft, shownAddress, port, channel, record);
    if (other >= 0 || (port === vip.port && shownAddress === vip.address)) return other;
    return this.#at(draft, vip.address, vip.port, channel, record);
  }

  #at(draft: TunnelDraft, address: number, port: number, channel: number, record: number): number {
    const { store } = this;
    store.entries.forwardKey(this.#key, draft, address, port, channel);
    const slot = store.table.find(this.#key, 0);
    if (slot < 0) return -1;
    const other = store.table.recordOf(slot);
    return other === record || store.state(other) === RECORD_STATE.closing ? -1 : other;
  }
}
