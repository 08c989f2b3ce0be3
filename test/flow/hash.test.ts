import { describe, expect, it } from 'vitest';
import {
  bucketOf,
  bucketScale,
  fingerprintOf,
  firstHash,
  fourthHash,
  hashAddress,
  hashRest,
  ownerSlot,
  secondHash,
  thirdHash,
} from '../../src/flow/hash.js';
import { FINGERPRINT_FIRST, KEY_WORDS, OWNER_SLOT_COUNT } from '../../src/flow/layout.js';
import { numbers, realisticKey } from './memory.js';

/** [first, second, fingerprint] */
function hashes(keys: Int32Array, base: number, seed: number): [number, number, number] {
  const x = hashAddress(keys, base, seed);
  const y = hashRest(keys, base, seed);
  const [first, second] = [firstHash(x, y), secondHash(x, y)];
  return [first, second, fingerprintOf(first, second)];
}

/** The C text of the comment in hash.ts, word for word, with u32 as BigInt. */
function twin(k: readonly number[], seedWord: number): { h1: number; h2: number; fingerprint: number } {
  const M = 0xffffffffn;
  const u = (x: bigint) => x & M;
  const [k0, k1, k2, k3, k4, k5, k6] = k.map((word) => BigInt(word >>> 0));
  const seed = BigInt(seedWord >>> 0);
  const [M1, M2, M3, M4] = [0x9e3779b1n, 0x85ebca6bn, 0xc2b2ae35n, 0x27d4eb2fn];
  let a = u((k0 ^ seed) * M1);
  a = u(u((a ^ (a >> 15n)) + k1) * M2);
  let b = u((k2 ^ seed) * M2);
  b = u(u((b ^ (b >> 15n)) + k3) * M3);
  let c = u((k4 ^ seed) * M3);
  c = u(u((c ^ (c >> 15n)) + k5) * M4);
  const d = u((k6 ^ seed) * M4);
  let x = u((a ^ (a >> 16n)) + b);
  let y = u((c ^ (c >> 16n)) + d);
  x = u((x ^ (x >> 15n)) * M1);
  y = u((y ^ (y >> 15n)) * M3);
  let h1 = u(u((x ^ (x >> 16n)) + y) * M2);
  let h2 = u(u((y ^ (y >> 16n)) + (x ^ (x >> 13n))) * M4);
  h1 ^= h1 >> 15n;
  h2 ^= h2 >> 16n;
  return { h1: Number(h1), h2: Number(h2), fingerprint: Number(u(h1 * M3 + h2) | 4n) };
}

describe('hash of a key', () => {
  it('is what its C text says, for any words', () => {
    const next = numbers(3);
    for (let i = 0; i < 2000; i++) {
      const key = Int32Array.from({ length: KEY_WORDS + 2 }, next);
      const seed = next();
      const actual = hashes(key, 2, seed);
      const expected = twin([...key.subarray(2)], seed);
      expect(actual.map((h) => h >>> 0)).toEqual([expected.h1, expected.h2, expected.fingerprint]);
      expect(actual[2] >>> 0).toBeGreaterThanOrEqual(FINGERPRINT_FIRST);
    }
  });

  it('keeps known values, which C++ and BPF are held against', () => {
    const key = Int32Array.of(0, 0, 0xffff, 0xc0800a05, (1701 << 16) | 1701, 42, (1 << 16) | (1 << 8) | 1);
    const [first, second, print] = hashes(key, 0, 0x12345678);
    expect(
      [first, second, print, thirdHash(first, second), fourthHash(first, second)].map((h) => h >>> 0),
    ).toMatchInlineSnapshot(`
      [
        2411212786,
        2480894937,
        1071373559,
        694752748,
        2941699824,
      ]
    `);
    expect(ownerSlot(0, 0, 0xffff, 0xc0800a05)).toMatchInlineSnapshot(`505`);
    expect(ownerSlot(0x20010db8, 0, 0, 0x80000001)).toMatchInlineSnapshot(`284`);
  });

  it('changes about half of the bits of both hashes with any one bit of the key', () => {
    const rounds = 200;
    const next = numbers(11);
    let worst = 0;
    const key = new Int32Array(KEY_WORDS);
    for (let bit = 0; bit < KEY_WORDS * 32; bit++) {
      const changed = new Float64Array(64);
      for (let round = 0; round < rounds; round++) {
        for (let w = 0; w < KEY_WORDS; w++) key[w] = next();
        const before = hashes(key, 0, 5);
        key[bit >>> 5] ^= 1 << (bit & 31);
        const after = hashes(key, 0, 5);
        const [x, y] = [before[0] ^ after[0], before[1] ^ after[1]];
        for (let i = 0; i < 32; i++) {
          changed[i] += (x >>> i) & 1;
          changed[32 + i] += (y >>> i) & 1;
        }
      }
      // How far the mean over all output bits is from one half.
      const share = changed.reduce((sum, n) => sum + n, 0) / (64 * rounds);
      worst = Math.max(worst, Math.abs(share - 0.5));
    }
    expect(worst).toBeLessThan(0.06);
  });

  it('spreads keys as traffic has them over buckets like random ones, by either hash', () => {
    const buckets = 4096;
    const keys = 40_960;
    const key = new Int32Array(KEY_WORDS);
    for (const seed of [0, 1, 0x5eed]) {
      const counts = [new Int32Array(buckets), new Int32Array(buckets)];
      for (let i = 0; i < keys; i++) {
        realisticKey(i, key, 0);
        const [first, second] = hashes(key, 0, seed);
        counts[0][bucketOf(first, bucketScale(buckets))]++;
        counts[1][bucketOf(second, bucketScale(buckets))]++;
      }
      for (const column of counts) {
        // χ² with 4095 degrees of freedom: mean 4095, standard deviation 90.
        const chi = column.reduce((sum, n) => sum + (n - 10) ** 2 / 10, 0);
        expect(Math.abs(chi - 4095)).toBeLessThan(6 * 90.5);
      }
    }
  });
});

describe('bucket of a hash', () => {
  it('is floor(hash · buckets / 2³²), exactly, up to 2²¹ buckets', () => {
    const next = numbers(17);
    for (const buckets of [4, 5, 625_000, 2 ** 21 - 1, 2 ** 21]) {
      for (const hash of [0, -1, 0x7fffffff, -0x80000000, ...Array.from({ length: 500 }, next)]) {
        expect(bucketOf(hash, bucketScale(buckets))).toBe(Number((BigInt(hash >>> 0) * BigInt(buckets)) >> 32n));
      }
      // The hashes at which the bucket changes.
      for (let bucket = 1; bucket < Math.min(buckets, 300); bucket++) {
        const edge = Number(((BigInt(bucket) << 32n) + BigInt(buckets) - 1n) / BigInt(buckets));
        expect([bucketOf(edge | 0, bucketScale(buckets)), bucketOf((edge - 1) | 0, bucketScale(buckets))]).toEqual([
          bucket,
          bucket - 1,
        ]);
      }
    }
  });
});

describe('owner slot', () => {
  it('spreads neighbouring clients over all slots', () => {
    const counts = new Int32Array(OWNER_SLOT_COUNT);
    for (let i = 0; i < OWNER_SLOT_COUNT * 16; i++) counts[ownerSlot(0, 0, 0xffff, 0x0a000000 + i)]++;
    expect(Math.max(...counts)).toBeLessThan(40);
    expect(counts.filter((n) => n === 0).length).toBeLessThan(10);
  });
});
