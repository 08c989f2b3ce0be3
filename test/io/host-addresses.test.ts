import { expect, test } from 'vitest';
import { hostAddresses } from '../../src/io/host-addresses.js';
import { isIpv4 } from '../../src/wire/address.js';

test('the host has its loopback address, and none that mean nothing without their link', () => {
  const all = hostAddresses();
  expect(all).toContainEqual([0, 0, 0xffff, 0x7f000001]);
  for (const [a, b, c] of all) if (!isIpv4(a, b, c)) expect(a >>> 22).not.toBe(0xfe80 >>> 6);
});
