/** Needs no rights; what needs them is in test/e2e/gateway-host.test.ts. */
import { describe, expect, test } from 'vitest';
import { type GatewayCheck, gatewayProblems } from '../../src/io/gateway-checks.js';
import { native } from '../../src/io/native.js';
import { type AddressWords, parseAddress } from '../../src/wire/address.js';

const words = (text: string): AddressWords => parseAddress(text) as AddressWords;
const addon = { NetlinkSocket: native().NetlinkSocket, probePacketSocket: () => {} };
const CHECK: GatewayCheck = { device: 'lo', forwarding: 'none', addresses: [words('10.7.0.254')] };

/** Texts of the problems with these settings; the others are 1. */
function problems(check: Partial<GatewayCheck>, settings: Record<string, string> = {}, from = addon): string[] {
  const setting = (path: string) => settings[path.replace('/proc/sys/net/', '')] ?? '1\n';
  return gatewayProblems(from, { ...CHECK, ...check }, setting).map(({ severity, text }) => `${severity}: ${text}`);
}

describe('gatewayProblems', () => {
  test('an interface that is none, or no Ethernet', () => {
    expect(problems({ device: 'no-such-link' })).toEqual(['fatal: no such interface "no-such-link"']);
    expect(problems({})).toEqual(['fatal: lo is no Ethernet interface']);
  });

  test('an address that an interface has by itself', () => {
    expect(problems({ addresses: [words('127.0.0.1')] })).toContain(
      'fatal: lo has the shared address 127.0.0.1 already',
    );
  });

  test('forwarding that is off, by family', () => {
    const addresses = [words('10.7.0.254'), words('fe80::7:fe')];
    const off = { 'ipv4/ip_forward': '0\n', 'ipv6/conf/all/forwarding': '0\n', 'ipv6/conf/lo/disable_ipv6': '0' };
    const found = problems({ forwarding: 'macvlan', addresses }, off);
    expect(found).toEqual(
      expect.arrayContaining(['fatal: the host forwards no IPv4', 'fatal: the host forwards no IPv6']),
    );
    expect(problems({ forwarding: 'none', addresses }, off).join()).not.toContain('forwards');
    expect(problems({ forwarding: 'macvlan' }, off).join()).not.toContain('IPv6');
    expect(problems({ forwarding: 'macvlan' }, { 'ipv4/conf/all/proxy_arp': '1' }).join()).toContain('proxy_arp');
  });

  test('IPv6 that is off on the interface', () => {
    expect(problems({ addresses: [words('fe80::7:fe')] }, { 'ipv6/conf/lo/disable_ipv6': '1\n' })).toContain(
      'fatal: IPv6 is off on lo',
    );
  });

  test('rights that are missing', () => {
    const from = {
      ...addon,
      probePacketSocket: () => {
        throw Object.assign(new Error('Operation not permitted'), { code: 'EPERM' });
      },
    };
    expect(problems({}, {}, from)).toContain('fatal: CAP_NET_RAW is missing');
    expect(gatewayProblems(from, CHECK).some(({ permission }) => permission)).toBe(true);
  });
});
