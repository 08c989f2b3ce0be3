/**
 * The packet port of `designator replay`: frames come from a capture, time is the capture's, and what is sent goes into
 * another capture.
 *
 * The clock begins at 1 s with the first frame and never goes back. A batch holds frames that could have come together:
 * of one side, within `batchSeconds`; a frame of the other side may answer one that has not been sent yet, so it begins
 * a new batch. Over a silence the clock goes in steps, so that timeouts run as they would have.
 *
 * VLAN tags are taken off, and what is sent gets the tag of its port; what passes to the host keeps its own.
 */
import { withTag } from '../wire/ethernet.js';
import { type OfflineFrame, OfflinePort, type OfflinePortOptions, splitTag } from './offline-port.js';
import { PcapReader, PcapWriter } from './pcap-file.js';

const CLOCK_START_SECONDS = 1;
/** A silence is passed in steps of a second, but in no more than this many: a capture may have odd time stamps. */
const SILENCE_STEPS = 3600;

export interface PcapPortOptions extends OfflinePortOptions {
  /** Capture to read: pcap, Ethernet. */
  readonly input: string;
  /** Capture to write what is sent to; an existing file is replaced. */
  readonly output: string;
  /** Capture to write what passes to the host to; default: none. */
  readonly passed?: string;
  /**
   * On which side did this frame arrive: PORT_OUTSIDE, PORT_INSIDE or PORT_NONE? The frame has no tag any more; `vlan`
   * is 0 where it had none. It may be cut anywhere, so `length` can be anything from 0 on.
   */
  readonly ingressOf: (view: DataView, offset: number, length: number, vlan: number) => number;
  /** Time that one batch may span; default 1 ms. */
  readonly batchSeconds?: number;
}

export class PcapPort extends OfflinePort {
  readonly kind = 'pcap';
  readonly description: string;
  readonly #reader: PcapReader;
  readonly #output: PcapWriter;
  readonly #passed: PcapWriter | null = null;
  readonly #ingressOf: PcapPortOptions['ingressOf'];
  readonly #batchSeconds: number;
  #next: OfflineFrame | null = null;
  #ended = false;
  /** What stopped the reader; thrown by the turn after the last whole frame. */
  #failure: unknown = null;
  #first: OfflineFrame | null = null;
  #last: OfflineFrame | null = null;
  #silenceStep = 0;

  /** Errors: TD_USAGE (no such file, no pcap, not Ethernet, output = input), TD_NO_PERMISSION, TD_UNAVAILABLE. */
  constructor(options: PcapPortOptions) {
    super(options);
    this.description = `pcap ${options.input}`;
    this.#ingressOf = options.ingressOf;
    this.#batchSeconds = options.batchSeconds ?? 0.001;
    this.clock[0] = CLOCK_START_SECONDS;
    this.#reader = new PcapReader(options.input);
    const opened: (PcapReader | PcapWriter)[] = [this.#reader];
    try {
      this.#output = new PcapWriter(options.output, opened);
      opened.push(this.#output);
      if (options.passed !== undefined) this.#passed = new PcapWriter(options.passed, opened);
    } catch (error) {
      for (const file of opened) file.close();
      throw error;
    }
  }

  protected peek(): OfflineFrame | null {
    if (this.#next === null && !this.#ended) this.#next = this.#read();
    return this.#next;
  }

  protected advance(): void {
    this.#last = this.#next;
    this.#next = null;
  }

  protected get ended(): boolean {
    if (this.#failure !== null) throw this.#failure;
    return this.#ended;
  }

  protected begin(first: OfflineFrame): boolean {
    const target = this.#timeOf(first);
    const silence = target - this.clock[0];
    if (this.#silenceStep === 0) this.#silenceStep = Math.max(1, silence / SILENCE_STEPS);
    if (silence > this.#silenceStep) {
      this.clock[0] += this.#silenceStep;
      return false;
    }
    this.#silenceStep = 0;
    this.clock[0] = Math.max(this.clock[0], target);
    return true;
  }

  protected joins(first: OfflineFrame, frame: OfflineFrame): boolean {
    return frame.ingress === first.ingress && Math.abs(this.#timeOf(frame) - this.#timeOf(first)) <= this.#batchSeconds;
  }

  protected deliver(port: number, frame: Uint8Array, origin: OfflineFrame | null): void {
    this.#write(this.#output, withTag(frame, this.ports[port].vlan), origin);
  }

  protected deliverToHost(_ingress: number, frame: Uint8Array, origin: OfflineFrame | null): void {
    if (this.#passed === null) return;
    const vlan = origin?.vlan ?? 0;
    this.#write(this.#passed, vlan > 0 ? withTag(frame, vlan) : frame, origin);
  }

  protected closeSource(): void {
    this.#ended = true;
    this.#reader.close();
    try {
      this.#output.close();
    } finally {
      this.#passed?.close();
    }
  }

  /** A frame made here bears the time of the last frame that came in. */
  #write(file: PcapWriter, frame: Uint8Array, origin: OfflineFrame | null): void {
    const time = origin ?? this.#last;
    file.write(time?.seconds ?? 0, time?.nanoseconds ?? 0, frame);
  }

  #read(): OfflineFrame | null {
    try {
      if (!this.#reader.next()) {
        this.#ended = true;
        return null;
      }
    } catch (error) {
      this.#ended = true;
      this.#failure = error;
      return null;
    }
    const { seconds, nanoseconds, offset, length } = this.#reader.record;
    const { frame, vlan } = splitTag(this.#reader.bytes.slice(offset, offset + length));
    const ingress = this.#ingressOf(new DataView(frame.buffer, frame.byteOffset, frame.length), 0, frame.length, vlan);
    const next = { frame, ingress, vlan, flags: 0, seconds, nanoseconds };
    this.#first ??= next;
    return next;
  }

  /** Clock of a frame; small numbers, so that a float keeps the nanoseconds. */
  #timeOf(frame: OfflineFrame): number {
    const first = this.#first as OfflineFrame;
    return CLOCK_START_SECONDS + (frame.seconds - first.seconds) + (frame.nanoseconds - first.nanoseconds) / 1e9;
  }
}
