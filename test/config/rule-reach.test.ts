/** Rules that can never match: `check` names them, with their place. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { checkRuleReach } from '../../src/config/rule-reach.js';
import { RuleList, ruleInputs } from '../../src/flow/rule-list.js';
import { type AddressWords, isIpv4, parseAddress } from '../../src/wire/address.js';
import { FUZZ_RUNS } from '../helpers/fuzz.js';
import { compiled, linesOf, problemsOf } from './sample.js';

const VIPS = [
  { name: 'four', address: '192.0.2.1', servers: [{ name: 'a', address: '10.0.0.1' }] },
  { name: 'six', address: '2001:db8::1', servers: [{ name: 'b', address: '2001:db8:1::1' }] },
];
const findings = (...rules: object[]): string[] =>
  problemsOf(JSON.stringify({ interfaces: { outside: 'wan0', inside: 'lan0' }, vips: VIPS, firewall: { rules } }))
    .filter(({ message }) => message.startsWith('never'))
    .map(({ severity, path, message }) => `${severity} ${path}: ${message}`);

test.each([
  [{ deny: { from: '10.0.0.0/8', to: '2001:db8::/32' } }, 'from and to are of different IP families'],
  [{ deny: { from: ['224.0.0.0/8', '127.0.0.1'] } }, 'no packet comes from there'],
  [{ deny: { from: 'ff02::1' } }, 'no packet comes from there'],
  [{ deny: { vip: 'four', from: '2001:db8::/32' } }, 'from is not of the IP family of VIP four'],
  [{ deny: { vip: 'four', to: '198.51.100.0/24' } }, 'to does not hold the address of VIP four'],
  [{ deny: { protocol: 'l2tp', to: '198.51.100.0/24' } }, 'to does not hold the address of any VIP'],
  [{ deny: { hostName: 'x', to: '198.51.100.1' } }, 'to does not hold the address of any VIP'],
  [{ deny: { hostName: 'x', protocol: ['tcp', 50] } }, 'it is for tunnel requests, which are no tcp or 50'],
])('excludes itself: %j', (rule, message) => {
  expect(findings(rule)).toEqual([`warning firewall.rules.0.deny: never matches: ${message}`]);
});

test.each<[string, object[], string]>([
  ['all before', [{ allow: {} }, { deny: { hostName: 'x' } }], 'rule 0 already matches every packet'],
  [
    'a wider source',
    [{ deny: { from: '10.0.0.0/8' } }, { allow: { from: '10.1.0.0/16', protocol: 'tcp' } }],
    'rule 0 already matches all that it matches',
  ],
  [
    'two halves',
    [{ deny: { from: '10.0.0.0/9' } }, { deny: { from: '10.128.0.0/9' } }, { allow: { from: '10.0.0.0/8' } }],
    'rules 0, 1 together already match all that it matches',
  ],
  [
    'both families',
    [{ deny: { from: '0.0.0.0/0' } }, { deny: { from: '::/0' } }, { allow: { protocol: 'tcp' } }],
    'rules 0, 1 together already match all that it matches',
  ],
  [
    'a wider pattern',
    [{ deny: { hostName: 'cpe-*' } }, { limit: { hostName: 'CPE-1?' }, rate: '1/s' }],
    'rule 0 already matches all that it matches',
  ],
  [
    'a limit ends the search too',
    [{ limit: {}, rate: '1/s' }, { deny: { vendorName: 'x' } }],
    'rule 0 already matches all that it matches',
  ],
  [
    'the VIP’s address',
    [{ deny: { to: '192.0.2.0/24' } }, { allow: { vip: 'four' } }],
    'rule 0 already matches all that it matches',
  ],
  [
    'UDP',
    [{ deny: { protocol: 'udp' } }, { allow: { protocol: 'l2tp', hostName: 'x' } }],
    'rule 0 already matches all that it matches',
  ],
  [
    'ids',
    [{ deny: { clientTunnelId: '1-100' } }, { deny: { clientTunnelId: [7, '20-30'] } }],
    'rule 0 already matches all that it matches',
  ],
])('decided before: %s', (_name, rules, message) => {
  expect(findings(...rules)).toEqual([`warning firewall.rules.${rules.length - 1}: never reached: ${message}`]);
});

test.each<[string, object[]]>([
  ['requests apart, the packets are left', [{ limit: {}, rate: '1/s' }, { deny: { from: '10.0.0.0/8' } }]],
  ['a hidden name meets the denial only', [{ allow: { vendorName: '*' } }, { deny: { vendorName: 'bad*' } }]],
  ['a narrower pattern', [{ deny: { hostName: 'cpe-1*' } }, { allow: { hostName: 'cpe-*' } }]],
  ['another VIP', [{ deny: { vip: 'four' } }, { allow: { protocol: 'l2tp' } }]],
  ['one half', [{ deny: { from: '10.0.0.0/9' } }, { allow: { from: '10.0.0.0/8' } }]],
  ['IPv6 does not cover IPv4', [{ deny: { from: '::/0' } }, { allow: { from: '10.0.0.0/8' } }]],
  [
    'a rule that is itself never reached decides nothing',
    [{ deny: { from: '::/0', to: '10.0.0.0/8' } }, { deny: { from: '::/0' } }],
  ],
])('still reached: %s', (_name, rules) => {
  expect(findings(...rules).filter((line) => line.includes('reached'))).toEqual([]);
});

test('with line and column', () => {
  const text = `interfaces: { outside: wan0, inside: lan0 }
vips:
  - { name: four, address: 192.0.2.1, servers: [{ name: a, address: 10.0.0.1 }] }
firewall:
  rules:
    - { deny: { hostName: "*" }, name: all }
    - { allow: { hostName: lac1 } }
    - { limit: { from: 2001:db8::/32 }, rate: 5/s }
`;
  expect(linesOf(text)).toEqual([
    'd.yaml:7:7: firewall.rules.1: warning: never reached: rule 0 already matches all that it matches',
    'd.yaml:8:16: firewall.rules.2.limit: warning: never matches: from is not of the IP family of any VIP',
  ]);
});

const SOURCES = ['10.1.2.3', '10.200.0.1', '192.0.2.9', '2001:db8::7', '2001:db9::1'];
const TARGETS = ['192.0.2.1', '198.51.100.1', '2001:db8::1', '2001:db8:ffff::1'];
const HOSTS = ['cpe-1', 'CPE-22', 'lac', ''];
const optional = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(value, { nil: undefined, freq: 2 });
const someOf = (...values: string[]) => optional(fc.subarray(values, { minLength: 1, maxLength: 2 }));
const match = fc.record({
  from: someOf('10.0.0.0/8', '10.0.0.0/9', '10.128.0.0/9', '0.0.0.0/0', '::/0', '2001:db8::/32', '2001:db8::7'),
  to: someOf('192.0.2.0/24', '0.0.0.0/0', '2001:db8::/32', '198.51.100.0/24'),
  vip: someOf('four', 'six'),
  protocol: someOf('l2tp', 'udp', 'tcp'),
  hostName: someOf('*', 'cpe-*', 'cpe-?', 'lac', 'l*'),
  clientTunnelId: someOf('1-100', '50-60', '7'),
});
const anyRule = fc.oneof(
  match.map((allow) => ({ allow })),
  match.map((deny) => ({ deny })),
  match.map((limit) => ({ limit, rate: '5/s' })),
);

test('a rule of which it is said decides about nothing that can come', () => {
  fc.assert(
    fc.property(fc.array(anyRule, { minLength: 2, maxLength: 6 }), (rules) => {
      const text = JSON.stringify({ interfaces: { outside: 'wan0', inside: 'lan0' }, vips: VIPS, firewall: { rules } });
      const config = compiled(text);
      const dead = new Set(checkRuleReach(config).map(({ path }) => path[2]));
      fc.pre(dead.size > 0);
      const udp = () => ({ ipProtocol: 17, hasPorts: true });
      const list = new RuleList(ruleInputs(config.firewall.rules, config.vips, udp));
      for (const source of SOURCES) {
        for (const target of TARGETS) {
          const [s, d] = [parseAddress(source), parseAddress(target)] as unknown as AddressWords[];
          if (isIpv4(s[0], s[1], s[2]) !== isIpv4(d[0], d[1], d[2])) continue;
          for (const [protocol, port] of [
            [17, 1701],
            [17, 53],
            [6, 22],
          ])
            expect(dead).not.toContain(list.evaluate(...s, ...d, protocol, port));
          if (!config.vips.some(({ address }) => address === target)) continue; // requests go to VIPs
          for (const host of [...HOSTS, null]) {
            const bytes = new TextEncoder().encode(host ?? '');
            for (const channel of [7, 55, 4000, -1]) {
              const attributes = {
                view: new DataView(bytes.buffer),
                hostAt: 0,
                hostLength: host === null ? -1 : bytes.length,
                vendorAt: 0,
                vendorLength: 0,
                protocolVersion: 0x0100,
                framing: 3,
                bearer: 0,
                channel,
              };
              expect(dead).not.toContain(list.evaluateRequest(...s, ...d, 17, 1701, attributes));
            }
          }
        }
      }
    }),
    { numRuns: FUZZ_RUNS / 5 },
  );
});
