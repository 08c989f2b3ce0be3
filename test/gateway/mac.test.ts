import { describe, expect, test } from 'vitest';
import {
  forwarderOf,
  groupMax,
  isStation,
  macBytes,
  macText,
  messagesMac,
  readMac,
  virtualMac,
} from '../../src/gateway/mac.js';
import { GROUP_DEFAULTS } from '../../src/gateway/types.js';

describe('MAC addresses of a group', () => {
  test.each([
    ['local', 7, 1, '02:54:44:00:07:01'],
    ['local', 65535, 255, '02:54:44:ff:ff:ff'],
    ['cisco', 1020, 1, '00:07:b4:03:fc:01'],
  ] as const)('%s, group %i, forwarder %i: %s', (scheme, group, forwarder, text) => {
    const mac = virtualMac(scheme, group, forwarder);
    expect(macText(mac)).toBe(text);
    expect(readMac(macBytes(mac))).toBe(mac);
    expect(forwarderOf(scheme, group, mac)).toBe(forwarder);
    expect(forwarderOf(scheme, group === 7 ? 8 : 7, mac)).toBe(0);
  });

  test('the address of the messages is a locally administered group address', () => {
    expect(macText(messagesMac(7))).toBe('03:54:44:00:07:00');
    expect(isStation(messagesMac(7))).toBe(false);
    expect(isStation(virtualMac('local', 7, 1))).toBe(true);
  });

  test('forwarder 0 is none', () => expect(forwarderOf('local', 7, virtualMac('local', 7, 0))).toBe(0));
  test('the default scheme has room for every group', () => expect(groupMax(GROUP_DEFAULTS.scheme)).toBe(65535));
});
