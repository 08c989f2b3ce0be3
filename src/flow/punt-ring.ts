/** What a worker hands to the main thread: the consumer's side of one ring. `native/punt_ring.h` is the producer's. */
import {
  PUNT,
  PUNT_HEAD_LENGTH,
  PUNT_RECORD_LENGTH,
  PUNT_RING,
  PUNT_RING_LENGTH,
  PUNT_WRAP,
} from './session-layout.js';

export class PuntRing {
  readonly #head: Int32Array;
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  #position: number;

  /** Over one worker's ring, PUNT_STRIDE bytes from `byteOffset` on. */
  constructor(buffer: ArrayBufferLike, byteOffset: number) {
    this.#head = new Int32Array(buffer, byteOffset, PUNT_HEAD_LENGTH / 4);
    this.#words = new Int32Array(buffer, byteOffset + PUNT_HEAD_LENGTH, PUNT_RING_LENGTH / 4);
    this.#bytes = new Uint8Array(buffer, byteOffset + PUNT_HEAD_LENGTH, PUNT_RING_LENGTH);
    this.#position = this.#head[PUNT_RING.head];
  }

  /**
   * Calls `take` for every record that waits, at most `limit`: its kind, its slot (−1 none), socket word and peer (at
   * `words[at …]`), and a copy of its bytes. Returns how many there were.
   */
  drain(
    limit: number,
    take: (kind: number, slot: number, words: Int32Array, at: number, bytes: Uint8Array) => void,
  ): number {
    const tail = Atomics.load(this.#head, PUNT_RING.tail);
    let taken = 0;
    while (this.#position !== tail && taken < limit) {
      const offset = (this.#position >>> 0) & (PUNT_RING_LENGTH - 1);
      const at = offset >> 2;
      const length = this.#words[at + PUNT.length] >>> 0;
      if (length === PUNT_WRAP) {
        this.#position = (this.#position + PUNT_RING_LENGTH - offset) | 0;
        continue;
      }
      const start = offset + PUNT_RECORD_LENGTH;
      const kind = this.#words[at + PUNT.kind];
      take(kind >>> 24, (kind & 0xffffff) - 1, this.#words, at, this.#bytes.slice(start, start + length));
      this.#position = (this.#position + ((PUNT_RECORD_LENGTH + length + 7) & ~7)) | 0;
      taken++;
    }
    Atomics.store(this.#head, PUNT_RING.head, this.#position);
    return taken;
  }

  /** Whether records wait. */
  get pending(): boolean {
    return Atomics.load(this.#head, PUNT_RING.tail) !== this.#position;
  }
}
