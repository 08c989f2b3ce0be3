import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  dumpRequest,
  readAddress,
  readError,
  readLink,
  readMessages,
  readNeighbour,
  readRoute,
  RTM_GETADDR,
  RTM_GETLINK,
  RTM_GETNEIGH,
  RTM_GETROUTE,
  useNeighbour,
} from '../../src/io/netlink.js';
import { FUZZ_RUNS } from '../helpers/fuzz.js';
import * as build from '../helpers/netlink-builder.js';
import { concat, hex } from '../helpers/packet-builder.js';

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const V6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const V6_WORDS = [0x20010db8, 0, 0, 1];
const v4 = (word: number): number[] => [0, 0, 0xffff, word];
const MAC = [2, 0, 0, 0, 0, 9];

describe('requests', () => {
  // struct nlmsghdr: length, type, flags REQUEST|DUMP, sequence, port; then ifinfomsg, ifaddrmsg, rtmsg or ndmsg.
  test.each([
    [RTM_GETLINK, 0, `20000000 1200 0103 07000000 00000000 ${'00'.repeat(16)}`],
    [RTM_GETADDR, 0, `18000000 1600 0103 07000000 00000000 ${'00'.repeat(8)}`],
    [RTM_GETROUTE, 10, `1c000000 1a00 0103 07000000 00000000 0a${'00'.repeat(11)}`],
    [RTM_GETNEIGH, 0, `1c000000 1e00 0103 07000000 00000000 ${'00'.repeat(12)}`],
  ])('dump of type %i', (type, family, expected) => {
    expect(hex(dumpRequest(type, family, 7))).toBe(expected.replaceAll(' ', ''));
  });

  test('no dump of anything else', () => expect(() => dumpRequest(24, 0, 1)).toThrow(RangeError));

  test('use of a neighbour, IPv4 and IPv6', () => {
    const head = (length: string): string => `${length}000000 1c00 0104 07000000 00000000 `;
    expect(hex(useNeighbour(5, v4(0x0a000001), 7))).toBe(
      `${head('24')} 02000000 05000000 0000 01 00 0800 0100 0a000001`.replaceAll(' ', ''),
    );
    expect(hex(useNeighbour(5, V6_WORDS, 7))).toBe(
      `${head('30')} 0a000000 05000000 0000 01 00 1400 0100 20010db8000000000000000000000001`.replaceAll(' ', ''),
    );
  });
});

describe('datagrams', () => {
  test('hold several messages', () => {
    const read = readMessages(concat(build.message(24, [1, 2, 3], 2 | 0x10, 5), build.done(5)));
    expect(read.map(({ type, sequence, interrupted, body }) => [type, sequence, interrupted, body.byteLength])).toEqual(
      [
        [24, 5, true, 3],
        [3, 5, false, 4],
      ],
    );
  });

  test('that are cut or lie give what is whole', () => {
    const one = build.message(24, [1, 2, 3, 4]);
    const two = concat(one, one);
    for (let length = 0; length < two.length; length++) {
      expect(readMessages(two.subarray(0, length)).length).toBe(length < one.length ? 0 : 1);
    }
    const lying = one.slice();
    lying[0] = 3;
    expect(readMessages(lying)).toEqual([]);
  });

  test('errors are positive numbers', () => {
    expect(readError(readMessages(build.refusal(1, 95))[0].body)).toBe(95);
    expect(readError(readMessages(build.done(1))[0].body)).toBe(0);
    expect(readError(new DataView(new ArrayBuffer(2)))).toBe(0);
  });
});

describe('bodies', () => {
  test('link', () => {
    expect(readLink(view(build.link(3, 'wan0.100', { mtu: 1400 })))).toEqual({
      index: 3,
      name: 'wan0.100',
      up: true,
      mac: Uint8Array.of(2, 0, 0, 0, 0, 3),
      mtu: 1400,
    });
    expect(readLink(view(build.link(3, 'wan0', { up: false, mac: [1, 2, 3, 4] })))).toMatchObject({
      up: false,
      mac: null,
    });
  });

  test('route with gateway, metric and table', () => {
    const attributes = [build.number(4, 3), build.attribute(5, [10, 0, 0, 1]), build.number(6, 20)];
    expect(readRoute(view(build.route({ length: 8, destination: [10, 0, 0, 0], attributes })))).toEqual({
      table: 254,
      type: 1,
      words: v4(0x0a000000),
      length: 104,
      metric: 20,
      special: false,
      hops: [{ index: 3, gateway: v4(0x0a000001) }],
    });
    expect(readRoute(view(build.route({ length: 0, table: 1000, attributes })))).toMatchObject({
      words: v4(0),
      length: 96,
      table: 1000,
    });
    expect(
      readRoute(view(build.route({ family: 10, length: 64, destination: V6, attributes: [build.number(4, 3)] }))),
    ).toMatchObject({
      words: V6_WORDS,
      length: 64,
      hops: [{ index: 3, gateway: [0, 0, 0, 0] }],
    });
  });

  test('route with several hops: dead ones are left out, a gateway may be of the other family', () => {
    const hops = concat(
      build.hop(4, [build.attribute(5, [10, 0, 0, 4])], 1),
      build.hop(5, [build.attribute(18, [10, 0, ...V6])]),
      build.hop(6, [build.attribute(5, [10, 0, 0, 6])]),
    );
    expect(
      readRoute(view(build.route({ length: 8, destination: [10, 0, 0, 0], attributes: [build.attribute(9, hops)] })))
        ?.hops,
    ).toEqual([
      { index: 5, gateway: V6_WORDS },
      { index: 6, gateway: v4(0x0a000006) },
    ]);
  });

  test('special routes are marked, dead ones have no hop', () => {
    const attributes = [build.number(4, 3)];
    expect(readRoute(view(build.route({ length: 0, flags: 0x200, attributes })))?.special).toBe(true);
    expect(readRoute(view(build.route({ length: 0, tos: 8, attributes })))?.special).toBe(true);
    expect(readRoute(view(build.route({ length: 0, flags: 1, attributes })))?.hops).toEqual([]);
  });

  test('damaged routes are none', () => {
    expect(readRoute(view(build.route({ length: 33, destination: [10, 0, 0, 0] })))).toBeNull();
    expect(readRoute(view(build.route({ length: 8 })))).toBeNull(); // a prefix without its address
    expect(readRoute(view(build.route({ length: 8, destination: [10, 0, 0] })))).toBeNull();
    expect(readRoute(view(build.route({ length: 0, attributes: [build.attribute(5, [1, 2])] })))).toBeNull();
    expect(
      readRoute(view(build.route({ length: 0, attributes: [build.attribute(9, [3, 0, 0, 0, 0, 0, 0, 0])] }))),
    ).toBeNull();
  });

  test('neighbour: only a valid state has an address to use', () => {
    expect(readNeighbour(view(build.neighbour(3, [10, 0, 0, 1], MAC)))).toEqual({
      index: 3,
      words: v4(0x0a000001),
      mac: Uint8Array.from(MAC),
    });
    expect(readNeighbour(view(build.neighbour(3, V6, MAC, 0x80)))).toMatchObject({
      words: V6_WORDS,
      mac: Uint8Array.from(MAC),
    });
    expect(readNeighbour(view(build.neighbour(3, V6, MAC, 0x20)))?.mac).toBeNull(); // failed
    expect(readNeighbour(view(build.neighbour(3, V6, null, 0x01)))?.mac).toBeNull(); // incomplete
    expect(readNeighbour(view(build.neighbour(3, V6, MAC, 2, 8)))).toBeNull(); // a proxy's entry
  });

  test('address: the local end counts', () => {
    const attributes = [build.attribute(1, [10, 0, 0, 2]), build.attribute(2, [10, 0, 0, 1])];
    expect(readAddress(view(build.address(3, attributes)))).toEqual({ index: 3, words: v4(0x0a000001) });
    expect(readAddress(view(build.address(3, [build.attribute(1, V6)], 10)))).toEqual({ index: 3, words: V6_WORDS });
    expect(readAddress(view(build.address(3, [])))).toBeNull();
  });

  const readers = [readLink, readRoute, readNeighbour, readAddress];
  const samples = [
    build.link(3, 'wan0'),
    build.route({
      length: 8,
      destination: [10, 0, 0, 0],
      attributes: [build.attribute(9, build.hop(6, [build.attribute(5, [10, 0, 0, 6])]))],
    }),
    build.neighbour(3, V6, MAC),
    build.address(3, [build.attribute(1, V6)], 10),
  ];

  test('cut at every length, nothing is read beyond the end', () => {
    samples.forEach((sample, i) => {
      for (let length = 0; length < sample.length; length++) {
        // Exact copies: reading beyond the end of the memory throws.
        expect(() => readers[i](view(sample.slice(0, length)))).not.toThrow();
      }
    });
  });

  test('any bytes, and any damage to good ones, give a value or null', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...samples),
        fc.uint8Array({ maxLength: 80 }),
        fc.array(fc.tuple(fc.nat(200), fc.nat(255)), { maxLength: 6 }),
        (sample, noise, damage) => {
          const bad = sample.slice();
          for (const [at, value] of damage) bad[at % bad.length] = value;
          for (const bytes of [noise, bad]) {
            for (const message of readMessages(bytes)) for (const read of readers) read(message.body);
            for (const read of readers) read(view(bytes.slice()));
            const route = readRoute(view(bytes.slice()));
            if (route !== null) expect(route.length).toBeLessThanOrEqual(128);
          }
        },
      ),
      { numRuns: FUZZ_RUNS },
    );
  });
});
