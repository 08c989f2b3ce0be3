/**
 * The addresses segment: every VIP and server address stands there once, entries and cells name it by index. The main
 * thread alone writes it. Every thread asks per packet "is this a VIP or a server?", which a small private hash answers;
 * it is built by the constructor and by `refresh`.
 */

import { ADDRESS, ADDRESS_LIMIT, ADDRESS_WORDS, type TableMemory } from './layout.js';

const SLOT_WORDS = 5; // address words, index + 1

export class AddressTable {
  readonly #addresses: Int32Array;
  #slots = new Int32Array(16 * SLOT_WORDS);
  #mask = 15;

  constructor(memory: TableMemory) {
    this.#addresses = memory.addresses;
    this.refresh();
  }

  /** Index of the address, or −1. Per packet: answers from the private hash, so as of the last `refresh`. */
  indexOf(a0: number, a1: number, a2: number, a3: number): number {
    const slots = this.#slots;
    let slot = spread(a0, a1, a2, a3) & this.#mask;
    for (;;) {
      const at = slot * SLOT_WORDS;
      const index = slots[at + 4];
      if (index === 0) return -1;
      if (
        slots[at + 3] === (a3 | 0) &&
        slots[at + 2] === (a2 | 0) &&
        slots[at + 1] === (a1 | 0) &&
        slots[at] === (a0 | 0)
      ) {
        return index - 1;
      }
      slot = (slot + 1) & this.#mask;
    }
  }

  /** Builds the private hash anew from the shared segment: after the plan changed. */
  refresh(): void {
    let used = 0;
    for (let i = 0; i < ADDRESS_LIMIT; i++) if (this.family(i) !== 0) used++;
    let size = 16;
    while (size < used * 4) size *= 2;
    const slots = new Int32Array(size * SLOT_WORDS);
    const mask = size - 1;
    for (let i = 0; i < ADDRESS_LIMIT; i++) {
      if (this.family(i) === 0) continue;
      const from = i * ADDRESS_WORDS;
      const w = this.#addresses;
      let slot = spread(w[from], w[from + 1], w[from + 2], w[from + 3]) & mask;
      while (slots[slot * SLOT_WORDS + 4] !== 0) slot = (slot + 1) & mask;
      for (let word = 0; word < 4; word++) slots[slot * SLOT_WORDS + word] = w[from + word];
      slots[slot * SLOT_WORDS + 4] = i + 1;
    }
    this.#slots = slots;
    this.#mask = mask;
  }

  /** Index of the address in the shared segment itself, or −1. Slow and always up to date. */
  find(a0: number, a1: number, a2: number, a3: number): number {
    const w = this.#addresses;
    for (let i = 0, at = 0; i < ADDRESS_LIMIT; i++, at += ADDRESS_WORDS) {
      if (
        w[at + ADDRESS.family] !== 0 &&
        w[at] === (a0 | 0) &&
        w[at + 1] === (a1 | 0) &&
        w[at + 2] === (a2 | 0) &&
        w[at + 3] === (a3 | 0)
      )
        return i;
    }
    return -1;
  }

  /**
   * Index of the address, entered if it was not there, with `role` (ADDRESS_ROLE bits) added. −1 when the segment is
   * full. Main thread only; `indexOf` sees it after `refresh`.
   */
  ensure(a0: number, a1: number, a2: number, a3: number, role: number): number {
    const w = this.#addresses;
    let index = this.find(a0, a1, a2, a3);
    if (index < 0) {
      for (let i = 0; i < ADDRESS_LIMIT && index < 0; i++) if (this.family(i) === 0) index = i;
      if (index < 0) return -1;
      const at = index * ADDRESS_WORDS;
      w[at] = a0;
      w[at + 1] = a1;
      w[at + 2] = a2;
      w[at + 3] = a3;
      w[at + ADDRESS.role] = 0;
      Atomics.store(w, at + ADDRESS.family, a0 === 0 && a1 === 0 && a2 === 0xffff ? 4 : 6);
    }
    Atomics.or(w, index * ADDRESS_WORDS + ADDRESS.role, role);
    return index;
  }

  /**
   * Takes `role` away; without any role left the address is forgotten and its index given to another one. The caller
   * knows that no entry names the index any more. Returns whether it was forgotten.
   */
  release(index: number, role: number): boolean {
    const at = index * ADDRESS_WORDS;
    const left = Atomics.and(this.#addresses, at + ADDRESS.role, ~role) & ~role;
    if (left !== 0) return false;
    Atomics.store(this.#addresses, at + ADDRESS.family, 0);
    return true;
  }

  /** 0 free, 4, 6 */
  family(index: number): number {
    return this.#addresses[index * ADDRESS_WORDS + ADDRESS.family];
  }

  /** ADDRESS_ROLE bits */
  role(index: number): number {
    return this.#addresses[index * ADDRESS_WORDS + ADDRESS.role];
  }

  /** Word 0 … 3 of the address. */
  word(index: number, word: number): number {
    return this.#addresses[index * ADDRESS_WORDS + word];
  }
}

function spread(a0: number, a1: number, a2: number, a3: number): number {
  const h = Math.imul(a0 ^ a1 ^ a2 ^ a3, 0x9e3779b1);
  return h ^ (h >>> 15);
}
