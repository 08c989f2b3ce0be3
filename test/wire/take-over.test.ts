/** The take-over message, field by field and byte by byte. */
import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  buildTakeOver,
  inRanges,
  isAuthenticTakeOver,
  readTakeOver,
  TAKE_OVER_LENGTH_LIMIT,
  TAKE_OVER_NAME_LIMIT,
  TAKE_OVER_RESULTS,
  type TakeOverAnswer,
  type TakeOverMessage,
  type TakeOverOrder,
} from '../../src/wire/take-over.js';

const KEY = Buffer.from('a secret of some length');
const CLAIM: TakeOverOrder = {
  kind: 'claim',
  sequence: 0x1_0000_0002,
  timeMs: 1_750_000_000_123,
  sender: 'lns2',
  server: 'lns1',
  heir: 'lns2',
  generation: 7,
  ranges: [{ low: 1, high: 0x7fff }],
};
const ANSWER: TakeOverAnswer = {
  kind: 'answer',
  sequence: 9,
  timeMs: 10,
  sender: 'lns2',
  server: 'lns1',
  heir: 'lns2',
  generation: 8,
  result: 'old-generation',
  tunnels: 300,
};

test('an order is written to the byte', () => {
  const signed =
    '5444544f 01 01 005c 0000000100000002 000001977420dc7b 0000000000000007' +
    '0000 01 00 00000000 04 04 04 00 0001 7fff 6c6e7332 6c6e7331 6c6e7332';
  const expected = Buffer.from(signed.replaceAll(' ', ''), 'hex');
  const mac = createHmac('sha256', KEY).update(expected).digest();
  expect(Buffer.from(buildTakeOver(CLAIM, KEY)).toString('hex')).toBe(Buffer.concat([expected, mac]).toString('hex'));
});

test.each([
  ['order', CLAIM],
  ['answer', ANSWER],
  ['question', { ...CLAIM, kind: 'ask', heir: '', ranges: [] }],
] as const)('an %s is read as it was written', (_, message) => {
  const bytes = buildTakeOver(message, KEY);
  expect(readTakeOver(bytes)).toEqual(message);
  expect(isAuthenticTakeOver(bytes, KEY)).toBe(true);
  expect(isAuthenticTakeOver(bytes, Buffer.from('another secret of a length'))).toBe(false);
});

test('every bit counts for the HMAC', () => {
  const bytes = buildTakeOver(CLAIM, KEY);
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const other = Uint8Array.from(bytes);
    other[bit >> 3] ^= 1 << (bit & 7);
    const read = readTakeOver(other);
    expect(typeof read === 'string' || !isAuthenticTakeOver(other, KEY)).toBe(true);
  }
});

describe('what is no such message', () => {
  test.each([
    ['nothing', new Uint8Array(0)],
    ['cut', buildTakeOver(CLAIM, KEY).subarray(0, 80)],
    ['longer than it says', Uint8Array.of(...buildTakeOver(CLAIM, KEY), 0)],
    ['of another kind', changed(5, 9)],
    ['with more ranges than it has', changed(34, 3)],
    ['with a range that ends before it begins', changed(45, 0xff, 46, 0, 47, 1)],
    ['of id 0', changed(45, 0)],
    ['from nobody', changed(40, 0)],
    ['with a name that is no UTF-8', changed(48, 0xff)],
    ['an order with a result', changed(33, 1)],
    ['with a sequence above what is exact', changed(8, 0xff)],
  ])('%s', (_, bytes) => expect(readTakeOver(bytes)).toBe('malformed'));

  test('of another version', () => expect(readTakeOver(changed(4, 2))).toBe('version'));

  test('an answer with a result that nobody knows', () => {
    const bytes = buildTakeOver(ANSWER, KEY);
    bytes[33] = TAKE_OVER_RESULTS.length + 1;
    expect(readTakeOver(bytes)).toBe('malformed');
  });

  function changed(...places: number[]): Uint8Array {
    const bytes = buildTakeOver(CLAIM, KEY);
    for (let i = 0; i < places.length; i += 2) bytes[places[i]] = places[i + 1];
    return bytes;
  }
});

test('any bytes are read or refused, and what is read is written alike', () => {
  // A grapheme may be many bytes: what has no room is the next test's.
  const text = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 15 })
    .filter((name) => Buffer.byteLength(name) <= TAKE_OVER_NAME_LIMIT);
  const number = fc.nat({ max: Number.MAX_SAFE_INTEGER });
  const common = { sequence: number, timeMs: number, generation: number, sender: text, server: text, heir: text };
  const range = fc
    .tuple(fc.integer({ min: 1, max: 0xffff }), fc.integer({ min: 1, max: 0xffff }))
    .map(([a, b]) => ({ low: Math.min(a, b), high: Math.max(a, b) }));
  const order = fc.record({
    ...common,
    kind: fc.constantFrom('claim' as const, 'yield' as const, 'ask' as const),
    ranges: fc.array(range, { maxLength: 64 }),
  });
  const result = fc.constantFrom(...TAKE_OVER_RESULTS.map(([name]) => name));
  const answer = fc.record({ ...common, kind: fc.constant('answer' as const), result, tunnels: fc.nat() });
  fc.assert(
    fc.property(fc.oneof<fc.Arbitrary<TakeOverMessage>[]>(order, answer), (message) => {
      const bytes = buildTakeOver(message, KEY);
      expect(bytes.length).toBeLessThanOrEqual(TAKE_OVER_LENGTH_LIMIT);
      expect(readTakeOver(bytes)).toEqual(message);
    }),
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => typeof readTakeOver(bytes) === 'string'));
});

test('names, ranges and numbers that have no room are refused', () => {
  const long = 'x'.repeat(64);
  expect(() => buildTakeOver({ ...CLAIM, server: long }, KEY)).toThrow(RangeError);
  expect(() => buildTakeOver({ ...CLAIM, sender: '' }, KEY)).toThrow(RangeError);
  expect(() => buildTakeOver({ ...CLAIM, ranges: [{ low: 0, high: 1 }] }, KEY)).toThrow(RangeError);
  expect(() => buildTakeOver({ ...CLAIM, ranges: new Array(65).fill({ low: 1, high: 1 }) }, KEY)).toThrow(RangeError);
  expect(() => buildTakeOver({ ...CLAIM, generation: -1 }, KEY)).toThrow(RangeError);
});

test('ids in ranges', () => {
  expect(inRanges([], 5)).toBe(true);
  const ranges = [
    { low: 2, high: 4 },
    { low: 9, high: 9 },
  ];
  expect([1, 2, 4, 5, 9].map((id) => inRanges(ranges, id))).toEqual([false, true, true, false, true]);
});
