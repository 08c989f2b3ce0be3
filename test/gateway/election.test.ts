import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { better, type Standing } from '../../src/gateway/election.js';

const standing = (number: number, changes: Partial<Standing> = {}): Standing => ({
  number,
  able: true,
  resigned: false,
  priority: 100,
  address: [0, 0, 0xffff, 0x0a070000 + number],
  ...changes,
});

describe('who is to be master rather than whom', () => {
  test.each([
    ['higher priority', standing(1, { priority: 101 }), standing(2)],
    ['higher address, of two alike', standing(2), standing(1)],
    ['any that can forward', standing(1, { priority: 1 }), standing(2, { priority: 254, able: false })],
    ['any that has not resigned', standing(1, { priority: 1 }), standing(2, { priority: 254, resigned: true })],
    ['any with an address, of two alike', standing(1), standing(2, { address: null })],
    ['higher number, of two alike', standing(2, { address: null }), standing(1, { address: null })],
  ])('%s', (_, a, b) => {
    expect(better(a, b)).toBe(true);
    expect(better(b, a)).toBe(false);
  });

  test('all members come to the same order', () => {
    const any = fc.record({
      number: fc.integer({ min: 1, max: 255 }),
      able: fc.boolean(),
      resigned: fc.boolean(),
      priority: fc.integer({ min: 1, max: 3 }),
      address: fc.option(fc.constantFrom(standing(1).address, standing(2).address)),
    }) as fc.Arbitrary<Standing>;
    fc.assert(
      fc.property(any, any, any, (a, b, c) => {
        if (a.number !== b.number) expect(better(a, b)).toBe(!better(b, a));
        if (better(a, b) && better(b, c)) expect(better(a, c)).toBe(true);
      }),
    );
  });
});
