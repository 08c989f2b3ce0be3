/**
 * The shard's end of a capture: copies of the frames of chosen tunnels, before and after the rewrite, and of those that
 * are dropped, each with a note of what was decided, into a ring that the main thread empties. Off, it costs one
 * comparison a turn.
 */
import type { FrameRing } from '../flow/ring.js';
import { RECORD } from '../flow/layout.js';
import { BATCH_CAPACITY, COLUMN_LENGTH, PORT_INSIDE, VERDICT_DROP, VERDICT_RAW } from '../io/port.js';
import { type Batch, KEY_STRIDE } from './batch.js';
import { NOT_SENT, packNote } from './capture-note.js';
import { clientPortOf } from '../flow/client-port.js';
import { COUNTER, DROP_BASE } from './counters.js';
import { DROP, DROP_REASONS } from './drop-reasons.js';
import type { CaptureFilter } from './plan.js';
import type { TunnelStore } from './tunnel-store.js';

export const CAPTURE_SLOTS = 1024;

/** What the rewriter may find, late. */
const REWRITER_REASONS = [
  DROP['entry-changed'],
  DROP['ttl-expired'],
  DROP['neighbour-unresolved'],
  DROP['rewrite-failed'],
] as const;

/** Dropped before its key was whole: the channel in the column may be another frame's. */
const KEYLESS: ReadonlySet<number> = new Set(
  DROP_REASONS.flatMap(([name], index) => (/^(truncated|ip-|udp-|fragment|icmp)/.test(name) ? [index] : [])),
);

const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;

export class CaptureTap {
  captures: readonly CaptureFilter[] = [];
  readonly #wanted: number[] = [];
  /** Which captures want frame i: one bit each. */
  readonly #masks = new Int32Array(COLUMN_LENGTH);
  /** Its tunnel's record, −1 dropped. */
  readonly #records = new Int32Array(COLUMN_LENGTH);
  readonly #counts = new Float64Array(REWRITER_REASONS.length);
  /** Source and destination of a frame. */
  readonly #ends = new Int32Array(8);

  constructor(
    readonly ring: FrameRing,
    readonly store: TunnelStore,
    readonly statistics: Float64Array,
  ) {}

  /** Copies both sides of every chosen frame. Leaves the frames rewritten, their verdict VERDICT_RAW. */
  run(batch: Batch): void {
    if (this.captures.length === 0) return;
    this.#wanted.length = 0;
    this.#choose(batch, 0, batch.received);
    this.#choose(batch, BATCH_CAPACITY, BATCH_CAPACITY + batch.scratch);
    const micros = Math.floor((batch.port.clock[0] * 1e6) % 4294967296) | 0;
    for (const i of this.#wanted) {
      const dropped = this.#records[i] < 0 ? batch.dropped[i] - 1 : -1;
      this.#push(batch, i, micros, batch.columns.ingress[i] === PORT_INSIDE, false, dropped);
    }
    for (let r = 0; r < REWRITER_REASONS.length; r++) this.#counts[r] = this.#counted(r);
    batch.port.rewrite(batch.received, batch.scratch);
    for (const i of this.#wanted) {
      if (this.#records[i] < 0) continue;
      const { egress, ingress, verdict } = batch.columns;
      if (verdict[i] === VERDICT_RAW) this.#push(batch, i, micros, egress[i] === PORT_INSIDE, true, -1);
      else this.#push(batch, i, micros, ingress[i] === PORT_INSIDE, false, this.#refusal());
    }
  }

  #choose(batch: Batch, from: number, to: number): void {
    for (let i = from; i < to; i++) {
      const slot = batch.columns.verdict[i];
      if (slot < 0 && slot !== VERDICT_DROP) continue;
      const record = slot < 0 ? -1 : this.store.table.recordOf(slot);
      let mask = 0;
      for (const capture of this.captures) {
        if (record < 0 ? this.#wantsDropped(capture, batch, i) : this.#wants(capture, batch, i, record)) {
          mask |= 1 << capture.slot;
        }
      }
      if (mask === 0) continue;
      this.#masks[i] = mask;
      this.#records[i] = record;
      this.#wanted.push(i);
    }
  }

  #wants(capture: CaptureFilter, batch: Batch, i: number, record: number): boolean {
    if (
      capture.clientTunnelId !== undefined &&
      this.store.word(record, RECORD.clientChannel) !== capture.clientTunnelId
    )
      return false;
    const { client } = capture;
    if (client === undefined) return true;
    if (!this.store.isClient(record, client[0] | 0, client[1] | 0, client[2] | 0, client[3] | 0)) return false;
    return (
      capture.clientPort === undefined ||
      clientPortOf(this.store.table, batch.columns.verdict[i]) === capture.clientPort
    );
  }

  /**
   * A dropped frame has no tunnel, and its key may never have been filled: it is the client's that it comes from or goes
   * to, and the tunnel's that its key names, when that key is its own.
   */
  #wantsDropped(capture: CaptureFilter, batch: Batch, i: number): boolean {
    const { client, clientTunnelId, clientPort } = capture;
    if (client === undefined && clientTunnelId === undefined) return true;
    const ports = this.#readEnds(batch, i);
    if (ports < -1) return false;
    const ends = this.#ends;
    const { keys } = batch;
    const row = i * KEY_STRIDE;
    let source = true;
    let destination = true;
    for (let w = 0; w < 4; w++) {
      const word = client === undefined ? keys[row + w] : client[w] | 0;
      source &&= ends[w] === word;
      destination &&= ends[4 + w] === word;
    }
    if (!source && !destination) return false;
    if (clientTunnelId !== undefined) {
      const reason = batch.dropped[i] - 1;
      if (KEYLESS.has(reason) || reason >= DROP_REASONS.length) return false;
      for (let w = 0; w < 4; w++) if (keys[row + w] !== ends[(source ? 0 : 4) + w]) return false;
      if (keys[row + 5] !== (clientTunnelId | 0)) return false;
    }
    if (clientPort === undefined || ports === -1) return true;
    return (source && ports >>> 16 === clientPort) || (destination && (ports & 0xffff) === clientPort);
  }

  /** Fills `#ends`. Returns source port << 16 | destination port (as an unsigned number), −1 none, −2 no IP packet. */
  #readEnds(batch: Batch, i: number): number {
    const { view } = batch;
    const at = batch.columns.offset[i] + 14;
    const length = batch.columns.length[i] - 14;
    if (length < 20) return -2;
    const type = view.getUint16(at - 2);
    let l4 = 0;
    let protocol = 0;
    if (type === ETHERTYPE_IPV4) {
      for (let end = 0; end < 2; end++) {
        this.#ends[end * 4] = 0;
        this.#ends[end * 4 + 1] = 0;
        this.#ends[end * 4 + 2] = 0xffff;
        this.#ends[end * 4 + 3] = view.getInt32(at + 12 + end * 4);
      }
      protocol = view.getUint8(at + 9);
      l4 = (view.getUint16(at + 6) & 0x1fff) === 0 ? (view.getUint8(at) & 15) * 4 : 0;
    } else if (type === ETHERTYPE_IPV6 && length >= 40) {
      for (let w = 0; w < 8; w++) this.#ends[w] = view.getInt32(at + 8 + w * 4);
      protocol = view.getUint8(at + 6);
      l4 = 40;
    } else return -2;
    const hasPorts = (protocol === 17 || protocol === 6) && l4 > 0 && length >= l4 + 4;
    return hasPorts ? view.getUint32(at + l4) : -1;
  }

  /** Why the rewriter dropped a frame of this batch: its counters say it when only one of them has moved. */
  #refusal(): number {
    let found = NOT_SENT;
    for (let r = 0; r < REWRITER_REASONS.length; r++) {
      if (this.#counted(r) === this.#counts[r]) continue;
      if (found !== NOT_SENT) return NOT_SENT;
      found = REWRITER_REASONS[r];
    }
    return found;
  }

  #counted(index: number): number {
    return this.statistics[DROP_BASE + REWRITER_REASONS[index]];
  }

  /** The ring's `ingress` word carries the mask, its `flags` word CLOCK_MONOTONIC microseconds modulo 2³². */
  #push(batch: Batch, i: number, micros: number, inside: boolean, rewritten: boolean, dropped: number): void {
    const { offset, length } = batch.columns;
    const record = this.#records[i];
    const server = record < 0 ? -1 : this.store.serverIndex(record);
    const vip = record < 0 ? -1 : this.store.vipIndex(record);
    const note = packNote(rewritten, inside, dropped, server, vip);
    if (!this.ring.push(batch.bytes, offset[i], length[i], this.#masks[i], micros, note))
      this.statistics[COUNTER.captureLost]++;
  }
}
