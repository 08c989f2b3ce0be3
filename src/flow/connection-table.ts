/**
 * The connection table: exact-match key of 7 words → one entry of 64 bytes, in memory that all threads, the addon and
 * (later) the XDP program share.
 *
 * Shape: buckets of 4 slots. A key has two buckets and is put into the emptier one. When both are full (one key in
 * seventy of a table at load 0.8, hardly any at 0.7) it goes into a third or fourth bucket, at the worst into one of those
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

import {
  bucketOf,
  bucketScale,
  fingerprintOf,
  firstHash,
  fourthHash,
  hashAddress,
  hashRest,
  secondHash,
  thirdHash,
} from './hash.js';
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
  readonly #scale: number;
  readonly #seed: number;
  /** Work space of `findMany`: first slots of both buckets and fingerprint of every key of a chunk. */
  readonly #firsts = new Int32Array(CHUNK);
  readonly #seconds = new Int32Array(CHUNK);
  readonly #wanted = new Int32Array(CHUNK);
  /**
   * Takes what the passes of `findMany` read ahead: nothing there waits for a load, so many are under way at a time, and
   * the next pass finds its lines near. Stored, so that the compiler cannot leave the loads out.
   */
  readonly #touched = new Int32Array(1);

  constructor(memory: TableMemory) {
    this.#header = memory.header;
    this.#prints = memory.fingerprints;
    this.#entries = memory.entries;
    this.#bucketCount = memory.layout.bucketCount;
    this.#scale = bucketScale(memory.layout.bucketCount);
    this.#seed = memory.header[HEADER.hashSeed];
    this.slotCount = memory.layout.slotCount;
  }

  /** Slot of the key `keys[base … base + 6]`, or −1. An entry that is being written counts as absent. */
  find(keys: Int32Array, base: number): number {
    const prints = this.#prints;
    const x = hashAddress(keys, base, this.#seed);
    const y = hashRest(keys, base, this.#seed);
    const first = firstHash(x, y);
    const second = secondHash(x, y);
    const print = fingerprintOf(first, second);
    // Written out, here and in #findChunk: as a function of its own it costs a fifth more.
    const a = bucketOf(first, this.#scale) << 2;
    let slot = -1;
    if (prints[a] === print) slot = a;
    else if (prints[a | 1] === print) slot = a | 1;
    else if (prints[a | 2] === print) slot = a | 2;
    else if (prints[a | 3] === print) slot = a | 3;
    else {
      const b = bucketOf(second, this.#scale) << 2;
      if (prints[b] === print) slot = b;
      else if (prints[b | 1] === print) slot = b | 1;
      else if (prints[b | 2] === print) slot = b | 2;
      else if (prints[b | 3] === print) slot = b | 3;
    }
    if (slot >= 0 && holds(this.#entries, slot, keys, base)) return slot;
    if (slot < 0 && this.#header[HEADER.overflowEntries] === 0) return -1;
    return this.#findSlowly(first, second, print, keys, base);
  }

  /**
   * `find` for `count` keys of KEY_WORDS words each, laid end to end from word 0; results into `slots[0 … count − 1]`.
   * In large tables nearly every look-up waits for memory. Here the waits of a chunk overlap: passes that do nothing but
   * read ahead come before those that need what they read. A pass that also computes or branches would not do: the
   * processor looks ahead over a few hundred instructions, and no farther than to a branch that it guesses wrongly.
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
    keys: Int32Array,
    base: number,
    target: number,
    ports: number,
    record: number,
    flags: number,
    nowMs: number,
  ): number {
    const x = hashAddress(keys, base, this.#seed);
    const y = hashRest(keys, base, this.#seed);
    const first = firstHash(x, y);
    const second = secondHash(x, y);
    const print = fingerprintOf(first, second);
    let slot = this.#claim(bucketOf(first, this.#scale), bucketOf(second, this.#scale), nowMs);
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
    const distance = this.#distanceOf(slot);
    Atomics.store(entries, at + ENTRY.version, entries[at + ENTRY.version] | 1);
    Atomics.store(entries, at + ENTRY.lastSeen, nowMs | 0);
    Atomics.store(this.#prints, slot, FINGERPRINT_REMOVED);
    Atomics.sub(this.#header, HEADER.entriesUsed, 1);
    if (distance > 0) Atomics.sub(this.#header, HEADER.overflowEntries, 1);
  }

  /** Sets last-seen of a new entry, seconds. Later on native code alone renews it. */
  touch(slot: number, seconds: number): void {
    this.#entries[slot * ENTRY_WORDS + ENTRY.lastSeen] = seconds;
  }

  /** The slot holds a key and nobody is writing it. */
  isLive(slot: number): boolean {
    const print = this.#prints[slot];
    return (
      print !== FINGERPRINT_EMPTY &&
      print !== FINGERPRINT_CLAIMED &&
      print !== FINGERPRINT_REMOVED &&
      (this.#entries[slot * ENTRY_WORDS + ENTRY.version] & 1) === 0
    );
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
      const distance = this.#distanceOf(slot);
      if (distance > 0) overflow++;
      reach = Math.max(reach, distance);
    }
    Atomics.store(this.#header, HEADER.entriesUsed, kept);
    Atomics.store(this.#header, HEADER.overflowEntries, overflow);
    Atomics.store(this.#header, HEADER.overflowReach, reach);
    return { freed, kept };
  }

  /** Every slot where the key may be: for another key with the same fingerprint in front of it, and for overflow. */
  #findSlowly(first: number, second: number, print: number, keys: Int32Array, base: number): number {
    const reach = this.#header[HEADER.overflowEntries] === 0 ? 0 : this.#header[HEADER.overflowReach];
    let bucket = bucketOf(first, this.#scale);
    for (let distance = -1; distance <= reach; distance++) {
      const start = bucket * BUCKET_SLOTS;
      for (let slot = start; slot < start + BUCKET_SLOTS; slot++) {
        if (this.#prints[slot] === print && holds(this.#entries, slot, keys, base)) return slot;
      }
      if (distance === -1) bucket = bucketOf(second, this.#scale);
      else if (distance === 0) bucket = bucketOf(thirdHash(first, second), this.#scale);
      else if (distance === 1) bucket = bucketOf(fourthHash(first, second), this.#scale);
      else bucket = this.#following(bucket);
    }
    return -1;
  }

  #findChunk(keys: Int32Array, from: number, count: number, slots: Int32Array): void {
    const prints = this.#prints;
    const entries = this.#entries;
    const firsts = this.#firsts;
    const seconds = this.#seconds;
    const wanted = this.#wanted;
    const scale = this.#scale;
    const seed = this.#seed;
    let base = Math.imul(from, KEY_WORDS);
    let touched = 0;
    for (let i = 0; i < count; i = (i + 1) | 0) {
      const x = hashAddress(keys, base, seed);
      const y = hashRest(keys, base, seed);
      const first = firstHash(x, y);
      const second = secondHash(x, y);
      firsts[i] = bucketOf(first, scale) << 2;
      seconds[i] = bucketOf(second, scale) << 2;
      wanted[i] = fingerprintOf(first, second);
      base = (base + KEY_WORDS) | 0;
    }
    for (let i = 0; i < count; i = (i + 1) | 0) touched ^= prints[firsts[i]];
    for (let i = 0; i < count; i = (i + 1) | 0) {
      const a = firsts[i];
      const b = seconds[i];
      const print = wanted[i];
      let slot = -1;
      if (prints[a] === print) slot = a;
      else if (prints[a | 1] === print) slot = a | 1;
      else if (prints[a | 2] === print) slot = a | 2;
      else if (prints[a | 3] === print) slot = a | 3;
      else if (prints[b] === print) slot = b;
      else if (prints[b | 1] === print) slot = b | 1;
      else if (prints[b | 2] === print) slot = b | 2;
      else if (prints[b | 3] === print) slot = b | 3;
      slots[(from + i) | 0] = slot;
    }
    for (let i = 0; i < count; i = (i + 1) | 0) {
      const slot = slots[(from + i) | 0];
      if (slot >= 0) touched ^= entries[slot << 4];
    }
    this.#touched[0] = touched;
    base = Math.imul(from, KEY_WORDS);
    for (let i = 0; i < count; i = (i + 1) | 0) {
      const slot = slots[(from + i) | 0];
      const found = slot >= 0 && holds(entries, slot, keys, base);
      // Another key with this fingerprint in front, or buckets beyond the second in use: rare, so the plain way.
      if (!found && (slot >= 0 || this.#header[HEADER.overflowEntries] !== 0))
        slots[(from + i) | 0] = this.find(keys, base);
      base = (base + KEY_WORDS) | 0;
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
    let bucket = bucketOf(fourthHash(first, second), this.#scale);
    let slot = this.#claim(bucketOf(thirdHash(first, second), this.#scale), bucket, nowMs);
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
    if (bucket === bucketOf(first, this.#scale) || bucket === bucketOf(second, this.#scale)) return 0;
    if (bucket === bucketOf(thirdHash(first, second), this.#scale)) return 1;
    return ((bucket - bucketOf(fourthHash(first, second), this.#scale) + count) % count) + 2;
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

  /** `#distance` for the key that the slot holds. */
  #distanceOf(slot: number): number {
    const at = slot * ENTRY_WORDS + ENTRY.client;
    const x = hashAddress(this.#entries, at, this.#seed);
    const y = hashRest(this.#entries, at, this.#seed);
    return this.#distance(slot, firstHash(x, y), secondHash(x, y));
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

/**
 * The slot holds the key, and nobody wrote it meanwhile. The words that differ most are compared first. Indices are
 * joined with `|`, which needs no look for an overflow: buckets and entries begin at multiples of their size.
 */
function holds(entries: Int32Array, slot: number, keys: Int32Array, base: number): boolean {
  const at = slot << 4;
  const version = entries[at];
  return (
    entries[at | 4] === keys[(base + 3) | 0] &&
    entries[at | 6] === keys[(base + 5) | 0] &&
    entries[at | 5] === keys[(base + 4) | 0] &&
    entries[at | 7] === keys[(base + 6) | 0] &&
    entries[at | 1] === keys[base] &&
    entries[at | 2] === keys[(base + 1) | 0] &&
    entries[at | 3] === keys[(base + 2) | 0] &&
    (version & 1) === 0 &&
    entries[at] === version
  );
}
