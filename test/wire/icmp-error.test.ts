import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isIcmpError, isTooBig, newEmbedded, readEmbedded, tooBigMtu } from '../../src/wire/icmp-error.js';
import { FUZZ_RUNS } from '../helpers/fuzz.js';
import { concat, udpFrame, viewOf } from '../helpers/packet-builder.js';

const inner = (v6: boolean): Uint8Array =>
  (v6
    ? udpFrame('[2001:db8::1]:1701', '[2001:db8::2]:4000', '00'.repeat(40))
    : udpFrame('192.0.2.1:1701', '192.0.2.2:4000', '00'.repeat(40))
  ).subarray(14);
const error = (type: number, code: number, rest: readonly number[], body: Uint8Array): DataView =>
  viewOf(concat([type, code, 0, 0], rest, body));

describe.each([
  ['ICMP', false],
  ['ICMPv6', true],
])('%s', (_name, v6) => {
  test('the embedded packet is found', () => {
    const packet = inner(v6);
    const view = error(v6 ? 1 : 3, 3, [0, 0, 0, 0], packet);
    const out = newEmbedded();
    expect(readEmbedded(view, 0, view.byteLength, v6, out)).toBe(true);
    expect(out).toEqual({ l3: 8, l4: 8 + (v6 ? 40 : 20), end: 8 + packet.length, protocol: 17 });
  });
  test('what is behind the length of RFC 4884 is no part of it', () => {
    const packet = inner(v6);
    const units = v6 ? packet.length >> 3 : packet.length >> 2;
    const rest = v6 ? [units, 0, 0, 0] : [0, units, 0, 0];
    const view = error(v6 ? 3 : 11, 0, rest, concat(packet, '20000000'));
    const out = newEmbedded();
    expect(readEmbedded(view, 0, view.byteLength, v6, out)).toBe(true);
    expect(out.end).toBe(8 + units * (v6 ? 8 : 4));
  });
  test('cut before the ports it is none', () => {
    const packet = inner(v6);
    const out = newEmbedded();
    for (let length = 0; length < packet.length; length++) {
      const view = error(v6 ? 1 : 3, 3, [0, 0, 0, 0], packet.subarray(0, length));
      expect(readEmbedded(view, 0, view.byteLength, v6, out)).toBe(length >= (v6 ? 48 : 28));
    }
  });
  test('whatever the bytes are, nothing throws and nothing lies outside', () => {
    const out = newEmbedded();
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 8, maxLength: 120 }), fc.nat(119), (bytes, at) => {
        const made = concat([v6 ? 1 : 3, 0], bytes.subarray(2));
        if (made.length > 8) made[8] = v6 ? 0x60 : 0x45 + (at & 3);
        if (!readEmbedded(viewOf(made), 0, made.length, v6, out)) return;
        expect(out.l4).toBeGreaterThanOrEqual(out.l3 + (v6 ? 40 : 20));
        expect(out.end - out.l4).toBeGreaterThanOrEqual(8);
        expect(out.end).toBeLessThanOrEqual(made.length);
      }),
      { numRuns: FUZZ_RUNS },
    );
  });
});

test('errors, and those about length', () => {
  expect([0, 3, 4, 5, 8, 11, 12, 13].filter((type) => isIcmpError(type, false))).toEqual([3, 11, 12]);
  expect([0, 1, 2, 3, 4, 5, 128, 135].filter((type) => isIcmpError(type, true))).toEqual([1, 2, 3, 4]);
  const v4 = error(3, 4, [0, 0, 5, 0x78], new Uint8Array(0));
  expect([isTooBig(v4, 0, false), tooBigMtu(v4, 0, false)]).toEqual([true, 1400]);
  const v6 = error(2, 0, [0, 0, 5, 0], new Uint8Array(0));
  expect([isTooBig(v6, 0, true), tooBigMtu(v6, 0, true)]).toEqual([true, 1280]);
  expect(isTooBig(error(3, 3, [0, 0, 0, 0], new Uint8Array(0)), 0, false)).toBe(false);
});
