/**
 * Rate limit per source address: a bucket of `burst` tokens for each, refilled with `rate` tokens a second. The table of
 * sources is bounded: sets of 4, a source can stand only in its own set, and a new source replaces the one of its set
 * that asked longest ago. A replaced source starts with a full bucket when it comes back; so the limit holds for
 * `capacity` sources at a time, and `replaced` counts how often it was given up for a source with an unfilled bucket.
 */

const WAYS = 4;

export interface TokenBucketOptions {
  /** Tokens a second. */
  readonly rate: number;
  /** Tokens at most, ≥ 1. */
  readonly burst: number;
  /** Sources at a time, rounded up to a power of two; default 16384. */
  readonly capacity?: number;
}

export class TokenBuckets {
  /** Sources forgotten although their bucket was not full again. */
  replaced = 0;
  readonly rate: number;
  readonly burst: number;
  readonly #addresses: Int32Array;
  readonly #tokens: Float64Array;
  /** Seconds of the last request; −Infinity = nobody. */
  readonly #asked: Float64Array;
  readonly #mask: number;

  constructor(options: TokenBucketOptions) {
    this.rate = options.rate;
    this.burst = options.burst;
    let size = WAYS;
    while (size < (options.capacity ?? 16384)) size *= 2;
    this.#mask = size / WAYS - 1;
    this.#addresses = new Int32Array(size * 4);
    this.#tokens = new Float64Array(size);
    this.#asked = new Float64Array(size).fill(-Infinity);
  }

  /** Takes a token of the source if it has one. `nowSeconds` never goes backwards. */
  take(a0: number, a1: number, a2: number, a3: number, nowSeconds: number): boolean {
    const h = Math.imul(a0 ^ Math.imul(a1, 0x85ebca6b) ^ a2 ^ a3, 0x9e3779b1);
    const set = ((h ^ (h >>> 15)) & this.#mask) * WAYS;
    let slot = -1;
    let oldest = set;
    for (let way = set; way < set + WAYS; way++) {
      const at = way * 4;
      const w = this.#addresses;
      if (
        w[at + 3] === (a3 | 0) &&
        w[at + 2] === (a2 | 0) &&
        w[at + 1] === (a1 | 0) &&
        w[at] === (a0 | 0) &&
        this.#asked[way] !== -Infinity
      ) {
        slot = way;
        break;
      }
      if (this.#asked[way] < this.#asked[oldest]) oldest = way;
    }
    if (slot < 0) {
      slot = oldest;
      if (this.#refilled(slot, nowSeconds) < this.burst) this.replaced++;
      this.#addresses[slot * 4] = a0;
      this.#addresses[slot * 4 + 1] = a1;
      this.#addresses[slot * 4 + 2] = a2;
      this.#addresses[slot * 4 + 3] = a3;
      this.#tokens[slot] = this.burst;
    } else {
      this.#tokens[slot] = this.#refilled(slot, nowSeconds);
    }
    this.#asked[slot] = nowSeconds;
    if (this.#tokens[slot] < 1) return false;
    this.#tokens[slot] -= 1;
    return true;
  }

  #refilled(slot: number, nowSeconds: number): number {
    if (this.#asked[slot] === -Infinity) return this.burst;
    return Math.min(this.burst, this.#tokens[slot] + (nowSeconds - this.#asked[slot]) * this.rate);
  }
}
