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

/*
 * The hash of a key of 7 words comes in two halves that know nothing of each other, `x` from the address and `y` from
 * the rest, and everything else is made of these two. Pure functions of numbers, because a result left in memory would
 * cost as much as the whole computation: the compiler keeps all of this in registers. Indices are cut to 32 bits (`| 0`)
 * so that it need not look for an overflow at each of them. In C, all u32:
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

/** x: half of the hash, from the client's address `keys[base … base + 3]`. */
export function hashAddress(keys: Int32Array, base: number, seed: number): number {
  const a = Math.imul(keys[base] ^ seed, M1);
  const b = Math.imul(keys[(base + 2) | 0] ^ seed, M2);
  const x = (joined(a, keys[(base + 1) | 0], M2) + Math.imul(((b ^ (b >>> 15)) + keys[(base + 3) | 0]) | 0, M3)) | 0;
  return Math.imul(x ^ (x >>> 15), M1);
}

/** y: the other half, from keyA, keyB and tag, `keys[base + 4 … base + 6]`. */
export function hashRest(keys: Int32Array, base: number, seed: number): number {
  const c = Math.imul(keys[(base + 4) | 0] ^ seed, M3);
  const y = (joined(c, keys[(base + 5) | 0], M4) + Math.imul(keys[(base + 6) | 0] ^ seed, M4)) | 0;
  return Math.imul(y ^ (y >>> 15), M3);
}

function joined(lane: number, word: number, factor: number): number {
  const h = Math.imul(((lane ^ (lane >>> 15)) + word) | 0, factor);
  return h ^ (h >>> 16);
}

/** First hash of a key: picks bucket 1. */
export function firstHash(x: number, y: number): number {
  const h = Math.imul(((x ^ (x >>> 16)) + y) | 0, M2);
  return h ^ (h >>> 15);
}

/** Second hash of a key: picks bucket 2. */
export function secondHash(x: number, y: number): number {
  const h = Math.imul(((y ^ (y >>> 16)) + (x ^ (x >>> 13))) | 0, M4);
  return h ^ (h >>> 16);
}

/** What stands in a slot's word for a key with these hashes: never one of the FINGERPRINT_ values below FINGERPRINT_FIRST. */
export function fingerprintOf(first: number, second: number): number {
  return (Math.imul(first, M3) + second) | 0 | FINGERPRINT_FIRST;
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
 * (3.3 million connections), the limit of a double's 53 bits. `scale`: `bucketScale(bucketCount)`.
 */
export function bucketOf(hash: number, scale: number): number {
  return ((hash >>> 0) * scale) | 0;
}

/** bucketCount / 2³², without a rounding. */
export function bucketScale(bucketCount: number): number {
  return bucketCount / 4294967296;
}
