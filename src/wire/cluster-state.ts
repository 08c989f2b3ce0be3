/**
 * Frames of the replication of connection state: bodies of a cluster message with the subject `state`. A *stream* is the
 * state of one table, or of a part of it: named by `origin` (a member's number) and `shard`, written by one member at a
 * time, whose right to do so is its generation.
 *
 * ```
 *  0  kind      4  generation                  14  writer    16  the stream's clock at the writer,
 *  1  plane     8  position: sequence (48 bit) 15  count         seconds (double)
 *  2  origin       of the last change that the                24  items
 *  3  shard        sender of this frame has seen
 * ```
 *
 * changes: `position` is this frame's own; items are an index and a record, or index | FREED alone. repair: the same for
 * the change that the first 8 bytes of the items name, with what the records are by now. ranges: from, to, and all records
 * that are there in between. digests: level, first, and pairs of sums. counters, askMissing, askGroups, askRanges: below.
 * Network byte order.
 */
import { CLUSTER_BODY_LIMIT, readWord48, writeWord48 } from './cluster-bus.js';
import { PLANE_WORDS, type TunnelCounters } from './cluster-record.js';

export const STATE_KIND = {
  hello: 1,
  askFacts: 2,
  facts: 3,
  changes: 4,
  repair: 5,
  ranges: 6,
  digests: 7,
  counters: 8,
  askMissing: 9,
  askGroups: 10,
  askRanges: 11,
  fence: 12,
} as const;
const LAST_KIND = STATE_KIND.fence;

export const STATE_HEADER_LENGTH = 24;
export const FREED = 0x80000000;
export const INDEX_LIMIT = 0x7fffffff;
/** Plane of a repair that says: what this change was, nobody knows any more. */
export const PLANE_UNKNOWN = 255;
export const COUNTERS_LENGTH = 44;
const TWO32 = 2 ** 32;

/** Makes frames in a buffer of its own, which the next frame overwrites. */
export class StateFrameWriter {
  readonly bytes = new Uint8Array(CLUSTER_BODY_LIMIT);
  readonly view = new DataView(this.bytes.buffer);
  count = 0;
  at = STATE_HEADER_LENGTH;

  begin(kind: number, plane: number, origin: number, shard: number, generation: number, writer: number): void {
    const { view } = this;
    view.setUint8(0, kind);
    view.setUint8(1, plane);
    view.setUint8(2, origin);
    view.setUint8(3, shard);
    view.setUint32(4, generation);
    view.setUint8(14, writer);
    this.setPosition(0, 0);
    this.count = 0;
    this.at = STATE_HEADER_LENGTH;
  }

  setPosition(position: number, time: number): void {
    writeWord48(this.view, 8, position);
    this.view.setFloat64(16, time);
  }

  hasRoom(bytes: number): boolean {
    return this.at + bytes <= CLUSTER_BODY_LIMIT && this.count < 255;
  }

  word(value: number): void {
    this.view.setInt32(this.at, value);
    this.at += 4;
  }

  word48(value: number): void {
    this.view.setUint16(this.at, 0);
    writeWord48(this.view, this.at + 2, value);
    this.at += 8;
  }

  /** `words[from … from + length − 1]` under this index. */
  record(index: number, words: Int32Array, from: number, length: number): void {
    const { view } = this;
    let at = this.at;
    view.setInt32(at, index);
    for (let i = 0; i < length; i++) view.setInt32((at += 4), words[from + i]);
    this.at = at + 4;
    this.count++;
  }

  freed(index: number): void {
    this.word(index | FREED);
    this.count++;
  }

  counters(of: TunnelCounters): void {
    this.word(of.index);
    this.word(of.tag);
    this.word(of.lastSeen);
    this.#wide(of.packetsIn);
    this.#wide(of.packetsOut);
    this.#wide(of.bytesIn);
    this.#wide(of.bytesOut);
    this.count++;
  }

  text(text: Uint8Array): void {
    this.bytes.set(text, this.at);
    this.at += text.length;
  }

  /** The frame, valid until the next one is begun. */
  end(): Uint8Array {
    this.view.setUint8(15, this.count);
    return this.bytes.subarray(0, this.at);
  }

  #wide(value: number): void {
    this.view.setUint32(this.at, Math.floor(value / TWO32));
    this.view.setUint32(this.at + 4, value % TWO32);
    this.at += 8;
  }
}

/** Reads a frame without making anything of its items: one instance is set to one frame after the other. */
export class StateFrameReader {
  view: DataView = new DataView(new ArrayBuffer(STATE_HEADER_LENGTH));
  bytes: Uint8Array = new Uint8Array(STATE_HEADER_LENGTH);
  kind = 0;
  plane = 0;
  origin = 0;
  shard = 0;
  generation = 0;
  position = 0;
  writer = 0;
  count = 0;
  time = 0;

  /** False: it is none, or its items are not what its header says. Afterwards all of them may be read. */
  open(body: Uint8Array): boolean {
    if (body.length < STATE_HEADER_LENGTH || body.length > CLUSTER_BODY_LIMIT) return false;
    const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
    this.view = view;
    this.bytes = body;
    this.kind = view.getUint8(0);
    this.plane = view.getUint8(1);
    this.origin = view.getUint8(2);
    this.shard = view.getUint8(3);
    this.generation = view.getUint32(4);
    this.position = readWord48(view, 8);
    this.writer = view.getUint8(14);
    this.count = view.getUint8(15);
    this.time = view.getFloat64(16);
    if (this.kind === 0 || this.kind > LAST_KIND || !Number.isFinite(this.time)) return false;
    return this.#isWhole();
  }

  word(at: number): number {
    return this.view.getInt32(at);
  }

  word48(at: number): number {
    return readWord48(this.view, at + 2);
  }

  /** Fills `out` from the counters at byte `at`. */
  counters(at: number, out: TunnelCounters): void {
    out.index = this.word(at);
    out.tag = this.word(at + 4);
    out.lastSeen = this.word(at + 8);
    out.packetsIn = this.#wide(at + 12);
    out.packetsOut = this.#wide(at + 20);
    out.bytesIn = this.#wide(at + 28);
    out.bytesOut = this.#wide(at + 36);
  }

  #wide(at: number): number {
    return (this.view.getUint32(at) & 0x1fffff) * TWO32 + this.view.getUint32(at + 4);
  }

  #isWhole(): boolean {
    const length = this.bytes.length - STATE_HEADER_LENGTH;
    const { count } = this;
    switch (this.kind) {
      case STATE_KIND.hello:
        return count === 0 && length === 20;
      case STATE_KIND.askFacts:
      case STATE_KIND.fence:
        return count === 0 && length === 0;
      case STATE_KIND.facts:
        return length >= 4;
      case STATE_KIND.changes:
        return this.#recordsEnd(STATE_HEADER_LENGTH) === this.bytes.length;
      case STATE_KIND.repair:
        if (this.plane === PLANE_UNKNOWN) return count === 0 && length === 8;
        return this.#recordsEnd(STATE_HEADER_LENGTH + 8) === this.bytes.length;
      case STATE_KIND.ranges:
        return this.#recordsEnd(STATE_HEADER_LENGTH + 8) === this.bytes.length;
      case STATE_KIND.digests:
        return this.#hasPlane() && length === 8 + 8 * count;
      case STATE_KIND.counters:
        return length === COUNTERS_LENGTH * count;
      case STATE_KIND.askMissing:
        return length === 16 * count;
      default:
        return this.#hasPlane() && length === 4 * count;
    }
  }

  #hasPlane(): boolean {
    return this.plane < PLANE_WORDS.length;
  }

  /** Where the records that start at `at` end, or −1 when they do not. */
  #recordsEnd(at: number): number {
    if (!this.#hasPlane()) return -1;
    const length = 4 + 4 * PLANE_WORDS[this.plane];
    const { view } = this;
    const end = this.bytes.length;
    for (let i = 0; i < this.count; i++) {
      if (at + 4 > end) return -1;
      at += view.getInt32(at) < 0 ? 4 : length;
      if (at > end) return -1;
    }
    return at;
  }
}
