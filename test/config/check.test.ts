/** What only several values together can tell. */
import { expect, test } from 'vitest';
import { linesOf, problemsOf, withTop, withVip } from './sample.js';

const servers = (...list: Record<string, unknown>[]): Record<string, unknown>[] =>
  list.map((server, i) => ({ name: `s${i}`, ...server }));

function vips(...list: Record<string, unknown>[]): string {
  return JSON.stringify({
    interfaces: { outside: 'a', inside: 'a' },
    vips: list.map((vip, i) => ({
      name: `v${i}`,
      address: '192.0.2.1',
      servers: [{ name: `s${i}`, address: `10.0.0.${i + 1}` }],
      ...vip,
    })),
  });
}

const messages = (text: string): string[] =>
  problemsOf(text).map(({ severity, path, message }) => `${severity} ${path}: ${message}`);

test('two VIPs on one address with different ports', () => {
  expect(messages(vips({}, { port: 1702 }))).toEqual([]);
});

test.each([
  ['the same port', {}, {}],
  ['the default port and the same written', {}, { port: 1701 }],
  [
    'the same address written in two ways',
    { address: '2001:db8::1', servers: [{ name: 'a', address: '2001:db8::2' }] },
    { address: '2001:DB8:0::1', servers: [{ name: 'b', address: '2001:db8::2' }] },
  ],
])('VIPs overlap: %s', (_name, a, b) => {
  expect(messages(vips(a, b))).toEqual([
    expect.stringMatching(/^error vips\.1\.address: l2tp .*:1701 is already VIP v0/),
  ]);
});

test('the same server may stand behind two VIPs, under two names', () => {
  const shared = '10.0.0.9';
  expect(
    messages(
      vips({ servers: [{ name: 'a', address: shared }] }, { port: 1702, servers: [{ name: 'b', address: shared }] }),
    ),
  ).toEqual([]);
});

test('names are unique: VIPs among VIPs, servers over the whole file', () => {
  expect(messages(vips({ name: 'x' }, { name: 'x', port: 1702 }))).toEqual([
    'error vips.1.name: the name x is already that of the VIP at vips.0',
  ]);
  expect(messages(vips({}, { port: 1702, servers: [{ name: 's0', address: '10.0.0.9' }] }))).toEqual([
    'error vips.1.servers.0.name: the name s0 is already that of the server at vips.0.servers.0',
  ]);
  expect(messages(vips({ name: 's0' }))).toEqual([]);
});

test('two servers of one VIP on one address need different ports', () => {
  const pair = (a: object, b: object): string[] =>
    messages(withVip({ servers: servers({ address: '10.0.0.1', ...a }, { address: '10.0.0.1', ...b }) }));
  expect(pair({}, { port: 1702 })).toEqual([]);
  expect(pair({}, {})).toEqual(['error vips.0.servers.1.address: 10.0.0.1:1701 is already server s0 of this VIP']);
  expect(pair({ port: 1701 }, {})).toHaveLength(1);
});

test('a server is not a VIP, of its own or another', () => {
  expect(messages(withVip({ servers: servers({ address: '200.200.100.1', port: 9 }) }))).toEqual([
    'error vips.0.servers.0.address: 200.200.100.1 is the address of VIP access: its packets would come back for ever',
  ]);
  expect(messages(vips({ servers: [{ name: 'a', address: '192.0.2.2' }] }, { address: '192.0.2.2' }))).toEqual([
    expect.stringContaining('192.0.2.2 is the address of VIP v1'),
  ]);
});

test('a VIP and its servers are of one family', () => {
  expect(messages(withVip({ servers: servers({ address: '2001:db8::1' }) }))).toEqual([
    expect.stringContaining('tunnels are not translated between IPv4 and IPv6'),
  ]);
});

test('no weight left: a warning, for it is how a farm is emptied', () => {
  const zero = { address: '10.0.0.1', weight: 0 };
  expect(messages(withVip({ servers: servers(zero, { ...zero, address: '10.0.0.2' }) }))).toEqual([
    'warning vips.0.servers: every server has weight 0: no new tunnel will be designated',
  ]);
  expect(messages(withVip({ servers: servers(zero, { address: '10.0.0.2' }) }))).toEqual([]);
});

test('rules name VIPs that there are', () => {
  const rules = [{ allow: { vip: ['access', 'acces'] } }, { deny: { vip: 'nobody' } }];
  expect(messages(withTop({ firewall: { rules } }))).toEqual([
    'error firewall.rules.0.allow.vip.1: no VIP is called acces (did you mean access?)',
    'error firewall.rules.1.deny.vip: no VIP is called nobody',
  ]);
});

test('rules that can have no effect', () => {
  const rules = [
    { allow: { from: '10.0.0.0/8', to: '2001:db8::/32' } },
    { allow: {} },
    { deny: { from: '10.0.0.0/8' } },
  ];
  expect(messages(withTop({ firewall: { rules } }))).toEqual([
    'warning firewall.rules.0.allow: never matches: from and to are of different IP families',
    'warning firewall.rules.2: never reached: rule 1 already matches every packet',
  ]);
});

test('a short closing time is allowed with a warning', () => {
  expect(messages(withTop({ timeouts: { closing: '5s' } }))).toEqual([
    expect.stringMatching(/^warning timeouts\.closing: shorter than a cycle/),
  ]);
  expect(messages(withTop({ timeouts: { closing: '31s' } }))).toEqual([]);
});

test('limits of the tables: servers over all VIPs, VIPs', () => {
  const many = (count: number, offset = 0) =>
    Array.from({ length: count }, (_, i) => ({
      name: `s${i + offset}`,
      address: `10.1.${i >> 8}.${i & 255}`,
      port: offset + 1,
    }));
  expect(messages(vips({ servers: many(1024) }))).toEqual([]);
  expect(messages(vips({ servers: many(1000) }, { port: 1702, servers: many(25, 1000) }))).toEqual([
    'error vips.1.servers.24: there may be at most 1024 servers in all',
  ]);
  const vip = (i: number) => ({ port: i + 1, servers: [{ name: `s${i}`, address: '10.0.0.1' }] });
  expect(messages(vips(...Array.from({ length: 257 }, (_, i) => vip(i))))).toEqual([
    'error vips: it may have at most 256 items',
  ]);
});

test('relations are checked even where the shape is wrong', () => {
  const text = withVip({ colour: 'red', servers: servers({ address: '200.200.100.1', weight: -1 }, { address: 5 }) });
  const lines = linesOf(text).map((line) => line.replace(/^d\.yaml:\d+:\d+: /, ''));
  expect(lines).toHaveLength(4);
  expect(lines).toEqual(
    expect.arrayContaining([
      expect.stringContaining('vips.0.servers.0.address: 200.200.100.1 is the address of VIP access'),
      'vips.0.servers.0.weight: it must be at least 0, not -1',
      'vips.0.servers.1.address: it must be text, not 5',
      expect.stringContaining('vips.0.colour: unknown key'),
    ]),
  );
});
