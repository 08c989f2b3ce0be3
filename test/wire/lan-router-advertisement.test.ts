import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type AddressWords, parseAddress } from '../../src/wire/address.js';
import {
  type AdvertisedPrefix,
  type LanRouterAdvertisement,
  lanRouterAdvertisement,
  PREFIX_LIMIT,
  ROUTE_LIMIT,
} from '../../src/wire/lan-router-advertisement.js';
import { RDNSS_LIMIT, ROUTER_LIFETIME_MAX } from '../../src/wire/router-advertisement.js';
import { bytes, neighbour } from '../helpers/neighbour-frames.js';

const words = (text: string): AddressWords => parseAddress(text) as AddressWords;
const hex = (frame: Uint8Array): string => Buffer.from(frame).toString('hex');
const ROUTER = bytes('02:54:44:00:07:02');
const ALL = bytes('33:33:00:00:00:01');
const BARE: LanRouterAdvertisement = {
  source: words('fe80::7:fe'),
  destination: words('ff02::1'),
  lifetime: 0,
  managed: false,
  other: false,
  mtu: 0,
  prefixes: [],
  resolvers: [],
  resolverLifetime: 0,
};
const PREFIX: AdvertisedPrefix = {
  prefix: words('2001:db8:ffff:ffff:ffff:ffff:ffff:ffff'),
  length: 64,
  onLink: false,
  autonomous: false,
  validLifetime: 0xffffffff,
  preferredLifetime: 60,
};
const expected = (head: string, options = ''): string =>
  hex(
    neighbour({
      type: 134,
      from: 0x025444000702,
      source: 'fe80::7:fe',
      destination: 'ff02::1',
      words: `${head}0000000000000000`,
      options,
    }),
  );

describe('Router Advertisement of a LAN', () => {
  test('says nothing of what is not there, a MAC least of all', () => {
    expect(hex(lanRouterAdvertisement(ROUTER, ALL, BARE))).toBe(expected('40000000'));
  });

  test.each([
    ['managed', '40800000'],
    ['other', '40400000'],
  ])('%s is a flag', (flag, head) => {
    expect(hex(lanRouterAdvertisement(ROUTER, ALL, { ...BARE, [flag]: true }))).toBe(expected(head));
  });

  test.each<[number, string]>([
    [0, '00000000 00000000 00000000 00000000'],
    [1, '00000000 00000000 00000000 00000000'],
    [3, '20000000 00000000 00000000 00000000'],
    [33, '20010db8 80000000 00000000 00000000'],
    [64, '20010db8 ffffffff 00000000 00000000'],
    [128, '20010db8 ffffffff ffffffff ffffffff'],
  ])('of a prefix of %i bits the rest is zero', (length, told) => {
    const prefixes = [{ ...PREFIX, length }];
    const option = `0304${length.toString(16).padStart(2, '0')}00 ffffffff 0000003c 00000000 ${told}`;
    expect(hex(lanRouterAdvertisement(ROUTER, ALL, { ...BARE, prefixes }))).toBe(expected('40000000', option));
  });

  test('preferred is never longer than valid', () => {
    const prefixes = [{ ...PREFIX, onLink: true, autonomous: true, validLifetime: 30 }];
    const option = '030440c0 0000001e 0000001e 00000000 20010db8 ffffffff 00000000 00000000';
    expect(hex(lanRouterAdvertisement(ROUTER, ALL, { ...BARE, prefixes }))).toBe(expected('40000000', option));
  });

  test('is refused beyond its limits, and fits any link within them', () => {
    const full = {
      ...BARE,
      lifetime: ROUTER_LIFETIME_MAX,
      mtu: 1280,
      prefixes: new Array<AdvertisedPrefix>(PREFIX_LIMIT).fill(PREFIX),
      routes: new Array(ROUTE_LIMIT).fill({ prefix: words('2001:db8::'), length: 32 }),
      resolvers: new Array<AddressWords>(RDNSS_LIMIT).fill(words('2001:db8::53')),
    };
    expect(lanRouterAdvertisement(ROUTER, ALL, full).length).toBeLessThan(1280);
    const build = (more: Partial<LanRouterAdvertisement>) => () =>
      lanRouterAdvertisement(ROUTER, ALL, { ...full, ...more });
    expect(build({ prefixes: [...full.prefixes, PREFIX] })).toThrow(RangeError);
    expect(build({ routes: new Array(ROUTE_LIMIT + 1).fill({ prefix: BARE.source, length: 64 }) })).toThrow(RangeError);
    expect(build({ resolvers: [...full.resolvers, BARE.source] })).toThrow(RangeError);
    expect(build({ lifetime: ROUTER_LIFETIME_MAX + 1 })).toThrow(RangeError);
    expect(build({ lifetime: Number.NaN })).toThrow(RangeError);
  });

  test('masks as plain arithmetic on bits does', () => {
    const property = fc.property(fc.nat(128), (length) => {
      const frame = lanRouterAdvertisement(ROUTER, ALL, { ...BARE, prefixes: [{ ...PREFIX, length }] });
      const bits = [...frame.subarray(14 + 40 + 16 + 16)].map((byte) => byte.toString(2).padStart(8, '0')).join('');
      const all = [...bytes('20010db8ffffffffffffffffffffffff')].map((byte) => byte.toString(2).padStart(8, '0'));
      expect(bits).toBe(all.join('').slice(0, length).padEnd(128, '0'));
    });
    fc.assert(property);
  });
});
