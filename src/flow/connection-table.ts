/**
 * The connection table: exact-match key of 7 words → one entry of 64 bytes, in memory that all threads, the addon and
 * (later) the XDP program share.
 *
 * Shape: buckets of 4 slots. A key has two buckets and is put into the emptier one. When both are full (one key in eight
 * of a table at load 0.8, none of a table at 0.5) it goes into a third or fourth bucket, at the worst into one of those
 * that follow the fourth. HEADER.overflowEntries counts such keys, HEADER.overflowReach says how far they went; readers
 * look no farther. A word per slot, the fingerprint, is searched first, so that a hit touches the entry's cache line once
 * and a miss never.
 *
 * Writers: every key has one owner thread, and only that thread inserts, updates or removes it. Owners of different keys
 * share buckets, so a slot is claimed by compare-and-exchange on its fingerprint. Order of an insertion:
 * fingerprint CLAIMED → version odd → fields → version even → fingerprint published. Of a removal: version odd →
 * lastSeen = milliseconds → fingerprint REMOVED; a reader that still holds the slot's index sees an odd version, and for
 * 100 ms no other key comes to live there. So a crash at any point leaves a slot that `adopt` can judge by itself.
 *
 * Readers take plain loads between two looks at the version. On x86-64 loads are not reordered with loads, and the
 * compiler does not move typed-array accesses over each other; other processors need barriers here.
 */

import { HASHED, HASHED_FINGERPRINT, HASHED_SECOND, bucketOf, fourthHash, hashKey, thirdHash } from './hash.js';
import {
  BUCKET_SLOTS,
  ENTRY,
  ENTRY_WORDS,
  FINGERPRINT_CLAIMED,
  FINGERPRINT_EMPTY,
  FINGERPRINT_REMOVED,
  HEADER,
  KEY_WORDS,
  type TableMemory,
} from './layout.js';

/** A removed slot gets no other key for so long. */
export const QUARANTINE_MS = 100;

/** Buckets beyond the second that an insertion tries: third, fourth, and those that follow the fourth. */
export const REACH_LIMIT = 32;

/** Clocks of threads differ by less. */
const FUTURE_MS = 3_600_000;

/** Keys that `findMany` takes at a time; longer columns are cut into pieces of this. */
const CHUNK = 64;

const TWO_32 = 4294967296;

export class ConnectionTable {
  readonly slotCount: number;
  readonly #header: Int32Array;
  readonly #prints: Int32Array;
  readonly #entries: Int32Array;
  readonly #bucketCount: number;
  readonly #seed: number;
  /** Work space of `findMany`: first bucket, second bucket, fingerprint, candidate slot of every key of a chunk. */
  readonly #firsts = new Int32Array(CHUNK);
  readonly #seconds = new Int32Array(CHUNK);
  readonly #wanted = new Int32Array(CHUNK);
  /** Results of the touching loads go here, so that they are not dropped as unused. */
  readonly #sink = new Int32Array(1);

  constructor(memory: TableMemory) {
    this.#header = memory.header;
    this.#prints = memory.fingerprints;
    this.#entries = memory.entries;
    this.#bucketCount = memory.layout.bucketCount;
    this.#seed = memory.header[HEADER.hashSeed];
    this.slotCount = memory.layout.slotCount;
  }

  /** Slot of the key `keys[base … base + 6]`, or −1. An entry that is being written counts as absent. */
  find(keys: Int32Array, base: number): number {
    const prints = this.#prints;
    const first = hashKey(keys, base, this.#seed);
    const second = HASHED[HASHED_SECOND];
    const print = HASHED[HASHED_FINGERPRINT];
    const a = bucketOf(first, this.#bucketCount) * BUCKET_SLOTS;
    if (prints[a] === print && this.#matches(a, keys, base)) return a;
    if (prints[a + 1] === print && this.#matches(a + 1, keys, base)) return a + 1;
    if (prints[a + 2] === print && this.#matches(a + 2, keys, base)) return a + 2;
    if (prints[a + 3] === print && this.#matches(a + 3, keys, base)) return a + 3;
    const b = bucketOf(second, this.#bucketCount) * BUCKET_SLOTS;
    if (prints[b] === print && this.#matches(b, keys, base)) return b;
    if (prints[b + 1] === print && this.#matches(b + 1, keys, base)) return b + 1;
    if (prints[b + 2] === print && this.#matches(b + 2, keys, base)) return b + 2;
    if (prints[b + 3] === print && this.#matches(b + 3, keys, base)) return b + 3;
    if (this.#header[HEADER.overflowEntries] === 0) return -1;
    return this.#findFurther(first, second, print, keys, base);
  }

  /**
   * `find` for `count` keys of KEY_WORDS words each, laid end to end from word 0; results into `slots[0 … count − 1]`.
   * In large tables nearly every look-up waits for memory. Here the waits of a chunk overlap: one pass touches the
   * fingerprints of all keys, the next picks candidates and touches their entries, the last compares.
   */
  findMany(keys: Int32Array, count: number, slots: Int32Array): void {
    for (let from = 0; from < count; from += CHUNK) {
      this.#findChunk(keys, from, Math.min(CHUNK, count - from), slots);
    }
  }

  /**
   * Makes an entry for a key that the caller, its only owner, knows to be absent. Counters start at 0, last-seen at 0
   * (`touch` sets it). `record` is a record index, `flags` a set of FLAG_ bits, `nowMs` the clock that `remove` gets.
   * Returns the slot, or −1 when there is no place for it.
   */
  insert(
    keys: Int32Array, base: number, target: number, ports: number, record: number, flags: number, nowMs: number,
  ): number {
    const first = hashKey(keys, base, this.#seed);
    const second = HASHED[HASHED_SECOND];
    const print = HASHED[HASHED_FINGERPRINT];
    const count = this.#bucketCount;
    let slot = this.#claim(bucketOf(first, count), bucketOf(second, count), nowMs);
    if (slot < 0) {
      slot = this.#claimFurther(first, second, nowMs);
      if (slot < 0) return -1;
      this.#noteOverflow(this.#distance(slot, first, second));
    }
    const entries = this.#entries;
    const at = slot * ENTRY_WORDS;
    const writing = entries[at + ENTRY.version] | 1;
    Atomics.store(entries, at + ENTRY.version, writing);
    for (let i = 0; i < KEY_WORDS; i++) entries[at + ENTRY.client + i] = keys[base + i];
    entries[at + ENTRY.target] = target;
    entries[at + ENTRY.ports] = ports;
    entries[at + ENTRY.record] = (record << 8) | flags;
    for (let i = ENTRY.lastSeen; i < ENTRY_WORDS; i++) entries[at + i] = 0;
    Atomics.store(entries, at + ENTRY.version, (writing + 1) | 0);
    Atomics.add(this.#header, HEADER.entriesUsed, 1);
    Atomics.store(this.#prints, slot, print);
    return slot;
  }

  /** Gives a live entry another verdict; key, counters and last-seen stay. Readers meanwhile miss it. */
  update(slot: number, target: number, ports: number, record: number, flags: number): void {
    const entries = this.#entries;
    const at = slot * ENTRY_WORDS;
    const writing = entries[at + ENTRY.version] | 1;
    Atomics.store(entries, at + ENTRY.version, writing);
    entries[at + ENTRY.target] = target;
    entries[at + ENTRY.ports] = ports;
    entries[at + ENTRY.record] = (record << 8) | flags;
    Atomics.store(entries, at + ENTRY.version, (writing + 1) | 0);
  }

  /** Replaces the FLAG_ bits. One word changes, so no reader can see half of it and none misses the entry. */
  setFlags(slot: number, flags: number): void {
    const at = slot * ENTRY_WORDS + ENTRY.record;
    Atomics.store(this.#entries, at, (this.#entries[at] & ~0xff) | flags);
  }

  /** Removes a live entry. Its counters can be read until another key takes the slot. */
  remove(slot: number, nowMs: number): void {
    const entries = this.#entries;
    const at = slot * ENTRY_WORDS;
    const second = this.#hashOf(slot);
    const first = this.#lastFirst;
    Atomics.store(entries, at + ENTRY.version, entries[at + ENTRY.version] | 1);
    Atomics.store(entries, at + ENTRY.lastSeen, nowMs | 0);
    Atomics.store(this.#prints, slot, FINGERPRINT_REMOVED);
    Atomics.sub(this.#header, HEADER.entriesUsed, 1);
    if (this.#distance(slot, first, second) > 0) Atomics.sub(this.#header, HEADER.overflowEntries, 1);
  }

  /** Sets last-seen of a new entry, seconds. Later on native code alone renews it. */
  touch(slot: number, seconds: number): void {
    this.#entries[slot * ENTRY_WORDS + ENTRY.lastSeen] = seconds;
  }

  /** The slot holds a key and nobody is writing it. */
  isLive(slot: number): boolean {
    const print = this.#prints[slot];
    return print !== FINGERPRINT_EMPTY && print !== FINGERPRINT_CLAIMED && print !== FINGERPRINT_REMOVED
      && (this.#entries[slot * ENTRY_WORDS + ENTRY.version] & 1) === 0;
  }

  recordOf(slot: number): number {
    return this.#entries[slot * ENTRY_WORDS + ENTRY.record] >>> 8;
  }

  flagsOf(slot: number): number {
    return this.#entries[slot * ENTRY_WORDS + ENTRY.record] & 0xff;
  }

  /** new address index << 16 | next-hop index */
  targetOf(slot: number): number {
    return this.#entries[slot * ENTRY_WORDS + ENTRY.target];
  }

  /** new source port << 16 | new destination port */
  portsOf(slot: number): number {
    return this.#entries[slot * ENTRY_WORDS + ENTRY.ports];
  }

  /** Seconds of the last packet, or of `touch`. */
  lastSeen(slot: number): number {
    return this.#entries[slot * ENTRY_WORDS + ENTRY.lastSeen];
  }

  packets(slot: number): number {
    return this.#counter(slot * ENTRY_WORDS + ENTRY.packets);
  }

  bytes(slot: number): number {
    return this.#counter(slot * ENTRY_WORDS + ENTRY.bytes);
  }

  /** Key word 0 … 6. */
  keyWord(slot: number, index: number): number {
    return this.#entries[slot * ENTRY_WORDS + ENTRY.client + index];
  }

  /** Copies the client's address into `out[base … base + 3]`. */
  clientWords(slot: number, out: Int32Array, base: number): void {
    const at = slot * ENTRY_WORDS + ENTRY.client;
    for (let i = 0; i < 4; i++) out[base + i] = this.#entries[at + i];
  }

  /** Live entries of all threads. */
  count(): number {
    return Atomics.load(this.#header, HEADER.entriesUsed);
  }

  /**
   * Takes over what a crash left: half-written slots become free (after the quarantine), HEADER.entriesUsed and
   * HEADER.overflowEntries and overflowReach are found anew. Nobody else may write meanwhile. `nowMs` as for `remove`.
   */
  adopt(nowMs: number): { freed: number; kept: number } {
    const entries = this.#entries;
    let freed = 0;
    let kept = 0;
    let overflow = 0;
    let reach = 0;
    for (let slot = 0; slot < this.slotCount; slot++) {
      const print = this.#prints[slot];
      if (print === FINGERPRINT_EMPTY) continue;
      const at = slot * ENTRY_WORDS;
      if (print === FINGERPRINT_REMOVED || print === FINGERPRINT_CLAIMED || (entries[at + ENTRY.version] & 1) !== 0) {
        if (print !== FINGERPRINT_REMOVED) freed++;
        // The old stamp may be torn or of another clock base: the quarantine simply begins again.
        entries[at + ENTRY.version] |= 1;
        entries[at + ENTRY.lastSeen] = nowMs | 0;
        Atomics.store(this.#prints, slot, FINGERPRINT_REMOVED);
        continue;
      }
      kept++;
      const second = this.#hashOf(slot);
      const distance = this.#distance(slot, this.#lastFirst, second);
      if (distance > 0) overflow++;
      reach = Math.max(reach, distance);
    }
    Atomics.store(this.#header, HEADER.entriesUsed, kept);
    Atomics.store(this.#header, HEADER.overflowEntries, overflow);
    Atomics.store(this.#header, HEADER.overflowReach, reach);
    return { freed, kept };
  }

  #matches(slot: number, keys: Int32Array, base: number): boolean {
    const entries = this.#entries;
    const at = slot * ENTRY_WORDS;
    const version = entries[at];
    return (version & 1) === 0
      && entries[at + 4] === keys[base + 3]
      && entries[at + 5] === keys[base + 4]
      && entries[at + 6] === keys[base + 5]
      && entries[at + 7] === keys[base + 6]
      && entries[at + 1] === keys[base]
      && entries[at + 2] === keys[base + 1]
      && entries[at + 3] === keys[base + 2]
      && entries[at] === version;
  }

  #findFurther(first: number, second: number, print: number, keys: Int32Array, base: number): number {
    const reach = this.#header[HEADER.overflowReach];
    let bucket = bucketOf(thirdHash(first, second), this.#bucketCount);
    for (let distance = 1; distance <= reach; distance++) {
      const start = bucket * BUCKET_SLOTS;
      for (let slot = start; slot < start + BUCKET_SLOTS; slot++) {
        if (this.#prints[slot] === print && this.#matches(slot, keys, base)) return slot;
      }
      bucket = distance === 1 ? bucketOf(fourthHash(first, second), this.#bucketCount) : this.#following(bucket);
    }
    return -1;
  }

  #findChunk(keys: Int32Array, from: number, count: number, slots: Int32Array): void {
    const prints = this.#prints;
    const entries = this.#entries;
    let touched = 0;
    for (let i = 0; i < count; i++) {
      const first = hashKey(keys, (from + i) * KEY_WORDS, this.#seed);
      const a = bucketOf(first, this.#bucketCount) * BUCKET_SLOTS;
      const b = bucketOf(HASHED[HASHED_SECOND], this.#bucketCount) * BUCKET_SLOTS;
      this.#firsts[i] = a;
      this.#seconds[i] = b;
      this.#wanted[i] = HASHED[HASHED_FINGERPRINT];
      touched ^= prints[a] ^ prints[b];
    }
    for (let i = 0; i < count; i++) {
      const print = this.#wanted[i];
      const a = this.#firsts[i];
      let slot = -1;
      if (prints[a] === print) slot = a;
      else if (prints[a + 1] === print) slot = a + 1;
      else if (prints[a + 2] === print) slot = a + 2;
      else if (prints[a + 3] === print) slot = a + 3;
      else {
        const b = this.#seconds[i];
        if (prints[b] === print) slot = b;
        else if (prints[b + 1] === print) slot = b + 1;
        else if (prints[b + 2] === print) slot = b + 2;
        else if (prints[b + 3] === print) slot = b + 3;
      }
      slots[from + i] = slot;
      if (slot >= 0) touched ^= entries[slot * ENTRY_WORDS];
    }
    this.#sink[0] = touched;
    for (let i = 0; i < count; i++) {
      const slot = slots[from + i];
      const base = (from + i) * KEY_WORDS;
      // Another key with the same fingerprint in front of this one, or a third bucket in use: rare, so the plain way.
      if (slot < 0 ? this.#header[HEADER.overflowEntries] !== 0 : !this.#matches(slot, keys, base)) {
        slots[from + i] = this.find(keys, base);
      }
    }
  }

  /** Claims a free slot in the emptier of two buckets (the first one if equal), or −1. */
  #claim(a: number, b: number, nowMs: number): number {
    for (;;) {
      const freeA = this.#freeSlots(a, nowMs);
      const freeB = this.#freeSlots(b, nowMs);
      if (freeA === 0 && freeB === 0) return -1;
      const start = (freeB > freeA ? b : a) * BUCKET_SLOTS;
      for (let slot = start; slot < start + BUCKET_SLOTS; slot++) {
        const print = Atomics.load(this.#prints, slot);
        if (!this.#isFree(slot, print, nowMs)) continue;
        if (Atomics.compareExchange(this.#prints, slot, print, FINGERPRINT_CLAIMED) === print) return slot;
      }
      // Others took what was seen free: look again. Each round means that somebody else succeeded.
    }
  }

  #freeSlots(bucket: number, nowMs: number): number {
    let free = 0;
    const start = bucket * BUCKET_SLOTS;
    for (let slot = start; slot < start + BUCKET_SLOTS; slot++) {
      if (this.#isFree(slot, this.#prints[slot], nowMs)) free++;
    }
    return free;
  }

  #isFree(slot: number, print: number, nowMs: number): boolean {
    if (print === FINGERPRINT_EMPTY) return true;
    if (print !== FINGERPRINT_REMOVED) return false;
    // Milliseconds wrap. A little in the future is another thread's newer clock; far in the future is weeks ago.
    const age = (nowMs - this.#entries[slot * ENTRY_WORDS + ENTRY.lastSeen]) | 0;
    return age >= QUARANTINE_MS || age < -FUTURE_MS;
  }

  /** The third or fourth bucket, the emptier one, else the first that has room after the fourth. */
  #claimFurther(first: number, second: number, nowMs: number): number {
    let bucket = bucketOf(fourthHash(first, second), this.#bucketCount);
    let slot = this.#claim(bucketOf(thirdHash(first, second), this.#bucketCount), bucket, nowMs);
    for (let distance = 3; slot < 0 && distance <= REACH_LIMIT; distance++) {
      bucket = this.#following(bucket);
      slot = this.#claim(bucket, bucket, nowMs);
    }
    return slot;
  }

  #following(bucket: number): number {
    return bucket + 1 < this.#bucketCount ? bucket + 1 : 0;
  }

  /** 0 when the slot is in the first or second bucket of the key, else how many further buckets a search comes to it with. */
  #distance(slot: number, first: number, second: number): number {
    const count = this.#bucketCount;
    const bucket = (slot / BUCKET_SLOTS) | 0;
    if (bucket === bucketOf(first, count) || bucket === bucketOf(second, count)) return 0;
    if (bucket === bucketOf(thirdHash(first, second), count)) return 1;
    return ((bucket - bucketOf(fourthHash(first, second), count) + count) % count) + 2;
  }

  /** Before the entry is published: a reader that can see it also knows how far to look. */
  #noteOverflow(distance: number): void {
    if (distance === 0) return;
    for (;;) {
      const reach = Atomics.load(this.#header, HEADER.overflowReach);
      if (distance <= reach) break;
      Atomics.compareExchange(this.#header, HEADER.overflowReach, reach, distance);
    }
    Atomics.add(this.#header, HEADER.overflowEntries, 1);
  }

  #lastFirst = 0;

  /** Hashes the key in a slot: returns the second hash, leaves the first in #lastFirst. */
  #hashOf(slot: number): number {
    this.#lastFirst = hashKey(this.#entries, slot * ENTRY_WORDS + ENTRY.client, this.#seed);
    return HASHED[HASHED_SECOND];
  }

  #counter(at: number): number {
    const counters = this.#entries;
    for (;;) {
      const high = Atomics.load(counters, at + 1);
      const low = Atomics.load(counters, at);
      if (Atomics.load(counters, at + 1) === high) return (high >>> 0) * TWO_32 + (low >>> 0);
    }
  }
}
