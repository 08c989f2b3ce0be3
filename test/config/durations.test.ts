import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatDuration, parseDuration, parseRate } from '../../src/config/durations.js';

test.each([
  ['250ms', 0.25],
  ['5s', 5],
  ['2m', 120],
  ['1h', 3600],
  ['1.5s', 1.5],
  ['0s', 0],
])('%s is %d seconds', (text, seconds) => expect(parseDuration(text)).toBe(seconds));

test.each(['', '5', 's', '5 s', '-5s', '5S', '1e3s', '1d', '5s ', '.5s', '1.s', '99999999999s'])(
  '%j is no duration',
  (text) => expect(parseDuration(text)).toBeNull(),
);

test.each([
  [0.25, '250ms'],
  [5, '5s'],
  [90, '90s'],
  [120, '2m'],
  [3600, '1h'],
  [5400, '90m'],
])('%d seconds are written %s', (seconds, text) => expect(formatDuration(seconds)).toBe(text));

test('what is formatted is read back', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1_000_000_000 }), (ms) => {
      const seconds = ms < 1000 ? ms / 1000 : Math.floor(ms / 1000);
      expect(parseDuration(formatDuration(seconds))).toBe(seconds);
    }),
  );
});

test('rates are events a second', () => {
  expect(parseRate('50/s')).toBe(50);
  expect(parseRate('0.5/s')).toBe(0.5);
  for (const text of ['50', '50/m', '/s', '-1/s', '50 /s', '1e9/s']) expect(parseRate(text)).toBeNull();
});
