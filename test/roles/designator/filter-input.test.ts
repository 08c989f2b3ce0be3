import { expect, test } from 'vitest';
import type { CompiledConfig } from '../../../src/config/compiled.js';
import type { Binding } from '../../../src/roles/designator/binding.js';
import { filterInput } from '../../../src/roles/designator/filter-input.js';

const side = (name: string) => ({ name, device: name, vlan: 0 });
const words = [0, 0, 0xffff, 0xcb007101] as const;
const config = {
  outside: side('wan0'),
  inside: side('lan0'),
  vips: [{ name: 'a', words, port: 1701, protocols: ['l2tp'] }],
  firewall: {
    default: 'deny',
    rules: [
      { action: 'allow', from: [], to: [], vips: ['a'], protocols: [{ text: 'l2tp', tunnel: 'l2tp', number: null }] },
    ],
  },
} as unknown as CompiledConfig;
const binding = {
  isOneWay: (server: number) => server === 12,
  vips: [
    { text: '203.0.113.1', port: 1701 },
    { text: '203.0.113.9', port: 1701, removed: true },
    { text: '203.0.113.10', natText: '203.0.113.11', port: 1702 },
  ],
  servers: [
    { text: '10.0.0.10', port: 1701, address: 3 },
    { text: '10.0.0.11', port: 1702, address: 4, removed: true },
    { text: '10.0.0.12', port: 1701, address: 5, index: 12 },
  ],
} as unknown as Binding;

test('bound VIPs, their NAT addresses and servers are filtered, except servers whose answers may be the host’s', () => {
  const input = filterInput(config, binding, new Set());
  expect(input.vips).toEqual([
    { address: '203.0.113.1', port: 1701 },
    { address: '203.0.113.9', port: 1701 },
    { address: '203.0.113.10', port: 1702 },
    { address: '203.0.113.11', port: 1702 },
  ]);
  expect(input.servers).toEqual([
    { address: '10.0.0.10', port: 1701 },
    { address: '10.0.0.11', port: 1702 },
  ]);
  expect(input.outside.device).toBe('wan0');
  expect(input.inside.device).toBe('lan0');
});

test('floating places become addresses and ports; those of nobody are left out', () => {
  const places = new Set([(3 << 16) | 6000, (4 << 16) | 65535, (9 << 16) | 6000]);
  expect(filterInput(config, binding, places).floating).toEqual([
    { address: '10.0.0.10', port: 6000 },
    { address: '10.0.0.11', port: 65535 },
  ]);
});

test('rules are bound to the places of their tunnel protocol', () => {
  const input = filterInput(config, binding, new Set());
  expect(input.denyByDefault).toBe(true);
  expect(input.rules[0].protocols).toEqual([{ number: null, services: [{ words, ipProtocol: 17, port: 1701 }] }]);
});
