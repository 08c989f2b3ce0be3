import { describe, expect, test } from 'vitest';
import { type LoadFields, loadOf } from '../../src/designation/load-formula.js';
import { ReplayGuard } from '../../src/designation/replay-guard.js';
import { NOTHING_KNOWN } from '../../src/wire/load-status.js';

const NO_LIMITS = { capacityBits: null, tunnelLimit: null, sessionLimit: null };
const NONE = { traffic: 0, cpu: 0, memory: 0, tunnels: 0, sessions: 0, combine: 'mean' } as const;
const TRAFFIC = { ...NONE, traffic: 1 };
const fields = (some: Partial<LoadFields>): LoadFields => ({ ...NOTHING_KNOWN, ...some });

describe('traffic against capacity', () => {
  test('the greater way counts, bits or packets', () => {
    const both = { bitsIn: 2e9, bitsOut: 4e9, bitCapacity: 1e10, packetsIn: 7e5, packetsOut: 1e5, packetCapacity: 1e6 };
    expect(loadOf(fields({ bitsIn: 2e9, bitsOut: 4e9, bitCapacity: 1e10 }), NO_LIMITS, TRAFFIC)).toBe(0.4);
    expect(loadOf(fields(both), NO_LIMITS, TRAFFIC)).toBe(0.7);
  });
  test('capacity of the configuration where the message has none; unknown without any', () => {
    const some = fields({ bitsIn: 5e8 });
    expect(loadOf(some, { ...NO_LIMITS, capacityBits: 1e9 }, TRAFFIC)).toBe(0.5);
    expect(loadOf(fields({ bitsIn: 5e8, bitCapacity: 5e8 }), { ...NO_LIMITS, capacityBits: 1e9 }, TRAFFIC)).toBe(1);
    expect(loadOf(some, NO_LIMITS, TRAFFIC)).toBeNull();
    expect(loadOf(fields({ bitCapacity: 1e9 }), NO_LIMITS, TRAFFIC)).toBeNull();
  });
});

test('weighted mean and greatest of what is known', () => {
  const some = fields({ cpu: 0.9, memory: 0.3, tunnels: 50 });
  const limits = { ...NO_LIMITS, tunnelLimit: 100 };
  expect(loadOf(some, limits, { ...NONE, cpu: 1, memory: 2 })).toBeCloseTo(0.5);
  expect(loadOf(some, limits, { ...NONE, cpu: 1, tunnels: 3 })).toBeCloseTo(0.6);
  expect(loadOf(some, limits, { ...NONE, cpu: 1, memory: 5, combine: 'max' })).toBe(0.9);
  // A term that is not known takes its weight along.
  expect(loadOf(some, limits, { ...NONE, cpu: 1, sessions: 9 })).toBe(0.9);
  expect(loadOf(some, limits, NONE)).toBeNull();
});

describe('replay guard', () => {
  test('each once, in order, within the skew of the clock, of each sender by itself', () => {
    const guard = new ReplayGuard(1000);
    const judge = (sender: string, sequence: number, time: number) => guard.judge(sender, sequence, time, 50_000);
    expect(judge('a', 5, 50_000)).toBeNull();
    expect(judge('a', 5, 50_000)).toBe('replayed');
    expect(judge('a', 4, 50_000)).toBe('replayed');
    expect(judge('b', 4, 50_000)).toBeNull();
    expect(judge('a', 6, 48_999)).toBe('late');
    expect(judge('a', 6, 51_001)).toBe('early');
    expect([judge('a', 6, 49_000), judge('a', 7, 51_000)]).toEqual([null, null]);
    guard.keep(new Set(['b']));
    expect([judge('a', 1, 50_000), judge('b', 1, 50_000)]).toEqual([null, 'replayed']);
  });
});
