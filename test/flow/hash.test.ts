import { describe, expect, it } from 'vitest';
import {
  bucketOf,
  bucketScale,
  fingerprintOf,
  fourthHash,
  multipliersOf,
  otherBucket,
  ownerSlot,
  stirred,
  sumOf,
  thirdHash,
} from '../../src/flow/hash.js';
import { FINGERPRINT_FIRST, KEY_WORDS, LINE_BUCKETS, OWNER_SLOT_COUNT } from '../../src/flow/layout.js';
import { numbers, realisticKey } from './memory.js';

const hashOf = (keys: Int32Array, base: number, multipliers: Int32Array): number =>
  stirred(sumOf(keys, base, multipliers));

/** The C text of the comment in hash.ts, word for word, with u32 as BigInt. */
function twin(words: readonly number[], seedWord: number): number[] {
  const u = (x: bigint) => x & 0xffffffffn;
  const k = words.map((word) => BigInt(word >>> 0));
  const seed = BigInt(seedWord >>> 0);
  const [M1, M2, M3, M4] = [0x9e3779b1n, 0x85ebca6bn, 0xc2b2ae35n, 0x27d4eb2fn];
  const m = k.map((_, i) => {
    let x = u((seed + BigInt(i) * M1 + M2) * M3);
    x = u((x ^ (x >> 15n)) * M4);
    return (x ^ (x >> 16n)) | 1n;
  });
  const sum = u(
    k[0] * m[0] + k[1] * m[1] + k[2] * m[2] + k[3] * m[3] + (k[4] ^ (k[4] >> 16n)) * m[4] + k[5] * m[5] + k[6] * m[6],
  );
  let hash = u((sum ^ (sum >> 15n)) * M2);
  hash = u((hash ^ (hash >> 15n)) * M3);
  const third = u((hash ^ (hash >> 16n)) * M1);
  return [hash, third, u((third ^ (third >> 15n)) * M2)].map(Number);
}

describe('hash of a key', () => {
  it('is what its C text says, for any words', () => {
    const next = numbers(3);
    for (let i = 0; i < 2000; i++) {
      const key = Int32Array.from({ length: KEY_WORDS + 2 }, next);
      const seed = next();
      const hash = hashOf(key, 2, multipliersOf(seed));
      const third = thirdHash(hash);
      expect([hash, third, fourthHash(third)].map((h) => h >>> 0)).toEqual(twin([...key.subarray(2)], seed));
    }
  });

  it('keeps known values, which C++ and BPF are held against', () => {
    const key = Int32Array.of(0, 0, 0xffff, 0xc0800a05, (1701 << 16) | 1701, 42, (1 << 16) | (1 << 8) | 1);
    const hash = hashOf(key, 0, multipliersOf(0x12345678));
    const third = thirdHash(hash);
    expect([hash, third, fourthHash(third)].map((h) => h >>> 0)).toMatchInlineSnapshot(`
      [
        3600327619,
        3480102635,
        2290771197,
      ]
    `);
    expect([fingerprintOf(hash), otherBucket(100, hash)]).toMatchInlineSnapshot(`
      [
        195,
        103,
      ]
    `);
    expect(ownerSlot(0, 0, 0xffff, 0xc0800a05)).toMatchInlineSnapshot(`505`);
    expect(ownerSlot(0x20010db8, 0, 0, 0x80000001)).toMatchInlineSnapshot(`284`);
  });

  it('has multipliers that are odd, and others for every seed and word', () => {
    const seen = new Set<number>();
    for (let seed = 0; seed < 1000; seed++) for (const m of multipliersOf(seed)) seen.add(m);
    expect(seen.size).toBeGreaterThan(6990);
    expect([...seen].every((m) => (m & 1) === 1)).toBe(true);
  });

  it('changes about half of the bits with any one bit of the key, and its upper half as often', () => {
    const rounds = 400;
    const next = numbers(11);
    let worst = 0;
    const key = new Int32Array(KEY_WORDS);
    for (let bit = 0; bit < KEY_WORDS * 32; bit++) {
      let whole = 0;
      let upper = 0;
      for (let round = 0; round < rounds; round++) {
        const multipliers = multipliersOf(next());
        for (let w = 0; w < KEY_WORDS; w++) key[w] = next();
        const before = hashOf(key, 0, multipliers);
        key[bit >>> 5] ^= 1 << (bit & 31);
        const changed = before ^ hashOf(key, 0, multipliers);
        for (let i = 0; i < 32; i++) whole += (changed >>> i) & 1;
        for (let i = 16; i < 32; i++) upper += (changed >>> i) & 1;
      }
      worst = Math.max(worst, Math.abs(whole / (32 * rounds) - 0.5), Math.abs(upper / (16 * rounds) - 0.5));
    }
    expect(worst).toBeLessThan(0.06);
  });

  /** Keys as traffic has them. */
  const patterns: Record<string, (i: number, key: Int32Array) => void> = {
    'many tunnels of many clients': (i, key) => realisticKey(i, key, 0),
    'one client with all ids': (i, key) =>
      key.set([0, 0, 0xffff, 0x0a000001, (1701 << 16) | 1701, i & 0xffff, 0x10103]),
    'ports of one client': (i, key) => key.set([0, 0, 0xffff, 0x0a000001, i << 16, (i >>> 16) << 16, 0x10103]),
    'both directions': (i, key) =>
      key.set([
        0,
        0,
        0xffff,
        0x0a000000 + (i >>> 1),
        (1701 << 16) | (i & 1 ? 0 : 1701),
        i >>> 1,
        i & 1 ? 0x20102 : 0x10103,
      ]),
    'networks of IPv6 clients': (i, key) => key.set([0x20010db8, i, 0, 1, (1701 << 16) | 1701, 1, 0x30103]),
  };

  it.each(Object.keys(patterns))('spreads %s over buckets and fingerprints like random keys', (name) => {
    const buckets = 4096;
    const keys = 40_960;
    const key = new Int32Array(KEY_WORDS);
    for (const seed of [0, 1, 0x5eed]) {
      const multipliers = multipliersOf(seed);
      const counts = new Int32Array(buckets);
      const others = new Int32Array(LINE_BUCKETS);
      const prints = new Int32Array(256);
      for (let i = 0; i < keys; i++) {
        patterns[name](i, key);
        const hash = hashOf(key, 0, multipliers);
        const bucket = bucketOf(hash, bucketScale(buckets));
        counts[bucket]++;
        others[otherBucket(bucket, hash) ^ bucket]++;
        prints[fingerprintOf(hash)]++;
      }
      // χ² with 4095 degrees of freedom: mean 4095, standard deviation 90. Less is no fault: evener than chance.
      expect(counts.reduce((sum, n) => sum + (n - 10) ** 2 / 10, 0)).toBeLessThan(4095 + 6 * 90.5);
      expect(others.every((n, distance) => (distance % 2 === 0 ? n === 0 : n > 4300 && n < 5950))).toBe(true);
      expect(prints.subarray(0, FINGERPRINT_FIRST).every((n) => n === 0)).toBe(true);
      // 160 of each, of the first four twice as many.
      expect(Math.min(...prints.subarray(FINGERPRINT_FIRST))).toBeGreaterThan(90);
      expect(Math.max(...prints.subarray(2 * FINGERPRINT_FIRST))).toBeLessThan(240);
    }
  });

  it('has the second bucket in the line of the first, and the other way about', () => {
    const next = numbers(19);
    for (let i = 0; i < 2000; i++) {
      const [bucket, hash] = [next() >>> 12, next()];
      const other = otherBucket(bucket, hash);
      expect(other).not.toBe(bucket);
      expect(Math.floor(other / LINE_BUCKETS)).toBe(Math.floor(bucket / LINE_BUCKETS));
      expect(otherBucket(other, hash)).toBe(bucket);
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
