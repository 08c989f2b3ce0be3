/**
 * One turn's frames as columns: what the port delivers (offset, length, ingress, flags), what the stages find out, and
 * the verdict that goes back. Frames [0, received) came from the wire; frames from BATCH_CAPACITY on stand in scratch
 * memory: handed over by other shards, held and released, or made here (ARP replies). Nothing is allocated per packet.
 */
import { KEY_WORDS } from '../flow/layout.js';
import {
  BATCH_CAPACITY,
  COLUMN_LENGTH,
  type FrameColumns,
  type PacketPort,
  SCRATCH_SLOT_LENGTH,
  SCRATCH_SLOTS,
} from '../io/port.js';

/** What a frame turned out to be; the stages work through the kinds that are theirs. */
export const KIND_DONE = 0; // the verdict stands
export const KIND_HOST = 1; // not tunnel traffic (document 003, block 308: untouched)
export const KIND_LOCAL = 2; // ARP, ND, ICMP: perhaps a question to a VIP
export const KIND_DATA_IN = 3; // client → server
export const KIND_DATA_OUT = 4; // server → client
export const KIND_CONTROL_IN = 5;
export const KIND_CONTROL_OUT = 6;
export const KIND_UNBOUND_IN = 7; // control message without a channel in its header
export const KIND_UNBOUND_OUT = 8;
export const KIND_FRAGMENT = 9; // of tunnel traffic, perhaps: only the tunnel's owner can tell
export const KIND_MISSED_OUT = 11; // data of a server whose tunnel is not in the table of a NAT server
export const KIND_ICMP_ERROR = 10; // about a packet of a tunnel, perhaps

/** Words of a row of the key column: end to end, as `ConnectionTable.findMany` wants them. */
export const KEY_STRIDE = KEY_WORDS;

export class Batch {
  readonly frames: ArrayBuffer;
  readonly view: DataView;
  readonly bytes: Uint8Array;
  readonly columns: FrameColumns;
  readonly kind = new Uint8Array(COLUMN_LENGTH);
  /** Byte offsets in `frames`: IP header, L4 header, end of the IP payload. */
  readonly l3 = new Int32Array(COLUMN_LENGTH);
  readonly l4 = new Int32Array(COLUMN_LENGTH);
  readonly end = new Int32Array(COLUMN_LENGTH);
  readonly ipProtocol = new Uint8Array(COLUMN_LENGTH);
  /** Id of the tunnel descriptor that claimed the packet. */
  readonly protocol = new Uint8Array(COLUMN_LENGTH);
  /** VIP cell index (from clients) or address index of the server (from servers); −1 unknown. */
  readonly local = new Int32Array(COLUMN_LENGTH);
  /** Why the frame was dropped, for captures: index in ALL_DROP_REASONS + 1. Counts only where the verdict is a drop. */
  readonly dropped = new Uint8Array(COLUMN_LENGTH);
  /** Slots found for the keys of the received frames. */
  readonly slots = new Int32Array(COLUMN_LENGTH);
  /** Rows of KEY_STRIDE words: the key to look up, laid out as in ENTRY. */
  readonly keys = new Int32Array(COLUMN_LENGTH * KEY_STRIDE);
  /** Some received frame may have the key of a client that is not IPv4. */
  wide = true;
  /** Some frame may be on its last hop. */
  expiring = false;
  received = 0;
  /** Scratch frames in use. */
  scratch = 0;

  constructor(readonly port: PacketPort) {
    this.frames = port.frames;
    this.view = new DataView(port.frames);
    this.bytes = new Uint8Array(port.frames);
    this.columns = port.columns;
  }

  /** A scratch frame of the longest length, or −1 when all are in use. The caller sets length, ingress and verdict. */
  takeScratch(): number {
    if (this.scratch >= SCRATCH_SLOTS) return -1;
    const index = BATCH_CAPACITY + this.scratch;
    this.columns.offset[index] = this.port.scratchOffset + this.scratch * SCRATCH_SLOT_LENGTH;
    this.columns.flags[index] = 0;
    this.kind[index] = KIND_DONE;
    this.scratch++;
    return index;
  }

  /** Gives back the scratch frame taken last. */
  returnScratch(): void {
    this.scratch--;
  }
}
