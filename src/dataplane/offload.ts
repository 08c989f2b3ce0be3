/**
 * Which of a shard's own tunnels the XDP program forwards by itself: FLAG_OFFLOADED on the entries that data goes by.
 *
 * A tunnel is offloaded when all of this holds: its control connection is established; the firewall does not deny its
 * client; its server is up or in slow start (a suspect one's silence has to be seen here, and what drains or is down ends
 * soon); no capture wants it, since a capture copies what passes here; it is of a protocol that the program knows. The
 * end of its last session takes it out until another session stands: till then what comes in its name deserves a look.
 * The end of the tunnel, whoever announced it, another server state, another verdict of the firewall, a capture: each
 * takes it out at once, by one store a direction. Going in, it waits.
 *
 * Order (DESIGN §8): a frame that waits in a ring here would be overtaken by the next one, which the program forwards at
 * once. So a tunnel goes in only after a turn that emptied the ring and found none of its frames, and after QUIET_SECONDS
 * in which its counters did not move: then no other shard held one either, since a shard sends, and counts, at the
 * beginning of a turn what it received in the one before. The control connection is all that is waited for, and a session
 * takes three more messages, so a new tunnel nearly always goes in before its first data. One with so much traffic that it
 * is never quiet goes in after PATIENCE_SECONDS, when this shard holds none of its frames, and after DEADLINE_SECONDS come
 * what may: at most the frames of one filling of the rings are then overtaken, once.
 */
import {
  CELL_WORDS,
  FLAG_DENIED,
  FLAG_OFFLOADED,
  RECORD,
  RECORD_STATE,
  SERVER_CELL,
  SERVER_STATE,
} from '../flow/layout.js';
import { BATCH_CAPACITY } from '../io/port.js';
import type { TunnelDescriptor } from '../tunnels/descriptor.js';
import type { Batch } from './batch.js';
import { COUNTER } from './counters.js';
import { clientPortOf } from '../flow/client-port.js';
import type { CaptureFilter } from './plan.js';
import type { TunnelStore } from './tunnel-store.js';

/** Tunnels that wait to go in; those that find no place are found by the next review. */
export const OFFLOAD_WAITING_LIMIT = 4096;
export const QUIET_SECONDS = 0.002;
export const PATIENCE_SECONDS = 0.05;
export const DEADLINE_SECONDS = 0.5;
/** Waiting tunnels looked at in a turn. */
const LOOKS_PER_TURN = 256;

/** Bits of a record's byte. */
const WAITING = 1;
const SEEN = 2; // a frame of it is in the present batch
const PARKED = 4; // its last session has ended

export class Offload {
  captures: readonly CaptureFilter[] = [];
  /** Some tunnel found no place among those that wait: a review has to find it again. */
  missed = false;
  #count = 0;
  #cursor = 0;
  #now = 0;
  readonly #marks: Uint8Array;
  /** By protocol id: 1 = the program knows it. */
  readonly #offloadable = new Uint8Array(256);
  readonly #records = new Int32Array(OFFLOAD_WAITING_LIMIT);
  readonly #packets = new Float64Array(OFFLOAD_WAITING_LIMIT);
  readonly #since = new Float64Array(OFFLOAD_WAITING_LIMIT);
  readonly #asked = new Float64Array(OFFLOAD_WAITING_LIMIT);

  /** `enabled`: there is a program that may forward. */
  constructor(
    readonly store: TunnelStore,
    readonly enabled: boolean,
    descriptors: ReadonlyMap<string, TunnelDescriptor>,
    readonly statistics: Float64Array,
  ) {
    for (const { id, offloadable } of descriptors.values()) this.#offloadable[id] = offloadable === true ? 1 : 0;
    this.#marks = new Uint8Array(enabled ? store.memory.layout.recordCount : 0);
  }

  setTime(seconds: number): void {
    this.#now = seconds;
  }

  // ── events of a tunnel ────────────────────────────────────────────────────────────────────────────────────────────

  /** The control connection stands. */
  established(record: number): void {
    if (!this.enabled) return;
    this.#marks[record] &= ~PARKED;
    this.#ask(record);
  }

  /** A session stands, listed or not. */
  sessionConnected(record: number): void {
    if (!this.enabled || (this.#marks[record] & PARKED) === 0) return;
    this.#marks[record] &= ~PARKED;
    this.#ask(record);
  }

  /** A session has ended and is off the list. */
  sessionClosed(record: number): void {
    if (!this.enabled || this.store.pool.firstSession(record) >= 0) return;
    this.#marks[record] |= PARKED;
    this.withdraw(record);
  }

  /** Takes the tunnel out, from the next packet on. */
  withdraw(record: number): void {
    if (this.#has(record, WAITING)) this.#forget(record);
    const { table } = this.store;
    let withdrawn = 0;
    for (let w = RECORD.entryHalfOpen; w <= RECORD.entryAlias; w++) {
      const slot = this.store.word(record, w) - 1;
      if (slot < 0) continue;
      const flags = table.flagsOf(slot);
      if ((flags & FLAG_OFFLOADED) === 0) continue;
      table.changeFlags(slot, FLAG_OFFLOADED, 0);
      withdrawn = 1;
    }
    this.statistics[COUNTER.withdrawn] += withdrawn;
  }

  // ── questions of the review ───────────────────────────────────────────────────────────────────────────────────────

  /** Nothing but its entries could speak against the tunnel. Looks at the record only, so it is quick. */
  stands(record: number): boolean {
    const { store } = this;
    return (
      this.enabled &&
      store.state(record) === RECORD_STATE.established &&
      this.#offloadable[store.protocol(record)] === 1 &&
      !this.#has(record, PARKED) &&
      takesTunnels(store.memory.servers[store.serverIndex(record) * CELL_WORDS + SERVER_CELL.state])
    );
  }

  /** The rule, whole. */
  may(record: number): boolean {
    return this.stands(record) && this.#entriesAllow(record) && !this.#captured(record);
  }

  /** Lets the tunnel in, later, if it may. False when too many wait. */
  propose(record: number): boolean {
    if (this.#has(record, WAITING) || !this.may(record) || isOffloaded(this.store, record)) return true;
    return this.#enlist(record);
  }

  /** Nobody waits any more: after a change a review proposes those that still may. */
  forgetWaiting(): void {
    for (let i = 0; i < this.#count; i++) this.#marks[this.#records[i]] &= ~(WAITING | SEEN);
    this.#count = 0;
  }

  get waiting(): number {
    return this.#count;
  }

  // ── going in ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** At the end of a turn: the batch's verdicts stand, and what was received before has been sent. */
  settle(batch: Batch): void {
    if (this.#count === 0) return;
    this.#mark(batch, 0, batch.received, SEEN);
    this.#mark(batch, BATCH_CAPACITY, BATCH_CAPACITY + batch.scratch, SEEN);
    const drained = batch.received < BATCH_CAPACITY;
    for (let looks = Math.min(LOOKS_PER_TURN, this.#count); looks > 0 && this.#count > 0; looks--) {
      if (this.#cursor >= this.#count) this.#cursor = 0;
      const at = this.#cursor;
      const record = this.#records[at];
      if (!this.may(record)) this.#remove(at);
      else if (this.#isTime(at, record, drained)) {
        this.#remove(at);
        this.#install(record);
      } else this.#cursor++;
    }
    this.#mark(batch, 0, batch.received, 0);
    this.#mark(batch, BATCH_CAPACITY, BATCH_CAPACITY + batch.scratch, 0);
  }

  #isTime(at: number, record: number, drained: boolean): boolean {
    const here = this.#has(record, SEEN);
    const packets = this.#packetsOf(record);
    if (here || packets !== this.#packets[at]) {
      this.#packets[at] = packets;
      this.#since[at] = this.#now;
    }
    const waited = this.#now - this.#asked[at];
    if (waited >= DEADLINE_SECONDS) return true;
    return drained && !here && (this.#now - this.#since[at] >= QUIET_SECONDS || waited >= PATIENCE_SECONDS);
  }

  #install(record: number): void {
    const { table } = this.store;
    for (let w = RECORD.entryReverse; w <= RECORD.entryAlias; w++) {
      const slot = this.store.word(record, w) - 1;
      if (slot >= 0) table.changeFlags(slot, FLAG_OFFLOADED, FLAG_OFFLOADED);
    }
    this.statistics[COUNTER.offloaded]++;
  }

  /** Sets or clears SEEN on the waiting tunnels of frames [from, to). */
  #mark(batch: Batch, from: number, to: number, bit: number): void {
    const { verdict } = batch.columns;
    const marks = this.#marks;
    for (let i = from; i < to; i++) {
      if (verdict[i] < 0) continue;
      const record = this.store.table.recordOf(verdict[i]);
      if (bit === 0) marks[record] &= ~SEEN;
      else if ((marks[record] & WAITING) !== 0) marks[record] |= bit;
    }
  }

  // ── those that wait ───────────────────────────────────────────────────────────────────────────────────────────────

  #ask(record: number): void {
    if (this.propose(record)) return;
    this.missed = true;
    this.statistics[COUNTER.offloadDeferred]++;
  }

  #enlist(record: number): boolean {
    if (this.#count >= OFFLOAD_WAITING_LIMIT) return false;
    const at = this.#count++;
    this.#records[at] = record;
    this.#packets[at] = this.#packetsOf(record);
    this.#since[at] = this.#now;
    this.#asked[at] = this.#now;
    this.#marks[record] |= WAITING;
    return true;
  }

  #forget(record: number): void {
    for (let at = 0; at < this.#count; at++) if (this.#records[at] === record) return this.#remove(at);
  }

  /** The last one takes its place. */
  #remove(at: number): void {
    this.#marks[this.#records[at]] &= ~(WAITING | SEEN);
    const last = --this.#count;
    this.#records[at] = this.#records[last];
    this.#packets[at] = this.#packets[last];
    this.#since[at] = this.#since[last];
    this.#asked[at] = this.#asked[last];
  }

  // ── parts of the rule ─────────────────────────────────────────────────────────────────────────────────────────────

  #has(record: number, bit: number): boolean {
    return (this.#marks[record] & bit) !== 0;
  }

  /** The directions that it has are mapped, and none is denied. */
  #entriesAllow(record: number): boolean {
    const { store } = this;
    if (store.word(record, RECORD.entryForward) === 0) return false;
    if (store.word(record, RECORD.entryReverse) === 0 && !store.isOneWay(record)) return false;
    for (let w = RECORD.entryHalfOpen; w <= RECORD.entryAlias; w++) {
      const slot = store.word(record, w) - 1;
      if (slot >= 0 && (store.table.flagsOf(slot) & FLAG_DENIED) !== 0) return false;
    }
    return true;
  }

  #captured(record: number): boolean {
    for (let i = 0; i < this.captures.length; i++) if (wantsTunnel(this.captures[i], this.store, record)) return true;
    return false;
  }

  #packetsOf(record: number): number {
    let packets = 0;
    for (let w = RECORD.entryReverse; w <= RECORD.entryAlias; w++) {
      const slot = this.store.word(record, w) - 1;
      if (slot >= 0) packets += this.store.table.packets(slot);
    }
    return packets;
  }
}

function takesTunnels(state: number): boolean {
  return state === SERVER_STATE.up || state === SERVER_STATE.slowStart || state === SERVER_STATE.suspect;
}

/** Every entry that data goes by has the flag. */
function isOffloaded(store: TunnelStore, record: number): boolean {
  for (let w = RECORD.entryReverse; w <= RECORD.entryAlias; w++) {
    const slot = store.word(record, w) - 1;
    if (slot >= 0 && (store.table.flagsOf(slot) & FLAG_OFFLOADED) === 0) return false;
  }
  return true;
}

/** Would the capture copy frames of this tunnel? */
function wantsTunnel(capture: CaptureFilter, store: TunnelStore, record: number): boolean {
  if (capture.clientTunnelId !== undefined && store.word(record, RECORD.clientChannel) !== capture.clientTunnelId)
    return false;
  const { client } = capture;
  if (client === undefined) return true;
  const { table } = store;
  const slot = store.anyEntry(record);
  if (slot < 0) return false;
  for (let w = 0; w < 4; w++) if (table.keyWord(slot, w) !== (client[w] | 0)) return false;
  return capture.clientPort === undefined || clientPortOf(table, slot) === capture.clientPort;
}
