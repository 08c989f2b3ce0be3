import { describe, expect, test } from 'vitest';
import {
  parseInterface,
  parseListen,
  parseName,
  parsePath,
  parsePrefix,
  parseRuleProtocol,
  parseSocketPath,
  parseUnicast,
} from '../../src/config/values.js';

const errorOf = (result: object): string => ('error' in result ? String(result.error) : '');

describe('addresses', () => {
  test('IPv4 is mapped, IPv6 has four words', () => {
    expect(parseUnicast('10.10.1.1')).toEqual({ value: [0, 0, 0xffff, 0x0a0a0101] });
    expect(parseUnicast('2001:db8::1')).toEqual({ value: [0x20010db8, 0, 0, 1] });
    expect(parseUnicast('250.0.0.1')).toEqual({ value: [0, 0, 0xffff, 0xfa000001] });
  });

  test.each([
    ['10.1', 'no IPv4 or IPv6 address'],
    ['010.1.1.1', 'no IPv4 or IPv6 address'],
    ['10.1.1.256', 'no IPv4 or IPv6 address'],
    ['10.0.0.1/24', 'leave the prefix length out'],
    ['fe80::1%wan0', 'leave the zone out'],
    ['0.0.0.0', 'no address of a host'],
    ['127.0.0.1', 'loopback'],
    ['224.0.0.1', 'multicast'],
    ['255.255.255.255', 'broadcast'],
    ['::', 'unspecified'],
    ['::1', 'loopback'],
    ['ff02::1', 'multicast'],
    ['fe80::1', 'link-local'],
    ['febf::1', 'link-local'],
    ['::ffff:10.1.1.1', 'write the IPv4-mapped address as 10.1.1.1'],
  ])('%s: %s', (text, part) => expect(errorOf(parseUnicast(text))).toContain(part));
});

describe('prefixes', () => {
  test('IPv4 lengths count over the mapped 128 bits', () => {
    expect(parsePrefix('10.0.0.0/8')).toEqual({
      value: { words: [0, 0, 0xffff, 0x0a000000], length: 104, text: '10.0.0.0/8', family: 4 },
    });
    expect(parsePrefix('0.0.0.0/0')).toMatchObject({ value: { words: [0, 0, 0xffff, 0], length: 96 } });
    expect(parsePrefix('198.51.100.7')).toMatchObject({ value: { length: 128, text: '198.51.100.7/32' } });
  });

  test('IPv6', () => {
    expect(parsePrefix('2001:DB8::/32')).toEqual({
      value: { words: [0x20010db8, 0, 0, 0], length: 32, text: '2001:db8::/32', family: 6 },
    });
    expect(parsePrefix('::/0')).toMatchObject({ value: { words: [0, 0, 0, 0], length: 0 } });
    expect(parsePrefix('2001:db8::1')).toMatchObject({ value: { length: 128 } });
  });

  test('bits beyond the length: both meanings are offered', () => {
    expect(errorOf(parsePrefix('198.51.100.7/24'))).toContain('write 198.51.100.0/24, or 198.51.100.7');
    expect(errorOf(parsePrefix('2001:db8::1/32'))).toContain('write 2001:db8::/32, or 2001:db8::1');
  });

  test.each([
    '',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/08',
    '10.0.0/8',
    '2001:db8::/129',
    'any',
    '10.0.0.0/8/8',
    '::ffff:10.0.0.0/104',
  ])('%j is none', (text) => expect(errorOf(parsePrefix(text))).not.toBe(''));
});

describe('interfaces', () => {
  test('a tag needs no vlan device', () => {
    expect(parseInterface('wan0')).toEqual({ value: { name: 'wan0', device: 'wan0', vlan: 0 } });
    expect(parseInterface('wan0.100')).toEqual({ value: { name: 'wan0.100', device: 'wan0', vlan: 100 } });
    expect(parseInterface('fifteen-bytes-x.4094')).toMatchObject({ value: { device: 'fifteen-bytes-x', vlan: 4094 } });
    expect(parseInterface('br.lan')).toEqual({ value: { name: 'br.lan', device: 'br.lan', vlan: 0 } });
  });

  test.each([
    ['wan0.0', 'a VLAN id is 1 to 4094'],
    ['wan0.4095', 'a VLAN id is 1 to 4094'],
    ['sixteen-bytes-xx', 'at most 15 bytes'],
    ['', 'no interface name'],
    ['..', 'no interface name'],
    ['wan/0', 'no interface name'],
    ['wan 0', 'no interface name'],
  ])('%j: %s', (text, part) => expect(errorOf(parseInterface(text))).toContain(part));
});

test('names are fit for labels and command lines', () => {
  for (const name of ['a', 'lns1', 'LNS-1.site_2', 'x'.repeat(63)]) expect(parseName(name)).toEqual({ value: name });
  for (const name of ['', '-a', 'a-', 'a b', 'ä', 'a/b', 'x'.repeat(64), 'a"b', 'a,b'])
    expect(errorOf(parseName(name))).not.toBe('');
});

test('where to listen', () => {
  expect(parseListen('127.0.0.1:8701')).toEqual({ value: { host: '127.0.0.1', port: 8701 } });
  expect(parseListen('[::1]:8701')).toEqual({ value: { host: '::1', port: 8701 } });
  for (const text of ['8701', ':8701', '127.0.0.1', '127.0.0.1:0', '127.0.0.1:65536', 'localhost:8701', '::1:8701'])
    expect(errorOf(parseListen(text))).toContain('127.0.0.1:8701');
});

test('paths are absolute; that of a socket fits into a socket address', () => {
  expect(parsePath('/run/designator/bpf')).toEqual({ value: '/run/designator/bpf' });
  for (const text of ['', '/', 'run/x', '/run/', '/run/\0x']) expect(errorOf(parsePath(text))).not.toBe('');
  expect(parseSocketPath(`/${'x'.repeat(106)}`)).toHaveProperty('value');
  expect(errorOf(parseSocketPath(`/${'x'.repeat(107)}`))).toContain('107 bytes');
});

test('protocols of rules', () => {
  expect(parseRuleProtocol('l2tp')).toEqual({ value: { text: 'l2tp', tunnel: 'l2tp', number: null } });
  expect(parseRuleProtocol('TCP')).toEqual({ value: { text: 'tcp', tunnel: null, number: 6 } });
  expect(parseRuleProtocol(115)).toEqual({ value: { text: '115', tunnel: null, number: 115 } });
  expect(parseRuleProtocol('0')).toMatchObject({ value: { number: 0 } });
  expect(errorOf(parseRuleProtocol('pptp'))).toBe('protocol pptp is not available in this version');
  expect(errorOf(parseRuleProtocol('tpc'))).toContain('did you mean tcp?');
  for (const value of [256, -1, '', 'toString', '1.5'])
    expect(errorOf(parseRuleProtocol(value))).toContain('is no protocol');
});
