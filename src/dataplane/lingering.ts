/**
 * Entries that no record names any more and that stay a little longer, because packets by them are on their way: those of
 * a server that has given its tunnels away. Whoever adopts the table removes what a crash left of them.
 */
import type { ConnectionTable } from '../flow/connection-table.js';
import { ENTRY, ENTRY_WORDS, type TableMemory } from '../flow/layout.js';

interface Item {
  readonly slot: number;
  /** Of the entry: another one may have taken the slot meanwhile. */
  readonly version: number;
  /** Seconds. */
  readonly until: number;
}

/** Beyond it entries go at once. */
export const LINGERING_LIMIT = 65_536;

export class Lingering {
  #items: Item[] = [];
  #head = 0;

  constructor(
    readonly memory: TableMemory,
    readonly table: ConnectionTable,
  ) {}

  /** The entry goes at `until`; times of one caller only grow. False: it must go now. */
  add(slot: number, until: number): boolean {
    if (this.count >= LINGERING_LIMIT) return false;
    this.#items.push({ slot, version: this.#version(slot), until });
    return true;
  }

  get count(): number {
    return this.#items.length - this.#head;
  }

  /** Once a turn. */
  settle(now: number, nowMs: number): void {
    if (this.#items.length === 0) return;
    for (; this.#head < this.#items.length && this.#items[this.#head].until <= now; this.#head++) {
      const { slot, version } = this.#items[this.#head];
      if (this.table.isLive(slot) && this.#version(slot) === version) this.table.remove(slot, nowMs);
    }
    if (this.#head < this.#items.length) return;
    this.#items = [];
    this.#head = 0;
  }

  #version(slot: number): number {
    return this.memory.entries[slot * ENTRY_WORDS + ENTRY.version];
  }
}
