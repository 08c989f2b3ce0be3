/**
 * How often one source is answered. Each Ethernet source has a bucket of its own for each shared address, so that a flood
 * of one costs the others nothing; and whoever floods in the name of a host spends nothing but answers to that host about
 * that address, each of which answers the host's own question too. Sources that the group does not know as hosts share
 * one more bucket, so that forged sources, each with a full bucket, cannot take the time of the known ones.
 */
import { TokenBuckets } from '../../flow/token-bucket.js';
import type { Mac } from '../mac.js';

export interface SourceLimitOptions {
  /** Answers a second and at once, of one source about one address. */
  readonly rate: number;
  readonly burst: number;
  /** The same of all unknown sources together. */
  readonly strangers?: { readonly rate: number; readonly burst: number };
  /** Sources watched at a time. */
  readonly capacity?: number;
}

export const STRANGERS_DEFAULT = { rate: 10_000, burst: 20_000 };
/** Sources that are named as flooding at a time. */
const FLOODERS_LIMIT = 64;
/** A source that floods is named again after so many seconds. */
const FLOOD_NAMED_EVERY = 60;
const HIGH = 0x100000000;

export interface SourceLimitCounters {
  /** Questions not answered since their source asks too often. */
  perSource: number;
  /** Questions not answered since too many unknown sources ask. */
  strangers: number;
  /** Sources forgotten although they were being limited. */
  forgotten: number;
}

export class SourceLimits {
  #buckets: TokenBuckets;
  #strangers: TokenBuckets;
  readonly #flooders = new Map<Mac, number>();
  readonly #counters = { perSource: 0, strangers: 0 };
  #forgotten = 0;

  constructor(options: SourceLimitOptions) {
    this.#buckets = new TokenBuckets(options);
    this.#strangers = new TokenBuckets({ ...(options.strangers ?? STRANGERS_DEFAULT), capacity: 1 });
  }

  /** New limits from now on; every source starts with a full bucket. */
  configure(options: SourceLimitOptions): void {
    this.#forgotten += this.#buckets.replaced;
    this.#buckets = new TokenBuckets(options);
    this.#strangers = new TokenBuckets({ ...(options.strangers ?? STRANGERS_DEFAULT), capacity: 1 });
  }

  /**
   * May this question of `source` be answered? `known`: it is in the host table. `about`: which address it asks for.
   * `now` in seconds, never backwards.
   */
  admit(source: Mac, known: boolean, now: number, about = 0): boolean {
    if (!this.#buckets.take(0, about, Math.floor(source / HIGH), (source % HIGH) | 0, now)) {
      this.#counters.perSource++;
      return false;
    }
    if (known || this.#strangers.take(0, 0, 0, 0, now)) return true;
    this.#counters.strangers++;
    return false;
  }

  /** True when this source, which was just not admitted, is to be named as flooding: once a minute. */
  flooding(source: Mac, now: number): boolean {
    const named = this.#flooders.get(source);
    if (named !== undefined && now - named < FLOOD_NAMED_EVERY) return false;
    if (named === undefined && this.#flooders.size >= FLOODERS_LIMIT) {
      const [oldest, at] = this.#flooders.entries().next().value as [Mac, number];
      if (now - at < FLOOD_NAMED_EVERY) return false;
      this.#flooders.delete(oldest);
    }
    this.#flooders.delete(source);
    this.#flooders.set(source, now);
    return true;
  }

  counters(): SourceLimitCounters {
    return { ...this.#counters, forgotten: this.#forgotten + this.#buckets.replaced };
  }
}
