/**
 * A ring of whole frames between two threads, one producer and one consumer: control messages on their way to the owner
 * of their tunnel, copies for a capture. Lives in its own SharedArrayBuffer, not in the table's memory.
 */

/** Bytes of a frame at most. */
export const RING_FRAME_LENGTH = 2048;
const SLOT_WORDS = RING_FRAME_LENGTH / 4 + 4; // length, ingress, flags, note; the frame follows
const TAIL = 0; // frames pushed; the producer writes it
const REFUSED = 1; // frames that found no room
const HEAD = 16; // frames popped; the consumer writes it, on a cache line of its own
const HEADER_WORDS = 32;

/** Words of the `meta` array that `pop` fills. */
export const RING_META = { length: 0, ingress: 1, flags: 2, note: 3 } as const;

export class FrameRing {
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;

  /** Bytes of the buffer for so many frames. */
  static byteLength(slots: number): number {
    return (HEADER_WORDS + slots * SLOT_WORDS) * 4;
  }

  /** Over `byteLength(slots)` bytes of the buffer, zeroed for a new ring. `byteOffset`: a multiple of 4. */
  constructor(
    buffer: SharedArrayBuffer,
    byteOffset: number,
    readonly slots: number,
  ) {
    const length = FrameRing.byteLength(slots);
    this.#words = new Int32Array(buffer, byteOffset, length / 4);
    this.#bytes = new Uint8Array(buffer, byteOffset, length);
  }

  /** Copies a frame in. False, and counted, when the ring is full or the frame longer than RING_FRAME_LENGTH. */
  push(source: Uint8Array, offset: number, length: number, ingress: number, flags: number, note = 0): boolean {
    const words = this.#words;
    const tail = words[TAIL];
    if (((tail - Atomics.load(words, HEAD)) | 0) >= this.slots || length > RING_FRAME_LENGTH) {
      Atomics.add(words, REFUSED, 1);
      return false;
    }
    const at = HEADER_WORDS + ((tail >>> 0) % this.slots) * SLOT_WORDS;
    words[at] = length;
    words[at + 1] = ingress;
    words[at + 2] = flags;
    words[at + 3] = note;
    copy(source, offset, this.#bytes, (at + 4) * 4, length);
    Atomics.store(words, TAIL, (tail + 1) | 0);
    return true;
  }

  /**
   * Copies the oldest frame to `destination[offset …]`, which has room for RING_FRAME_LENGTH, and its length, ingress,
   * flags and note to `meta` (RING_META). False when there is none.
   */
  pop(destination: Uint8Array, offset: number, meta: Int32Array): boolean {
    const words = this.#words;
    const head = words[HEAD];
    if (Atomics.load(words, TAIL) === head) return false;
    const at = HEADER_WORDS + ((head >>> 0) % this.slots) * SLOT_WORDS;
    meta[RING_META.length] = words[at];
    meta[RING_META.ingress] = words[at + 1];
    meta[RING_META.flags] = words[at + 2];
    meta[RING_META.note] = words[at + 3];
    copy(this.#bytes, (at + 4) * 4, destination, offset, words[at]);
    Atomics.store(words, HEAD, (head + 1) | 0);
    return true;
  }

  /** Frames that wait. */
  pending(): number {
    return (Atomics.load(this.#words, TAIL) - Atomics.load(this.#words, HEAD)) | 0;
  }

  /** Frames that `push` turned away since the ring was made (wraps at 2³²). */
  refused(): number {
    return Atomics.load(this.#words, REFUSED) >>> 0;
  }
}

/** A loop, because `subarray` would allocate a view for every frame; control messages are short. */
function copy(from: Uint8Array, fromOffset: number, to: Uint8Array, toOffset: number, length: number): void {
  for (let i = 0; i < length; i++) to[toOffset + i] = from[fromOffset + i];
}
