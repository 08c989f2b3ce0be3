/** Times, counted in buckets that widen by about a hundredth: any number of them in a fixed place. */

const LEAST = 1e-6;
const GROWTH = Math.log(1.01);
/** Up to about 100 s. */
const BUCKETS = 1856;

/** Milliseconds. */
export interface TimeFigures {
  readonly count: number;
  readonly median: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
}

export class Histogram {
  readonly #counts = new Uint32Array(BUCKETS);
  #max = 0;
  count = 0;

  /** Seconds. */
  add(seconds: number): void {
    const bucket = seconds <= LEAST ? 0 : Math.ceil(Math.log(seconds / LEAST) / GROWTH);
    this.#counts[Math.min(bucket, BUCKETS - 1)]++;
    this.count++;
    if (seconds > this.#max) this.#max = seconds;
  }

  /** Seconds below which this share of all lies; 0 without any. */
  quantile(share: number): number {
    let left = Math.ceil(this.count * share);
    for (let bucket = 0; bucket < BUCKETS && this.count > 0; bucket++) {
      left -= this.#counts[bucket];
      if (left <= 0) return Math.min(LEAST * Math.exp(bucket * GROWTH), this.#max);
    }
    return this.#max;
  }

  /** Null without any. */
  figures(): TimeFigures | null {
    if (this.count === 0) return null;
    const ms = (seconds: number): number => Number((seconds * 1000).toFixed(3));
    const [median, p95, p99] = [0.5, 0.95, 0.99].map((share) => ms(this.quantile(share)));
    return { count: this.count, median, p95, p99, max: ms(this.#max) };
  }
}
