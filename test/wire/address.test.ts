import fc from 'fast-check';
import ipaddr from 'ipaddr.js';
import { describe, expect, test } from 'vitest';
import {
  type AddressWords,
  formatAddress,
  formatEndpoint,
  formatMac,
  formatWords,
  isIpv4,
  parseAddress,
  parseEndpoint,
  parseMac,
  writeAddress,
} from '../../src/wire/address.js';
import { FUZZ_RUNS } from '../helpers/fuzz.js';

const word = fc.oneof(fc.constantFrom(0, 1, 0xffff, 0x10000, 0xffffffff), fc.integer({ min: 0, max: 0xffffffff }));
const anyWords = fc.tuple(word, word, word, word) as fc.Arbitrary<AddressWords>;

describe('parseAddress', () => {
  test.each<[string, AddressWords]>([
    ['10.10.1.1', [0, 0, 0xffff, 0x0a0a0101]],
    ['255.255.255.255', [0, 0, 0xffff, 0xffffffff]],
    ['0.0.0.0', [0, 0, 0xffff, 0]],
    ['2001:db8::1', [0x20010db8, 0, 0, 1]],
    ['::', [0, 0, 0, 0]],
    ['::ffff:10.10.1.1', [0, 0, 0xffff, 0x0a0a0101]],
    ['::FFFF:0a0a:101', [0, 0, 0xffff, 0x0a0a0101]],
    ['64:ff9b::192.0.2.33', [0x0064ff9b, 0, 0, 0xc0000221]],
    ['fe80:0:0:0:0:0:0:1', [0xfe800000, 0, 0, 1]],
  ])('%s', (text, words) => expect(parseAddress(text)).toEqual(words));

  test.each([
    '',
    '10',
    '10.1',
    '10.0.0.256',
    '010.0.0.1',
    '0x0a000001',
    '10.0.0.1 ',
    ' 10.0.0.1',
    '10.0.0.1/8',
    '1.2.3.4.5',
    ':',
    ':::',
    '1::2::3',
    '2001:db8::g',
    '12345::',
    'fe80::1%eth0',
    '::ffff:010.0.0.1',
    '::ffff:1.2.3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '[::1]',
    'host',
  ])('"%s" is none', (text) => expect(parseAddress(text)).toBeNull());

  test('no text makes it throw', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9a-f:.%]{0,45}$/)), (text) => {
        const words = parseAddress(text);
        if (words !== null) expect(parseAddress(formatWords(words))).toEqual(words);
      }),
      { numRuns: FUZZ_RUNS },
    );
  });
});

describe('formatAddress', () => {
  // The cases of RFC 5952 §1 and §4.
  test.each([
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:0db8::0001', '2001:db8::1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:DB8:AAAA:BBBB:CCCC:DDDD:EEEE:1', '2001:db8:aaaa:bbbb:cccc:dddd:eeee:1'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['0:0:0:0:0:0:0:1', '::1'],
    ['1:0:0:0:0:0:0:0', '1::'],
    ['0:0:1:0:0:0:0:0', '0:0:1::'],
    ['0:1:0:1:0:1:0:1', '0:1:0:1:0:1:0:1'],
    ['::ffff:1.2.3.4', '1.2.3.4'],
    ['::1.2.3.4', '::102:304'],
  ])('%s is written %s', (text, canonical) => expect(formatWords(parseAddress(text) as AddressWords)).toBe(canonical));

  test('takes signed words, at any place of an array', () => {
    expect(formatWords(Int32Array.of(7, 0, 0, 0xffff, 0xc0a80001 | 0), 1)).toBe('192.168.0.1');
    expect(formatAddress(0xfe800000 | 0, 0, 0, -1)).toBe('fe80::ffff:ffff');
  });
  test('agrees with another implementation, and comes back', () => {
    fc.assert(
      fc.property(anyWords, (words) => {
        const text = formatWords(words);
        expect(parseAddress(text)).toEqual(words);
        if (isIpv4(words[0], words[1], words[2])) return;
        const parts = words.flatMap((w) => [w >>> 16, w & 0xffff]);
        expect(text).toBe(new ipaddr.IPv6(parts).toRFC5952String());
      }),
      { numRuns: FUZZ_RUNS },
    );
  });
});

describe('endpoints', () => {
  test('IPv4 and IPv6', () => {
    expect(formatEndpoint(0, 0, 0xffff, 0x01020304, 1701)).toBe('1.2.3.4:1701');
    expect(formatEndpoint(0x20010db8, 0, 0, 1, 1701)).toBe('[2001:db8::1]:1701');
    expect(parseEndpoint('1.2.3.4:1701')).toEqual({ words: [0, 0, 0xffff, 0x01020304], port: 1701 });
    expect(parseEndpoint('[2001:db8::1]:65535')).toEqual({ words: [0x20010db8, 0, 0, 1], port: 65535 });
  });
  test.each([
    '1.2.3.4',
    '1.2.3.4:',
    '1.2.3.4:65536',
    '1.2.3.4:-1',
    '1.2.3.4:01',
    '[1.2.3.4]:1',
    '2001:db8::1:1701',
    '[2001:db8::1]',
    '[]:1',
    ':1',
    '1.2.3:1',
    '1.2.3.4:1x',
  ])('"%s" is none', (text) => expect(parseEndpoint(text)).toBeNull());
  test('come back', () => {
    fc.assert(
      fc.property(anyWords, fc.nat(0xffff), (words, port) => {
        expect(parseEndpoint(formatEndpoint(...words, port))).toEqual({ words, port });
      }),
      { numRuns: FUZZ_RUNS },
    );
  });
});

describe('bytes', () => {
  test('an address in network order: 4 bytes or 16, and no more', () => {
    const out = new Uint8Array(20).fill(0xa5);
    const view = new DataView(out.buffer);
    expect(writeAddress(view, 1, [0, 0, 0xffff, 0x0a0a0101])).toBe(4);
    expect([...out.subarray(0, 6)]).toEqual([0xa5, 10, 10, 1, 1, 0xa5]);
    expect(writeAddress(view, 2, [0x20010db8, 0, 0, 0xffffffff])).toBe(16);
    expect([...out]).toEqual([0xa5, 10, 0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 0xa5, 0xa5]);
  });
  test('MAC addresses', () => {
    expect(parseMac('02:00:5E:00:01:ff')).toEqual(Uint8Array.of(2, 0, 0x5e, 0, 1, 255));
    expect(formatMac([9, 2, 0, 0x5e, 0, 1, 255], 1)).toBe('02:00:5e:00:01:ff');
    for (const text of [
      '',
      '02:00:00:00:00',
      '02:00:00:00:00:00:00',
      '2:0:0:0:0:1',
      '02-00-00-00-00-01',
      '0g:00:00:00:00:00',
    ]) {
      expect(parseMac(text), text).toBeNull();
    }
  });
});
