/**
 * A ring of indices between two threads, one that writes and one that reads. What finds it full is not kept: the ring
 * remembers that, and its reader has to look at everything. Lives in a SharedArrayBuffer that outlives both threads.
 */

const TAIL = 0; // indices written; the writer's
const LOST = 1; // indices that found no room since it was asked last
const HEAD = 16; // indices read; the reader's, on a cache line of its own
const HEADER_WORDS = 32;

/** A burst of some 10,000 tunnels between two looks of the other thread. */
export const INDEX_RING_SLOTS = 16_384;

export class IndexRing {
  readonly #words: Int32Array;

  static byteLength(slots: number = INDEX_RING_SLOTS): number {
    return (HEADER_WORDS + slots) * 4;
  }

  /** Over the whole buffer, zeroed for a new ring. `slots`: a power of two. */
  constructor(
    buffer: SharedArrayBuffer,
    readonly slots: number = INDEX_RING_SLOTS,
  ) {
    this.#words = new Int32Array(buffer, 0, HEADER_WORDS + slots);
  }

  /** False, and remembered, when there is no room. */
  push(index: number): boolean {
    const words = this.#words;
    const tail = words[TAIL];
    if (((tail - Atomics.load(words, HEAD)) | 0) >= this.slots) {
      Atomics.add(words, LOST, 1);
      return false;
    }
    words[HEADER_WORDS + (tail & (this.slots - 1))] = index;
    Atomics.store(words, TAIL, (tail + 1) | 0);
    return true;
  }

  /** The oldest index, or −1. */
  pop(): number {
    const words = this.#words;
    const head = words[HEAD];
    if (Atomics.load(words, TAIL) === head) return -1;
    const index = words[HEADER_WORDS + (head & (this.slots - 1))];
    Atomics.store(words, HEAD, (head + 1) | 0);
    return index;
  }

  /** Indices that wait. */
  pending(): number {
    return (Atomics.load(this.#words, TAIL) - Atomics.load(this.#words, HEAD)) | 0;
  }

  /** How many found no room since this was asked last. */
  takeLost(): number {
    return Atomics.exchange(this.#words, LOST, 0);
  }
}
