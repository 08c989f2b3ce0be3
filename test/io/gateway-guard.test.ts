/** The guard of a gateway group as text, and how it is kept. What the kernel makes of it: test/e2e/gateway-host.test.ts. */
import { describe, expect, test } from 'vitest';
import { GatewayGuard, type GuardInput, guardTableName, renderGuard } from '../../src/io/gateway-guard.js';
import { type AddressWords, parseAddress } from '../../src/wire/address.js';

const words = (text: string): AddressWords => parseAddress(text) as AddressWords;
const BASE: GuardInput = {
  device: 'eth0',
  group: 7,
  addresses: [words('10.7.0.254')],
  virtualMac: Uint8Array.of(2, 0x54, 0x44, 0, 7, 0),
  glbp: false,
  egress: true,
};

/** Lines of one chain, without its hook. */
function chain(input: GuardInput, name: string): string[] {
  const lines = renderGuard(input)
    .split('\n')
    .map((line) => line.trim());
  const from = lines.indexOf(`chain ${name} {`);
  return from < 0 ? [] : lines.slice(from + 2, lines.indexOf('}', from));
}

describe('the text', () => {
  test('replaces the table in one transaction', () => {
    expect(renderGuard(BASE).split('\n').slice(0, 3)).toEqual([
      'add table netdev designator_gateway_eth0_7',
      'delete table netdev designator_gateway_eth0_7',
      'table netdev designator_gateway_eth0_7 {',
    ]);
    expect(guardTableName({ device: 'eth0.100', group: 65535 })).toBe('designator_gateway_eth0_100_65535');
  });

  test('takes questions and claims about the shared addresses, untagged or with a tag of priority alone', () => {
    expect(chain(BASE, 'inbound')).toEqual([
      'ether type != { 8021q, 8021ad } arp daddr ip { 10.7.0.254 } drop',
      'ether type != { 8021q, 8021ad } arp saddr ip { 10.7.0.254 } drop',
      'vlan id 0 arp daddr ip { 10.7.0.254 } drop',
      'vlan id 0 arp saddr ip { 10.7.0.254 } drop',
      // Messages of members, for which a device with that virtual MAC would count packets.
      'ether saddr & ff:ff:ff:ff:ff:00 == 02:54:44:00:07:00 ether type 0x88b5 drop',
    ]);
    const six = chain({ ...BASE, addresses: [words('fe80::7:fe')], virtualMac: null }, 'inbound');
    expect(six).toHaveLength(2);
    expect(six[0]).toContain('@th,64,128 0xfe8000000000000000000000000700fe drop');
    expect(chain({ ...BASE, glbp: true }, 'inbound')).toContain('vlan id 0 udp dport 3222 drop');
  });

  test('lets the host say nothing from a virtual MAC or with a shared address; marked frames are ours', () => {
    expect(chain(BASE, 'outbound')).toEqual([
      'meta mark 21572 accept',
      'arp saddr ip { 10.7.0.254 } drop',
      'ether saddr & ff:ff:ff:ff:ff:00 == 02:54:44:00:07:00 drop',
    ]);
    const both = chain({ ...BASE, addresses: [words('fe80::7:fe'), words('2001:db8::fe')] }, 'outbound');
    expect(both.filter((line) => line.includes('ip6 saddr'))).toHaveLength(2); // answers with the link-local one
    expect(both.filter((line) => line.includes('2001:db8::fe'))).toEqual([]);
    expect(both.at(-1)).toBe('ether saddr & ff:ff:ff:ff:ff:00 == 02:54:44:00:07:00 drop');
    expect(chain({ ...BASE, virtualMac: null }, 'outbound').join()).not.toContain('ether saddr');
    expect(chain({ ...BASE, egress: false }, 'outbound')).toEqual([]);
  });

  test('a name that could not be an interface is refused', () => {
    expect(() => renderGuard({ ...BASE, device: 'eth0" }' })).toThrow(RangeError);
  });
});

/** A guard over an nft that is a list, and a watch that the test rings. */
function guarded(refuse: (script: string) => boolean = () => false) {
  const scripts: string[] = [];
  const lost: (Error | null)[] = [];
  let ring = (): void => {};
  let watched = true;
  const { egress: _, ...input } = BASE;
  const guard = new GatewayGuard(input, {
    run: async (script) => {
      scripts.push(script);
      if (refuse(script)) throw new Error('nft refuses');
    },
    guard: (_table, onGone) => {
      ring = onGone;
      return { close: () => (watched = false) };
    },
    onLost: (error) => lost.push(error),
  });
  return { guard, scripts, lost, ring: () => ring(), watched: () => watched };
}

describe('keeping it', () => {
  test('without a hook at the way out it stands without that half', async () => {
    const { guard, scripts } = guarded((script) => script.includes('egress'));
    await guard.install();
    expect(guard.egress).toBe(false);
    expect(scripts).toHaveLength(2);
    expect(scripts[1]).toContain('ingress');
  });

  test('nft that refuses everything is an error', async () => {
    const { guard } = guarded(() => true);
    await expect(guard.install()).rejects.toThrow('nft refuses');
  });

  test('a table that was taken away is written again, and not after the end', async () => {
    let broken = false;
    const { guard, scripts, lost, ring, watched } = guarded((script) => broken && script.includes('{'));
    await guard.install();
    ring();
    await guard.update();
    expect(lost).toEqual([null]);
    broken = true;
    ring();
    await guard.update().catch(() => {});
    expect(lost.at(-1)).toBeInstanceOf(Error);
    broken = false;
    const before = scripts.length;
    await guard.close();
    ring();
    expect(watched()).toBe(false);
    expect(scripts.slice(before)).toEqual([
      'add table netdev designator_gateway_eth0_7\ndelete table netdev designator_gateway_eth0_7\n',
    ]);
  });
});
