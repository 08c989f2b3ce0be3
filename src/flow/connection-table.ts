/**
 * The connection table: exact-match key of 7 words → one entry of 64 bytes, in memory that threads, addon and XDP program share.
 *
 * Shape: buckets of 4 slots. A key has two buckets in one group of 16 and is put into the emptier one. When both are full
 * (one key in forty of a table at load 0.8, one in a hundred at 0.7) it goes into a third or fourth bucket anywhere, at
 * the worst into one of those that follow the fourth. HEADER.overflowEntries counts such keys, HEADER.overflowReach
 * says how far they went; readers look no farther. A byte per slot, the fingerprint, is searched first: a bucket's are
 * one word, both buckets' are in one cache line, so that a hit touches the entry's cache line once and a miss hardly ever.
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
  fourthHash,
  multipliersOf,
  otherBucket,
  stirred,
  sumOf,
  thirdHash,
} from './hash.js';
import {
  BUCKET_SLOTS,
  ENTRY,
  ENTRY_WORDS,
  FINGERPRINT_CLAIMED,
  FINGERPRINT_EMPTY,
  FINGERPRINT_REMOVED,
  FLAG_IPV4,
  HEADER,
  KEY_WORDS,
  type TableMemory,
} from './layout.js';
import {
  anyLookUp,
  CHUNK,
  candidates,
  firsts,
  hashes,
  ipv4LookUp,
  type LookUp,
  left,
  SPREAD,
  secondLook,
} from './look-up.js';

/** A removed slot gets no other key for so long. */
export const QUARANTINE_MS = 100;

/** Buckets beyond the second that an insertion tries: third, fourth, and those that follow the fourth. */
export const REACH_LIMIT = 32;

/** Clocks of threads differ by less. */
const FUTURE_MS = 3_600_000;

const TWO_32 = 4294967296;

// Imported bindings are read anew, and checked, at every use; constants of this module are compiled in.
const bucketFor = bucketOf;
const fingerprintFor = fingerprintOf;
const matches = candidates;
const otherOf = otherBucket;
const stir = stirred;
const thirdOf = thirdHash;
const fourthOf = fourthHash;
const sumFor = sumOf;
const EVERYWHERE = SPREAD;
const OVERFLOW = HEADER.overflowEntries;

/** FLAG_ bits that users of the table set and see. */
const FLAGS = 0xff & ~FLAG_IPV4;

/** The columns that `findMany` works on, and its loops over them. */
interface Columns {
  readonly keys: Int32Array;
  readonly slots: Int32Array;
  readonly ipv4: LookUp;
  readonly any: LookUp;
  readonly again: LookUp;
}

function columnsOf(memory: TableMemory, keys: Int32Array, slots: Int32Array): Columns {
  return {
    keys,
    slots,
    ipv4: ipv4LookUp(memory, keys, slots),
    any: anyLookUp(memory, keys, slots),
    again: secondLook(memory, keys, slots),
  };
}

export class ConnectionTable {
  readonly slotCount: number;
  readonly #header: Int32Array;
  readonly #prints: Uint8Array;
  readonly #buckets: Int32Array;
  readonly #entries: Int32Array;
  readonly #bucketCount: number;
  readonly #scale: number;
  readonly #multipliers: Int32Array;
  readonly #memory: TableMemory;
  #columns: Columns | null = null;

  constructor(memory: TableMemory) {
    this.#header = memory.header;
    this.#prints = memory.fingerprints;
    this.#buckets = memory.buckets;
    this.#entries = memory.entries;
    this.#bucketCount = memory.layout.bucketCount;
    this.#scale = bucketScale(memory.layout.bucketCount);
    this.#multipliers = multipliersOf(memory.header[HEADER.hashSeed]);
    this.#memory = memory;
    this.slotCount = memory.layout.slotCount;
  }

  /** Slot of the key `keys[base … base + 6]`, or −1. An entry that is being written counts as absent. */
  find(keys: Int32Array, base: number): number {
    const hash = stir(sumFor(keys, base, this.#multipliers));
    const a = bucketFor(hash, this.#scale);
    const b = otherOf(a, hash);
    const wanted = Math.imul(fingerprintFor(hash), EVERYWHERE);
    const bit = Math.clz32(matches(this.#buckets[a] ^ wanted) | (matches(this.#buckets[b] ^ wanted) >>> 1));
    const slot = ((a ^ ((a ^ b) & -(bit & 1))) << 2) | (((bit >> 3) & 3) ^ 3);
    return holds(this.#entries, slot, keys, base) ? slot : this.#search(a, hash, keys, base);
  }

  /**
   * `find` for `count` keys of KEY_WORDS words each, laid end to end from word 0; results into `slots[0 … count − 1]`.
   * `wide`: some key may not be an IPv4 client's; keys that are not find anything, or nothing, when it is false.
   * Returns the FLAG_ bits of the entries, or-ed, of which some may be those of entries looked at in vain. The columns
   * of the first call, which are those of the thread's batch, are compiled into the loops; others take longer.
   */
  findMany(keys: Int32Array, count: number, slots: Int32Array, wide = true): number {
    if (this.#columns === null) this.#columns = columnsOf(this.#memory, keys, slots);
    const columns = this.#columns;
    let flags = 0;
    let from = 0;
    if (columns.keys === keys && columns.slots === slots) {
      from = Math.min(CHUNK, count);
      let result = wide ? columns.any(from) : columns.ipv4(from);
      flags = result;
      if (result > 0xff) {
        result = columns.again(result >>> 8);
        flags |= result;
      }
      for (let n = result >>> 8; n > 0; n--) {
        const row = left[n - 1];
        const slot = this.#search(firsts[row], hashes[row], keys, row * KEY_WORDS);
        slots[row] = slot;
        if (slot >= 0) flags |= this.flagsOf(slot);
      }
    }
    for (let row = from; row < count; row++) {
      const slot = this.find(keys, row * KEY_WORDS);
      slots[row] = slot;
      if (slot >= 0) flags |= this.flagsOf(slot);
    }
    return flags & FLAGS;
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
    const hash = stirred(sumOf(keys, base, this.#multipliers));
    const bucket = bucketOf(hash, this.#scale);
    let slot = this.#claim(bucket, otherBucket(bucket, hash), nowMs);
    if (slot < 0) {
      slot = this.#claimFurther(hash, nowMs);
      if (slot < 0) return -1;
      this.#noteOverflow(this.#distance(slot, hash));
    }
    const entries = this.#entries;
    const at = slot * ENTRY_WORDS;
    const writing = entries[at + ENTRY.version] | 1;
    Atomics.store(entries, at + ENTRY.version, writing);
    for (let i = 0; i < KEY_WORDS; i++) entries[at + ENTRY.client + i] = keys[base + i];
    entries[at + ENTRY.target] = target;
    entries[at + ENTRY.ports] = ports;
    const ipv4 = keys[base] === 0 && keys[base + 1] === 0 && keys[base + 2] === 0xffff;
    entries[at + ENTRY.record] = (record << 8) | (flags & FLAGS) | (ipv4 ? FLAG_IPV4 : 0);
    for (let i = ENTRY.lastSeen; i < ENTRY_WORDS; i++) entries[at + i] = 0;
    Atomics.store(entries, at + ENTRY.version, (writing + 1) | 0);
    Atomics.add(this.#header, HEADER.entriesUsed, 1);
    Atomics.store(this.#prints, slot, fingerprintOf(hash));
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
    entries[at + ENTRY.record] = (record << 8) | (flags & FLAGS) | (entries[at + ENTRY.record] & FLAG_IPV4);
    Atomics.store(entries, at + ENTRY.version, (writing + 1) | 0);
  }

  /** Leads a live entry to another address or next hop. One word changes, so no reader misses the entry meanwhile. */
  setTarget(slot: number, target: number): void {
    Atomics.store(this.#entries, slot * ENTRY_WORDS + ENTRY.target, target);
  }

  /** Replaces the FLAG_ bits. One word changes, so no reader can see half of it and none misses the entry. */
  setFlags(slot: number, flags: number): void {
    const at = slot * ENTRY_WORDS + ENTRY.record;
    Atomics.store(this.#entries, at, (this.#entries[at] & ~FLAGS) | (flags & FLAGS));
  }

  /** `update`, but FLAG_ bits of `kept` stay, which another thread may change by `changeFlags` meanwhile. */
  lead(slot: number, target: number, ports: number, flags: number, kept: number): void {
    const entries = this.#entries;
    const at = slot * ENTRY_WORDS;
    const writing = entries[at + ENTRY.version] | 1;
    Atomics.store(entries, at + ENTRY.version, writing);
    entries[at + ENTRY.target] = target;
    entries[at + ENTRY.ports] = ports;
    this.changeFlags(slot, FLAGS & ~kept, flags);
    Atomics.store(entries, at + ENTRY.version, (writing + 1) | 0);
  }

  /** FLAG_ bits of `mask` become those of `flags`, whatever other threads do to the others. */
  changeFlags(slot: number, mask: number, flags: number): void {
    const at = slot * ENTRY_WORDS + ENTRY.record;
    for (;;) {
      const word = Atomics.load(this.#entries, at);
      const next = (word & ~(mask & FLAGS)) | (flags & mask & FLAGS);
      if (next === word || Atomics.compareExchange(this.#entries, at, word, next) === word) return;
    }
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
    return this.#entries[slot * ENTRY_WORDS + ENTRY.record] & FLAGS;
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
   * HEADER.overflowEntries and overflowReach are found anew. Nobody else may write meanwhile but counters and last-seen
   * of live entries: those are only read here, and the header words change once, to what is right for them, so the XDP
   * program may go on forwarding by them. `nowMs` as for `remove`.
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

  /** Every slot where a key may be that has this first bucket and hash, as far as any entry went. */
  #search(bucket: number, hash: number, keys: Int32Array, base: number): number {
    const wanted = Math.imul(fingerprintFor(hash), EVERYWHERE);
    const slot = this.#among(bucket, otherOf(bucket, hash), wanted, keys, base);
    if (slot >= 0 || this.#header[OVERFLOW] === 0) return slot;
    const third = thirdOf(hash);
    const fourth = bucketFor(fourthOf(third), this.#scale);
    return this.#searchFurther(bucketFor(third, this.#scale), fourth, wanted, keys, base);
  }

  #searchFurther(third: number, fourth: number, wanted: number, keys: Int32Array, base: number): number {
    let slot = this.#among(third, fourth, wanted, keys, base);
    let bucket = fourth;
    for (let n = this.#header[HEADER.overflowReach] - 2; n > 0 && slot < 0; n--) {
      bucket = this.#following(bucket);
      slot = this.#among(bucket, bucket, wanted, keys, base);
    }
    return slot;
  }

  /** The key's slot in one of two buckets, or −1. */
  #among(a: number, b: number, wanted: number, keys: Int32Array, base: number): number {
    const entries = this.#entries;
    const buckets = this.#buckets;
    let mask = matches(buckets[a] ^ wanted) | (matches(buckets[b] ^ wanted) >>> 1);
    while (mask !== 0) {
      const bit = Math.clz32(mask);
      const slot = ((a ^ ((a ^ b) & -(bit & 1))) << 2) | ((bit >> 3) ^ 3);
      if (holds(entries, slot, keys, base)) return slot;
      mask ^= 0x80000000 >>> bit;
    }
    return -1;
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
  #claimFurther(hash: number, nowMs: number): number {
    const third = thirdHash(hash);
    let bucket = bucketOf(fourthHash(third), this.#scale);
    let slot = this.#claim(bucketOf(third, this.#scale), bucket, nowMs);
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
  #distance(slot: number, hash: number): number {
    const count = this.#bucketCount;
    const bucket = (slot / BUCKET_SLOTS) | 0;
    const own = bucketOf(hash, this.#scale);
    if (bucket === own || bucket === otherBucket(own, hash)) return 0;
    const third = thirdHash(hash);
    if (bucket === bucketOf(third, this.#scale)) return 1;
    return ((bucket - bucketOf(fourthHash(third), this.#scale) + count) % count) + 2;
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
    return this.#distance(slot, stirred(sumOf(this.#entries, at, this.#multipliers)));
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

/** The slot holds the key, and nobody wrote it meanwhile. Words are joined without branches: nearly always all are equal. */
function holds(entries: Int32Array, slot: number, keys: Int32Array, base: number): boolean {
  const at = slot << 4;
  const version = entries[at];
  const difference =
    (entries[at | 1] ^ keys[base]) |
    (entries[at | 2] ^ keys[(base + 1) | 0]) |
    (entries[at | 3] ^ keys[(base + 2) | 0]) |
    (entries[at | 4] ^ keys[(base + 3) | 0]) |
    (entries[at | 5] ^ keys[(base + 4) | 0]) |
    (entries[at | 6] ^ keys[(base + 5) | 0]) |
    (entries[at | 7] ^ keys[(base + 6) | 0]) |
    (version & 1) |
    (entries[at] ^ version);
  return difference === 0;
}
