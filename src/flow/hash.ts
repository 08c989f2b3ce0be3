/**
 * The hash functions of the connection table. Everything is 32-bit arithmetic with wrap-around, so the C++ twin and the
 * XDP program compute the same with `u32` (`Math.imul` is their `*`, `>>>` their `>>`, `+` wraps).
 */

import { CLIENT_LISTS, FINGERPRINT_FIRST, KEY_WORDS, LINE_BUCKETS, OWNER_SLOT_COUNT } from './layout.js';

// V8 reads imported constants anew at every use; those of this module are compiled in.
const LEAST = FINGERPRINT_FIRST;
const OTHERS = LINE_BUCKETS - 2;

const M1 = 0x9e3779b1 | 0;
const M2 = 0x85ebca6b | 0;
const M3 = 0xc2b2ae35 | 0;
const M4 = 0x27d4eb2f | 0;

/**
 * The ownership slot (0 … 1023) of a client address in 4 words. Simple enough for classic BPF, which has no rotation
 * and a multiplication of 32 bits only: the fan-out program computes the same from the packet.
 */
export function ownerSlot(a0: number, a1: number, a2: number, a3: number): number {
  let h = Math.imul(a0 ^ a1 ^ a2 ^ a3, M1);
  h ^= h >>> 16;
  return h & (OWNER_SLOT_COUNT - 1);
}

/** The list (0 … CLIENT_LISTS − 1) of a client address; its low bits are the address's ownership slot. */
export function clientList(a0: number, a1: number, a2: number, a3: number): number {
  let h = Math.imul(a0 ^ a1 ^ a2 ^ a3, M1);
  h ^= h >>> 16;
  return h & (CLIENT_LISTS - 1);
}

/*
 * The hash of a key of 7 words is the sum of their products with 7 odd multipliers that the table's secret seed gives,
 * stirred twice. A sum, because what does not change need not be computed again: words 0 … 2 of an IPv4 client are
 * always 0, 0 and 0xffff, so a loop over IPv4 keys begins with a constant and reads four words. Secret multipliers,
 * because keys that meet under known ones could be sent on purpose. The port, the upper half of word 4, is folded into
 * the lower: products keep the zeros at the end of a word, and of two such words few sums would be left. In C, all u32:
 *
 *     m[i] = (seed + i * M1 + M2) * M3;  m[i] = (m[i] ^ m[i] >> 15) * M4;  m[i] = m[i] ^ m[i] >> 16 | 1;
 *     sum = k[0] * m[0] + … + k[3] * m[3] + (k[4] ^ k[4] >> 16) * m[4] + k[5] * m[5] + k[6] * m[6];
 *     hash = (sum ^ sum >> 15) * M2;  hash = (hash ^ hash >> 15) * M3;
 *
 * The upper bits of the hash pick the first bucket, bits 9 … 11 the other one in the same cache line of fingerprints, the
 * lower eight the fingerprint; third = (hash ^ hash >> 16) * M1 and fourth = (third ^ third >> 15) * M2 further buckets.
 *
 * M1 = 0x9e3779b1, M2 = 0x85ebca6b, M3 = 0xc2b2ae35, M4 = 0x27d4eb2f.
 */

/** The multipliers that a table's seed gives, one for each word of a key. */
export function multipliersOf(seed: number): Int32Array {
  return Int32Array.from({ length: KEY_WORDS }, (_, i) => {
    let m = Math.imul((seed + Math.imul(i, M1) + M2) | 0, M3);
    m = Math.imul(m ^ (m >>> 15), M4);
    return (m ^ (m >>> 16)) | 1;
  });
}

/** Sum of products of the key `keys[base … base + 6]`. */
export function sumOf(keys: Int32Array, base: number, m: Int32Array): number {
  return (
    (Math.imul(keys[base], m[0]) +
      Math.imul(keys[(base + 1) | 0], m[1]) +
      Math.imul(keys[(base + 2) | 0], m[2]) +
      Math.imul(keys[(base + 3) | 0], m[3]) +
      Math.imul(folded(keys[(base + 4) | 0]), m[4]) +
      Math.imul(keys[(base + 5) | 0], m[5]) +
      Math.imul(keys[(base + 6) | 0], m[6])) |
    0
  );
}

/** Word 4 of a key as it enters the sum. */
export function folded(word: number): number {
  return word ^ (word >>> 16);
}

/** The hash of a key, from its sum of products. */
export function stirred(sum: number): number {
  const h = Math.imul(sum ^ (sum >>> 15), M2);
  return Math.imul(h ^ (h >>> 15), M3);
}

/** What stands in a slot's byte for a key with this hash: FINGERPRINT_FIRST … 255. */
export function fingerprintOf(hash: number): number {
  const low = hash & 0xff;
  return low + (((low - LEAST) >>> 29) & LEAST);
}

/** The key's second bucket, another one of the LINE_BUCKETS whose fingerprints share a cache line with the first's. */
export function otherBucket(bucket: number, hash: number): number {
  return bucket ^ (((hash >>> 8) & OTHERS) | 1);
}

/** Picks the third bucket. Third and fourth (then come those after the fourth) matter while HEADER.overflowEntries > 0. */
export function thirdHash(hash: number): number {
  return Math.imul(hash ^ (hash >>> 16), M1);
}

/** Picks the fourth bucket. */
export function fourthHash(third: number): number {
  return Math.imul(third ^ (third >>> 15), M2);
}

/**
 * Bucket of a hash: floor(hash · bucketCount / 2³²), in C (u64)hash * bucketCount >> 32. Exact up to 2²¹ buckets
 * (3.3 million connections), the limit of a double's 53 bits. `scale`: `bucketScale(bucketCount)`.
 */
export function bucketOf(hash: number, scale: number): number {
  return ((hash >>> 0) * scale) | 0;
}

/** bucketCount / 2³², without a rounding. */
export function bucketScale(bucketCount: number): number {
  return bucketCount / 4294967296;
}

/** Picks an address's first slot in the directory (masked by the caller). Not a hash against malice: the writer knows all. */
export function spreadAddress(a0: number, a1: number, a2: number, a3: number, seed: number): number {
  let h = Math.imul(a0 ^ a1 ^ a2 ^ a3 ^ seed, M1);
  h = Math.imul(h ^ (h >>> 15), M2);
  return (h ^ (h >>> 13)) >>> 0;
}
