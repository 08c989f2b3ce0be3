/** MSS clamping through whole shards, against checksums computed anew. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PORT_INSIDE } from '../../src/io/port.js';
import { checksum, pseudoHeaderIpv4, pseudoHeaderIpv6 } from '../../src/wire/checksum.js';
import { findMss, newProposedMss } from '../../src/wire/ppp-tcp.js';
import { FUZZ_RUNS } from '../helpers/fuzz.js';
import { MemoryAppliance } from '../helpers/memory-appliance.js';
import {
  bytes,
  concat,
  frame,
  hex,
  l2tpData,
  scccn,
  sccrp,
  sccrq,
  udpFrame,
  viewOf,
} from '../helpers/packet-builder.js';

const config = (clamp: string): string => `
vips: [{ name: a, address: 200.200.100.1, ${clamp} servers: [{ name: s, address: 10.10.1.1 }] }]
table: { connections: 64 }
`;
const CLIENT = '192.0.2.7:1701';
const VIP = '200.200.100.1:1701';
const SERVER = '10.10.1.1:1701';

function connected(clamp = 'clampMss: 1400,'): MemoryAppliance {
  const a = new MemoryAppliance(config(clamp));
  a.send(udpFrame(CLIENT, VIP, sccrq({ assigned: 7 })));
  a.send(udpFrame(SERVER, CLIENT, sccrp({ tunnel: 7, assigned: 99 })), PORT_INSIDE);
  a.send(udpFrame(CLIENT, VIP, scccn({ tunnel: 99 })));
  return a;
}

interface Segment {
  readonly v6: boolean;
  readonly flags: number;
  readonly mss: number | null;
  /** Options before the MSS, as bytes. */
  readonly before?: string;
  /** ff 03 in front, and the protocol in two bytes. */
  readonly acfc: boolean;
  readonly pfc: boolean;
}

/** A TCP segment inside PPP, its checksum right. */
function ppp({ v6, flags, mss, before = '', acfc, pfc }: Segment): Uint8Array {
  const options = concat(before, mss === null ? '' : concat([2, 4, mss >> 8, mss & 0xff]));
  const padded = concat(options, new Uint8Array((4 - (options.length % 4)) % 4));
  const [src, dst] = v6 ? ['2001:db8:a::1', '2001:db8:a::2'] : ['10.1.1.1', '10.1.1.2'];
  const packet = frame({ ip: { src, dst }, tcp: { src: 5000, dst: 80, flags }, payload: padded }).subarray(14);
  const ip = packet.slice();
  const view = viewOf(ip);
  const tcp = v6 ? 40 : 20;
  ip[tcp + 12] = ((20 + padded.length) >> 2) << 4;
  view.setUint16(tcp + 16, 0);
  view.setUint16(tcp + 16, checksum(view, tcp, ip.length, pseudoOf(view, v6, ip.length - tcp)));
  return concat(acfc ? '' : 'ff03', pfc ? '' : '00', v6 ? '57' : '21', ip);
}
const pseudoOf = (view: DataView, v6: boolean, length: number): number =>
  v6 ? pseudoHeaderIpv6(view, 0, 6, length) : pseudoHeaderIpv4(view, 0, 6, length);

function headerLength({ acfc, pfc }: Segment): number {
  return (acfc ? 0 : 2) + (pfc ? 1 : 2);
}

/** The MSS in what came out, once every checksum was found right. */
function mssOf(out: Uint8Array, l2tp: number, segment: Segment): number | null {
  const view = viewOf(out);
  const udpLength = view.getUint16(38);
  expect(checksum(view, 34, 34 + udpLength, pseudoHeaderIpv4(view, 14, 17, udpLength))).toBe(0);
  const inner = out.slice(42 + l2tp + headerLength(segment), 34 + udpLength);
  const tcp = segment.v6 ? 40 : 20;
  expect(checksum(viewOf(inner), tcp, inner.length, pseudoOf(viewOf(inner), segment.v6, inner.length - tcp))).toBe(0);
  const found = newProposedMss();
  const at = 42 + l2tp;
  return findMss(view, at, 34 + udpLength, found) ? view.getUint16(found.mss) : null;
}

const HEADERS = [
  { length: false, l2tp: 6 },
  { length: true, l2tp: 8 },
  { length: true, sequence: [1, 2] as const, l2tp: 12 },
  { offset: 3, l2tp: 11 },
  { length: true, sequence: [1, 2] as const, offset: 0, l2tp: 14 },
];

test('every form of the headers, both ways, IPv4 and IPv6, SYN and SYN with ACK', () => {
  const a = connected();
  let clamped = 0;
  for (const header of HEADERS)
    for (const v6 of [false, true])
      for (const acfc of [false, true])
        for (const pfc of [false, true])
          for (const before of ['', '01', '0101', '040201'])
            for (const inwards of [true, false]) {
              const segment: Segment = { v6, acfc, pfc, flags: inwards ? 0x02 : 0x12, mss: 1460, before };
              const { l2tp, ...options } = header;
              const data = l2tpData({ tunnel: inwards ? 99 : 7, session: 1, payload: ppp(segment), ...options });
              const given = inwards ? udpFrame(CLIENT, VIP, data) : udpFrame(SERVER, CLIENT, data);
              const { sent } = a.send(given, inwards ? 0 : PORT_INSIDE);
              expect(mssOf(sent[0].frame, l2tp, segment)).toBe(v6 ? 1380 : 1400);
              clamped++;
            }
  expect(a.count('mssClamped')).toBe(clamped);
  expect(a.drops()).toEqual({});
});

describe('is left alone', () => {
  const SYN: Segment = { v6: false, acfc: false, pfc: false, flags: 0x02, mss: 1460 };
  const through = (a: MemoryAppliance, segment: Segment): number | null =>
    mssOf(
      a.send(udpFrame(CLIENT, VIP, l2tpData({ tunnel: 99, session: 1, payload: ppp(segment) }))).sent[0].frame,
      6,
      segment,
    );
  test('what is small already, what is no SYN, what has no MSS', () => {
    const a = connected();
    expect(through(a, { ...SYN, mss: 1400 })).toBe(1400);
    expect(through(a, { ...SYN, mss: 536 })).toBe(536);
    expect(through(a, { ...SYN, flags: 0x10 })).toBe(null);
    expect(through(a, { ...SYN, mss: null })).toBe(null);
    expect(a.count('mssClamped')).toBe(0);
  });
  test('all of it without the option', () => {
    const a = connected('');
    expect(through(a, SYN)).toBe(1460);
    a.reload(config('clampMss: 1200,'));
    expect(through(a, SYN)).toBe(1200);
  });
  test('a UDP checksum of 0 stays 0', () => {
    const a = connected();
    const data = l2tpData({ tunnel: 99, session: 1, payload: ppp(SYN) });
    const out = a.send(udpFrame(CLIENT, VIP, data, { udp: { checksum: 'none' } })).sent[0].frame;
    expect(viewOf(out).getUint16(40)).toBe(0);
    expect(a.count('mssClamped')).toBe(1);
  });
});

test('whatever PPP carries, nothing throws and nothing outside it is believed', () => {
  const found = newProposedMss();
  const seed = ppp({ v6: false, acfc: false, pfc: false, flags: 2, mss: 1460, before: '0101' });
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(seed.length - 1), fc.integer({ min: 0, max: 255 })), { maxLength: 5 }),
      fc.nat(seed.length),
      (changes, length) => {
        const made = seed.slice();
        for (const [at, value] of changes) made[at] = value;
        if (!findMss(viewOf(made.slice(0, length)), 0, length, found)) return;
        expect(found.mss + 2).toBeLessThanOrEqual(length);
        expect(found.tcp + 20).toBeLessThanOrEqual(length);
      },
    ),
    { numRuns: FUZZ_RUNS },
  );
  expect(findMss(viewOf(bytes('ff03c02101010004')), 0, 8, found)).toBe(false);
  expect(hex(seed.subarray(0, 4))).toBe('ff030021');
});
