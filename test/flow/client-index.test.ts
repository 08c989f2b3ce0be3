import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ClientIndex } from '../../src/flow/client-index.js';
import { clientList, ownerSlot } from '../../src/flow/hash.js';
import { CLIENT_LISTS, OWNER_SLOT_COUNT } from '../../src/flow/layout.js';
import { newMemory } from './memory.js';

const RECORDS = 64;
type Words = [number, number, number, number];
const walk = (index: ClientIndex, words: Words): number[] => {
  const out: number[] = [];
  for (let record = index.first(...words); record >= 0; record = index.next(record)) out.push(record);
  return out;
};

test('the list of an address tells its owner', () => {
  fc.assert(
    fc.property(fc.tuple(fc.integer(), fc.integer(), fc.integer(), fc.integer()), (words) => {
      expect(clientList(...words) & (OWNER_SLOT_COUNT - 1)).toBe(ownerSlot(...words));
      expect(clientList(...words)).toBeLessThan(CLIENT_LISTS);
    }),
  );
});

test('any order of adding and removing leaves what a plain map has', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(RECORDS - 1), fc.nat(3)), { maxLength: 200 }), (steps) => {
      const index = new ClientIndex(newMemory(RECORDS));
      const model = new Map<number, number>();
      for (const [record, client] of steps) {
        if (model.has(record)) {
          index.remove(record);
          model.delete(record);
        } else {
          index.add(record, 0, 0, 0xffff, client);
          model.set(record, client);
        }
      }
      for (let client = 0; client <= 3; client++) {
        const expected = [...model].filter(([, c]) => c === client).map(([record]) => record);
        expect(walk(index, [0, 0, 0xffff, client]).sort()).toEqual(expected.sort());
        expect(index.mayHave(0, 0, 0xffff, client)).toBe(expected.length > 0);
      }
    }),
  );
});

test('a shard starts its lists anew, even one that runs in a circle, and leaves the others’ alone', () => {
  const memory = newMemory(RECORDS);
  const index = new ClientIndex(memory);
  const mine: Words = [0, 0, 0xffff, 1];
  const other: Words = [0, 0, 0xffff, 2];
  memory.ownerSlots.fill(0);
  memory.ownerSlots[ownerSlot(...other)] = 1;
  for (const record of [1, 2, 3]) index.add(record, ...mine);
  index.add(9, ...other);
  memory.clientLinks[1 * 2] = 3 + 1; // the last one leads back to the first
  index.clear(0);
  expect([index.mayHave(...mine), walk(index, other)]).toEqual([false, [9]]);
  index.add(2, ...mine);
  expect(walk(index, mine)).toEqual([2]);
});
