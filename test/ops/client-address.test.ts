import { expect, test } from 'vitest';
import { canonicalClient, splitClient } from '../../src/ops/client-address.js';

test.each([
  ['192.128.10.5:1701', '192.128.10.5:1701'],
  ['[2001:DB8:0:0::5]:1701', '[2001:db8::5]:1701'],
  ['[::ffff:10.0.0.1]:1', '10.0.0.1:1'],
  ['10.0.0.1:00080', '10.0.0.1:80'],
])('%s is written %s', (text, canonical) => expect(canonicalClient(text)).toBe(canonical));

test.each([
  '',
  '10.0.0.1',
  ':1701',
  '10.0.0.1:',
  '10.0.0.1:0',
  '10.0.0.1:65536',
  '10.0.0.1:x',
  '10.0.0:1',
  '010.0.0.1:1',
  '256.0.0.1:1',
  '2001:db8::5:1701',
  '[2001:db8::5]',
  '[10.0.0.1]:1',
  '[fe80::1%eth0]:1',
  '[::g]:1',
  'host:1701',
  '10.0.0.1:1:1',
])('%j is refused', (text) => {
  expect(() => canonicalClient(text)).toThrow(expect.objectContaining({ code: 'TD_USAGE' }));
});

test('parts for tables', () => {
  expect(splitClient('192.128.10.5:1701')).toEqual({ address: '192.128.10.5', port: '1701' });
  expect(splitClient('[2001:db8::5]:1701')).toEqual({ address: '2001:db8::5', port: '1701' });
});
