/**
 * Which client addresses have tunnels, and which: lists of records by a hash of the address, in the shared memory. Whoever
 * writes holds the process-wide lock; any thread may ask, and may then see a list in the middle of a change, so walks are bounded. The XDP program asks only
 * whether a list is empty, so to it some address in 65,536 may seem to have a tunnel that has none.
 */
import { clientList } from './hash.js';
import { CLIENT_LINK, CLIENT_LINK_WORDS, CLIENT_LISTS, OWNER_SLOT_COUNT, type TableMemory } from './layout.js';

export class ClientIndex {
  readonly #lists: Int32Array;
  readonly #links: Int32Array;

  constructor(readonly memory: TableMemory) {
    this.#lists = memory.clients;
    this.#links = memory.clientLinks;
  }

  /** Enters a record that is in no list. */
  add(record: number, a0: number, a1: number, a2: number, a3: number): void {
    const list = clientList(a0, a1, a2, a3);
    const at = record * CLIENT_LINK_WORDS;
    const first = this.#lists[list];
    this.#links[at + CLIENT_LINK.next] = first;
    this.#links[at + CLIENT_LINK.previous] = -1 - list;
    if (first !== 0) this.#links[(first - 1) * CLIENT_LINK_WORDS + CLIENT_LINK.previous] = record + 1;
    Atomics.store(this.#lists, list, record + 1);
  }

  /** `add`, unless the record is in a list already. */
  enter(record: number, a0: number, a1: number, a2: number, a3: number): void {
    const previous = this.#links[record * CLIENT_LINK_WORDS + CLIENT_LINK.previous];
    // A list that a crash cut has left records behind that think they are in it.
    const leads =
      previous < 0
        ? this.#lists[-1 - previous]
        : previous > 0
          ? this.#links[(previous - 1) * CLIENT_LINK_WORDS + CLIENT_LINK.next]
          : 0;
    if (leads !== record + 1) this.add(record, a0, a1, a2, a3);
  }

  /** Takes a record out of its list, if it is in one. */
  remove(record: number): void {
    const at = record * CLIENT_LINK_WORDS;
    const previous = this.#links[at + CLIENT_LINK.previous];
    if (previous === 0) return;
    const next = this.#links[at + CLIENT_LINK.next];
    if (previous < 0) Atomics.store(this.#lists, -1 - previous, next);
    else this.#links[(previous - 1) * CLIENT_LINK_WORDS + CLIENT_LINK.next] = next;
    if (next !== 0) this.#links[(next - 1) * CLIENT_LINK_WORDS + CLIENT_LINK.previous] = previous;
    this.#links[at + CLIENT_LINK.previous] = 0;
  }

  /** The record is in no list, whatever its link says: one that a crash left half made. */
  forget(record: number): void {
    this.#links[record * CLIENT_LINK_WORDS + CLIENT_LINK.previous] = 0;
  }

  /** Some client of this address's list has a tunnel. */
  mayHave(a0: number, a1: number, a2: number, a3: number): boolean {
    return this.#lists[clientList(a0, a1, a2, a3)] !== 0;
  }

  /** First record of the address's list, or −1. The list may hold other clients' too. */
  first(a0: number, a1: number, a2: number, a3: number): number {
    return this.#lists[clientList(a0, a1, a2, a3)] - 1;
  }

  /** The record behind this one, or −1. */
  next(record: number): number {
    return this.#links[record * CLIENT_LINK_WORDS + CLIENT_LINK.next] - 1;
  }

  /** Empties the lists of a shard: it enters its records anew after a start or a crash, which may have cut a list. */
  clear(shard: number): void {
    const { ownerSlots } = this.memory;
    for (let list = 0; list < CLIENT_LISTS; list++) {
      if (ownerSlots[list & (OWNER_SLOT_COUNT - 1)] !== shard) continue;
      // Bounded, because a list that a crash cut may lead in a circle.
      let left = this.memory.layout.recordCount;
      for (let record = this.#lists[list] - 1; record >= 0 && left > 0; left--) {
        const next = this.next(record);
        this.#links[record * CLIENT_LINK_WORDS + CLIENT_LINK.previous] = 0;
        record = next;
      }
      Atomics.store(this.#lists, list, 0);
    }
  }
}
