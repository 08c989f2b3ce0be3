/**
 * The next-hop segment: neighbours by port and address, with their link-layer address. Entries name them by index, so an
 * index never changes its neighbour. The segment itself is a hash table with open addressing, so that every thread finds
 * what another one entered. Neighbours are entered under the process-wide lock and resolved by whoever hears of them.
 *
 * Readers copy between two looks at NEXT_HOP.version; odd means that it is being written.
 */

import { HEADER, NEXT_HOP, NEXT_HOP_LIMIT, NEXT_HOP_STATE, NEXT_HOP_WORDS, type TableMemory } from './layout.js';

/** Steps from a neighbour's hash to where it stands, at most. A free slot on the way ends a search. */
const REACH = 64;

export class NextHopTable {
  readonly #header: Int32Array;
  readonly #words: Int32Array;

  constructor(memory: TableMemory) {
    this.#header = memory.header;
    this.#words = memory.nextHops;
  }

  /** Index (≥ 1) of the neighbour behind PORT_OUTSIDE or PORT_INSIDE, or −1. */
  find(port: number, a0: number, a1: number, a2: number, a3: number): number {
    let index = home(port, a0, a1, a2, a3);
    for (let step = 0; step < REACH; step++) {
      if (this.state(index) === NEXT_HOP_STATE.free) return -1;
      if (this.#holds(index, port, a0, a1, a2, a3)) return index;
      index = after(index);
    }
    return -1;
  }

  /** `find`, entering the neighbour as unresolved if it was not there. −1 when there is no room. Caller holds the lock. */
  ensure(port: number, a0: number, a1: number, a2: number, a3: number): number {
    let index = home(port, a0, a1, a2, a3);
    for (let step = 0; step < REACH; step++) {
      if (this.state(index) === NEXT_HOP_STATE.free) {
        const w = this.#words;
        const at = index * NEXT_HOP_WORDS;
        const writing = w[at + NEXT_HOP.version] | 1;
        Atomics.store(w, at + NEXT_HOP.version, writing);
        w[at + NEXT_HOP.address] = a0;
        w[at + NEXT_HOP.address + 1] = a1;
        w[at + NEXT_HOP.address + 2] = a2;
        w[at + NEXT_HOP.address + 3] = a3;
        w[at + NEXT_HOP.macHigh] = 0;
        w[at + NEXT_HOP.confirmed] = 0;
        w[at + NEXT_HOP.macLow] = (port << 8) | NEXT_HOP_STATE.unresolved;
        Atomics.store(w, at + NEXT_HOP.version, (writing + 1) | 0);
        Atomics.add(this.#header, HEADER.nextHopsUsed, 1);
        return index;
      }
      if (this.#holds(index, port, a0, a1, a2, a3)) return index;
      index = after(index);
    }
    return -1;
  }

  /**
   * The neighbour has told its address: 6 bytes of MAC, seconds of now. False when another thread is just writing it:
   * then its news are as good.
   */
  setMac(index: number, mac: Uint8Array, seconds: number): boolean {
    const high = (mac[0] << 24) | (mac[1] << 16) | (mac[2] << 8) | mac[3];
    const low = (((mac[4] << 8) | mac[5]) << 16) | (this.port(index) << 8) | NEXT_HOP_STATE.resolved;
    return this.#write(index, high, low, Math.floor(seconds));
  }

  /** The neighbour is gone or silent; frames to it are dropped until `setMac`. False as for `setMac`. */
  setUnresolved(index: number): boolean {
    return this.#write(index, 0, (this.port(index) << 8) | NEXT_HOP_STATE.unresolved, 0);
  }

  /** NEXT_HOP_STATE */
  state(index: number): number {
    return this.#words[index * NEXT_HOP_WORDS + NEXT_HOP.macLow] & 0xff;
  }

  /** PORT_OUTSIDE or PORT_INSIDE */
  port(index: number): number {
    return (this.#words[index * NEXT_HOP_WORDS + NEXT_HOP.macLow] >>> 8) & 0xff;
  }

  /** Copies the MAC into `out[0 … 5]`; false, and zeros, when it is not resolved. */
  mac(index: number, out: Uint8Array): boolean {
    const w = this.#words;
    const at = index * NEXT_HOP_WORDS;
    for (;;) {
      const version = Atomics.load(w, at + NEXT_HOP.version);
      const high = w[at + NEXT_HOP.macHigh];
      const low = w[at + NEXT_HOP.macLow];
      if (Atomics.load(w, at + NEXT_HOP.version) !== version || (version & 1) !== 0) continue;
      const resolved = (low & 0xff) === NEXT_HOP_STATE.resolved;
      for (let i = 0; i < 4; i++) out[i] = resolved ? high >>> (24 - 8 * i) : 0;
      out[4] = resolved ? low >>> 24 : 0;
      out[5] = resolved ? low >>> 16 : 0;
      return resolved;
    }
  }

  /** Word 0 … 3 of the neighbour's address. */
  addressWord(index: number, word: number): number {
    return this.#words[index * NEXT_HOP_WORDS + NEXT_HOP.address + word];
  }

  /** Seconds of the last confirmation, 0 never. */
  confirmed(index: number): number {
    return this.#words[index * NEXT_HOP_WORDS + NEXT_HOP.confirmed];
  }

  count(): number {
    return Atomics.load(this.#header, HEADER.nextHopsUsed);
  }

  /** Calls `visit` for every neighbour that is not free. */
  forEach(visit: (index: number) => void): void {
    for (let index = 1; index < NEXT_HOP_LIMIT; index++) if (this.state(index) !== NEXT_HOP_STATE.free) visit(index);
  }

  /**
   * Takes over what a crash left: half-written neighbours become unresolved (or stay free when they were being entered),
   * HEADER.nextHopsUsed is counted anew. Readers may go on meanwhile: of the half-written they see nothing before it is
   * whole, the others do not change.
   */
  adopt(): { kept: number; repaired: number } {
    let kept = 0;
    let repaired = 0;
    for (let index = 1; index < NEXT_HOP_LIMIT; index++) {
      const at = index * NEXT_HOP_WORDS;
      const free = this.state(index) === NEXT_HOP_STATE.free;
      if ((this.#words[at + NEXT_HOP.version] & 1) !== 0) {
        repaired++;
        if (!free) {
          // Two halves of two MACs may stand here: they go before the version says that it may be read.
          this.#words[at + NEXT_HOP.macHigh] = 0;
          this.#words[at + NEXT_HOP.macLow] = (this.port(index) << 8) | NEXT_HOP_STATE.unresolved;
          this.#words[at + NEXT_HOP.confirmed] = 0;
        }
        Atomics.add(this.#words, at + NEXT_HOP.version, 1);
      }
      if (!free) kept++;
    }
    Atomics.store(this.#header, HEADER.nextHopsUsed, kept);
    return { kept, repaired };
  }

  /** A slot's neighbour is written before its state leaves `free`, and never changes after. */
  #holds(index: number, port: number, a0: number, a1: number, a2: number, a3: number): boolean {
    const w = this.#words;
    const at = index * NEXT_HOP_WORDS;
    return (
      ((w[at + NEXT_HOP.macLow] >>> 8) & 0xff) === port &&
      w[at + NEXT_HOP.address + 3] === (a3 | 0) &&
      w[at + NEXT_HOP.address + 2] === (a2 | 0) &&
      w[at + NEXT_HOP.address + 1] === (a1 | 0) &&
      w[at + NEXT_HOP.address] === (a0 | 0)
    );
  }

  #write(index: number, macHigh: number, macLow: number, confirmed: number): boolean {
    const w = this.#words;
    const at = index * NEXT_HOP_WORDS;
    const version = w[at + NEXT_HOP.version];
    if ((version & 1) !== 0) return false;
    // Confirmed as it stands: no reader must take it for one that is being written.
    if (w[at + NEXT_HOP.macHigh] === macHigh && w[at + NEXT_HOP.macLow] === (macLow | 0)) {
      Atomics.store(w, at + NEXT_HOP.confirmed, confirmed);
      return true;
    }
    if (Atomics.compareExchange(w, at + NEXT_HOP.version, version, version | 1) !== version) return false;
    w[at + NEXT_HOP.macHigh] = macHigh;
    w[at + NEXT_HOP.macLow] = macLow;
    w[at + NEXT_HOP.confirmed] = confirmed;
    Atomics.store(w, at + NEXT_HOP.version, (version + 2) | 0);
    return true;
  }
}

/** 1 … NEXT_HOP_LIMIT − 1: index 0 is never used. */
function home(port: number, a0: number, a1: number, a2: number, a3: number): number {
  let h = Math.imul(a3 ^ port, 0x9e3779b1);
  h = Math.imul(h ^ (h >>> 15) ^ a1, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13) ^ a0 ^ a2, 0xc2b2ae35);
  return 1 + (((h ^ (h >>> 16)) >>> 0) % (NEXT_HOP_LIMIT - 1));
}

function after(index: number): number {
  return index + 1 < NEXT_HOP_LIMIT ? index + 1 : 1;
}
