/**
 * One rate limit that several threads share: a token bucket in a single word of shared memory, as the generic cell rate
 * algorithm keeps it (ITU-T I.371, annex A): the word is the time at which the bucket would be full again. Time counts in
 * parts of a token, so that any rate is kept exactly; a word wraps and is compared as sequence numbers are. After a pause of
 * half the range or more the bucket may be taken for one that is not full, once, and is full a moment later.
 */

/** Parts of a token. */
const TOKEN = 16;
const HALF_RANGE = 0x7fffffff;
/** A burst beyond this is a limit that nobody reaches. */
const BURST_LIMIT = Math.floor(HALF_RANGE / TOKEN / 2);
const RANGE = 2 ** 32;

export class SharedRate {
  readonly #words: Int32Array;
  readonly #index: number;
  readonly #partsPerSecond: number;
  readonly #full: number;

  /** `rate` tokens a second, at most `burst` at a time, in `words[index]`, which is 0 at the beginning. */
  constructor(
    words: Int32Array,
    index: number,
    readonly rate: number,
    readonly burst: number,
  ) {
    this.#words = words;
    this.#index = index;
    this.#partsPerSecond = rate * TOKEN;
    this.#full = Math.min(burst, BURST_LIMIT) * TOKEN;
  }

  /** Takes a token if there is one. `nowSeconds`: the same clock in every thread; a little back does no harm. */
  take(nowSeconds: number): boolean {
    const now = ((nowSeconds * this.#partsPerSecond) % RANGE) | 0;
    for (;;) {
      const before = Atomics.load(this.#words, this.#index);
      const ahead = (before - now) | 0;
      // Behind: full. Further ahead than an empty bucket is: a word of long ago or of another rate, full as well.
      const used = ahead <= 0 || ahead > this.#full ? 0 : ahead;
      if (used + TOKEN > this.#full) return false;
      const after = (now + used + TOKEN) | 0;
      if (Atomics.compareExchange(this.#words, this.#index, before, after) === before) return true;
    }
  }
}
