/**
 * Has this been asked before, a moment ago? A bounded memory of hashes with the time of their first sight: one word each,
 * direct mapped, the newer replaces the older. What was forgotten is seen for the first time again; a stranger passes for
 * known by one chance in a million for each word that is fresh.
 */

/** Bits of a word that hold time, in sixteenths of a second; the rest is the tag. */
const TIME_BITS = 12;
const TIME_MASK = (1 << TIME_BITS) - 1;
const PARTS = 16;

export class RepeatFilter {
  readonly #words: Int32Array;
  readonly #mask: number;
  readonly #least: number;
  readonly #most: number;

  /**
   * `capacity` hashes, rounded up to a power of two. A repetition counts from `leastSeconds` to `mostSeconds` after the
   * first sight; at most 200 s.
   */
  constructor(capacity: number, leastSeconds: number, mostSeconds: number) {
    let size = 1;
    while (size < capacity) size *= 2;
    this.#words = new Int32Array(size);
    this.#mask = size - 1;
    this.#least = Math.ceil(leastSeconds * PARTS);
    this.#most = Math.min(TIME_MASK - 1, Math.floor(mostSeconds * PARTS));
  }

  /** Notes the hash; true when it is a repetition in time. `hash`: 32 well mixed bits, `tag`: as many others. */
  repeats(hash: number, tag: number, nowSeconds: number): boolean {
    const slot = hash & this.#mask;
    // Time 0 is an empty word.
    const now = Math.floor(nowSeconds * PARTS) % TIME_MASK;
    const word = this.#words[slot];
    if (word !== 0 && ((word ^ tag) & ~TIME_MASK) === 0) {
      const age = (now - ((word & TIME_MASK) - 1) + TIME_MASK) % TIME_MASK;
      if (age <= this.#most) return age >= this.#least; // copies that come too early do not put it off
    }
    this.#words[slot] = (tag & ~TIME_MASK) | (now + 1);
    return false;
  }
}
