import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseAddress } from '../../src/wire/address.js';
import { pseudoHeaderIpv6, sum } from '../../src/wire/checksum.js';
import {
  buildRouterAdvertisement,
  isRouterSolicitation,
  type RouterAdvertisement,
  solicitedBy,
} from '../../src/wire/router-advertisement.js';

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replace(/\s/g, ''), 'hex'));

const TOLD: RouterAdvertisement = {
  interfaceId: hex('0200 00ff fe00 0001'),
  prefix: { high: 0x20010db8, low: 0x00600007 },
  lifetimeSeconds: 1800,
  mtu: 1460,
  dns: [parseAddress('2001:db8::53') as [number, number, number, number]],
  to: null,
};

/** What Linux sends on a PPP interface: no option, because there is no link-layer address; checksum by hand. */
function solicitation(change: (bytes: Uint8Array) => void = () => {}): Uint8Array {
  const bytes = hex(
    '60000000 0008 3a ff fe80000000000000 a1b2c3d4e5f60708 ff020000000000000000000000000002 8500 0000 00000000',
  );
  const view = new DataView(bytes.buffer);
  view.setUint16(42, ~sum(view, 40, 48, pseudoHeaderIpv6(view, 0, 58, 8)) & 0xffff);
  change(bytes);
  return bytes;
}

describe('Router Advertisement', () => {
  test('says what RFC 4861 §4.2 and §4.6 put where', () => {
    const bytes = buildRouterAdvertisement(TOLD);
    const view = new DataView(bytes.buffer);
    expect(Buffer.from(bytes.subarray(0, 40)).toString('hex')).toBe(
      '6000000000503aff' + 'fe80000000000000020000fffe000001' + 'ff020000000000000000000000000001',
    );
    expect([bytes[40], bytes[41]]).toEqual([134, 0]);
    expect(Buffer.from(bytes.subarray(44)).toString('hex')).toBe(
      '40000708' +
        '0000000000000000' +
        '05010000000005b4' +
        '03044040' +
        '0000070800000708' +
        '00000000' +
        '20010db800600007' +
        '0000000000000000' +
        '1903000000000708' +
        '20010db8000000000000000000000053',
    );
    expect(sum(view, 40, bytes.length, pseudoHeaderIpv6(view, 0, 58, bytes.length - 40))).toBe(0xffff);
  });

  test('answers one host, and says nothing of what is not there', () => {
    const to = hex('fe80000000000000a1b2c3d4e5f60708');
    const bytes = buildRouterAdvertisement({ ...TOLD, prefix: null, mtu: null, dns: [], lifetimeSeconds: 0, to });
    expect(bytes.length).toBe(56);
    expect(bytes.subarray(24, 40)).toEqual(to);
  });

  test.each([
    ['a lifetime beyond 9,000 s', { lifetimeSeconds: 9001 }],
    ['a lifetime that is no number', { lifetimeSeconds: Number.NaN }],
    ['nine resolvers', { dns: Array.from({ length: 9 }, () => TOLD.dns[0]) }],
  ])('%s is a mistake of the caller', (_name, wrong) => {
    expect(() => buildRouterAdvertisement({ ...TOLD, ...wrong })).toThrow(RangeError);
  });
});

describe('Router Solicitation', () => {
  test('is known, and who sent it', () => {
    expect(isRouterSolicitation(solicitation())).toBe(true);
    expect(solicitedBy(solicitation())).toEqual(hex('fe80000000000000a1b2c3d4e5f60708'));
    expect(solicitedBy(new Uint8Array(48))).toBeNull();
  });

  test.each([
    ['another hop limit: it came through a router', (b: Uint8Array) => void (b[7] = 64)],
    ['another type', (b: Uint8Array) => void (b[40] = 128)],
    ['another code', (b: Uint8Array) => void (b[41] = 1)],
    ['a wrong checksum', (b: Uint8Array) => void (b[42] ^= 1)],
    ['a payload length beyond its end', (b: Uint8Array) => void (b[5] = 9)],
    ['another protocol', (b: Uint8Array) => void (b[6] = 17)],
  ])('%s: not one', (_name, change) => expect(isRouterSolicitation(solicitation(change))).toBe(false));

  test('an option of length 0 is refused', () => {
    const bytes = new Uint8Array(56);
    bytes.set(solicitation());
    bytes[5] = 16;
    bytes[48] = 1;
    const view = new DataView(bytes.buffer);
    view.setUint16(42, 0);
    view.setUint16(42, ~sum(view, 40, 56, pseudoHeaderIpv6(view, 0, 58, 16)) & 0xffff);
    expect(isRouterSolicitation(bytes)).toBe(false);
    bytes[49] = 1;
    view.setUint16(42, 0);
    view.setUint16(42, ~sum(view, 40, 56, pseudoHeaderIpv6(view, 0, 58, 16)) & 0xffff);
    expect(isRouterSolicitation(bytes)).toBe(true);
  });

  test('any bytes are judged without an error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 128 }), (bytes) => !isRouterSolicitation(bytes) || bytes.length >= 48),
    );
  });
});
