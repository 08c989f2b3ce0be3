import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  adjust16,
  adjust32,
  asUdp,
  checksum,
  fold,
  pseudoHeaderIpv4,
  pseudoHeaderIpv6,
  sum,
} from '../../src/wire/checksum.js';
import { FUZZ_RUNS } from '../helpers/fuzz.js';
import { bytes, viewOf } from '../helpers/packet-builder.js';

/** A reference as slow as can be: adds words as integers of any size, folds at the end. */
function reference(data: Uint8Array): number {
  let total = 0n;
  for (let i = 0; i < data.length; i += 2) total += BigInt((data[i] << 8) | (data[i + 1] ?? 0));
  while (total > 0xffffn) total = (total & 0xffffn) + (total >> 16n);
  return Number(total);
}

describe('sum and checksum', () => {
  test('the example of RFC 1071 §3', () => {
    expect(sum(viewOf(bytes('0001f203f4f5f6f7')), 0, 8)).toBe(0xddf2);
    expect(checksum(viewOf(bytes('0001f203f4f5f6f7')), 0, 8)).toBe(0x220d);
  });
  test('an odd last byte counts as the high half of a word', () =>
    expect(sum(viewOf(bytes('0102 03')), 0, 3)).toBe(0x0402));
  test('nothing sums up to nothing', () => expect(sum(viewOf(bytes('ff')), 0, 0)).toBe(0));
  test('65,535 bytes of ones do not overflow', () => {
    const data = new Uint8Array(65_535).fill(0xff);
    expect(sum(viewOf(data), 0, data.length, 0xffff)).toBe(reference(Uint8Array.of(...data.subarray(0, 4), 0xff)));
  });
  test('equals the reference, at any offset and split in two', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(3), fc.nat(100), (data, offset, half) => {
        const buffer = new Uint8Array(data.length + offset).fill(0xa5);
        buffer.set(data, offset);
        const view = viewOf(buffer);
        const whole = sum(view, offset, offset + data.length);
        expect(whole).toBe(reference(data));
        const cut = offset + Math.min(data.length & ~1, half * 2);
        expect(sum(view, cut, offset + data.length, sum(view, offset, cut))).toBe(whole);
      }),
      { numRuns: FUZZ_RUNS },
    );
  });
  test('fold takes every 32-bit number', () => {
    expect(fold(0xffffffff)).toBe(0xffff);
    expect(fold(0x1ffff)).toBe(1);
    expect(fold(0)).toBe(0);
  });
});

describe('pseudo-headers', () => {
  const ipv4 = viewOf(bytes('45000000 00000000 4011 0000 0a000001 0a000002'));
  test('IPv4: both addresses, protocol, length', () => expect(pseudoHeaderIpv4(ipv4, 0, 17, 10)).toBe(0x141e));
  const ipv6 = viewOf(bytes(`60000000 00083a40 fe80${'00'.repeat(13)}01 fe80${'00'.repeat(13)}02`));
  test('IPv6: both addresses, protocol, length', () => expect(pseudoHeaderIpv6(ipv6, 0, 58, 8)).toBe(0xfd46));
});

describe('changing a checksum (RFC 1624)', () => {
  test('the example of RFC 1624 §4: 0xdd2f and a change from 0x5555 to 0x3285 give 0x0000', () => {
    expect(adjust16(0xdd2f, 0x5555, 0x3285)).toBe(0x0000);
  });
  test('a change to the same value changes nothing, but for the two zeros', () => {
    expect(adjust16(0x1234, 0xabcd, 0xabcd)).toBe(0x1234);
    expect(adjust32(0x1234, 0xdeadbeef, 0xdeadbeef)).toBe(0x1234);
  });

  const words = fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: 3, maxLength: 20 });
  test('16 bits: equals recomputation', () => {
    fc.assert(
      fc.property(words, fc.nat(), fc.integer({ min: 0, max: 0xffff }), (data, place, after) => {
        fc.pre(data.some((word) => word !== 0));
        const { view, index } = laid(data, place, 1);
        const before = view.getUint16(index * 2);
        const old = checksum(view, 0, data.length * 2);
        view.setUint16(index * 2, after);
        fc.pre(nonZero(view));
        expect(adjust16(old, before, after)).toBe(checksum(view, 0, data.length * 2));
      }),
      { numRuns: FUZZ_RUNS },
    );
  });
  test('32 bits, signed or not: equals recomputation', () => {
    fc.assert(
      fc.property(words, fc.nat(), fc.integer(), (data, place, after) => {
        fc.pre(data.some((word) => word !== 0));
        const { view, index } = laid(data, place, 2);
        const before = view.getInt32(index * 2);
        const old = checksum(view, 0, data.length * 2);
        view.setInt32(index * 2, after);
        fc.pre(nonZero(view));
        const expected = checksum(view, 0, data.length * 2);
        expect(adjust32(old, before, after)).toBe(expected);
        expect(adjust32(old, before >>> 0, after >>> 0)).toBe(expected);
      }),
      { numRuns: FUZZ_RUNS },
    );
  });

  function laid(data: number[], place: number, width: number): { view: DataView; index: number } {
    const view = new DataView(new ArrayBuffer(data.length * 2));
    data.forEach((word, i) => view.setUint16(i * 2, word));
    return { view, index: place % (data.length - width + 1) };
  }
  // All-zero data is the one case in which the two zeros of one's complement differ; a packet is never all zero.
  const nonZero = (view: DataView): boolean => new Uint8Array(view.buffer).some((byte) => byte !== 0);
});

test('a UDP checksum of zero is sent as all ones, any other as it is', () => {
  expect(asUdp(0)).toBe(0xffff);
  expect(asUdp(0x0001)).toBe(1);
  expect(asUdp(0xffff)).toBe(0xffff);
});
