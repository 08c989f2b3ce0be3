/**
 * The packet port: what a shard sees of the network. Four adapters: `packet` (AF_PACKET rings), `memory`, `pcap`, and
 * `xdp` (next). A shard fills the verdict column for the frames of one turn; the next turn carries the verdicts out and
 * brings new frames. Everything is in typed-array columns that adapter and shard share for their whole life.
 */

/** The two sides of the appliance. With one arm both are the same device and VLAN, and every frame has `outside`. */
export const PORT_OUTSIDE = 0;
export const PORT_INSIDE = 1;
/** Egress alone: into this host itself, which has the server's address. */
export const PORT_HOST = 2;
/** A frame of neither side: another VLAN of the same device. */
export const PORT_NONE = 255;

/** Frames of a batch at most. */
export const BATCH_CAPACITY = 256;
/** Slots behind the received frames, for frames that the shard makes or is handed: same columns, `scratch` memory. */
export const SCRATCH_SLOTS = 256;
export const SCRATCH_SLOT_LENGTH = 2048;
/** Length of every column. */
export const COLUMN_LENGTH = BATCH_CAPACITY + SCRATCH_SLOTS;

/** ≥ 0: index of the connection-table entry to rewrite by, then send. */
export const VERDICT_DROP = -1; // already counted by reason
export const VERDICT_PASS = -2; // not ours: the host has it (packet), gets it (memory: `passed`)
export const VERDICT_HANDED = -3; // another shard has a copy
export const VERDICT_RAW = -4; // send as it stands, out of port `egress[i]`

/** Bits of the `flags` column. */
export const FRAME_CHECKSUM_PARTIAL = 1; // the sender left the L4 checksum to the hardware (TP_STATUS_CSUMNOTREADY)
export const FRAME_HANDED = 2; // came through the hand-over ring

export interface FrameColumns {
  /** Byte offset of the Ethernet header in `frames`. */
  readonly offset: Int32Array;
  /** Bytes of the frame, no VLAN tag in it (the tag is stripped on receipt, put back on send). */
  readonly length: Int32Array;
  /** PORT_OUTSIDE, PORT_INSIDE or PORT_NONE: where the frame arrived. */
  readonly ingress: Uint8Array;
  /** Where it leaves: set by the rewriter for entries, by the shard for VERDICT_RAW. */
  readonly egress: Uint8Array;
  readonly flags: Uint8Array;
  readonly verdict: Int32Array;
}

export interface PacketPort {
  readonly kind: 'packet' | 'memory' | 'pcap' | 'xdp';
  /** Short words for `show workers`: "packet", "memory" … */
  readonly description: string;
  /** Ring memory, then scratch memory. */
  readonly frames: ArrayBuffer;
  readonly columns: FrameColumns;
  /** Byte offset of scratch slot 0 in `frames`; slot i of the columns is BATCH_CAPACITY + i. */
  readonly scratchOffset: number;
  /** [0] CLOCK_MONOTONIC seconds as a float, renewed by every turn (virtual in `memory` and `pcap`). */
  readonly clock: Float64Array;
  /**
   * Sends frames [0, received) and [BATCH_CAPACITY, BATCH_CAPACITY + scratch) by their verdicts, releases them, and
   * receives the next ones into [0, n). Waits at most `waitMs` when there is nothing. Returns n, or −1 when the source
   * has ended (memory, pcap).
   */
  turn(received: number, scratch: number, waitMs: number): number;
  /** Rewrites only (frames then carry VERDICT_RAW), so that a capture can see both sides. `turn` then sends. */
  rewrite(received: number, scratch: number): void;
  /** Kernel's counts since open: frames seen and frames lost because the ring was full. */
  statistics(): { received: number; lost: number };
  close(): void;
}
