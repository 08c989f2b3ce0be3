import { describe, expect, test } from 'vitest';
import { diffConfigs } from '../../src/config/diff.js';
import { parseConfig } from '../../src/config/load.js';

const KEY = 'key: { text: 0123456789abcdef }';
const file = (gateway: string, algorithm = 'maglev'): string => `
interfaces: { outside: wan0, inside: lan0 }
vips:
  - { name: four, address: 200.200.100.1, algorithm: ${algorithm}, protocols: [l2tp], servers: [{ name: a, address: 10.9.0.1 }] }
  - { name: six, address: "2001:db8::64", algorithm: maglev, protocols: [l2tp], servers: [{ name: b, address: "fd00::1" }] }
${gateway}`;
const BOTH = `
gateway:
  outside: { group: 7, number: 1, ${KEY} }
  inside: { group: 8, number: 1, addresses: [10.9.0.254], key: { file: lan.key } }`;
const parse = (text: string) => parseConfig('/etc/td/designator.yaml', text);
const problems = (text: string): string[] =>
  parse(text).problems.map(({ severity, path, message }) => `${severity} ${path}: ${message}`);

test('outside shares the VIPs, inside what is written; interfaces and defaults are the designator’s', () => {
  const { config, problems: found } = parse(file(BOTH));
  expect(found).toEqual([]);
  expect(config?.gateway?.outside).toMatchObject({
    name: 'outside',
    group: 7,
    number: 1,
    device: 'wan0',
    accept: false,
    replies: 'forwarder',
    return: 'stay',
    permanentSeconds: null,
    rebalance: null,
    advertise: null,
  });
  expect(config?.gateway?.outside?.addresses).toEqual(config?.vips.map(({ words }) => words));
  expect(config?.gateway?.inside).toMatchObject({ device: 'lan0', addresses: [[0, 0, 0xffff, 0x0a0900fe]] });
  expect(config?.gateway?.inside?.key).toEqual({ file: '/etc/td/lan.key' });
});

test('without the section there is no group', () => {
  expect(parse(file('')).config?.gateway).toBeNull();
});

describe('what cannot be', () => {
  test.each([
    [
      'one number for both',
      BOTH.replace('group: 8', 'group: 7'),
      'error gateway.inside.group: the group outside has this number: a virtual MAC must tell which group it is of',
    ],
    [
      'a VIP that is not shared',
      BOTH.replace('number: 1,', 'number: 1, addresses: [200.200.100.1],'),
      'error gateway.outside.addresses: VIP six is missing: the group answers for all of them or for none',
    ],
    [
      'timers in the wrong order',
      BOTH.replace('number: 1,', 'number: 1, redirect: 5h,'),
      'error gateway.outside.timeout: it must be longer than redirect: what is still given out must be served',
    ],
  ])('%s', (_name, gateway, problem) => {
    expect(problems(file(gateway))).toContain(problem);
  });

  test('keys that mean nothing to a designator are not known', () => {
    for (const key of ['accept: true', 'compatibility: glbp', 'rebalance: false', 'interface: wan0'])
      expect(parse(file(BOTH.replace('number: 1,', `number: 1, ${key},`))).config, key).toBeNull();
  });
});

test('another algorithm than maglev is warned of', () => {
  expect(problems(file(BOTH, 'round-robin'))).toEqual([
    'warning gateway.outside: VIP four has the algorithm round-robin: only with maglev do all designators choose the same server',
  ]);
});

test('a reload that changes the groups is refused', () => {
  const config = (text: string) => parse(text).config as NonNullable<ReturnType<typeof parse>['config']>;
  const old = config(file(BOTH));
  expect(diffConfigs(old, config(file(BOTH))).refused).toEqual([]);
  expect(diffConfigs(old, config(file(BOTH.replace('number: 1', 'number: 2')))).refused).toHaveLength(1);
  expect(diffConfigs(old, config(file(''))).refused[0].message).toContain('restart it');
});

describe('addresses of one-way VIPs', () => {
  const oneWay = (gateway: string, inside = 'lan0', vip = ''): string => `
interfaces: { outside: lan0, inside: ${inside} }
part: master
vips:
  - name: access
    address: 10.9.0.100
    algorithm: maglev
    protocols: [l2tp]
    reply: nat
    natAddress: 200.200.100.2
    localAddress: 10.9.0.101
    servers: [{ name: a, address: 10.9.0.1 }]
${vip}${gateway}`;
  const group = (keys = ''): string => `gateway:
  outside: { group: 7, number: 1, ${KEY}${keys} }
`;
  const words = (text: string): number[] | undefined =>
    parse(text).config?.gateway?.outside?.addresses.map((address) => address[3] & 0xff);

  test('belong to the group that answers for the VIP: those behind it only where there is one interface', () => {
    expect(words(oneWay(group()))).toEqual([100, 2, 101]);
    const two = `${group()}  inside: { group: 8, number: 1, addresses: [10.9.0.254, 10.9.0.101], ${KEY} }`;
    expect(words(oneWay(two, 'wan0'))).toEqual([100, 2]);
  });

  test('are missed where addresses are written, with the reason', () => {
    expect(problems(oneWay(group(', addresses: [10.9.0.100]')))).toEqual([
      'error gateway.outside.addresses: natAddress of VIP access is missing: whoever has the VIP answers for it',
      'error gateway.outside.addresses: localAddress of VIP access is missing: whoever has the VIP answers for it',
    ]);
    const why =
      'localAddress of VIP access must be among gateway.inside.addresses: whoever has the VIP answers for it there';
    expect(problems(oneWay(group(), 'wan0'))).toEqual([`error gateway.outside: ${why}`]);
    const inside = `${group()}  inside: { group: 8, number: 1, addresses: [10.9.0.254], ${KEY} }`;
    expect(problems(oneWay(inside, 'wan0'))).toEqual([`error gateway.inside.addresses: ${why}`]);
  });
});
