import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TokenBuckets } from '../../src/flow/token-bucket.js';
import { RUNS } from './memory.js';

describe('token buckets', () => {
  it('admit what one bucket for each source would', () => {
    const step = fc.record({ source: fc.nat(3), wait: fc.constantFrom(0, 0, 0.125, 1, 10) });
    fc.assert(
      fc.property(
        fc.constantFrom(1, 4),
        fc.integer({ min: 1, max: 5 }),
        fc.array(step, { maxLength: 80 }),
        (rate, burst, steps) => {
          const buckets = new TokenBuckets({ rate, burst, capacity: 4 });
          const model = new Map<number, { tokens: number; at: number }>();
          let now = 100;
          for (const { source, wait } of steps) {
            now += wait;
            const known = model.get(source) ?? { tokens: burst, at: now };
            const tokens = Math.min(burst, known.tokens + (now - known.at) * rate);
            const admitted = tokens >= 1;
            model.set(source, { tokens: admitted ? tokens - 1 : tokens, at: now });
            expect(buckets.take(0, 0, 0xffff, source, now)).toBe(admitted);
          }
          expect(buckets.replaced).toBe(0);
        },
      ),
      { numRuns: RUNS },
    );
  });

  it('replace the source that asked longest ago, and count it if its bucket was not full', () => {
    const buckets = new TokenBuckets({ rate: 1, burst: 2, capacity: 4 });
    const take = (source: number, now: number) => buckets.take(source, 0, 0, 0, now);
    for (let source = 0; source < 4; source++) take(source, 10 + source / 100);
    expect([take(0, 10.5), take(0, 10.5)]).toEqual([true, false]);
    expect([take(9, 10.6), buckets.replaced]).toEqual([true, 1]); // source 1 goes, it had 1.59 tokens
    expect(take(0, 10.6)).toBe(false);
    expect([take(1, 30), buckets.replaced]).toEqual([true, 1]); // source 2 goes, it was full again
    expect([take(1, 30), take(1, 30)]).toEqual([true, false]);
  });
});
