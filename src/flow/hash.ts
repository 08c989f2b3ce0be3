/**
 * The hash functions of the connection table. Everything is 32-bit arithmetic with wrap-around, so the C++ twin and the
 * XDP program compute the same with `u32` (`Math.imul` is their `*`, `>>>` their `>>`, `+` wraps).
 */

import { FINGERPRINT_FIRST, OWNER_SLOT_COUNT } from './layout.js';

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

/** [0] second hash, [1] fingerprint of the key that `hashKey` saw last in this thread. */
export const HASHED = new Int32Array(2);
export const HASHED_SECOND = 0;
export const HASHED_FINGERPRINT = 1;

/**
 * Hashes the 7 key words `keys[base … base + 6]`: returns the first hash (picks bucket 1), leaves the second hash (picks
 * bucket 2) and the fingerprint in `HASHED`.
 *
 * Three lanes of two words and one of one word are independent of each other, so the processor works on them at the
 * same time; two joins then let every bit reach both results. In C, all u32:
 *
 *     a = (k0 ^ seed) * M1;  a = ((a ^ a >> 15) + k1) * M2;
 *     b = (k2 ^ seed) * M2;  b = ((b ^ b >> 15) + k3) * M3;
 *     c = (k4 ^ seed) * M3;  c = ((c ^ c >> 15) + k5) * M4;
 *     d = (k6 ^ seed) * M4;
 *     x = (a ^ a >> 16) + b;           y = (c ^ c >> 16) + d;
 *     x = (x ^ x >> 15) * M1;          y = (y ^ y >> 15) * M3;
 *     h1 = ((x ^ x >> 16) + y) * M2;   h2 = ((y ^ y >> 16) + (x ^ x >> 13)) * M4;
 *     h1 ^= h1 >> 15;                  h2 ^= h2 >> 16;
 *     fingerprint = (h1 * M3 + h2) | 4;
 *
 * M1 = 0x9e3779b1, M2 = 0x85ebca6b, M3 = 0xc2b2ae35, M4 = 0x27d4eb2f.
 */
export function hashKey(keys: Int32Array, base: number, seed: number): number {
  let a = Math.imul(keys[base] ^ seed, M1);
  let b = Math.imul(keys[base + 2] ^ seed, M2);
  let c = Math.imul(keys[base + 4] ^ seed, M3);
  const d = Math.imul(keys[base + 6] ^ seed, M4);
  a = Math.imul(((a ^ (a >>> 15)) + keys[base + 1]) | 0, M2);
  b = Math.imul(((b ^ (b >>> 15)) + keys[base + 3]) | 0, M3);
  c = Math.imul(((c ^ (c >>> 15)) + keys[base + 5]) | 0, M4);
  let x = ((a ^ (a >>> 16)) + b) | 0;
  let y = ((c ^ (c >>> 16)) + d) | 0;
  x = Math.imul(x ^ (x >>> 15), M1);
  y = Math.imul(y ^ (y >>> 15), M3);
  let first = Math.imul(((x ^ (x >>> 16)) + y) | 0, M2);
  let second = Math.imul(((y ^ (y >>> 16)) + (x ^ (x >>> 13))) | 0, M4);
  first ^= first >>> 15;
  second ^= second >>> 16;
  HASHED[HASHED_SECOND] = second;
  HASHED[HASHED_FINGERPRINT] = ((Math.imul(first, M3) + second) | 0) | FINGERPRINT_FIRST;
  return first;
}

/**
 * Third and fourth choice (then come the buckets after the fourth), only looked at while HEADER.overflowEntries > 0. In C: h3 = (h1 ^ h2 >> 7) * M1,
 * h3 ^ h3 >> 16; h4 = (h2 ^ h1 >> 9) * M3, h4 ^ h4 >> 16.
 */
export function thirdHash(first: number, second: number): number {
  const h = Math.imul(first ^ (second >>> 7), M1);
  return h ^ (h >>> 16);
}

export function fourthHash(first: number, second: number): number {
  const h = Math.imul(second ^ (first >>> 9), M3);
  return h ^ (h >>> 16);
}

/**
 * Bucket of a hash: floor(hash · bucketCount / 2³²), in C (u64)hash * bucketCount >> 32. Exact up to 2²¹ buckets
 * (3.3 million connections), the limit of a double's 53 bits.
 */
export function bucketOf(hash: number, bucketCount: number): number {
  return ((hash >>> 0) * (bucketCount / 4294967296)) >>> 0;
}
