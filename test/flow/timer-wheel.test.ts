import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TimerWheel } from '../../src/flow/timer-wheel.js';
import { RUNS } from './memory.js';

const ITEMS = 12;
/** Items of 3 words: links at 1 and 2, and a guard word that must stay. */
const newWords = () => Int32Array.from({ length: ITEMS * 3 }, (_, i) => (i % 3 === 0 ? 0x77 : 0x0bad));
const newWheel = (now: number, buckets = 8) => new TimerWheel(newWords(), 3, 1, 2, now, buckets);

describe('timer wheel', () => {
  it('agrees with a list of deadlines, also beyond its reach and after long pauses', () => {
    const command = fc.oneof(
      fc.record({
        do: fc.constant('schedule' as const),
        item: fc.nat(ITEMS - 1),
        seconds: fc.integer({ min: -3, max: 40 }),
      }),
      fc.record({ do: fc.constant('cancel' as const), item: fc.nat(ITEMS - 1), seconds: fc.constant(0) }),
      fc.record({ do: fc.constant('advance' as const), item: fc.nat(6), seconds: fc.oneof(fc.nat(3), fc.nat(30)) }),
    );
    fc.assert(
      fc.property(fc.constantFrom(0, 5, 1_000_000), fc.array(command, { maxLength: 80 }), (start, commands) => {
        const words = newWords();
        const wheel = new TimerWheel(words, 3, 1, 2, start, 8);
        const model = new Map<number, number>();
        let now = start;
        for (const { do: what, item, seconds } of commands) {
          if (what === 'schedule') {
            wheel.schedule(item, now + seconds);
            model.set(item, Math.max(now + seconds, now + 1));
          } else if (what === 'cancel') {
            wheel.cancel(item);
            model.delete(item);
          } else {
            now += seconds;
            const expected = [...model].filter(([, deadline]) => deadline <= now).map(([due]) => due);
            const fired: number[] = [];
            expect(wheel.advance(now, (due) => fired.push(due))).toBe(expected.length);
            expect(fired.toSorted((a, b) => a - b)).toEqual(expected.toSorted((a, b) => a - b));
            for (const due of expected) model.delete(due);
          }
          expect(wheel.size).toBe(model.size);
          for (let i = 0; i < ITEMS; i++) expect(wheel.deadline(i)).toBe(model.get(i) ?? -1);
        }
        expect(words.filter((_, i) => i % 3 === 0).every((word) => word === 0x77)).toBe(true);
      }),
      { numRuns: RUNS },
    );
  });

  it('comes in the order of seconds when time goes second by second', () => {
    const wheel = newWheel(100);
    for (let i = 0; i < ITEMS; i++) wheel.schedule(i, 100 + ((i * 7) % 23) + 1);
    const seen: number[] = [];
    for (let now = 100; now < 130; now++) wheel.advance(now, (i) => seen.push(((i * 7) % 23) + 1 - (now - 100)));
    expect(seen).toEqual(new Array(ITEMS).fill(0));
  });

  it('lets the callback schedule and cancel anything, itself and its neighbours in the bucket', () => {
    const wheel = newWheel(0);
    for (const i of [0, 1, 2, 3]) wheel.schedule(i, 5);
    const seen: number[] = [];
    wheel.advance(5, (i) => {
      seen.push(i);
      expect(wheel.isScheduled(i)).toBe(false);
      if (i === 3) wheel.cancel(1);
      if (i === 2) wheel.schedule(0, 9);
      wheel.schedule(i, 5); // at the earliest in the next second, so this ends
    });
    expect(seen).toEqual([3, 2]);
    expect([0, 1, 2, 3].map((i) => wheel.deadline(i))).toEqual([9, -1, 6, 6]);
  });

  it('does what was left over by a limit at the next call', () => {
    const wheel = newWheel(0);
    for (const i of [0, 1, 2, 3, 4]) wheel.schedule(i, 2 + (i & 1));
    const seen: number[] = [];
    const onDue = (i: number) => seen.push(i);
    expect([wheel.advance(10, onDue, 2), wheel.advance(10, onDue, 2), wheel.advance(10, onDue, 2)]).toEqual([2, 2, 1]);
    expect(seen.toSorted()).toEqual([0, 1, 2, 3, 4]);
  });

  it('rounds deadlines up and refuses a number of buckets that is no power of two', () => {
    const wheel = newWheel(0);
    wheel.schedule(0, 1.2);
    expect(wheel.advance(1.9, () => {})).toBe(0);
    expect(wheel.advance(2, () => {})).toBe(1);
    expect(() => newWheel(0, 12)).toThrow(RangeError);
  });
});
