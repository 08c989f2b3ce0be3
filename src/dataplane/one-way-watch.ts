/**
 * Evidence about servers whose answers do not pass here (document 001, FIG. 4, and FIG. 2 on two machines). Their silence
 * says nothing, but their clients do: who has got its answer does not ask again. So a request that comes again speaks
 * against its server, and one that does not come again when it would have to speaks for it and takes one repetition
 * back. A healthy server's count returns to nothing whatever the loss, a dead one's only grows.
 *
 * Clients that refuse answers from another address repeat whatever the server does: they are no witnesses.
 */
import { CELL_WORDS, RECORD, RECORD_STATE, SERVER_CELL, SERVER_STATE, VIP_LIMIT } from '../flow/layout.js';
import { type ControlEvent, EVENT_REQUEST } from '../tunnels/descriptor.js';
import { COUNTER } from './counters.js';
import type { PlanVip } from './plan.js';
import type { TunnelStore } from './tunnel-store.js';

/** Requests that are watched at a time; more are not, and are counted. */
export const WATCHED_LIMIT = 16_384;
/** A request that has not come again by then had its answer: RFC 2661 §5.8 repeats first after a second. */
const QUIET_MS = 1600;
/**
 * … and by then, also with clients of more patience: what brings a server back that was down. Nothing but this does so
 * quickly, hence the longer time.
 */
const ANSWERED_MS = 5000;

/** Words of a watched request. */
const WORDS = 3;

export class OneWayWatch {
  readonly #cells: Int32Array;
  /** By VIP: its answers do not pass here. */
  readonly #vips = new Uint8Array(VIP_LIMIT);
  /** By record: when its request came first, milliseconds; 0 none is watched. And how often it has come again. */
  #askedAt: Int32Array | null = null;
  #repeats: Uint8Array | null = null;
  /** A ring: record, when, server. */
  readonly #ring = new Int32Array(WATCHED_LIMIT * WORDS);
  #in = 0;
  #quiet = 0;
  #answered = 0;
  #any = false;

  /** A client of whom it is known that it repeats its requests whatever its server does. */
  refuses: (record: number) => boolean = () => false;

  constructor(
    readonly store: TunnelStore,
    readonly statistics: Float64Array | null,
  ) {
    this.#cells = store.memory.servers;
  }

  setVips(vips: readonly PlanVip[]): void {
    this.#vips.fill(0);
    this.#any = false;
    for (const { index, oneWay } of vips) {
      if (oneWay !== true) continue;
      this.#vips[index] = 1;
      this.#any = true;
    }
    if (!this.#any || this.#askedAt !== null) return;
    const { recordCount } = this.store.memory.layout;
    this.#askedAt = new Int32Array(recordCount);
    this.#repeats = new Uint8Array(recordCount);
  }

  /** What the server says about this tunnel does not pass here. One on full NAT has a way back and is as any other. */
  covers(record: number): boolean {
    return (
      this.#any && this.#vips[this.store.vipIndex(record)] !== 0 && this.store.word(record, RECORD.entryReverse) === 0
    );
  }

  /** A client's message of such a tunnel. Returns whether it is evidence against the server. */
  heard(record: number, event: ControlEvent, isRepeated: boolean, nowMs: number): boolean {
    const { store } = this;
    if (event.kind !== EVENT_REQUEST || store.state(record) === RECORD_STATE.established) return false;
    const askedAt = this.#askedAt as Int32Array;
    const repeats = this.#repeats as Uint8Array;
    if (isRepeated && askedAt[record] !== 0) {
      if (repeats[record] < 255) repeats[record]++;
      return !this.refuses(record);
    }
    askedAt[record] = nowMs;
    repeats[record] = 0;
    if (this.refuses(record)) return false;
    if (this.#in - this.#answered >= WATCHED_LIMIT) {
      if (this.statistics !== null) this.statistics[COUNTER.requestsUnwatched]++;
      return false;
    }
    const at = (this.#in % WATCHED_LIMIT) * WORDS;
    this.#ring[at] = record;
    this.#ring[at + 1] = nowMs;
    this.#ring[at + 2] = store.serverIndex(record);
    this.#in++;
    return false;
  }

  /** Looks at the requests whose time has come. */
  step(nowMs: number): void {
    for (; this.#quiet < this.#in; this.#quiet++) {
      const at = (this.#quiet % WATCHED_LIMIT) * WORDS;
      if (((nowMs - this.#ring[at + 1]) | 0) < QUIET_MS) break;
      if (this.#isQuiet(at)) this.#forServer(this.#ring[at + 2]);
    }
    for (; this.#answered < this.#quiet; this.#answered++) {
      const at = (this.#answered % WATCHED_LIMIT) * WORDS;
      if (((nowMs - this.#ring[at + 1]) | 0) < ANSWERED_MS) break;
      if (this.#isQuiet(at)) this.#lives(this.#ring[at + 2], this.#ring[at + 1], nowMs);
    }
  }

  /** The same request is still there, and has not come again. */
  #isQuiet(at: number): boolean {
    const record = this.#ring[at];
    const askedAt = this.#askedAt as Int32Array;
    const repeats = this.#repeats as Uint8Array;
    return (
      askedAt[record] === this.#ring[at + 1] && repeats[record] === 0 && this.store.state(record) !== RECORD_STATE.free
    );
  }

  /** Takes a repetition back; with the last of them the case is closed. */
  #forServer(server: number): void {
    const cells = this.#cells;
    const at = server * CELL_WORDS;
    if (Atomics.load(cells, at + SERVER_CELL.waiting) === 0) return;
    if (Atomics.load(cells, at + SERVER_CELL.asks) > 0 && Atomics.sub(cells, at + SERVER_CELL.asks, 1) > 1) return;
    // ICMP errors are another kind of evidence: a request that was answered outweighs them as well.
    for (const word of [SERVER_CELL.asks, SERVER_CELL.repeats, SERVER_CELL.askers, SERVER_CELL.unreachable])
      cells[at + word] = 0;
    Atomics.store(cells, at + SERVER_CELL.waiting, 0);
  }

  /** A server that was asked after it was found to be down has answered. */
  #lives(server: number, askedMs: number, nowMs: number): void {
    const cells = this.#cells;
    const at = server * CELL_WORDS;
    if (cells[at + SERVER_CELL.state] !== SERVER_STATE.down) return;
    const downMs = Math.imul(cells[at + SERVER_CELL.since] + 1, 1000);
    if (((askedMs - downMs) | 0) < 0) return;
    cells[at + SERVER_CELL.heard] = nowMs;
  }
}
