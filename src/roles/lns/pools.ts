/**
 * Address pools: IPv4 addresses and IPv6 prefixes for subscribers. What was given back longest ago is given next, so that
 * late packets for a subscriber do not reach another one. O(1) for each lease, a few bytes for each address.
 */
import type { AddressWords, Prefix } from '../../config/compiled.js';
import { POOL_SIZE_MAX } from '../../config/lns-check.js';
import type { LnsPool } from '../../config/lns.js';
import type { AddressRange } from '../../config/values.js';

/** What a subscriber has. It goes back by `Pools.release`. */
export interface Lease {
  readonly pool: Pool | null;
  readonly index: number;
  readonly words: AddressWords;
  /** Over the mapped 128 bits: 128 for an address. */
  readonly length: number;
}

interface Part {
  readonly start: number;
  readonly count: number;
  readonly first: AddressWords;
}

const TWO_32 = 2 ** 32;
const SHORT_PREFIX = 30 + 96;

export class Pool {
  readonly size: number;
  used = 0;
  exhausted = 0;
  readonly #parts: Part[] = [];
  readonly #taken: Uint8Array;
  /** 1: the index stands in the ring, taken or not. */
  readonly #queued: Uint8Array;
  readonly #ring: Int32Array;
  #head = 0;
  #waiting: number;

  constructor(
    readonly name: string,
    readonly family: 4 | 6,
    /** As configured. */
    readonly text: string,
    ranges: readonly { first: AddressWords; count: number }[],
    /** Of what is given: 128 or the prefix's. */
    readonly length: number,
  ) {
    let start = 0;
    for (const { first, count } of ranges) {
      this.#parts.push({ start, count, first });
      start += count;
    }
    this.size = start;
    this.#taken = new Uint8Array(start);
    this.#queued = new Uint8Array(start).fill(1);
    this.#ring = Int32Array.from({ length: start }, (_, index) => index);
    this.#waiting = start;
  }

  /** The address that was free longest, or −1. */
  allocate(): number {
    while (this.#waiting > 0) {
      const index = this.#ring[this.#head];
      this.#head = (this.#head + 1) % this.size;
      this.#waiting--;
      this.#queued[index] = 0;
      if (this.#taken[index] === 1) continue; // by name, while it waited here
      this.#taken[index] = 1;
      this.used++;
      return index;
    }
    this.exhausted++;
    return -1;
  }

  /** A particular one; false when somebody has it. */
  take(index: number): boolean {
    if (this.#taken[index] !== 0) return false;
    this.#taken[index] = 1;
    this.used++;
    return true;
  }

  release(index: number): void {
    if (this.#taken[index] !== 1) return;
    this.#taken[index] = 0;
    this.used--;
    if (this.#queued[index] === 1) return;
    this.#queued[index] = 1;
    this.#ring[(this.#head + this.#waiting) % this.size] = index;
    this.#waiting++;
  }

  /** Place of an address or prefix, −1: not of this pool. */
  indexOf(words: AddressWords): number {
    for (const { start, count, first } of this.#parts) {
      const distance = this.#distance(first, words);
      if (distance >= 0 && distance < count) return start + distance;
    }
    return -1;
  }

  wordsOf(index: number): AddressWords {
    const part = this.#parts.find(({ start, count }) => index >= start && index < start + count) as Part;
    const step = index - part.start;
    const [a, b, c, d] = part.first;
    if (this.family === 4) return [a, b, c, d + step];
    // Prefixes of 32 to 64 bits: the step is counted in the upper two words.
    const sum = b + (step % 2 ** (this.length - 32)) * 2 ** (64 - this.length);
    const high = a + Math.floor(step / 2 ** (this.length - 32)) + Math.floor(sum / TWO_32);
    return [high, sum % TWO_32, 0, 0];
  }

  #distance(first: AddressWords, words: AddressWords): number {
    if (this.family === 4) return words[2] === first[2] && words[0] === 0 && words[1] === 0 ? words[3] - first[3] : -1;
    const step = 2 ** (64 - this.length);
    if (words[2] !== 0 || words[3] !== 0 || words[1] % step !== 0) return -1;
    return (words[0] - first[0]) * 2 ** (this.length - 32) + (words[1] - first[1]) / step;
  }
}

/** Of a prefix, what can be given to a host: no network and no broadcast address. */
function hostsOf(range: AddressRange): { first: AddressWords; count: number } {
  const slash = range.text.indexOf('/');
  const count = range.last[3] - range.first[3] + 1;
  const bits = slash < 0 ? 128 : 96 + Number(range.text.slice(slash + 1));
  if (bits > SHORT_PREFIX) return { first: range.first, count };
  const [a, b, c, d] = range.first;
  return { first: [a, b, c, d + 1], count: count - 2 };
}

export class Pools {
  readonly all: readonly Pool[];
  /** Addresses of no pool that subscribers have, by `words`. */
  readonly #outside = new Set<string>();

  constructor(configured: readonly LnsPool[]) {
    this.all = configured.map(({ name, ipv4, ipv6, length }) =>
      ipv4.length > 0
        ? new Pool(name, 4, ipv4.map(({ text }) => text).join(', '), ipv4.map(hostsOf), 128)
        : new Pool(
            name,
            6,
            ipv6.map(({ text }) => text).join(', '),
            ipv6.map((prefix) => ({
              first: prefix.words,
              count: Math.min(POOL_SIZE_MAX, 2 ** (length - prefix.length)),
            })),
            length,
          ),
    );
  }

  find(family: 4 | 6, name: string | null): Pool | null {
    const found = this.all.find((pool) => pool.family === family && (name === null || pool.name === name));
    return found ?? null;
  }

  /** From a pool; null when nothing is free. */
  allocate(pool: Pool): Lease | null {
    const index = pool.allocate();
    return index < 0 ? null : { pool, index, words: pool.wordsOf(index), length: pool.length };
  }

  /** A particular address or prefix, of a pool or of none; null when somebody has it. */
  take(words: AddressWords, length = 128): Lease | null {
    for (const pool of this.all) {
      const index = pool.length === length ? pool.indexOf(words) : -1;
      if (index >= 0) return pool.take(index) ? { pool, index, words, length } : null;
    }
    const key = outsideKey(words, length);
    if (this.#outside.has(key)) return null;
    this.#outside.add(key);
    return { pool: null, index: -1, words, length };
  }

  takePrefix(prefix: Prefix): Lease | null {
    return this.take(prefix.words, prefix.length);
  }

  release(lease: Lease): void {
    if (lease.pool !== null) lease.pool.release(lease.index);
    else this.#outside.delete(outsideKey(lease.words, lease.length));
  }
}

function outsideKey(words: AddressWords, length: number): string {
  return `${words.join(',')}/${length}`;
}
