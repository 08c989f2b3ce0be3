/**
 * Look-ups of a chunk of keys, the hottest loops of the program: hash and pick buckets, pick candidates and touch their
 * entries, compare. In a large table nearly every look-up waits for memory; loops that each do one step keep many
 * waits going at a time, and none of them has a branch that depends on where a key lies.
 *
 * The compiler is helped in four ways. The loops call nothing that is not compiled into them, so that types of arrays
 * are checked once and not at every access. All arrays and numbers are constants of a function that is made for them:
 * in a thread that has one table and one batch (every shard), V8 compiles addresses and lengths into the code; with more
 * of them in a thread it works the same, some nanoseconds slower. Indices are cut to unsigned 32 bits (`>>> 0`) or made of
 * small counts, so that none needs a look for overflow or a sign. Imported and exported bindings, which would be read
 * anew and checked at every use, have constants of this module in their place.
 */
import {
  bucketOf,
  bucketScale,
  fingerprintOf,
  folded,
  fourthHash,
  multipliersOf,
  otherBucket,
  stirred,
  thirdHash,
} from './hash.js';
import { ENTRY, FLAG_IPV4, HEADER, KEY_WORDS, type TableMemory } from './layout.js';

/** Keys of one call at most: a batch, whose entries the nearest cache still holds. */
export const CHUNK = 256;

/** A byte times this is that byte in all four places of a word. */
export const SPREAD = 0x01010101;

/** Rows that the last call left open. */
export const left = new Int32Array(CHUNK);
/** Of every row of the last call: its first bucket and its hash. */
export const firsts = new Int32Array(CHUNK);
export const hashes = new Int32Array(CHUNK);

/**
 * Looks up the keys in rows 0 … count − 1 of the key column and sets their `slots`: a slot, or −1. Returns
 * n << 8 | flags: `n` rows, listed in `left`, are open: `find` knows whether the key is in a further bucket, or behind
 * another key with its fingerprint. `flags` are those of the entries found, or-ed.
 */
export type LookUp = (count: number) => number;

/** The highest bit of every byte of `difference` that is 0, all others 0. */
export function candidates(difference: number): number {
  return ~(((difference & 0x7f7f7f7f) + 0x7f7f7f7f) | difference) & 0x80808080;
}

/** More than there are, so that sixteen times a slot is still a small number to the compiler. */
const SLOT_BITS = 0x3ffffff;
const MAPPED = 0xffff; // third word of an IPv4-mapped address
const WORDS = KEY_WORDS;
const IPV4 = FLAG_IPV4;
const RECORD = ENTRY.record;
const EVERYWHERE = SPREAD;
const matches = candidates;
const bucketFor = bucketOf;
const fingerprintFor = fingerprintOf;
const fold = folded;
const otherOf = otherBucket;
const stir = stirred;
const thirdOf = thirdHash;
const fourthOf = fourthHash;
const open = left;

const firstColumn = firsts;
const hashColumn = hashes;
const versions = new Int32Array(CHUNK);

/**
 * For keys whose words 0 … 2 are those of an IPv4 address, without reading them: the hash begins with their share of the
 * sum, and FLAG_IPV4 of the entry, whose word is read anyway, says that its are the same.
 */
export function ipv4LookUp(memory: TableMemory, keys: Int32Array, slots: Int32Array): LookUp {
  const { buckets, entries } = memory;
  const scale = bucketScale(memory.layout.bucketCount);
  const [, , m2, m3, m4, m5, m6] = multipliersOf(memory.header[HEADER.hashSeed]);
  const constant = Math.imul(m2, MAPPED);

  return function lookUp(length) {
    const count = length & 0x1ff;
    for (let i = 0; i < count; i++) {
      const base = i * WORDS;
      const sum =
        constant +
        Math.imul(keys[base + 3], m3) +
        Math.imul(fold(keys[base + 4]), m4) +
        Math.imul(keys[base + 5], m5) +
        Math.imul(keys[base + 6], m6);
      const hash = stir(sum | 0);
      hashColumn[i] = hash;
      firstColumn[i] = bucketFor(hash, scale);
    }
    for (let i = 0; i < count; i++) {
      const a = firstColumn[i];
      const hash = hashColumn[i];
      const b = otherOf(a, hash);
      const wanted = Math.imul(fingerprintFor(hash), EVERYWHERE);
      const bit = Math.clz32(matches(buckets[a >>> 0] ^ wanted) | (matches(buckets[b >>> 0] ^ wanted) >>> 1));
      // Even: in the first bucket. Bytes of a word count from its lowest, slots likewise. 32, no candidate, makes
      // a slot near by, whose key is another one.
      const slot = ((a ^ ((a ^ b) & -(bit & 1))) << 2) | ((bit >> 3) ^ 3);
      slots[i] = slot;
      versions[i] = entries[(slot << 4) >>> 0];
    }
    let flags = 0;
    let rest = 0;
    for (let i = 0; i < count; i++) {
      const base = i * WORDS;
      const at = (slots[i] & SLOT_BITS) << 4;
      const version = versions[i];
      const record = entries[at + RECORD];
      const difference =
        (entries[at + 4] ^ keys[base + 3]) |
        (entries[at + 5] ^ keys[base + 4]) |
        (entries[at + 6] ^ keys[base + 5]) |
        (entries[at + 7] ^ keys[base + 6]) |
        (~record & IPV4) |
        (version & 1) |
        (entries[at] ^ version);
      flags |= record;
      if (difference !== 0) {
        open[rest] = i;
        rest = (rest + 1) | 0;
      }
    }
    return (rest << 8) | (flags & 0xff);
  };
}

/**
 * Tries what the loops left open once more: the other candidate of the two buckets, or else one of the third and fourth.
 * Takes the number of open rows; what it gives back is as above, of these rows.
 */
export function secondLook(memory: TableMemory, keys: Int32Array, slots: Int32Array): LookUp {
  const { buckets, entries } = memory;
  const scale = bucketScale(memory.layout.bucketCount);

  return function lookAgain(length) {
    const count = length & 0x1ff;
    let flags = 0;
    let rest = 0;
    for (let n = 0; n < count; n++) {
      const row = open[n] & 0xff;
      const base = row * WORDS;
      const hash = hashColumn[row];
      const wanted = Math.imul(fingerprintFor(hash), EVERYWHERE);
      let a = firstColumn[row];
      let b = otherOf(a, hash);
      let found = matches(buckets[a >>> 0] ^ wanted) | (matches(buckets[b >>> 0] ^ wanted) >>> 1);
      if ((found & (found - 1)) !== 0) found &= -found;
      else {
        const third = thirdOf(hash);
        a = bucketFor(third, scale);
        b = bucketFor(fourthOf(third), scale);
        found = matches(buckets[a >>> 0] ^ wanted) | (matches(buckets[b >>> 0] ^ wanted) >>> 1);
      }
      const bit = Math.clz32(found);
      const slot = ((a ^ ((a ^ b) & -(bit & 1))) << 2) | (((bit >> 3) & 3) ^ 3);
      const at = (slot & SLOT_BITS) << 4;
      const version = entries[at];
      const record = entries[at + RECORD];
      const difference =
        (entries[at + 1] ^ keys[base]) |
        (entries[at + 2] ^ keys[base + 1]) |
        (entries[at + 3] ^ keys[base + 2]) |
        (entries[at + 4] ^ keys[base + 3]) |
        (entries[at + 5] ^ keys[base + 4]) |
        (entries[at + 6] ^ keys[base + 5]) |
        (entries[at + 7] ^ keys[base + 6]) |
        (version & 1) |
        (entries[at] ^ version);
      slots[row] = slot;
      flags |= record;
      if (difference !== 0) {
        open[rest] = row;
        rest = (rest + 1) | 0;
      }
    }
    return (rest << 8) | (flags & 0xff);
  };
}

/** For any keys. */
export function anyLookUp(memory: TableMemory, keys: Int32Array, slots: Int32Array): LookUp {
  const { buckets, entries } = memory;
  const scale = bucketScale(memory.layout.bucketCount);
  const [m0, m1, m2, m3, m4, m5, m6] = multipliersOf(memory.header[HEADER.hashSeed]);

  return function lookUp(length) {
    const count = length & 0x1ff;
    for (let i = 0; i < count; i++) {
      const base = i * WORDS;
      const sum =
        Math.imul(keys[base], m0) +
        Math.imul(keys[base + 1], m1) +
        Math.imul(keys[base + 2], m2) +
        Math.imul(keys[base + 3], m3) +
        Math.imul(fold(keys[base + 4]), m4) +
        Math.imul(keys[base + 5], m5) +
        Math.imul(keys[base + 6], m6);
      const hash = stir(sum | 0);
      hashColumn[i] = hash;
      firstColumn[i] = bucketFor(hash, scale);
    }
    for (let i = 0; i < count; i++) {
      const a = firstColumn[i];
      const hash = hashColumn[i];
      const b = otherOf(a, hash);
      const wanted = Math.imul(fingerprintFor(hash), EVERYWHERE);
      const bit = Math.clz32(matches(buckets[a >>> 0] ^ wanted) | (matches(buckets[b >>> 0] ^ wanted) >>> 1));
      const slot = ((a ^ ((a ^ b) & -(bit & 1))) << 2) | ((bit >> 3) ^ 3);
      slots[i] = slot;
      versions[i] = entries[(slot << 4) >>> 0];
    }
    let flags = 0;
    let rest = 0;
    for (let i = 0; i < count; i++) {
      const base = i * WORDS;
      const at = (slots[i] & SLOT_BITS) << 4;
      const version = versions[i];
      flags |= entries[at + RECORD];
      const difference =
        (entries[at + 1] ^ keys[base]) |
        (entries[at + 2] ^ keys[base + 1]) |
        (entries[at + 3] ^ keys[base + 2]) |
        (entries[at + 4] ^ keys[base + 3]) |
        (entries[at + 5] ^ keys[base + 4]) |
        (entries[at + 6] ^ keys[base + 5]) |
        (entries[at + 7] ^ keys[base + 6]) |
        (version & 1) |
        (entries[at] ^ version);
      if (difference !== 0) {
        open[rest] = i;
        rest = (rest + 1) | 0;
      }
    }
    return (rest << 8) | (flags & 0xff);
  };
}
