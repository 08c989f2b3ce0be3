import { describe, expect, it } from 'vitest';
import { type DirectoryItem, writeDirectory } from '../../src/flow/directory-segment.js';
import { spreadAddress } from '../../src/flow/hash.js';
import {
  ADDRESS_ROLE,
  DIRECTORY,
  DIRECTORY_REACH,
  DIRECTORY_SEED_SHIFT,
  DIRECTORY_SLOTS,
  DIRECTORY_WORDS,
  ELEMENT_LENGTH,
  type TableMemory,
  XDP,
} from '../../src/flow/layout.js';
import { newMemory, numbers } from './memory.js';

type Words = DirectoryItem['words'];

/** As the program reads it: from one element index and one seed, both out of one word. */
function find(memory: TableMemory, words: Words): { index: number; role: number } | null {
  const word = memory.xdp[XDP.directory];
  const first = word & ((1 << DIRECTORY_SEED_SHIFT) - 1);
  const seed = word >>> DIRECTORY_SEED_SHIFT;
  const base = (first * ELEMENT_LENGTH - memory.layout.directory) / 4;
  for (let n = 0; n < DIRECTORY_REACH; n++) {
    const slot = (spreadAddress(...words, seed) + n) & (DIRECTORY_SLOTS - 1);
    const at = base + slot * DIRECTORY_WORDS;
    const index = memory.directory[at + DIRECTORY.index];
    if (index === 0) return null;
    if (words.every((value, i) => memory.directory[at + i] === (value | 0))) {
      return { index: index - 1, role: memory.directory[at + DIRECTORY.role] };
    }
  }
  return null;
}

function items(count: number, seed: number): DirectoryItem[] {
  const next = numbers(seed);
  return Array.from({ length: count }, (_, index) => ({
    words: index % 2 === 0 ? [0, 0, 0xffff, next()] : [next(), next(), next(), next()],
    index,
    role: index % 3 === 0 ? ADDRESS_ROLE.vip : ADDRESS_ROLE.server,
  }));
}

describe('the directory', () => {
  it.each([0, 1, 40, 1280])('%d addresses are found, others not', (count) => {
    const memory = newMemory(8);
    const all = items(count, 7);
    writeDirectory(memory, all);
    for (const { words, index, role } of all) expect(find(memory, words)).toEqual({ index, role });
    for (const { words } of items(200, 99)) expect(find(memory, words)).toBeNull();
  });

  it('index 0 is an index', () => {
    const memory = newMemory(8);
    writeDirectory(memory, [{ words: [0, 0, 0xffff, 1], index: 0, role: ADDRESS_ROLE.vip }]);
    expect(find(memory, [0, 0, 0xffff, 1])).toEqual({ index: 0, role: ADDRESS_ROLE.vip });
  });

  it('the half that counts is not touched by the next plan, and the new one counts by one store', () => {
    const memory = newMemory(8);
    writeDirectory(memory, items(100, 1));
    const word = memory.xdp[XDP.directory];
    const from = ((word & ((1 << DIRECTORY_SEED_SHIFT) - 1)) * ELEMENT_LENGTH - memory.layout.directory) / 4;
    const half = () => memory.directory.slice(from, from + DIRECTORY_SLOTS * DIRECTORY_WORDS);
    const before = half();
    writeDirectory(memory, items(50, 2));
    expect(half()).toEqual(before);
    expect(memory.xdp[XDP.directory]).not.toBe(word);
    for (const { words, index } of items(50, 2)) expect(find(memory, words)?.index).toBe(index);
    for (const { words } of items(100, 1)) expect(find(memory, words)).toBeNull();
    // The third plan takes the first one's half, and leaves nothing of it.
    writeDirectory(memory, items(1, 3));
    expect(half()).not.toEqual(before);
    for (const { words } of items(100, 1)) expect(find(memory, words)).toBeNull();
  });

  it('says when there are too many', () => {
    const memory = newMemory(8);
    writeDirectory(memory, items(10, 1));
    expect(() => writeDirectory(memory, items(DIRECTORY_SLOTS, 2))).toThrow(RangeError);
    for (const { words, index } of items(10, 1)) expect(find(memory, words)?.index).toBe(index);
  });
});
