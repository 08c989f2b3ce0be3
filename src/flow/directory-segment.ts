/**
 * The directory segment: address → its index and role, for the XDP program. Two halves: the one that does not count is
 * filled, then a single store of XDP.directory makes it count, so the program never sees half a plan. Main thread only.
 */
import { spreadAddress } from './hash.js';
import {
  DIRECTORY,
  DIRECTORY_LENGTH,
  DIRECTORY_REACH,
  DIRECTORY_SEED_SHIFT,
  DIRECTORY_SLOTS,
  DIRECTORY_WORDS,
  ELEMENT_LENGTH,
  type TableMemory,
  XDP,
} from './layout.js';

export interface DirectoryItem {
  readonly words: readonly [number, number, number, number];
  /** Index in the addresses segment. */
  readonly index: number;
  /** ADDRESS_ROLE bits. */
  readonly role: number;
}

const MASK = DIRECTORY_SLOTS - 1;
const SEED_TRIES = 1 << (32 - DIRECTORY_SEED_SHIFT);
/** Elements of a half. */
const HALF = (DIRECTORY_SLOTS * DIRECTORY_LENGTH) / ELEMENT_LENGTH;

/**
 * Fills the half that does not count and makes it count. Throws RangeError when the items cannot be placed, which takes
 * far more of them than a configuration may name.
 */
export function writeDirectory(memory: TableMemory, items: readonly DirectoryItem[]): void {
  const { directory, xdp, layout } = memory;
  const first = layout.directory / ELEMENT_LENGTH;
  const half = (xdp[XDP.directory] & ((1 << DIRECTORY_SEED_SHIFT) - 1)) === first ? 1 : 0;
  const base = half * DIRECTORY_SLOTS * DIRECTORY_WORDS;
  for (let seed = 0; seed < SEED_TRIES; seed++) {
    const places = place(items, seed);
    if (places === null) continue;
    directory.fill(0, base, base + DIRECTORY_SLOTS * DIRECTORY_WORDS);
    for (let i = 0; i < items.length; i++) {
      const at = base + places[i] * DIRECTORY_WORDS;
      directory.set(items[i].words, at);
      directory[at + DIRECTORY.role] = items[i].role;
      directory[at + DIRECTORY.index] = items[i].index + 1;
    }
    Atomics.store(xdp, XDP.directory, (seed << DIRECTORY_SEED_SHIFT) | (first + half * HALF));
    return;
  }
  throw new RangeError(`directory: ${items.length} addresses cannot be placed`);
}

/** The slot of every item, or null when one would be farther from its first slot than readers look. */
function place(items: readonly DirectoryItem[], seed: number): number[] | null {
  const taken = new Set<number>();
  const slots: number[] = [];
  for (const { words } of items) {
    let slot = spreadAddress(...words, seed) & MASK;
    for (let n = 0; taken.has(slot); n++) {
      if (n + 1 >= DIRECTORY_REACH) return null;
      slot = (slot + 1) & MASK;
    }
    taken.add(slot);
    slots.push(slot);
  }
  return slots;
}
