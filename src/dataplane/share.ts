/**
 * A shard's part in a table that several designators share. Tunnels that another member writes are *foreign*: packets are
 * forwarded by their entries as by any, but no message changes them here. A control message of one goes, whole, to the
 * member that writes the tunnel; what is our own and changes is marked, so that the main thread tells the others.
 */
import { IndexRing } from '../flow/index-ring.js';
import { ShareMap, STREAM_OURS } from '../flow/share-map.js';
import { FRAME_CHECKSUM_PARTIAL } from '../io/port.js';
import type { Batch } from './batch.js';
import type { ForeignFrame, MemberFrame } from './plan.js';

/** Shared memory of one shard's part; made by the main thread, which keeps it over a crash. */
export interface ShareMemory {
  readonly map: SharedArrayBuffer;
  /** Records that changed here, for the main thread; records that it has put in, for the shard to look at. */
  readonly marks: SharedArrayBuffer;
  readonly looks: SharedArrayBuffer;
}

/** Frames that wait for the main thread, and frames of other members that wait for the next turn. */
export const FOREIGN_FRAME_LIMIT = 256;
/** Bytes of an IP packet that fits into a message of the bus with what goes before it. */
export const FOREIGN_PACKET_LIMIT = 1350;

/** A bit of the `flags` column, of no port: another member of the cluster received the frame; it is not handed on again. */
const FRAME_FROM_MEMBER = 4;
const ETHERNET_LENGTH = 14;
/** No record: whoever has the tunnel. */
export const TO_ANYBODY = -1;
/** What belongs to no tunnel here is asked of the others no faster than this, by each shard: a flood stays here. */
const UNKNOWN_PER_SECOND = 500;

export class Share {
  readonly map: ShareMap;
  readonly looks: IndexRing;
  readonly #marks: IndexRing;
  /** For the main thread; taken and emptied by the shard. */
  outbox: ForeignFrame[] = [];
  #inbox: MemberFrame[] = [];
  #second = 0;
  #unknown = UNKNOWN_PER_SECOND;

  constructor(memory: ShareMemory, recordCount: number) {
    this.map = new ShareMap(memory.map, recordCount);
    this.#marks = new IndexRing(memory.marks);
    this.looks = new IndexRing(memory.looks);
  }

  setTime(seconds: number): void {
    const second = Math.floor(seconds);
    if (second === this.#second) return;
    this.#second = second;
    this.#unknown = UNKNOWN_PER_SECOND;
  }

  isForeign(record: number): boolean {
    return this.map.isForeign(record);
  }

  /** A record that was just made here is ours. */
  made(record: number): void {
    this.map.give(record, STREAM_OURS);
  }

  /** Something of this tunnel has changed. A ring that is full is told of by its reader's own look at everything. */
  changed(record: number): void {
    this.#marks.push(record);
  }

  /** The frame is for the writer of this record, or TO_ANYBODY. False: it stays where it is. */
  hand(batch: Batch, i: number, record: number): boolean {
    const { columns } = batch;
    const length = batch.end[i] - batch.l3[i];
    if (this.outbox.length >= FOREIGN_FRAME_LIMIT || length <= 0 || length > FOREIGN_PACKET_LIMIT) return false;
    if ((columns.flags[i] & FRAME_FROM_MEMBER) !== 0) return false;
    if (record < 0 && this.#unknown-- <= 0) return false;
    const at = columns.offset[i];
    this.outbox.push({
      stream: record < 0 ? TO_ANYBODY : this.map.streamOf(record),
      port: columns.ingress[i],
      flags: columns.flags[i] & FRAME_CHECKSUM_PARTIAL,
      source: batch.bytes.slice(at + 6, at + 12),
      packet: batch.bytes.slice(batch.l3[i], batch.end[i]),
    });
    return true;
  }

  /** Frames of other members' tunnels that are written here. False: too many wait, they are lost. */
  receive(frames: readonly MemberFrame[]): boolean {
    if (this.#inbox.length + frames.length > FOREIGN_FRAME_LIMIT) return false;
    this.#inbox.push(...frames);
    return true;
  }

  /** Moves what others sent into scratch frames of the batch. */
  drain(batch: Batch): void {
    let taken = 0;
    for (; taken < this.#inbox.length; taken++) {
      const slot = batch.takeScratch();
      if (slot < 0) break;
      const { port, flags, frame } = this.#inbox[taken];
      batch.bytes.set(frame, batch.columns.offset[slot]);
      batch.columns.length[slot] = frame.length;
      batch.columns.ingress[slot] = port;
      batch.columns.flags[slot] = flags | FRAME_FROM_MEMBER;
    }
    if (taken > 0) this.#inbox = this.#inbox.slice(taken);
  }

  get busy(): boolean {
    return this.#inbox.length > 0;
  }
}

/** The frame as it would have come by the wire: `mac` is the designator's own, 6 bytes. */
export function frameOf({ source, packet }: Pick<ForeignFrame, 'source' | 'packet'>, mac: Uint8Array): Uint8Array {
  const frame = new Uint8Array(ETHERNET_LENGTH + packet.length);
  frame.set(mac, 0);
  frame.set(source, 6);
  const isIpv6 = packet[0] >>> 4 === 6;
  frame[12] = isIpv6 ? 0x86 : 0x08;
  frame[13] = isIpv6 ? 0xdd : 0x00;
  frame.set(packet, ETHERNET_LENGTH);
  return frame;
}
