import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SharedRate } from '../../src/flow/shared-rate.js';
import { RUNS } from './memory.js';

const words = (): Int32Array => new Int32Array(new SharedArrayBuffer(16));

test('a burst at once, then its rate', () => {
  const rate = new SharedRate(words(), 1, 10, 5);
  const taken = (now: number, tries: number): number =>
    Array.from({ length: tries }, () => rate.take(now)).filter(Boolean).length;
  expect(taken(1000, 20)).toBe(5);
  expect(taken(1000.05, 20)).toBe(0);
  expect(taken(1000.1, 20)).toBe(1);
  expect(taken(1001.1, 20)).toBe(5);
  expect(taken(5_000_000, 20)).toBe(5);
});

test('two that share a word share the limit', () => {
  const shared = words();
  const [one, other] = [new SharedRate(shared, 0, 1, 4), new SharedRate(shared, 0, 1, 4)];
  const taken = Array.from({ length: 8 }, (_, i) => (i % 2 === 0 ? one : other).take(50)).filter(Boolean);
  expect(taken).toHaveLength(4);
});

test('a word of another rate does not stop anybody', () => {
  const shared = words();
  shared[0] = 0x12345678;
  expect(new SharedRate(shared, 0, 3, 1).take(7)).toBe(true);
});

test('lets through what a token bucket lets through, whenever the requests come', () => {
  const gaps = fc.array(fc.double({ min: 0, max: 3, noNaN: true }), { maxLength: 60 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1000 }), fc.integer({ min: 1, max: 8 }), gaps, (perSecond, burst, waits) => {
      const rate = new SharedRate(words(), 0, perSecond, burst);
      const start = 4_000_000; // days of CLOCK_MONOTONIC
      let now = start;
      let taken = 0;
      for (const wait of waits) {
        now += wait / perSecond;
        if (rate.take(now)) taken++;
      }
      // Never more than the bucket holds and gets; a sixteenth of a token is the grain of time.
      expect(taken).toBeLessThanOrEqual(burst + (now - start) * perSecond + 0.2);
      expect(taken).toBeGreaterThanOrEqual(Math.min(waits.length, burst));
    }),
    { numRuns: RUNS },
  );
});
