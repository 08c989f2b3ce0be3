/**
 * May a request make a new tunnel? Rates of each source and of all, a cap on half-open tunnels, and, while a flood of
 * requests comes, the proof that somebody waits for the answer: a client repeats its request, a flood of forged sources
 * does not (docs/decisions/0013). Retransmissions of a request that was let through never come here.
 */
import { HEADER, type TableMemory } from '../flow/layout.js';
import { RepeatFilter } from '../flow/repeat-filter.js';
import { SharedRate } from '../flow/shared-rate.js';
import { mix, SourceMemory } from '../flow/source-memory.js';
import { TokenBuckets } from '../flow/token-bucket.js';
import { DROP } from './drop-reasons.js';
import type { Plan } from './plan.js';
import { POLICY_WORD } from './policy-words.js';

/** After the last sign of a flood, sources still have to repeat their requests for so long. */
const HOLD_SECONDS = 5;
/** RFC 2661 §5.8: a client repeats after 1 s, then after 2, 4, 8 and 8 more. A copy sooner than the least is the network's. */
const REPEAT_LEAST_SECONDS = 0.4;
const REPEAT_MOST_SECONDS = 20;
/** First requests remembered by a shard, 4 bytes each: ten seconds of a flood of 100,000 a second. */
const FIRST_REQUESTS = 1 << 20;
/** Sources that had a tunnel, remembered by a shard. */
const KNOWN_SOURCES = 1 << 16;
/** A cap below this leaves no room to set half of it aside. */
const LEAST_CAP = 128;
/** Without a cap the table itself is the limit: from this share of it on, and never below so many tunnels. */
const TABLE_SHARE = 0.75;
const LEAST_TABLE = 1024;

export class Admission {
  #buckets: TokenBuckets | null = null;
  #halfOpenLimit = Number.POSITIVE_INFINITY;
  #busyFrom = Number.POSITIVE_INFINITY;
  #crowdedFrom = Number.POSITIVE_INFINITY;
  #total: SharedRate | null = null;
  /** Counts what comes, refused or not, against the same rate. */
  #offered: SharedRate | null = null;
  #repeat = true;
  #ipv4Mask = -1;
  #ipv6Masks: readonly [number, number, number, number] = [-1, -1, -1, -1];
  #first: RepeatFilter | null = null;
  #known: SourceMemory | null = null;
  readonly #source = new Int32Array(4);

  /** `words`: POLICY_WORD, of all shards. */
  constructor(
    readonly memory: TableMemory,
    readonly words: Int32Array,
  ) {}

  setPlan(plan: Plan): void {
    const { policy } = plan;
    this.#halfOpenLimit = plan.halfOpenLimit ?? Number.POSITIVE_INFINITY;
    const { recordCount } = this.memory.layout;
    this.#crowdedFrom = recordCount < LEAST_TABLE ? Number.POSITIVE_INFINITY : recordCount * TABLE_SHARE;
    this.#busyFrom = Math.min(
      this.#halfOpenLimit < LEAST_CAP ? Number.POSITIVE_INFINITY : this.#halfOpenLimit / 2,
      this.#crowdedFrom,
    );
    this.#repeat = policy.unknownSources === 'repeat';
    this.#ipv4Mask = maskOf(policy.prefixIpv4, 0);
    this.#ipv6Masks = [0, 1, 2, 3].map((word) => maskOf(policy.prefixIpv6, word)) as never;
    if (policy.totalPerSecond === null) {
      this.#total = null;
      this.#offered = null;
    } else if (policy.totalPerSecond !== this.#total?.rate || policy.totalBurst !== this.#total.burst) {
      this.#total = new SharedRate(this.words, POLICY_WORD.total, policy.totalPerSecond, policy.totalBurst);
      this.#offered = new SharedRate(this.words, POLICY_WORD.offered, policy.totalPerSecond, policy.totalBurst);
    }
    if (plan.requestsPerSecond === null) this.#buckets = null;
    else {
      const burst = plan.burst ?? Math.max(1, Math.ceil(plan.requestsPerSecond));
      if (plan.requestsPerSecond === this.#buckets?.rate && burst === this.#buckets.burst) return; // what was used stays
      this.#buckets = new TokenBuckets({ rate: plan.requestsPerSecond, burst });
    }
  }

  /**
   * −1, or the drop reason of a request that may not make a tunnel now whatever its source has used. Takes no token.
   * `port` and `channel` with the source tell a client's repetition from another request. `oneWay`: answers to it do not
   * pass here, so that its tunnel counts as half open nowhere; how full the table is says then whether proof is wanted.
   */
  refuses(
    a0: number,
    a1: number,
    a2: number,
    a3: number,
    port: number,
    channel: number,
    now: number,
    oneWay = false,
  ): number {
    const { header } = this.memory;
    const halfOpen = Atomics.load(header, HEADER.halfOpen);
    if (!this.#repeat) return halfOpen >= this.#halfOpenLimit ? DROP['half-open-limit'] : -1;
    if (halfOpen >= this.#busyFrom || (this.#offered !== null && !this.#offered.take(now))) {
      const until = Math.ceil(now) + HOLD_SECONDS;
      if (this.words[POLICY_WORD.busyUntil] !== until) Atomics.store(this.words, POLICY_WORD.busyUntil, until);
    }
    const crowded = oneWay && Atomics.load(header, HEADER.recordsUsed) >= this.#crowdedFrom;
    if ((crowded || now < this.words[POLICY_WORD.busyUntil]) && !this.#isProven(a0, a1, a2, a3, port, channel, now))
      return DROP['request-unproven'];
    return halfOpen >= this.#halfOpenLimit ? DROP['half-open-limit'] : -1;
  }

  /** −1 admitted, else the drop reason. Takes a token of the source, then one of all. */
  take(a0: number, a1: number, a2: number, a3: number, now: number): number {
    if (this.#buckets !== null) {
      const source = this.sourceOf(a0, a1, a2, a3);
      if (!this.#buckets.take(source[0], source[1], source[2], source[3], now)) return DROP['request-rate'];
    }
    if (this.#total !== null && !this.#total.take(now)) return DROP['request-total-rate'];
    return -1;
  }

  /** A tunnel of this client stands: its source is none that is forged. */
  stands(a0: number, a1: number, a2: number, a3: number, now: number): void {
    this.#known ??= new SourceMemory(KNOWN_SOURCES, this.memory.header[HEADER.hashSeed]);
    const source = this.sourceOf(a0, a1, a2, a3);
    this.#known.note(source[0], source[1], source[2], source[3], now);
  }

  /** The prefix that counts as one source, 4 words; valid until the next call. */
  sourceOf(a0: number, a1: number, a2: number, a3: number): Int32Array {
    const source = this.#source;
    const ipv4 = a0 === 0 && a1 === 0 && a2 === 0xffff;
    const masks = this.#ipv6Masks;
    source[0] = ipv4 ? a0 : a0 & masks[0];
    source[1] = ipv4 ? a1 : a1 & masks[1];
    source[2] = ipv4 ? a2 : a2 & masks[2];
    source[3] = ipv4 ? a3 & this.#ipv4Mask : a3 & masks[3];
    return source;
  }

  #isProven(a0: number, a1: number, a2: number, a3: number, port: number, channel: number, now: number): boolean {
    const source = this.sourceOf(a0, a1, a2, a3);
    if (this.#known?.has(source[0], source[1], source[2], source[3]) === true) return true;
    const seed = this.memory.header[HEADER.hashSeed];
    const asker = (port << 16) ^ channel;
    const hash = mix(a0 ^ asker, a1, a2, a3, seed);
    const tag = mix(a0, a1 ^ asker, a2, a3, ~seed);
    this.#first ??= new RepeatFilter(FIRST_REQUESTS, REPEAT_LEAST_SECONDS, REPEAT_MOST_SECONDS);
    return this.#first.repeats(hash, tag, now);
  }
}

function maskOf(length: number, word: number): number {
  const bits = Math.min(32, Math.max(0, length - word * 32));
  return bits === 0 ? 0 : -1 << (32 - bits);
}
