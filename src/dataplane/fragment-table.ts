/**
 * Datagrams of which only some fragments have come: what is known of each, and copies of fragments that came before the
 * first one. Fixed in size: so many datagrams, so many fragments of each, so many copies; the oldest datagram makes room.
 * Nobody reassembles here: fragments go on as they come once it is known where to.
 */
import { SCRATCH_SLOT_LENGTH } from '../io/port.js';
import type { Batch } from './batch.js';

/** Seconds that a datagram is remembered, first from its first arrival, then from its decision. */
export const FRAGMENT_SECONDS = 2;
export const DATAGRAM_LIMIT = 4096;
/** Fragments of a datagram; 65,535 bytes in frames of 1,500 are 45. */
export const RANGE_LIMIT = 48;
/** Copies of early fragments. */
export const COPY_LIMIT = 256;
/** Key of a datagram: client address (4 words), address index << 16 | protocol << 8 | role, identification. */
export const FRAGMENT_KEY_WORDS = 6;
/** `length` of a datagram whose last fragment has not come. */
const LENGTH_OPEN = -1;

/** Answers of `enter`. */
export const RANGE_NEW = 0;
export const RANGE_REPEATED = 1; // exactly this range is there
export const RANGE_OVERLAP = 2;
export const RANGE_IMPOSSIBLE = 3; // beyond the end that another fragment gave, or another end
export const RANGE_FULL = 4;

/** A list by age: the oldest is `head`. All of a list live equally long, so it is in order of deadline, too. */
class AgeList {
  head = -1;
  tail = -1;
}

export class FragmentTable {
  /** What is to be done with the datagram: its owner's business. */
  readonly decision = new Int32Array(DATAGRAM_LIMIT);
  readonly identification = new Int32Array(DATAGRAM_LIMIT);
  /** Key of the connection entry that was decided for, so that a slot that got another tenant is noticed. */
  readonly entryKeyA = new Int32Array(DATAGRAM_LIMIT);
  readonly entryKeyB = new Int32Array(DATAGRAM_LIMIT);
  readonly entryTag = new Int32Array(DATAGRAM_LIMIT);
  readonly #keys = new Int32Array(DATAGRAM_LIMIT * FRAGMENT_KEY_WORDS);
  readonly #deadline = new Float64Array(DATAGRAM_LIMIT);
  readonly #decided = new Uint8Array(DATAGRAM_LIMIT);
  // Hash chains, and the list by age or of free datagrams.
  readonly #buckets = new Int32Array(DATAGRAM_LIMIT).fill(-1);
  readonly #chain = new Int32Array(DATAGRAM_LIMIT);
  readonly #older = new Int32Array(DATAGRAM_LIMIT);
  readonly #younger = new Int32Array(DATAGRAM_LIMIT);
  readonly #undecidedList = new AgeList();
  readonly #decidedList = new AgeList();
  #free = 0;
  #count = 0;
  // Bytes [start, end) of every fragment that came.
  readonly #starts = new Uint16Array(DATAGRAM_LIMIT * RANGE_LIMIT);
  readonly #ends = new Uint16Array(DATAGRAM_LIMIT * RANGE_LIMIT);
  readonly #ranges = new Uint8Array(DATAGRAM_LIMIT);
  readonly #bytes = new Int32Array(DATAGRAM_LIMIT);
  readonly #length = new Int32Array(DATAGRAM_LIMIT);
  // Copies of early fragments, those of a datagram in order of arrival.
  readonly #frames = new Uint8Array(COPY_LIMIT * SCRATCH_SLOT_LENGTH);
  readonly #frameLength = new Int32Array(COPY_LIMIT);
  readonly #frameL3 = new Int32Array(COPY_LIMIT);
  readonly #frameL4 = new Int32Array(COPY_LIMIT);
  readonly #frameEnd = new Int32Array(COPY_LIMIT);
  readonly #frameIngress = new Uint8Array(COPY_LIMIT);
  readonly #frameFlags = new Uint8Array(COPY_LIMIT);
  readonly #nextCopy = new Int32Array(COPY_LIMIT);
  readonly #firstCopy = new Int32Array(DATAGRAM_LIMIT);
  readonly #lastCopy = new Int32Array(DATAGRAM_LIMIT);
  #freeCopy = 0;
  #copies = 0;

  constructor() {
    for (let d = 0; d < DATAGRAM_LIMIT; d++) this.#younger[d] = d + 1 < DATAGRAM_LIMIT ? d + 1 : -1;
    for (let c = 0; c < COPY_LIMIT; c++) this.#nextCopy[c] = c + 1 < COPY_LIMIT ? c + 1 : -1;
  }

  /** Datagrams that are known. */
  get count(): number {
    return this.#count;
  }

  /** Copies that wait. */
  get copies(): number {
    return this.#copies;
  }

  /** The datagram with this key, or −1. */
  find(key: Int32Array): number {
    const keys = this.#keys;
    for (let d = this.#buckets[hash(key)]; d >= 0; d = this.#chain[d]) {
      const at = d * FRAGMENT_KEY_WORDS;
      let word = 0;
      while (word < FRAGMENT_KEY_WORDS && keys[at + word] === key[word]) word++;
      if (word === FRAGMENT_KEY_WORDS) return d;
    }
    return -1;
  }

  /** A new datagram, or −1 when all are in use: then the caller closes `oldest()` first. */
  open(key: Int32Array, nowSeconds: number): number {
    const d = this.#free;
    if (d < 0) return -1;
    this.#free = this.#younger[d];
    this.#count++;
    this.#keys.set(key, d * FRAGMENT_KEY_WORDS);
    const bucket = hash(key);
    this.#chain[d] = this.#buckets[bucket];
    this.#buckets[bucket] = d;
    this.#decided[d] = 0;
    this.#ranges[d] = 0;
    this.#bytes[d] = 0;
    this.#length[d] = LENGTH_OPEN;
    this.#firstCopy[d] = -1;
    this.#deadline[d] = nowSeconds + FRAGMENT_SECONDS;
    this.#append(this.#undecidedList, d);
    return d;
  }

  isDecided(d: number): boolean {
    return this.#decided[d] !== 0;
  }

  decide(d: number, decision: number, nowSeconds: number): void {
    this.decision[d] = decision;
    if (this.#decided[d] !== 0) return;
    this.#unlink(this.#undecidedList, d);
    this.#decided[d] = 1;
    this.#deadline[d] = nowSeconds + FRAGMENT_SECONDS;
    this.#append(this.#decidedList, d);
  }

  /** Forgets a datagram; its copies must have been taken. */
  close(d: number): void {
    this.#unlink(this.#decided[d] !== 0 ? this.#decidedList : this.#undecidedList, d);
    const bucket = hashAt(this.#keys, d * FRAGMENT_KEY_WORDS);
    if (this.#buckets[bucket] === d) this.#buckets[bucket] = this.#chain[d];
    else {
      let before = this.#buckets[bucket];
      while (this.#chain[before] !== d) before = this.#chain[before];
      this.#chain[before] = this.#chain[d];
    }
    this.#younger[d] = this.#free;
    this.#free = d;
    this.#count--;
  }

  /** A datagram that has outlived its time, or −1. */
  expired(nowSeconds: number): number {
    const undecided = this.#undecidedList.head;
    if (undecided >= 0 && this.#deadline[undecided] <= nowSeconds) return undecided;
    const decided = this.#decidedList.head;
    return decided >= 0 && this.#deadline[decided] <= nowSeconds ? decided : -1;
  }

  /** The datagram that makes room for another: the oldest that nobody decided, since a flood makes those; −1 none. */
  oldest(): number {
    return this.#undecidedList.head >= 0 ? this.#undecidedList.head : this.#decidedList.head;
  }

  /** The oldest datagram but this one that has copies, or −1. */
  oldestWithCopies(but: number): number {
    let d = this.#undecidedList.head;
    while (d >= 0 && (d === but || this.#firstCopy[d] < 0)) d = this.#younger[d];
    return d;
  }

  /** Notes bytes [start, end) of the datagram as arrived. */
  enter(d: number, start: number, end: number, last: boolean): number {
    const length = this.#length[d];
    if (length !== LENGTH_OPEN && (end > length || (last && end !== length))) return RANGE_IMPOSSIBLE;
    const at = d * RANGE_LIMIT;
    const count = this.#ranges[d];
    for (let r = at; r < at + count; r++) {
      if (this.#starts[r] === start && this.#ends[r] === end) return RANGE_REPEATED;
      if (start < this.#ends[r] && this.#starts[r] < end) return RANGE_OVERLAP;
      if (last && this.#ends[r] > end) return RANGE_IMPOSSIBLE;
    }
    if (count === RANGE_LIMIT) return RANGE_FULL;
    this.#starts[at + count] = start;
    this.#ends[at + count] = end;
    this.#ranges[d] = count + 1;
    this.#bytes[d] += end - start;
    if (last) this.#length[d] = end;
    return RANGE_NEW;
  }

  /** Every byte of the datagram has come. */
  isComplete(d: number): boolean {
    return this.#bytes[d] === this.#length[d];
  }

  /** Keeps a copy of frame i. False when there is no room, or the frame is longer than a copy may be. */
  hold(d: number, batch: Batch, i: number): boolean {
    const copy = this.#freeCopy;
    const { offset, length, ingress, flags } = batch.columns;
    if (copy < 0 || length[i] > SCRATCH_SLOT_LENGTH) return false;
    this.#freeCopy = this.#nextCopy[copy];
    this.#copies++;
    this.#frames.set(batch.bytes.subarray(offset[i], offset[i] + length[i]), copy * SCRATCH_SLOT_LENGTH);
    this.#frameLength[copy] = length[i];
    this.#frameL3[copy] = batch.l3[i] - offset[i];
    this.#frameL4[copy] = batch.l4[i] - offset[i];
    this.#frameEnd[copy] = batch.end[i] - offset[i];
    this.#frameIngress[copy] = ingress[i];
    this.#frameFlags[copy] = flags[i];
    this.#nextCopy[copy] = -1;
    if (this.#firstCopy[d] < 0) this.#firstCopy[d] = copy;
    else this.#nextCopy[this.#lastCopy[d]] = copy;
    this.#lastCopy[d] = copy;
    return true;
  }

  /** Moves the datagram's first copy into scratch frame `i`, or only forgets it where i < 0. False when it has none. */
  takeCopy(d: number, batch: Batch, i: number): boolean {
    const copy = this.#firstCopy[d];
    if (copy < 0) return false;
    if (i >= 0) {
      const from = copy * SCRATCH_SLOT_LENGTH;
      const offset = batch.columns.offset[i];
      batch.bytes.set(this.#frames.subarray(from, from + this.#frameLength[copy]), offset);
      batch.columns.length[i] = this.#frameLength[copy];
      batch.columns.ingress[i] = this.#frameIngress[copy];
      batch.columns.flags[i] = this.#frameFlags[copy];
      batch.l3[i] = offset + this.#frameL3[copy];
      batch.l4[i] = offset + this.#frameL4[copy];
      batch.end[i] = offset + this.#frameEnd[copy];
    }
    this.#firstCopy[d] = this.#nextCopy[copy];
    this.#nextCopy[copy] = this.#freeCopy;
    this.#freeCopy = copy;
    this.#copies--;
    return true;
  }

  hasCopies(d: number): boolean {
    return this.#firstCopy[d] >= 0;
  }

  #append(list: AgeList, d: number): void {
    this.#older[d] = list.tail;
    this.#younger[d] = -1;
    if (list.tail < 0) list.head = d;
    else this.#younger[list.tail] = d;
    list.tail = d;
  }

  #unlink(list: AgeList, d: number): void {
    const older = this.#older[d];
    const younger = this.#younger[d];
    if (older < 0) list.head = younger;
    else this.#younger[older] = younger;
    if (younger < 0) list.tail = older;
    else this.#older[younger] = older;
  }
}

function hash(key: Int32Array): number {
  return hashAt(key, 0);
}

function hashAt(keys: Int32Array, at: number): number {
  let h = keys[at] ^ keys[at + 1] ^ keys[at + 2] ^ Math.imul(keys[at + 3], 0x9e3779b1);
  h = Math.imul(h ^ keys[at + 4], 0x85ebca6b) ^ Math.imul(keys[at + 5], 0xc2b2ae35);
  h = Math.imul(h ^ (h >>> 15), 0x27d4eb2f);
  return (h ^ (h >>> 13)) & (DATAGRAM_LIMIT - 1);
}
