import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type NamedRule, type NamedVip, RuleList, ruleInputs } from '../../src/flow/rule-list.js';
import { RUNS } from './memory.js';

type Words = readonly [number, number, number, number];
const v4 = (word: number): Words => [0, 0, 0xffff, word >>> 0];

const VIPS: NamedVip[] = [
  { name: 'access', words: v4(0xc8c86401), port: 1701, protocols: ['l2tp', 'pptp', 'gre'] },
  { name: 'twin', words: v4(0xc8c86401), port: 1702, protocols: ['l2tp'] },
  { name: 'six', words: [0x20010db8, 0, 0, 1], port: 1701, protocols: ['l2tp'] },
];
const TRANSPORTS: Record<string, { ipProtocol: number; hasPorts: boolean }> = {
  l2tp: { ipProtocol: 17, hasPorts: true },
  pptp: { ipProtocol: 6, hasPorts: true },
  gre: { ipProtocol: 47, hasPorts: false },
  none: { ipProtocol: 99, hasPorts: false },
};
const transportOf = (protocol: string) => TRANSPORTS[protocol];
const list = (rules: readonly NamedRule[]) => new RuleList(structuredClone(ruleInputs(rules, VIPS, transportOf)));
const rule = (tests: Partial<NamedRule> = {}): NamedRule => ({
  action: 'deny',
  from: [],
  to: [],
  vips: [],
  protocols: [],
  ...tests,
});

interface Packet {
  readonly from: Words;
  readonly to: Words;
  readonly protocol: number;
  readonly port: number;
}
const evaluate = (rules: RuleList, p: Packet) => rules.evaluate(...p.from, ...p.to, p.protocol, p.port);

const bits = (words: Words) => words.map((word) => (word >>> 0).toString(2).padStart(32, '0')).join('');
const mapped = (words: Words) => words[0] === 0 && words[1] === 0 && words[2] === 0xffff;
const within = (address: Words, prefix: { words: Words; length: number }) =>
  // A prefix shorter than the mapped one is IPv6's and holds no IPv4 address.
  (prefix.length >= 96 || !mapped(address)) &&
  bits(address).slice(0, prefix.length) === bits(prefix.words).slice(0, prefix.length);

/** The rules as the configuration describes them, without any of the product's shortcuts. */
function naive(rules: readonly NamedRule[], p: Packet): number {
  const portFits = (deny: boolean, wanted: number) => (p.port < 0 ? deny : p.port === wanted);
  const isService = (vip: NamedVip, protocol: string, deny: boolean) => {
    const t = transportOf(protocol);
    return bits(vip.words) === bits(p.to) && t.ipProtocol === p.protocol && (!t.hasPorts || portFits(deny, vip.port));
  };
  return rules.findIndex((r) => {
    const deny = r.action === 'deny';
    const anyOf = <T>(tests: readonly T[], test: (t: T) => boolean) => tests.length === 0 || tests.some(test);
    return (
      anyOf(r.from, (prefix) => within(p.from, prefix)) &&
      anyOf(r.to, (prefix) => within(p.to, prefix)) &&
      anyOf(r.vips, (name) => {
        const vip = VIPS.find((v) => v.name === name) as NamedVip;
        if (bits(vip.words) !== bits(p.to)) return false;
        const taken = vip.protocols.filter((protocol) => transportOf(protocol).ipProtocol === p.protocol);
        return taken.length === 0 || taken.some((protocol) => isService(vip, protocol, deny));
      }) &&
      anyOf(r.protocols, ({ tunnel, number }) =>
        tunnel === null
          ? number === p.protocol
          : VIPS.some((vip) => vip.protocols.includes(tunnel) && isService(vip, tunnel, deny)),
      )
    );
  });
}

const address = fc.constantFrom<Words>(
  v4(0xc8c86401),
  v4(0xc8c86402),
  v4(0x0a000001),
  v4(0x0a800001),
  v4(0xffffffff),
  [0x20010db8, 0, 0, 1],
  [0x20010db8, 0, 0, 2],
  [0, 0, 0, 0],
);
const prefix = fc.record({ words: address, length: fc.constantFrom(0, 1, 32, 96, 97, 104, 120, 127, 128) });
const anyRule: fc.Arbitrary<NamedRule> = fc.record({
  action: fc.constantFrom('allow' as const, 'deny' as const),
  from: fc.array(prefix, { maxLength: 3 }),
  to: fc.array(prefix, { maxLength: 3 }),
  vips: fc.array(fc.constantFrom(...VIPS.map((vip) => vip.name)), { maxLength: 2 }),
  protocols: fc.array(
    fc.oneof(
      fc.record({ tunnel: fc.constant(null), number: fc.constantFrom(1, 6, 17, 47) }),
      fc.record({ tunnel: fc.constantFrom('l2tp', 'pptp', 'gre', 'none'), number: fc.constant(null) }),
    ),
    { maxLength: 2 },
  ),
});
const packet = fc.record({
  from: address,
  to: address,
  protocol: fc.constantFrom(1, 6, 17, 47, 50),
  port: fc.constantFrom(-1, 0, 53, 1701, 1702),
});

describe('rule list', () => {
  it('agrees with the rules as they read', () => {
    fc.assert(
      fc.property(
        fc.array(anyRule, { maxLength: 6 }),
        fc.array(packet, { minLength: 1, maxLength: 12 }),
        (rules, packets) => {
          const compiled = list(rules);
          for (const p of packets) expect(evaluate(compiled, p)).toBe(naive(rules, p));
          rules.forEach((r, i) => expect(compiled.denies(i)).toBe(r.action === 'deny'));
        },
      ),
      { numRuns: RUNS * 3 },
    );
  });

  it('lets the first match win', () => {
    const rules = list([
      rule({ action: 'allow', from: [{ words: v4(0xc6336401), length: 128 }] }),
      rule({ from: [{ words: v4(0xc6336400), length: 120 }] }),
    ]);
    const from = (word: number) => evaluate(rules, { from: v4(word), to: v4(1), protocol: 17, port: 1701 });
    expect([from(0xc6336401), from(0xc6336402), from(0xc6336502)]).toEqual([0, 1, -1]);
    expect([rules.denies(0), rules.denies(1)]).toEqual([false, true]);
  });

  it('means by a VIP its address and, for its tunnel protocol, its port', () => {
    const rules = list([rule({ vips: ['twin'] })]);
    const to = (protocol: number, port: number) => evaluate(rules, { from: v4(1), to: v4(0xc8c86401), protocol, port });
    expect([to(17, 1702), to(17, 1701), to(1, 0), to(6, 1701)]).toEqual([0, -1, 0, 0]);
  });

  it('never lets a packet of unknown port through by a test of its port', () => {
    for (const [action, row] of [
      ['deny', 0],
      ['allow', -1],
    ] as const) {
      const rules = list([rule({ action, protocols: [{ tunnel: 'l2tp', number: null }] })]);
      expect(evaluate(rules, { from: v4(1), to: v4(0xc8c86401), protocol: 17, port: -1 })).toBe(row);
    }
  });

  it('refuses a rule about a VIP that is not there', () => {
    expect(() => list([rule({ vips: ['nobody'] })])).toThrow('nobody');
  });
});
