import { describe, expect, test } from 'vitest';
import { ConflictDefence, type DefendedHost } from '../../../src/gateway/answers/defence.js';
import type { Claim } from '../../../src/gateway/answers/heard.js';

const claim = (station: number, by: Claim['by'] = 'announcement'): Claim => ({
  kind: 'claim',
  protocol: 'arp',
  by,
  station,
  hardware: station,
  target: [0, 0, 0xffff, 0x0a0700fe],
  ask: null,
});
const table = (count: number): DefendedHost[] =>
  Array.from({ length: count }, (_, i) => ({ mac: i + 1, addresses: [], forwarder: 1 + (i % 3) }));

/** Runs until nothing is due; the hosts told, in order, and when the last was. */
function run(defence: ConflictDefence, hosts: DefendedHost[], until: number): { told: DefendedHost[]; at: number } {
  const told: DefendedHost[] = [];
  let at = Number.NaN;
  while (defence.nextTime <= until) {
    at = defence.nextTime;
    told.push(...defence.turn(() => hosts, at));
  }
  return { told, at };
}

describe('defence of the shared address', () => {
  test('every known host is told its own gateway again, paced', () => {
    const defence = new ConflictDefence({ hostsPerSecond: 2000 });
    expect(defence.heard(claim(99), true, 10)).toBe(true);
    expect(defence.turn(() => table(200), 10)).toHaveLength(20);
    const { told, at } = run(defence, [], 100);
    expect(told).toHaveLength(180);
    expect(at).toBeGreaterThan(10.09);
    expect(at).toBeLessThan(10.2);
    expect(defence.counters()).toEqual({ claims: 1, defences: 1, told: 200, unnamed: 0 });
  });

  test('a station that repeats itself is answered once a second, and named once a minute', () => {
    const defence = new ConflictDefence();
    const named: number[] = [];
    const begun: number[] = [];
    for (let step = 0; step < 7000; step++) {
      const now = step / 100;
      if (defence.heard(claim(99), true, now)) named.push(now);
      if (defence.turn(() => table(1), now).length > 0) begun.push(now);
    }
    expect(named).toEqual([0, 60]);
    expect(begun.length).toBeGreaterThanOrEqual(69);
    expect(begun.length).toBeLessThanOrEqual(70);
  });

  test('who is not master counts and names, and leaves the defence to the master', () => {
    const defence = new ConflictDefence();
    expect(defence.heard(claim(99), false, 0)).toBe(true);
    expect(defence.nextTime).toBe(Number.POSITIVE_INFINITY);
    expect(defence.counters()).toMatchObject({ claims: 1, defences: 0 });
  });

  test('who asks whether the address is free has misled nobody', () => {
    const defence = new ConflictDefence();
    expect(defence.heard(claim(99, 'detection'), true, 0)).toBe(true);
    expect(defence.nextTime).toBe(Number.POSITIVE_INFINITY);
  });

  test('a defence ends with the office', () => {
    const defence = new ConflictDefence();
    defence.heard(claim(99), true, 0);
    defence.turn(() => table(500), 0);
    defence.stop();
    expect(defence.turn(() => table(500), 1)).toEqual([]);
  });

  test('many forged stations are not all named, and make one defence', () => {
    const defence = new ConflictDefence();
    const named = Array.from({ length: 1000 }, (_, i) => defence.heard(claim(1000 + i), true, 0)).filter(Boolean);
    expect(named).toHaveLength(64);
    expect(defence.counters()).toMatchObject({ claims: 1000, unnamed: 936 });
    expect(run(defence, table(10), 0.5).told).toHaveLength(10);
  });
});
