import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { newTunnelAttributes, UNREADABLE } from '../../../src/tunnels/descriptor.js';
import { l2tp } from '../../../src/tunnels/l2tp/descriptor.js';
import { FUZZ_RUNS } from '../../helpers/fuzz.js';
import { avp, concat, l2tpControl, sccrq, text, u16, u32 } from '../../helpers/packet-builder.js';
import { datagram } from './datagrams.js';

function read(payload: Uint8Array) {
  const { view, offset, end } = datagram(payload);
  const a = newTunnelAttributes();
  l2tp.attributes?.(view, offset, end, a);
  const words = (at: number, length: number): string | number =>
    length < 0 ? length : new TextDecoder().decode(Uint8Array.from({ length }, (_, i) => view.getUint8(at + i)));
  const { protocolVersion, framing, bearer, channel } = a;
  return {
    host: words(a.hostAt, a.hostLength),
    vendor: words(a.vendorAt, a.vendorLength),
    protocolVersion,
    framing,
    bearer,
    channel,
  };
}

const message = (...avps: Uint8Array[]) => l2tpControl({ avps: [avp(0, 1), ...avps] });
const NOTHING = { host: '', vendor: '', protocolVersion: 0, framing: 0, bearer: 0, channel: 0 };

test('an SCCRQ tells its names and capabilities', () => {
  const payload = message(
    avp(2, 0x0100),
    avp(3, u32(3)),
    avp(4, u32(1)),
    avp(7, text('cpe-17.example.net')),
    avp(8, text('Example, Inc.'), { mandatory: false }),
    avp(9, 4711),
  );
  expect(read(payload)).toEqual({
    host: 'cpe-17.example.net',
    vendor: 'Example, Inc.',
    protocolVersion: 0x0100,
    framing: 3,
    bearer: 1,
    channel: 4711,
  });
});

test('the builder’s request, and one with nothing in it', () => {
  expect(read(sccrq({ assigned: 7, host: 'lac' }))).toMatchObject({ host: 'lac', protocolVersion: 0x0100, channel: 7 });
  expect(read(message())).toEqual(NOTHING);
});

describe('what nobody but the server can know is unreadable', () => {
  test.each([
    ['hidden', [avp(8, 'aabbccdd', { hidden: true })], { vendor: UNREADABLE }],
    ['two names', [avp(7, text('a')), avp(7, text('b'))], { host: UNREADABLE }],
    [
      'two names of which one is hidden',
      [avp(7, text('a')), avp(7, text('a'), { hidden: true })],
      { host: UNREADABLE },
    ],
    ['the same name twice', [avp(7, text('a')), avp(7, text('a'))], { host: 'a' }],
    ['two versions', [avp(2, 0x0100), avp(2, 0x0200)], { protocolVersion: UNREADABLE }],
    ['a version of three bytes', [avp(2, '010000')], { protocolVersion: UNREADABLE }],
    ['capabilities of two bytes', [avp(3, u16(1)), avp(4, u16(1))], { framing: UNREADABLE, bearer: UNREADABLE }],
    ['two framings', [avp(3, u32(1)), avp(3, u32(2))], { framing: UNREADABLE }],
    ['somebody else’s AVP', [avp(7, text('a'), { vendor: 9 })], { host: '' }],
  ])('%s', (_name, avps, expected) => {
    expect(read(message(...avps))).toEqual({ ...NOTHING, ...expected });
  });

  test('a message that cannot be read', () => {
    const all = Object.fromEntries(Object.keys(NOTHING).map((key) => [key, UNREADABLE]));
    expect(read(message(avp(7, text('a'), { length: 500 })))).toEqual(all);
    expect(read(new Uint8Array(0))).toEqual(all);
    expect(read(Uint8Array.of(0, 2, 0, 1, 0, 1))).toEqual(all); // data
  });
});

test('no bytes make it throw or point outside the message', () => {
  const soup = fc
    .array(fc.tuple(fc.integer({ min: 0, max: 12 }), fc.uint8Array({ maxLength: 12 }), fc.boolean(), fc.nat(1200)))
    .map((avps) =>
      message(
        ...avps.map(([type, value, hidden, length]) =>
          avp(type, value, { hidden, ...(length < 20 ? { length } : {}) }),
        ),
      ),
    );
  const cut = fc.tuple(soup, fc.nat(80)).map(([bytes, less]) => bytes.slice(0, Math.max(0, bytes.length - less)));
  fc.assert(
    fc.property(fc.oneof(soup, cut, fc.uint8Array({ maxLength: 80 })), (payload) => {
      const { view, offset, end } = datagram(concat(payload));
      const a = newTunnelAttributes();
      l2tp.attributes?.(view, offset, end, a);
      if (a.hostLength > 0) expect(a.hostAt + a.hostLength).toBeLessThanOrEqual(end);
      if (a.vendorLength > 0) expect(a.vendorAt + a.vendorLength).toBeLessThanOrEqual(end);
    }),
    { numRuns: FUZZ_RUNS },
  );
});
