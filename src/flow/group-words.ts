/**
 * The virtual MACs of gateway groups that this process holds, in the control words that XDP program, rings and shards
 * read (layout.ts, GROUP). Main thread only; every word changes by itself.
 */
import { GROUP, GROUP_INSIDE, GROUP_OUTSIDE, GROUP_PEER_LIMIT, type TableMemory } from './layout.js';

export class GroupWords {
  readonly #xdp: Int32Array;
  readonly #base: number;

  constructor(memory: TableMemory, side: 'outside' | 'inside') {
    this.#xdp = memory.xdp;
    this.#base = side === 'outside' ? GROUP_OUTSIDE : GROUP_INSIDE;
  }

  /** There is no group: no frame is its. */
  clear(): void {
    Atomics.store(this.#xdp, this.#base + GROUP.macHigh, 0);
    this.#xdp.fill(0, this.#base, this.#base + GROUP.byBus + 1);
  }

  /** `mac`: a virtual MAC of the group; nothing is held yet. */
  begin(mac: Uint8Array): void {
    this.clear();
    this.#xdp[this.#base + GROUP.macLow] = mac[4];
    Atomics.store(this.#xdp, this.#base + GROUP.macHigh, (mac[0] << 24) | (mac[1] << 16) | (mac[2] << 8) | mac[3]);
  }

  /** Frames for the forwarder's virtual MAC are taken, or no longer. */
  hold(number: number, held: boolean): void {
    const word = this.#base + GROUP.held + (number >> 5);
    const bit = 1 << (number & 31);
    if (held) Atomics.or(this.#xdp, word, bit);
    else Atomics.and(this.#xdp, word, ~bit);
  }

  holds(number: number): boolean {
    return ((this.#xdp[this.#base + GROUP.held + (number >> 5)] >>> (number & 31)) & 1) !== 0;
  }

  /**
   * Whom packets of tunnels that are not known here are handed on to: forwarders that other gateways serve, one of each,
   * at most GROUP_PEER_LIMIT; and the forwarder that such frames come from, 0 while this gateway serves none.
   */
  setPeers(own: number, peers: readonly number[]): void {
    this.#xdp[this.#base + GROUP.own] = own;
    for (let word = 0; word < GROUP_PEER_LIMIT / 4; word++) {
      let packed = 0;
      for (let n = 0; n < 4; n++) packed |= (peers[word * 4 + n] ?? 0) << (n * 8);
      Atomics.store(this.#xdp, this.#base + GROUP.peers + word, packed);
    }
  }

  /** What is another member's goes by the cluster's bus first: not all have a virtual MAC that it could be handed on to. */
  setByBus(byBus: boolean): void {
    Atomics.store(this.#xdp, this.#base + GROUP.byBus, byBus ? 1 : 0);
  }
}
