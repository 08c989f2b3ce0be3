/**
 * The packet port of tests: frames are put in by `inject`, what leaves lies in `sent` and `passed`, and the clock stands
 * still until `setTime`. Frames are copied on the way in and out. What is queued and kept is the caller's to limit.
 */
import { OFFLINE_FRAME_MAX, type OfflineFrame, OfflinePort, splitTag } from './offline-port.js';
import { PORT_NONE, PORT_OUTSIDE } from './port.js';

export interface InjectOptions {
  /** VLAN of the frame; default: the tag inside it, else that of the side where it arrives. */
  readonly vlan?: number;
  /** FRAME_… bits. */
  readonly flags?: number;
}

export interface SentFrame {
  readonly port: number;
  /** Without tag. */
  readonly frame: Uint8Array;
  /** The port's; 0 untagged. */
  readonly vlan: number;
}

export interface PassedFrame {
  readonly ingress: number;
  readonly frame: Uint8Array;
}

export class MemoryPort extends OfflinePort {
  readonly kind = 'memory';
  readonly description = 'memory';
  /** In the order of sending; empty it when it has been looked at. */
  readonly sent: SentFrame[] = [];
  /** What the host would get. */
  readonly passed: PassedFrame[] = [];
  #queue: OfflineFrame[] = [];
  #next = 0;
  #end = false;

  /** Puts a frame on the wire of one side. A tag inside it is taken off. Errors: RangeError over 256 KiB. */
  inject(frame: Uint8Array, ingress: number = PORT_OUTSIDE, options: InjectOptions = {}): void {
    if (frame.length > OFFLINE_FRAME_MAX)
      throw new RangeError(`a frame of ${frame.length} bytes; ${OFFLINE_FRAME_MAX} is the limit`);
    const inner = splitTag(frame);
    const own = this.ports[ingress]?.vlan ?? 0;
    const vlan = options.vlan ?? (inner.frame === frame ? own : inner.vlan);
    this.#queue.push({
      frame: new Uint8Array(inner.frame), // not `slice`, which copies nothing where the frame is a Buffer
      ingress: vlan === own ? ingress : PORT_NONE, // as the ring has it: another VLAN of the device is no side
      vlan,
      flags: options.flags ?? 0,
      seconds: 0,
      nanoseconds: 0,
    });
  }

  /** Sets the clock, in seconds. */
  setTime(seconds: number): void {
    this.clock[0] = seconds;
  }

  /** No more frames will come: once the queue is empty, `turn` returns −1. */
  end(): void {
    this.#end = true;
  }

  /** Frames injected and not yet received. */
  get waiting(): number {
    return this.#queue.length - this.#next;
  }

  protected peek(): OfflineFrame | null {
    return this.#next < this.#queue.length ? this.#queue[this.#next] : null;
  }

  protected advance(): void {
    this.#next++;
    if (this.#next < this.#queue.length) return;
    this.#queue = [];
    this.#next = 0;
  }

  protected get ended(): boolean {
    return this.#end && this.waiting === 0;
  }

  protected begin(): boolean {
    return true;
  }

  protected joins(): boolean {
    return true;
  }

  protected deliver(port: number, frame: Uint8Array): void {
    this.sent.push({ port, frame: frame.slice(), vlan: this.ports[port].vlan });
  }

  protected deliverToHost(ingress: number, frame: Uint8Array): void {
    this.passed.push({ ingress, frame: frame.slice() });
  }

  protected closeSource(): void {
    this.#queue = [];
    this.#next = 0;
    this.#end = true;
  }
}
