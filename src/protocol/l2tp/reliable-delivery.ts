/**
 * Reliable delivery of control messages, RFC 2661 §5.8 and appendix A: sequence numbers, acknowledgement by whatever goes
 * the other way, retransmission with doubling waits, a window that begins small and grows. One end of one control
 * connection; no I/O, no clock: times are seconds that the caller gives and that never go backwards.
 */
import type { L2tpMessageInput } from '../../tunnels/l2tp/message.js';

export interface ReliableOptions {
  /** Seconds until the first repetition; doubled each time. Default 1. */
  readonly firstWait?: number;
  /** The longest wait. Default 8. */
  readonly longestWait?: number;
  /** How often a message is sent at most. Default 6: once and five repetitions. */
  readonly tries?: number;
  /** Messages that may wait to be sent; more is a mistake of the caller. Default 64. */
  readonly queueLimit?: number;
}

/** The window of a peer that names none (RFC 2661 §4.4.3). */
export const DEFAULT_WINDOW = 4;
/** How long an acknowledgement may wait for a message that carries it. */
const ACKNOWLEDGE_WITHIN = 0.05;

/** a is b or comes before it, modulo 65536, over a window of 32768. */
export function notAfter(a: number, b: number): boolean {
  return ((b - a) & 0xffff) < 0x8000;
}

interface Outgoing {
  readonly message: L2tpMessageInput;
  readonly ns: number;
  tries: number;
  at: number;
}

export type Received = 'new' | 'repeated' | 'early' | 'acknowledgement';

export class ReliableDelivery {
  /** Some message was sent as often as it may be and never acknowledged: the peer is gone. */
  failed = false;
  #ns = 0;
  #nr = 0;
  #acknowledgeAt = Number.POSITIVE_INFINITY;
  #peerWindow = DEFAULT_WINDOW;
  #window = 1;
  #threshold = DEFAULT_WINDOW;
  #grown = 0;
  readonly #waiting: L2tpMessageInput[] = [];
  #sent: Outgoing[] = [];
  readonly #o: Required<ReliableOptions>;

  constructor(options: ReliableOptions = {}) {
    this.#o = { firstWait: 1, longestWait: 8, tries: 6, queueLimit: 64, ...options };
  }

  /** Ns of the next new message, and Nr of all that go out. */
  get ns(): number {
    return this.#ns;
  }

  get nr(): number {
    return this.#nr;
  }

  /** Everything that was to be sent has been acknowledged. */
  get idle(): boolean {
    return this.#waiting.length === 0 && this.#sent.length === 0;
  }

  /** The peer's Receive Window Size. */
  setPeerWindow(size: number): void {
    this.#peerWindow = Math.max(1, size);
    this.#threshold = this.#peerWindow;
  }

  /** Queues a message; false when too many wait. */
  send(message: L2tpMessageInput): boolean {
    if (this.#waiting.length >= this.#o.queueLimit) return false;
    this.#waiting.push(message);
    return true;
  }

  /** A message of the peer. Only what is 'new' may be acted upon; it is acknowledged in any case. */
  receive(ns: number, nr: number, hasBody: boolean, now: number): Received {
    this.#acknowledged(nr);
    if (!hasBody) return 'acknowledgement';
    this.#acknowledgeAt = Math.min(this.#acknowledgeAt, now + ACKNOWLEDGE_WITHIN);
    if (ns === this.#nr) {
      this.#nr = (this.#nr + 1) & 0xffff;
      return 'new';
    }
    // One that was had before says that our acknowledgement was lost; one that comes early, that another is missing.
    this.#acknowledgeAt = now;
    return notAfter(ns, this.#nr) ? 'repeated' : 'early';
  }

  #acknowledged(nr: number): void {
    // Nr beyond what was sent acknowledges nothing that could be known.
    if (!notAfter(nr, this.#ns)) return;
    while (this.#sent.length > 0 && !notAfter(nr, this.#sent[0].ns)) {
      this.#sent.shift();
      this.#grow();
    }
  }

  /** Slow start up to the threshold, then one more for every window (appendix A). */
  #grow(): void {
    if (this.#window < this.#threshold) this.#window++;
    else if (++this.#grown >= this.#window) {
      this.#grown = 0;
      this.#window++;
    }
    this.#window = Math.min(this.#window, this.#peerWindow);
  }

  /** What is to be sent now, in order: repetitions, new messages, or a bare acknowledgement (without `type`). */
  output(now: number): L2tpMessageInput[] {
    const out: L2tpMessageInput[] = [];
    for (const sent of this.#sent) {
      if (sent.at > now) continue;
      if (sent.tries >= this.#o.tries) {
        this.failed = true;
        return [];
      }
      if (sent === this.#sent[0]) {
        this.#threshold = Math.max(1, this.#window >> 1);
        this.#window = 1;
        this.#grown = 0;
      }
      sent.at = now + Math.min(this.#o.firstWait * 2 ** sent.tries, this.#o.longestWait);
      sent.tries++;
      out.push({ ...sent.message, ns: sent.ns, nr: this.#nr });
    }
    while (this.#waiting.length > 0 && this.#sent.length < this.#window) {
      const message = this.#waiting.shift() as L2tpMessageInput;
      const ns = this.#ns;
      this.#ns = (this.#ns + 1) & 0xffff;
      this.#sent.push({ message, ns, tries: 1, at: now + this.#o.firstWait });
      out.push({ ...message, ns, nr: this.#nr });
    }
    if (out.length === 0 && this.#acknowledgeAt <= now) out.push({ ns: this.#ns, nr: this.#nr });
    if (out.length > 0) this.#acknowledgeAt = Number.POSITIVE_INFINITY;
    return out;
  }

  /** When `output` will have something, if nothing is received or sent before; Infinity: never. */
  get nextTime(): number {
    let next = this.#acknowledgeAt;
    for (const { at } of this.#sent) next = Math.min(next, at);
    return this.#waiting.length > 0 && this.#sent.length < this.#window ? Number.NEGATIVE_INFINITY : next;
  }
}
