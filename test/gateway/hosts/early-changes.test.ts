import { describe, expect, test } from 'vitest';
import { EarlyChanges } from '../../../src/gateway/hosts/early-changes.js';
import type { HostRecord } from '../../../src/wire/gateway-hosts.js';
import { macOf } from './fixture.js';

const record = (i: number): HostRecord => ({
  mac: macOf(i),
  forwarder: 1,
  home: 0,
  confirmed: false,
  gone: false,
  addresses: [],
  age: 0,
});

describe('changes that come early', () => {
  test('wait by version, once each', () => {
    const early = new EarlyChanges();
    expect([early.keep(1, 5, record(5)), early.keep(1, 7, record(7)), early.keep(1, 5, record(6))]).toEqual([
      'kept',
      'kept',
      'known',
    ]);
    expect(early.take(1, 6)).toBeUndefined();
    expect(early.take(2, 5)).toBeUndefined();
    expect(early.take(1, 5)).toEqual(record(5));
    expect(early.take(1, 5)).toBeUndefined();
    expect(early.size).toBe(1);
  });

  test('of another term take the place of those that wait', () => {
    const early = new EarlyChanges();
    early.keep(1, 5, record(5));
    early.keep(2, 1, record(1));
    expect(early.takeAll()).toEqual([record(1)]);
    expect(early.size).toBe(0);
  });

  test('are no news when the table has got there otherwise', () => {
    const early = new EarlyChanges();
    for (let version = 1; version <= 5; version++) early.keep(3, version, record(version));
    early.reached(2, 9);
    expect(early.size).toBe(5);
    early.reached(3, 3);
    expect(early.takeAll()).toEqual([record(4), record(5)]);
    early.keep(3, 6, record(6));
    early.reached(4, 0);
    expect(early.size).toBe(0);
  });

  test('have an end', () => {
    const early = new EarlyChanges();
    for (let version = 0; version < 4096; version++) expect(early.keep(1, version, record(1))).toBe('kept');
    expect(early.keep(1, 4096, record(1))).toBe('full');
    expect(early.takeAll()).toHaveLength(4096);
  });
});
