/**
 * The index that finds sessions: open addressing, 8 bytes a slot (hash, reference). One writer; readers in other threads
 * see a slot's reference only after its hash, and check what it refers to themselves. `native/session_table.cc` reads it.
 */
import { INDEX_REACH, INDEX_WORDS, REFERENCE_GONE } from './session-layout.js';

const KIND_SHIFT = 28;
const PLACE_MASK = (1 << KIND_SHIFT) - 1;
const FIRST_PLACE = 2;

/** Hash of a key; the kind is part of it. */
export function indexHash(seed: number, kind: number, key: readonly number[]): number {
  let h = seed ^ Math.imul(kind, 0x9e3779b1);
  for (const word of key) {
    h = Math.imul(h ^ word, 0x85ebca6b);
    h ^= h >>> 15;
  }
  h = Math.imul(h, 0xc2b2ae35);
  return h ^ (h >>> 16);
}

export class SessionIndex {
  readonly #words: Int32Array;
  readonly #mask: number;

  /** `holds(kind, place, key)`: whether what lies at that place has this key. */
  constructor(
    words: Int32Array,
    readonly seed: number,
    readonly holds: (kind: number, place: number, key: readonly number[]) => boolean,
  ) {
    this.#words = words;
    this.#mask = words.length / INDEX_WORDS - 1;
  }

  /** Place, or −1. */
  find(kind: number, key: readonly number[]): number {
    const slot = this.#slotOf(kind, key);
    return slot < 0 ? -1 : (this.#words[slot * INDEX_WORDS + 1] & PLACE_MASK) - FIRST_PLACE;
  }

  /** False when there is no room within the reach of readers. The key must not be there yet. */
  add(kind: number, key: readonly number[], place: number): boolean {
    const hash = indexHash(this.seed, kind, key);
    for (let step = 0; step < INDEX_REACH; step++) {
      const at = ((hash + step) & this.#mask) * INDEX_WORDS;
      const reference = this.#words[at + 1];
      if (reference !== 0 && reference !== REFERENCE_GONE) continue;
      Atomics.store(this.#words, at, hash);
      Atomics.store(this.#words, at + 1, (kind << KIND_SHIFT) | (place + FIRST_PLACE));
      return true;
    }
    return false;
  }

  remove(kind: number, key: readonly number[], place: number): void {
    const hash = indexHash(this.seed, kind, key);
    const wanted = (kind << KIND_SHIFT) | (place + FIRST_PLACE);
    for (let step = 0; step < INDEX_REACH; step++) {
      const slot = (hash + step) & this.#mask;
      const reference = this.#words[slot * INDEX_WORDS + 1];
      if (reference === 0) return;
      if (reference !== wanted || this.#words[slot * INDEX_WORDS] !== hash) continue;
      Atomics.store(this.#words, slot * INDEX_WORDS + 1, REFERENCE_GONE);
      this.#tidy(slot);
      return;
    }
  }

  #slotOf(kind: number, key: readonly number[]): number {
    const hash = indexHash(this.seed, kind, key);
    for (let step = 0; step < INDEX_REACH; step++) {
      const slot = (hash + step) & this.#mask;
      const reference = this.#words[slot * INDEX_WORDS + 1];
      if (reference === 0) return -1;
      if (reference >>> KIND_SHIFT !== kind || this.#words[slot * INDEX_WORDS] !== hash) continue;
      if (this.holds(kind, (reference & PLACE_MASK) - FIRST_PLACE, key)) return slot;
    }
    return -1;
  }

  /** Removed slots before a free one need not be passed over any more. */
  #tidy(slot: number): void {
    const w = this.#words;
    if (w[((slot + 1) & this.#mask) * INDEX_WORDS + 1] !== 0) return;
    for (let at = slot; w[at * INDEX_WORDS + 1] === REFERENCE_GONE; at = (at - 1) & this.#mask) {
      Atomics.store(w, at * INDEX_WORDS + 1, 0);
    }
  }
}
