import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bucketOf, HOSTS_MAX, HostTable, recordOf, withAddress } from '../../../src/gateway/hosts/host-table.js';
import type { AddressWords } from '../../../src/wire/address.js';
import { BUCKETS, type HostRecord } from '../../../src/wire/gateway-hosts.js';
import { addressOf, macOf } from './fixture.js';

const recordFor = (i: number, more: Partial<HostRecord> = {}): HostRecord => ({
  mac: macOf(i),
  forwarder: 1 + (i % 3),
  home: 0,
  confirmed: false,
  gone: false,
  addresses: [addressOf(i)],
  age: 0,
  ...more,
});

type Step =
  | { kind: 'put'; host: number; forwarder: number; home: number; confirmed: boolean; addresses: number[] }
  | { kind: 'remove'; host: number }
  | { kind: 'touch'; host: number };

const host = fc.integer({ min: 0, max: 30 });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant('put' as const),
    host,
    forwarder: fc.integer({ min: 1, max: 5 }),
    home: fc.integer({ min: 0, max: 5 }),
    confirmed: fc.boolean(),
    addresses: fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 3 }),
  }),
  fc.record({ kind: fc.constant('remove' as const), host }),
  fc.record({ kind: fc.constant('touch' as const), host }),
);

describe('the table of hosts', () => {
  test('agrees with a Map, and its digest with one computed anew', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const table = new HostTable();
        const model = new Map<number, { record: HostRecord; since: number; seen: number }>();
        steps.forEach((one, i) => {
          const now = i * 2;
          const known = model.get(one.host);
          if (one.kind === 'put') {
            const { forwarder, home, confirmed } = one;
            const record = recordFor(one.host, { forwarder, home, confirmed, addresses: one.addresses.map(addressOf) });
            table.put(record, now);
            const since = known?.record.forwarder === forwarder ? known.since : now;
            model.set(one.host, { record, since, seen: known?.seen ?? now });
          } else if (one.kind === 'remove') {
            expect(table.remove(macOf(one.host))).toBe(model.delete(one.host));
          } else {
            const entry = table.get(macOf(one.host));
            expect(entry === undefined).toBe(known === undefined);
            if (entry !== undefined && known !== undefined) {
              table.touch(entry, now);
              known.seen = now;
            }
          }
          expect(table.digest).toEqual(table.recomputed());
        });
        expect(table.size).toBe(model.size);
        for (const [i, { record, since, seen }] of model) {
          const entry = table.get(macOf(i));
          expect(entry).toMatchObject({
            forwarder: record.forwarder,
            home: record.home,
            addresses: record.addresses,
            since,
            seen,
          });
        }
        for (let n = 1; n <= 5; n++) {
          expect(table.countOf(n)).toBe([...model.values()].filter(({ record }) => record.forwarder === n).length);
        }
        for (const confirmed of [false, true]) {
          const some = [...model.values()].filter(({ record }) => record.confirmed === confirmed);
          expect(table.oldest(confirmed)?.confirmed).toBe(some.length === 0 ? undefined : confirmed);
        }
      }),
    );
  });

  test('the digest is the same in whatever order it came about, and another after any change', () => {
    const records = Array.from({ length: 200 }, (_, i) => recordFor(i));
    const one = new HostTable();
    const other = new HostTable();
    for (const record of records) one.put(record, 0);
    for (const record of [...records].reverse()) other.put(recordFor(7, { mac: record.mac, forwarder: 9 }), 0);
    for (const record of [...records].reverse()) other.put(record, 1);
    expect(other.digest).toEqual(one.digest);
    expect(other.digests).toEqual(one.digests);
    const seen = new Set([String(one.digest)]);
    const changes: Partial<HostRecord>[] = [
      { forwarder: 7 },
      { home: 2 },
      { confirmed: true },
      { addresses: [] },
      { addresses: [addressOf(5), addressOf(6)] },
    ];
    for (const change of changes) {
      other.put(recordFor(5, change), 2);
      seen.add(String(other.digest));
    }
    expect(seen.size).toBe(changes.length + 1);
    // Two hosts that change places are not the same as before.
    other.put(recordFor(5, { forwarder: 1 }), 3);
    other.put(recordFor(6, { forwarder: 3 }), 3);
    expect(seen.has(String(other.digest))).toBe(false);
    other.put(recordFor(5), 4);
    other.put(recordFor(6), 4);
    expect(other.digest).toEqual(one.digest);
  });

  test('buckets are about equally full', () => {
    const full = new Int32Array(BUCKETS);
    for (let i = 0; i < BUCKETS * 100; i++) full[bucketOf(macOf(i))]++;
    expect(Math.min(...full)).toBeGreaterThan(50);
    expect(Math.max(...full)).toBeLessThan(160);
  });

  test('has an end, whatever others say', () => {
    const table = new HostTable();
    for (let i = 0; i < HOSTS_MAX; i++) table.put(recordFor(i), 0);
    expect(table.put(recordFor(HOSTS_MAX), 0)).toBeNull();
    expect(table.put(recordFor(0, { forwarder: 9 }), 0)?.forwarder).toBe(9);
    expect(table.size).toBe(HOSTS_MAX);
  });

  test('of a family the last four addresses are kept', () => {
    let addresses: readonly AddressWords[] = [];
    for (let i = 0; i < 6; i++) addresses = withAddress(addresses, addressOf(i)) ?? addresses;
    addresses = withAddress(addresses, [1, 2, 3, 4]) ?? addresses;
    expect(addresses).toEqual([2, 3, 4, 5].map(addressOf).concat([[1, 2, 3, 4]]));
    expect(withAddress(addresses, addressOf(3))).toBeNull();
  });

  test('a record says how long the host has had its forwarder', () => {
    const table = new HostTable();
    const entry = table.put(recordFor(1), 10, 7);
    expect(entry && recordOf(entry, 12)).toMatchObject({ age: 5, forwarder: 2, gone: false });
  });
});
