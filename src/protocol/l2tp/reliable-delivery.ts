/**
 * Reliable delivery of control messages, RFC 2661 §5.8 and appendix A: sequence numbers, acknowledgement by whatever goes
 * the other way, retransmission with doubling waits, a window that begins small and grows. One end of one control
 * connection; no I/O, no clock: times are seconds that the caller gives and that never go backwards.
 *
 * Messages are whole (header and AVPs); tunnel id, Ns and Nr are written into them when they go out. After a loss
 * everything not acknowledged counts as lost and goes out again, window by window: most peers keep no message that comes
 * early. This end does keep them.
 */
import { CONTROL_HEADER_LENGTH, writeControlHeader } from '../../tunnels/l2tp/header.js';

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

export const RELIABLE_DEFAULTS: Required<ReliableOptions> = { firstWait: 1, longestWait: 8, tries: 6, queueLimit: 64 };

/** Numbers with which another process left off. */
export interface DeliveryState {
  readonly ns: number;
  readonly nr: number;
  /** Messages from `ns` on that were not acknowledged. */
  readonly pending: readonly Uint8Array[];
}

/** The window of a peer that names none (RFC 2661 §4.4.3). */
export const DEFAULT_WINDOW = 4;
/** How long an acknowledgement may wait for a message that carries it. */
const ACKNOWLEDGE_WITHIN = 0.05;
/** After adoption: how long a message that comes early waits for those before it. */
const SETTLE_WITHIN = 1;
/**
 * How long a message that came early is kept. Its sender repeats it until it is acknowledged, so nothing is lost with it;
 * but one of a process that has died since must not take the place of its successor's.
 */
const HELD_LIFE = 8;
const NS_AT = 8;

/** a is b or comes before it, modulo 65536, over a window of 32768. */
export function notAfter(a: number, b: number): boolean {
  return ((b - a) & 0xffff) < 0x8000;
}

/** Seconds from the first sending of a message until its sender gives up. */
export function fullCycle(options: ReliableOptions = {}): number {
  const { firstWait, longestWait, tries } = { ...RELIABLE_DEFAULTS, ...options };
  let sum = 0;
  for (let n = 0; n < tries; n++) sum += Math.min(firstWait * 2 ** n, longestWait);
  return sum;
}

/** Then many connections can share the object. */
function isComplete(options: ReliableOptions): options is Required<ReliableOptions> {
  const { firstWait, longestWait, tries, queueLimit } = options;
  return firstWait !== undefined && longestWait !== undefined && tries !== undefined && queueLimit !== undefined;
}

interface Outgoing {
  readonly bytes: Uint8Array;
  /** Another process numbered and sent it. */
  readonly inherited: boolean;
  tries: number;
}

interface Held {
  readonly bytes: Uint8Array;
  readonly since: number;
}

/** `new`: to be acted upon; `early`: to be given to `hold`. */
export type Received = 'new' | 'repeated' | 'early' | 'acknowledgement';

export class ReliableDelivery {
  /** Some message was sent as often as it may be and never acknowledged: the peer is gone. */
  failed = false;
  #ns = 0;
  #nr = 0;
  #acknowledgeAt = Number.POSITIVE_INFINITY;
  /** Messages of the peer since the last acknowledgement. */
  #unanswered = 0;
  #peerWindow = DEFAULT_WINDOW;
  #window = 1;
  #threshold = DEFAULT_WINDOW;
  #grown = 0;
  #waiting: Uint8Array[] = [];
  /** Numbered and not acknowledged; the first `#flying` of them have been sent since the last loss. */
  #sent: Outgoing[] = [];
  #flying = 0;
  #retryAt = Number.POSITIVE_INFINITY;
  /** The peer's messages that came before their turn, by Ns. */
  #held: Map<number, Held> | null = null;
  #heldSince = Number.POSITIVE_INFINITY;
  /** After adoption: where the peer really is, is not known yet. */
  #settlingNs = false;
  #settlingNr = false;
  /** Whatever the other process sent last may still lie before our messages, at the peer or on the way to it. */
  #adopted = false;
  readonly #ownWindow: number;
  readonly #o: Required<ReliableOptions>;

  /** `ownWindow`: the Receive Window Size that the peer is told. */
  constructor(options: ReliableOptions = {}, ownWindow = DEFAULT_WINDOW) {
    this.#o = isComplete(options) ? options : { ...RELIABLE_DEFAULTS, ...options };
    this.#ownWindow = ownWindow;
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

  /** Messages that are not acknowledged, sent or not. */
  get count(): number {
    return this.#waiting.length + this.#sent.length;
  }

  /** As many messages wait to be sent as may. */
  get full(): boolean {
    return this.#waiting.length >= this.#o.queueLimit;
  }

  /** How often the oldest message that is not acknowledged has been sent; 0: there is none. */
  get tries(): number {
    return this.#sent.length === 0 ? 0 : this.#sent[0].tries;
  }

  get peerWindow(): number {
    return this.#peerWindow;
  }

  /** Neither Ns nor Nr is in doubt. */
  get settled(): boolean {
    return !this.#settlingNs && !this.#settlingNr;
  }

  /** The peer's Receive Window Size. */
  setPeerWindow(size: number): void {
    this.#peerWindow = Math.max(1, size);
    this.#threshold = this.#peerWindow;
  }

  /**
   * Goes on where another process was, as far as its last news tell. Until a message of ours has been acknowledged only
   * one is sent at a time: the first should be one that the peer may take for a repetition without harm, a Hello.
   */
  resume(state: DeliveryState): void {
    this.#nr = state.nr;
    this.#ns = (state.ns + state.pending.length) & 0xffff;
    this.#sent = state.pending.map((bytes) => ({ bytes, inherited: true, tries: 0 }));
    this.#flying = 0;
    this.#retryAt = Number.POSITIVE_INFINITY;
    this.#settlingNs = true;
    this.#settlingNr = true;
    this.#adopted = true;
  }

  /** What `resume` takes. Messages that were never sent count as not acknowledged too. */
  state(): DeliveryState {
    const pending = [...this.#sent.map(({ bytes }) => bytes), ...this.#waiting];
    return { ns: (this.#ns - this.#sent.length) & 0xffff, nr: this.#nr, pending };
  }

  /** Queues a message; false when too many wait. `must`: it is taken all the same. */
  send(message: Uint8Array, must = false): boolean {
    if (this.full && !must) return false;
    this.#waiting.push(message);
    return true;
  }

  /** Forgets what waits and has no number yet. */
  discardWaiting(): void {
    this.#waiting = [];
  }

  /** Sends nothing more but acknowledgements. */
  silence(): void {
    this.#waiting = [];
    this.#sent = [];
    this.#flying = 0;
    this.#retryAt = Number.POSITIVE_INFINITY;
  }

  /** A message of the peer. Only what is 'new' may be acted upon; it is acknowledged in any case. */
  receive(ns: number, nr: number, hasBody: boolean, now: number): Received {
    this.#acknowledged(nr, now);
    if (!hasBody) return 'acknowledgement';
    const ahead = (ns - this.#nr) & 0xffff;
    if (ahead === 0 || (this.#settlingNr && ahead < 0x8000 && ahead >= this.#ownWindow)) {
      // So far ahead that what is between cannot come any more: the other process had it.
      if (ahead > 0) this.#dropHeld();
      this.#settlingNr = false;
      this.#nr = (ns + 1) & 0xffff;
      this.#answer(now);
      return 'new';
    }
    // One that was had before says that our acknowledgement was lost; one that comes early, that another is missing.
    this.#acknowledgeAt = now;
    if (ahead >= 0x8000) return 'repeated';
    if (this.#heldSince > now) this.#heldSince = now;
    return 'early';
  }

  /** Keeps a message that came early, as far as the window goes that the peer was told. False: not kept. */
  hold(ns: number, bytes: Uint8Array, now: number): boolean {
    if (((ns - this.#nr) & 0xffff) >= this.#ownWindow) return false;
    this.#held ??= new Map();
    this.#held.set(ns, { bytes: bytes.slice(), since: now });
    return true;
  }

  /** The held message whose turn has come, if there is one; it is 'new' now. */
  next(now: number): Uint8Array | undefined {
    const all = this.#held;
    if (all === null) return undefined;
    if (this.#settlingNr && now >= this.#heldSince + SETTLE_WITHIN) this.#skipTo(all.keys());
    const held = all.get(this.#nr);
    if (held === undefined) return undefined;
    all.delete(this.#nr);
    if (all.size === 0) this.#dropHeld();
    if (now - held.since > HELD_LIFE) return undefined;
    this.#settlingNr = false;
    this.#nr = (this.#nr + 1) & 0xffff;
    this.#answer(now);
    return held.bytes;
  }

  #skipTo(numbers: Iterable<number>): void {
    let least = 0xffff;
    for (const ns of numbers) least = Math.min(least, (ns - this.#nr) & 0xffff);
    this.#nr = (this.#nr + least) & 0xffff;
  }

  #dropHeld(): void {
    this.#held = null;
    this.#heldSince = Number.POSITIVE_INFINITY;
  }

  /** An acknowledgement is owed; at once when half the window has come, for the peer may wait for it. */
  #answer(now: number): void {
    this.#unanswered++;
    const at = this.#unanswered * 2 >= this.#ownWindow ? now : now + ACKNOWLEDGE_WITHIN;
    if (at < this.#acknowledgeAt) this.#acknowledgeAt = at;
  }

  #acknowledged(nr: number, now: number): void {
    const base = (this.#ns - this.#sent.length) & 0xffff;
    const count = (nr - base) & 0xffff;
    if (count > this.#sent.length) {
      // Nr of what was never sent, or of long ago, acknowledges nothing that could be known.
      const beyond = notAfter(this.#ns, nr);
      if (this.#settlingNs || (this.#adopted && beyond)) this.#moveTo(nr, beyond);
      return;
    }
    if (count === 0) return;
    this.#settlingNs = false;
    this.#sent.splice(0, count);
    this.#flying = Math.max(0, this.#flying - count);
    for (let n = 0; n < count; n++) this.#grow();
    // Progress: the next one begins anew.
    if (this.#sent.length > 0) this.#sent[0].tries = Math.min(this.#sent[0].tries, 1);
    this.#retryAt = this.#flying > 0 ? now + this.#o.firstWait : Number.POSITIVE_INFINITY;
  }

  /**
   * After adoption the peer expects `nr`. Beyond what we know: the other process had sent more than it told. What it left
   * has arrived; what we have sent meanwhile was either taken or taken for a repetition, and is not sent again, for a
   * message that comes twice under two numbers does more harm than one that never comes. (First of all that is a Hello.)
   * Before what we know: what is on its way is numbered anew.
   */
  #moveTo(nr: number, beyond: boolean): void {
    if (beyond) this.#sent = [];
    this.#ns = (nr + this.#sent.length) & 0xffff;
    this.#flying = 0;
    this.#retryAt = Number.POSITIVE_INFINITY;
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

  /** Adds what is to be sent now, in order: repetitions, new messages, or a bare acknowledgement. */
  output(now: number, tunnel: number, out: Uint8Array[]): void {
    const before = out.length;
    if (this.#retryAt <= now && !this.#lose()) return;
    const window = this.#settlingNs ? 1 : this.#window;
    while (this.#flying < window) {
      let next = this.#sent[this.#flying];
      if (next === undefined) {
        if (this.#waiting.length === 0) break;
        next = { bytes: this.#waiting.shift() as Uint8Array, inherited: false, tries: 0 };
        this.#sent.push(next);
        this.#ns = (this.#ns + 1) & 0xffff;
      }
      // The first time the bytes themselves go out; whoever sends them may still have them when they are repeated.
      const bytes = next.tries++ === 0 && !next.inherited ? next.bytes : next.bytes.slice();
      const ns = (this.#ns - this.#sent.length + this.#flying) & 0xffff;
      this.#stamp(bytes, tunnel, ns);
      if (this.#flying === 0) this.#retryAt = now + this.#wait(next.tries);
      this.#flying++;
      out.push(bytes);
    }
    if (out.length === before && this.#acknowledgeAt <= now) out.push(this.#zlb(tunnel));
    if (out.length > before) {
      this.#acknowledgeAt = Number.POSITIVE_INFINITY;
      this.#unanswered = 0;
    }
  }

  /** The oldest message was not acknowledged in time. False: it has been sent often enough. */
  #lose(): boolean {
    if (this.#sent[0].tries >= this.#o.tries) {
      this.failed = true;
      this.#retryAt = Number.POSITIVE_INFINITY;
      return false;
    }
    this.#threshold = Math.max(1, this.#window >> 1);
    this.#window = 1;
    this.#grown = 0;
    this.#flying = 0;
    return true;
  }

  #wait(tries: number): number {
    return Math.min(this.#o.firstWait * 2 ** (tries - 1), this.#o.longestWait);
  }

  #stamp(bytes: Uint8Array, tunnel: number, ns: number): void {
    const nr = this.#nr;
    bytes[4] = tunnel >> 8;
    bytes[5] = tunnel & 0xff;
    bytes[NS_AT] = ns >> 8;
    bytes[NS_AT + 1] = ns & 0xff;
    bytes[NS_AT + 2] = nr >> 8;
    bytes[NS_AT + 3] = nr & 0xff;
  }

  #zlb(tunnel: number): Uint8Array {
    const bytes = new Uint8Array(CONTROL_HEADER_LENGTH);
    writeControlHeader(new DataView(bytes.buffer), 0, bytes.length, tunnel, 0, this.#ns, this.#nr);
    return bytes;
  }

  /** When `output` will have something, if nothing is received or sent before; Infinity: never. */
  get nextTime(): number {
    if (this.failed) return Number.POSITIVE_INFINITY;
    const window = this.#settlingNs ? 1 : this.#window;
    const open = this.#flying < window && (this.#flying < this.#sent.length || this.#waiting.length > 0);
    if (open) return Number.NEGATIVE_INFINITY;
    const settle = this.#settlingNr ? this.#heldSince + SETTLE_WITHIN : Number.POSITIVE_INFINITY;
    return Math.min(this.#acknowledgeAt, this.#retryAt, settle);
  }
}
