import { expect, it } from 'vitest';
import { addWide } from '../../src/flow/wide-counter.js';

const sumOf = (words: Int32Array): bigint => new BigUint64Array(words.buffer)[0];

it.each([
  [0n, 0],
  [5n, 7],
  [0xffffffffn, 1],
  [0x1_ffff_ffffn, 0xffffffff],
  [0x0123_4567_89ab_cdefn, 2 ** 52 + 12345],
])('%d and %d', (before, amount) => {
  const words = new Int32Array(2);
  new BigUint64Array(words.buffer)[0] = before;
  addWide(words, 0, amount);
  expect(sumOf(words)).toBe(before + BigInt(amount));
});

it('the sum is right when somebody else carries between the two steps', () => {
  // The other one's 64-bit addition comes after the low word's step, whichever of both has the carry.
  for (const [start, mine, other] of [
    [0xffff_fff0n, 0x20, 0x1_0000_0000n],
    [0xffff_fff0n, 0x08, 0x10n],
    [0xffff_fff0n, 0x20, 0xffff_fff0n],
  ] as const) {
    const words = new Int32Array(2);
    const whole = new BigUint64Array(words.buffer);
    whole[0] = start;
    const add = Atomics.add;
    let steps = 0;
    Atomics.add = ((array: Int32Array, at: number, value: number) => {
      const before = add(array, at, value);
      if (++steps === 1) whole[0] += other;
      return before;
    }) as typeof Atomics.add;
    try {
      addWide(words, 0, mine);
    } finally {
      Atomics.add = add;
    }
    expect(sumOf(words)).toBe(start + BigInt(mine) + other);
  }
});
