/**
 * A ring of events between a shard, which writes, and the main thread, which reads. Every event is EVENT_WORDS words
 * whose meaning both ends know. A ring that is full refuses and counts: watching never slows a shard down. Lives in its
 * own SharedArrayBuffer that outlives the shard's thread.
 */

export const EVENT_WORDS = 24;
/** A burst of 150,000 events a second fits between two looks of the main thread, 50 ms apart. */
export const EVENT_RING_SLOTS = 8192;

const TAIL = 0; // events written; the producer writes it
const REFUSED = 1; // events that found no room
const HEAD = 16; // events read; the consumer writes it, on a cache line of its own
const HEADER_WORDS = 32;

export class EventRing {
  readonly #words: Int32Array;

  /** Bytes of the buffer for so many events. */
  static byteLength(slots: number): number {
    return (HEADER_WORDS + slots * EVENT_WORDS) * 4;
  }

  /** Over the whole buffer, zeroed for a new ring. `slots`: a power of two. */
  constructor(
    buffer: SharedArrayBuffer,
    readonly slots: number = EVENT_RING_SLOTS,
  ) {
    this.#words = new Int32Array(buffer, 0, EventRing.byteLength(slots) / 4);
  }

  /** Where the next event's words go, in `words`; −1, and counted, when there is no room. `commit` makes it visible. */
  claim(): number {
    const words = this.#words;
    const tail = words[TAIL];
    if (((tail - Atomics.load(words, HEAD)) | 0) >= this.slots) {
      Atomics.add(words, REFUSED, 1);
      return -1;
    }
    return HEADER_WORDS + (tail & (this.slots - 1)) * EVENT_WORDS;
  }

  commit(): void {
    const words = this.#words;
    Atomics.store(words, TAIL, (words[TAIL] + 1) | 0);
  }

  get words(): Int32Array {
    return this.#words;
  }

  /** A copy of the oldest event, or null. */
  pop(): Int32Array | null {
    const words = this.#words;
    const head = words[HEAD];
    if (Atomics.load(words, TAIL) === head) return null;
    const at = HEADER_WORDS + (head & (this.slots - 1)) * EVENT_WORDS;
    const copy = words.slice(at, at + EVENT_WORDS);
    Atomics.store(words, HEAD, (head + 1) | 0);
    return copy;
  }

  /** Drops what waits, unread. */
  discard(): void {
    Atomics.store(this.#words, HEAD, Atomics.load(this.#words, TAIL));
  }

  /** Events that wait. */
  pending(): number {
    return (Atomics.load(this.#words, TAIL) - Atomics.load(this.#words, HEAD)) | 0;
  }

  /** Events that found no room since the ring was made (wraps at 2³²). */
  refused(): number {
    return Atomics.load(this.#words, REFUSED) >>> 0;
  }
}
