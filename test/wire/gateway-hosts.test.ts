import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AddressWords } from '../../src/wire/address.js';
import {
  BUCKETS,
  covers,
  encodeChanges,
  encodeOffer,
  encodePart,
  encodeRecord,
  encodeRequest,
  FAMILY_LIMIT,
  type HostRecord,
  RECORD_LIMIT,
  readHostsBody,
} from '../../src/wire/gateway-hosts.js';

const word = fc.integer({ min: 0, max: 0xffffffff });
const v4 = word.map((a): AddressWords => [0, 0, 0xffff, a]);
const v6 = fc
  .tuple(word, word, word, word)
  .map(([a, b, c, d]): AddressWords => [a | 0x20000000, b, c, d].map((w) => w >>> 0) as unknown as AddressWords);
const record: fc.Arbitrary<HostRecord> = fc.record({
  mac: fc
    .integer({ min: 1, max: 0xfeffffffffff })
    .map((mac) => (Math.floor(mac / 2 ** 40) % 2 === 1 ? mac - 2 ** 40 : mac) || 1),
  forwarder: fc.integer({ min: 1, max: 255 }),
  home: fc.integer({ min: 0, max: 255 }),
  confirmed: fc.boolean(),
  gone: fc.constant(false),
  addresses: fc
    .tuple(fc.array(v4, { maxLength: FAMILY_LIMIT }), fc.array(v6, { maxLength: FAMILY_LIMIT }))
    .map(([four, six]) => [...four, ...six]),
  age: fc.integer({ min: 0, max: 4_000_000 }).map((ms) => ms / 1000),
});
const position = fc.record({ term: word, version: word, digest: fc.tuple(word, word), count: word });
const POSITION = { term: 0x102, version: 3, digest: [4, 5] as [number, number], count: 6 };

describe('bodies', () => {
  test('what is written is read again', () => {
    fc.assert(
      fc.property(position, fc.array(record, { maxLength: 20 }), (base, records) => {
        const changes = encodeChanges(
          base,
          records.map((r) => encodeRecord(r, false)),
        );
        expect(readHostsBody(changes)).toEqual({
          kind: 'changes',
          base,
          records: records.map((r) => ({ ...r, age: 0 })),
        });
        const aged = records.map((r) => encodeRecord(r, true));
        expect(readHostsBody(encodeOffer(aged))).toEqual({ kind: 'offer', records });
        const buckets = Uint8Array.from({ length: BUCKETS / 8 }, (_, i) => (base.term >>> (i % 4)) & 0xff);
        const part = {
          last: base.count % 2 === 0,
          more: base.count % 3 === 0,
          position: base,
          buckets,
          first: 5,
          final: 0xffffffffffff,
        };
        expect(readHostsBody(encodePart(part, aged))).toEqual({ kind: 'part', ...part, records });
        for (const bytes of aged) expect(bytes.length).toBeLessThanOrEqual(RECORD_LIMIT);
      }),
    );
    const digests = Uint32Array.from({ length: BUCKETS * 2 }, (_, i) => i * 0x1010101);
    expect(readHostsBody(encodeRequest(POSITION, digests))).toEqual({ kind: 'request', position: POSITION, digests });
  });

  test('a change of a host with one IPv4 address has 13 bytes', () => {
    const host: HostRecord = {
      mac: 0x020000000001,
      forwarder: 3,
      home: 0,
      confirmed: true,
      gone: false,
      addresses: [[0, 0, 0xffff, 1]],
      age: 0,
    };
    expect([...encodeRecord(host, false)]).toEqual([2, 0, 0, 0, 0, 1, 3, 1, 0x10, 0, 0, 0, 1]);
  });

  test('a host that is gone', () => {
    const gone: HostRecord = {
      mac: 0x020000000001,
      forwarder: 0,
      home: 0,
      confirmed: false,
      gone: true,
      addresses: [],
      age: 0,
    };
    expect(readHostsBody(encodeChanges(POSITION, [encodeRecord(gone, false)]))).toMatchObject({ records: [gone] });
  });

  test('cut anywhere, or with a byte too many: refused', () => {
    const host: HostRecord = {
      mac: 0x020000000001,
      forwarder: 3,
      home: 2,
      confirmed: true,
      gone: false,
      addresses: [
        [0, 0, 0xffff, 1],
        [1, 2, 3, 4],
      ],
      age: 1,
    };
    const bodies = [
      encodeChanges(POSITION, [encodeRecord(host, false)]),
      encodeOffer([encodeRecord(host, true)]),
      encodePart({ last: true, more: false, position: POSITION, buckets: new Uint8Array(16), first: 0, final: 9 }, [
        encodeRecord(host, true),
      ]),
      encodeRequest(POSITION, new Uint32Array(BUCKETS * 2)),
    ];
    for (const body of bodies) {
      expect(readHostsBody(body)).not.toBeNull();
      for (let length = 0; length < body.length; length++) expect(readHostsBody(body.subarray(0, length))).toBeNull();
      expect(readHostsBody(Uint8Array.of(...body, 0))).toBeNull();
    }
  });

  test.each([
    ['a group address', (b: Uint8Array) => (b[3] |= 1)],
    ['no address', (b: Uint8Array) => b.fill(0, 3, 9)],
    ['no forwarder', (b: Uint8Array) => (b[9] = 0)],
    ['gone with a forwarder', (b: Uint8Array) => (b[10] |= 2)],
    ['five addresses of a family', (b: Uint8Array) => (b[11] = 0x50)],
    ['more records than there are', (b: Uint8Array) => (b[2] = 2)],
    ['an unknown kind', (b: Uint8Array) => (b[0] = 9)],
  ])('%s: refused', (_name, spoil) => {
    const host: HostRecord = {
      mac: 0x020000000001,
      forwarder: 3,
      home: 0,
      confirmed: true,
      gone: false,
      addresses: [[0, 0, 0xffff, 1]],
      age: 0,
    };
    const body = encodeOffer([encodeRecord(host, true)]);
    expect(readHostsBody(body)).not.toBeNull();
    spoil(body);
    expect(readHostsBody(body)).toBeNull();
  });

  test('no bytes whatever make the reader throw, and it reads only what it could have written', () => {
    const bodyOf = fc
      .tuple(fc.constantFrom(1, 2, 3, 4), fc.uint8Array({ maxLength: 1200 }))
      .map(([kind, rest]) => Uint8Array.of(kind, ...rest));
    fc.assert(
      fc.property(bodyOf, (body) => {
        const read = readHostsBody(body);
        if (read === null || read.kind === 'request') return;
        for (const one of read.records) expect(one.gone ? one.forwarder : one.forwarder > 0).toBe(one.gone ? 0 : true);
      }),
    );
  });

  test('the bit of each bucket', () => {
    const buckets = new Uint8Array(BUCKETS / 8);
    buckets[3] = 0x10;
    expect(Array.from({ length: BUCKETS }, (_, i) => i).filter((i) => covers(buckets, i))).toEqual([28]);
  });
});
