/**
 * What `memory` and `pcap` have in common: a packet port without a network. Frames come from a source into memory of
 * our own, the addon's rewriter carries out the verdicts (so that these ports rewrite exactly as `packet` does), and
 * what leaves goes to a sink.
 *
 * VLAN tags are treated as the kernel treats them: taken off on receipt, put back (or told) on send.
 */
import { vlanInside, withoutTag } from '../wire/ethernet.js';
import {
  type NativeCounters,
  type NativePort,
  type NativeTable,
  native,
  type Rewriter,
  type RewriterOptions,
} from './native.js';
import {
  BATCH_CAPACITY,
  COLUMN_LENGTH,
  type FrameColumns,
  type PacketPort,
  PORT_NONE,
  SCRATCH_SLOT_LENGTH,
  SCRATCH_SLOTS,
  VERDICT_PASS,
  VERDICT_RAW,
} from './port.js';

/** Bytes for the received frames of one turn; a batch ends where the next frame does not fit. */
const FRAME_MEMORY = 1 << 20;
/** Longest frame that may come in. */
export const OFFLINE_FRAME_MAX = 262_144;

export interface OfflinePortOptions {
  readonly table: NativeTable;
  readonly counters: NativeCounters;
  /** Index = PORT_OUTSIDE, PORT_INSIDE. */
  readonly ports: readonly NativePort[];
  /** Makes the rewriter; the addon's own by default. */
  readonly createRewriter?: (options: RewriterOptions) => Rewriter;
}

/** A frame on its way in. */
export interface OfflineFrame {
  /** Without tag. */
  readonly frame: Uint8Array;
  readonly ingress: number;
  /** Of the tag that it had, 0 untagged. */
  readonly vlan: number;
  readonly flags: number;
  /** Unix time of the frame in its capture; 0 where there is none. */
  readonly seconds: number;
  readonly nanoseconds: number;
}

/** Takes the tag off: the bare frame and its VLAN, 0 where it had none or only a priority. */
export function splitTag(frame: Uint8Array): { readonly frame: Uint8Array; readonly vlan: number } {
  const vlan = vlanInside(new DataView(frame.buffer, frame.byteOffset, frame.byteLength), 0, frame.length);
  return vlan < 0 ? { frame, vlan: 0 } : { frame: withoutTag(frame), vlan };
}

export abstract class OfflinePort implements PacketPort {
  abstract readonly kind: 'memory' | 'pcap';
  abstract readonly description: string;
  readonly frames = new ArrayBuffer(FRAME_MEMORY + SCRATCH_SLOTS * SCRATCH_SLOT_LENGTH);
  readonly scratchOffset = FRAME_MEMORY;
  readonly clock = new Float64Array(1);
  readonly columns: FrameColumns = {
    offset: new Int32Array(COLUMN_LENGTH),
    length: new Int32Array(COLUMN_LENGTH),
    ingress: new Uint8Array(COLUMN_LENGTH),
    egress: new Uint8Array(COLUMN_LENGTH),
    flags: new Uint8Array(COLUMN_LENGTH),
    verdict: new Int32Array(COLUMN_LENGTH),
  };
  protected readonly ports: readonly NativePort[];
  readonly #bytes = new Uint8Array(this.frames);
  readonly #rewriter: Rewriter;
  readonly #statistics: Float64Array;
  readonly #counters: NativeCounters;
  /** Where the frames of the present batch came from, by column. */
  readonly #batch: OfflineFrame[] = [];
  #received = 0;
  #closed = false;

  constructor(options: OfflinePortOptions) {
    const { table, counters, ports } = options;
    this.ports = ports;
    this.#counters = counters;
    this.#statistics = counters.statistics;
    const create = options.createRewriter ?? ((given: RewriterOptions): Rewriter => new (native().Rewriter)(given));
    this.#rewriter = create({ frames: this.frames, columns: this.columns, table, counters, ports, clock: this.clock });
  }

  /** The next frame, which stays next until `advance`; null when there is none now. */
  protected abstract peek(): OfflineFrame | null;
  protected abstract advance(): void;
  /** There will never be another frame. */
  protected abstract get ended(): boolean;
  /** Before the first frame of a batch: sets the clock. False: this turn brings no frames. */
  protected abstract begin(first: OfflineFrame): boolean;
  /** May this frame join the batch that `first` began? */
  protected abstract joins(first: OfflineFrame, frame: OfflineFrame): boolean;
  /** `frame` is a view that the next turn overwrites, without tag; `origin` is null for a frame made here. */
  protected abstract deliver(port: number, frame: Uint8Array, origin: OfflineFrame | null): void;
  /** The same for a frame that is the host's. */
  protected abstract deliverToHost(ingress: number, frame: Uint8Array, origin: OfflineFrame | null): void;
  protected abstract closeSource(): void;

  turn(received: number, scratch: number, _waitMs: number): number {
    if (this.#closed) return -1;
    this.#rewriter.rewrite(received, scratch);
    this.#send(0, received);
    this.#send(BATCH_CAPACITY, BATCH_CAPACITY + scratch);
    this.#batch.length = 0;
    const count = this.#receive();
    return count === 0 && this.ended ? -1 : count;
  }

  rewrite(received: number, scratch: number): void {
    if (!this.#closed) this.#rewriter.rewrite(received, scratch);
  }

  statistics(): { received: number; lost: number } {
    return { received: this.#received, lost: 0 };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.closeSource();
  }

  #send(from: number, to: number): void {
    const { offset, length, verdict, egress, ingress } = this.columns;
    for (let i = from; i < to; i++) {
      if (verdict[i] !== VERDICT_RAW && verdict[i] !== VERDICT_PASS) continue;
      const frame = this.#bytes.subarray(offset[i], offset[i] + length[i]);
      const origin = i < BATCH_CAPACITY ? this.#batch[i] : null;
      if (verdict[i] === VERDICT_PASS) this.deliverToHost(ingress[i], frame, origin);
      else if (egress[i] >= this.ports.length) this.#statistics[this.#counters.sendFailed]++;
      else {
        this.#statistics[this.#counters.framesSent]++;
        this.#statistics[this.#counters.bytesSent] += frame.length;
        this.deliver(egress[i], frame, origin);
      }
    }
  }

  #receive(): number {
    const { offset, length, ingress, egress, flags } = this.columns;
    const first = this.peek();
    if (first === null || !this.begin(first)) return 0;
    let count = 0;
    let at = 0;
    for (let next: OfflineFrame | null = first; next !== null; next = this.peek()) {
      const frame = next.frame;
      if (count === BATCH_CAPACITY || at + frame.length > FRAME_MEMORY || !this.joins(first, next)) break;
      this.#bytes.set(frame, at);
      offset[count] = at;
      length[count] = frame.length;
      ingress[count] = next.ingress;
      egress[count] = PORT_NONE;
      flags[count] = next.flags;
      this.#batch[count] = next;
      at += frame.length;
      count++;
      this.advance();
    }
    this.#received += count;
    this.#statistics[this.#counters.framesReceived] += count;
    return count;
  }
}
