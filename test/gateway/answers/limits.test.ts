import { describe, expect, test } from 'vitest';
import { SourceLimits } from '../../../src/gateway/answers/limits.js';

const HOST = 0x020000000011;
const FLOODER = 0x020000000666;

describe('limits of sources', () => {
  test('a flood of one source does not cost another its answer', () => {
    const limits = new SourceLimits({ rate: 50, burst: 100 });
    let flooded = 0;
    for (let i = 0; i < 10_000; i++) {
      const now = i / 10_000;
      if (limits.admit(FLOODER, true, now)) flooded++;
      if (i % 1000 === 0) expect(limits.admit(HOST, true, now)).toBe(true);
    }
    expect(flooded).toBeGreaterThanOrEqual(149);
    expect(flooded).toBeLessThanOrEqual(150);
    expect(limits.counters()).toEqual({ perSource: 10_000 - flooded, strangers: 0, forgotten: 0 });
  });

  test('forged sources share one limit, which known hosts do not have', () => {
    const limits = new SourceLimits({ rate: 50, burst: 100, strangers: { rate: 1000, burst: 500 }, capacity: 4096 });
    let admitted = 0;
    for (let i = 0; i < 50_000; i++) if (limits.admit(0x020100000000 + i, false, i / 50_000)) admitted++;
    expect(admitted).toBeGreaterThanOrEqual(1498);
    expect(admitted).toBeLessThanOrEqual(1500);
    for (let i = 0; i < 100; i++) expect(limits.admit(HOST, true, 1)).toBe(true);
    expect(limits.counters()).toMatchObject({ perSource: 0, strangers: 50_000 - admitted });
    expect(limits.counters().forgotten).toBeGreaterThan(0);
  });

  test('a flood in the name of a host about one address leaves it its answers about another', () => {
    const limits = new SourceLimits({ rate: 50, burst: 100 });
    for (let i = 0; i < 1000; i++) limits.admit(HOST, true, 0, 0);
    expect(limits.admit(HOST, true, 0, 0)).toBe(false);
    expect(limits.admit(HOST, true, 0, 1)).toBe(true);
    // And about that one it is answered within a fiftieth of a second, whoever asked.
    expect(limits.admit(HOST, true, 0.02, 0)).toBe(true);
  });

  test('MACs that differ in their upper bytes only are two sources', () => {
    const limits = new SourceLimits({ rate: 1, burst: 1 });
    expect(limits.admit(0x020000000011, true, 0)).toBe(true);
    expect(limits.admit(0x060000000011, true, 0)).toBe(true);
    expect(limits.admit(0x020000000011, true, 0)).toBe(false);
  });

  test('a source is named once a minute, and only so many', () => {
    const limits = new SourceLimits({ rate: 1, burst: 1 });
    expect(limits.flooding(FLOODER, 0)).toBe(true);
    expect(limits.flooding(FLOODER, 59)).toBe(false);
    expect(limits.flooding(FLOODER, 60)).toBe(true);
    const named = Array.from({ length: 200 }, (_, i) => limits.flooding(i + 1, 61)).filter(Boolean);
    expect(named).toHaveLength(63);
    expect(limits.flooding(999, 122)).toBe(true);
  });

  test('new limits act at once and keep the counters', () => {
    const limits = new SourceLimits({ rate: 1, burst: 1 });
    limits.admit(HOST, true, 0);
    expect(limits.admit(HOST, true, 0)).toBe(false);
    limits.configure({ rate: 10, burst: 2 });
    expect([limits.admit(HOST, true, 0), limits.admit(HOST, true, 0), limits.admit(HOST, true, 0)]).toEqual([
      true,
      true,
      false,
    ]);
    expect(limits.counters().perSource).toBe(2);
  });
});
