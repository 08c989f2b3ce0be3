import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type AddressWords,
  compileDenyList,
  DENY_LIST_ALLOW,
  DENY_LIST_DENY,
  type DenyEntry,
  type DenyList,
  denyListChange,
} from '../../src/flow/deny-list.js';
import { type RuleInput, RuleList, type RulePrefix } from '../../src/flow/rule-list.js';
import { RUNS } from './memory.js';

const v4 = (word: number): AddressWords => [0, 0, 0xffff, word | 0];
const prefix4 = (word: number, length: number): RulePrefix => ({ words: v4(word), length: 96 + length });
const rule = (action: 'allow' | 'deny', from: RulePrefix[], more: Partial<RuleInput> = {}): RuleInput => ({
  action,
  from,
  to: [],
  vips: [],
  protocols: [],
  ...more,
});
const PORT_1701: Partial<RuleInput> = {
  protocols: [{ number: null, services: [{ words: v4(0xc8c86401), ipProtocol: 17, port: 1701 }] }],
};

const bit = (words: AddressWords, i: number): number => (words[i >>> 5] >>> (31 - (i & 31))) & 1;
const inside = (words: AddressWords, entry: DenyEntry): boolean => {
  for (let i = 0; i < entry.length; i++) if (bit(words, i) !== bit(entry.words, i)) return false;
  return true;
};

/** What the XDP program finds: the longest prefix in a trie over 128 bits, which knows no families. */
function listDenies(list: Pick<DenyList, 'entries' | 'denyByDefault'>, words: AddressWords): boolean {
  let best: DenyEntry | null = null;
  for (const entry of list.entries) {
    if (inside(words, entry) && (best === null || entry.length > best.length)) best = entry;
  }
  return best === null ? list.denyByDefault : best.action === DENY_LIST_DENY;
}

describe('what goes into the list', () => {
  it('an earlier rule inside a later one stays, a later one inside an earlier one is left out', () => {
    const list = compileDenyList(
      [
        rule('allow', [prefix4(0x0a010000, 16)]),
        rule('deny', [prefix4(0x0a000000, 8)]),
        rule('allow', [prefix4(0x0a020000, 16), prefix4(0x0a000000, 8)]),
      ],
      false,
    );
    expect(list).toEqual({
      entries: [
        { words: v4(0x0a010000), length: 112, action: DENY_LIST_ALLOW },
        { words: v4(0x0a000000), length: 104, action: DENY_LIST_DENY },
      ],
      denyByDefault: false,
      exact: true,
    });
  });

  it('bits beyond the prefix do not make another entry', () => {
    const list = compileDenyList([rule('deny', [prefix4(0x0a010203, 8), prefix4(0x0aff0000, 8)])], false);
    expect(list.entries).toEqual([{ words: v4(0x0a000000), length: 104, action: DENY_LIST_DENY }]);
  });

  it('::/0 is all of IPv6 and nothing of IPv4, which keeps its default', () => {
    for (const denyByDefault of [false, true]) {
      const list = compileDenyList([rule('deny', [{ words: [0, 0, 0, 0], length: 0 }])], denyByDefault);
      expect(listDenies(list, [0x20010db8, 0, 0, 1])).toBe(true);
      expect(listDenies(list, v4(0x08080808))).toBe(denyByDefault);
      expect(list.exact).toBe(true);
    }
  });

  it('what an allow rule with more tests may let pass is left to the rules, what follows a deny rule with more is not', () => {
    const from = [prefix4(0x0a000000, 8)];
    const allow = compileDenyList([rule('allow', from, PORT_1701), rule('deny', [prefix4(0, 0)])], false);
    expect([listDenies(allow, v4(0x0a000001)), listDenies(allow, v4(0x0b000001)), allow.exact]).toEqual([
      false,
      true,
      false,
    ]);
    const deny = compileDenyList([rule('deny', from, PORT_1701), rule('deny', from)], false);
    expect([listDenies(deny, v4(0x0a000001)), listDenies(deny, v4(0x0b000001)), deny.exact]).toEqual([
      true,
      false,
      false,
    ]);
  });

  it('the default denies whom no rule could allow, also where the list is not exact', () => {
    const list = compileDenyList([rule('allow', [prefix4(0x0a000000, 8)], PORT_1701)], true);
    expect([listDenies(list, v4(0x0a000001)), listDenies(list, v4(0x0b000001))]).toEqual([false, true]);
    const open = compileDenyList([rule('allow', [], PORT_1701)], true);
    expect([listDenies(open, v4(0x0a000001)), listDenies(open, [1, 2, 3, 4])]).toEqual([false, false]);
  });

  it('a rule with more tests behind one that decides for all its sources changes nothing', () => {
    const list = compileDenyList(
      [rule('deny', [prefix4(0x0a000000, 8)]), rule('allow', [prefix4(0x0a010000, 16)], PORT_1701)],
      false,
    );
    expect([list.exact, list.entries.length]).toEqual([true, 1]);
  });

  it('an exempt address is never denied', () => {
    const server = v4(0x0a0a0101);
    const list = compileDenyList([rule('deny', [prefix4(0x0a000000, 8)])], true, [server]);
    expect([listDenies(list, server), listDenies(list, v4(0x0a0a0102)), listDenies(list, v4(1))]).toEqual([
      false,
      true,
      true,
    ]);
  });

  it('a list that is full denies nothing by default and nothing that a missing rule could allow', () => {
    const hosts = [1, 2, 3].map((n) => prefix4(0x0a000000 + n, 32));
    const rules = [rule('deny', hosts.slice(0, 2)), rule('allow', hosts.slice(2)), rule('deny', [prefix4(0, 0)])];
    const list = compileDenyList(rules, true, [], 2);
    expect(list).toMatchObject({ denyByDefault: false, exact: false });
    expect(list.entries).toHaveLength(2);
    expect(hosts.map(({ words }) => listDenies(list, words as AddressWords))).toEqual([true, true, false]);
    expect(compileDenyList(rules, true, [], 4)).toMatchObject({ denyByDefault: true, exact: true });
  });

  it('room for what IPv4 gets by default is kept', () => {
    const list = compileDenyList([rule('deny', [{ words: [0, 0, 0, 0], length: 0 }, prefix4(1, 32)])], false, [], 2);
    expect(list.entries).toHaveLength(2);
    expect(listDenies(list, v4(2))).toBe(false);
  });
});

const address: fc.Arbitrary<AddressWords> = fc.oneof(
  fc.constantFrom<AddressWords>(v4(0x0a000001), v4(0x0a000102), v4(0x0a010001), v4(0xc8c86401), [0x20010db8, 0, 0, 1]),
  fc.constantFrom<AddressWords>([0x20010db8, 0, 0, 2], [0, 0, 0, 1], [0, 0, 0xfffe, 5], [-1, -1, -1, -1]),
  fc.tuple(fc.integer(), fc.integer(), fc.integer(), fc.integer()),
  fc.integer().map(v4),
);
const prefix = fc.record({
  words: address,
  length: fc.constantFrom(0, 1, 32, 80, 95, 96, 97, 104, 112, 120, 127, 128),
}) as fc.Arbitrary<RulePrefix>;
const services = fc.array(
  fc.record({ words: address, ipProtocol: fc.constantFrom(6, 17, 47), port: fc.constantFrom(0, 1701, 1702) }),
  { maxLength: 2 },
);
const more = fc.record({
  to: fc.array(prefix, { maxLength: 1 }),
  vips: fc.array(fc.record({ words: address, services }), { maxLength: 1 }),
  protocols: fc.array(fc.record({ number: fc.constantFrom(null, 1, 6, 17), services }), { maxLength: 1 }),
});
const anyRule = fc
  .tuple(
    fc.constantFrom('allow' as const, 'deny' as const),
    fc.array(prefix, { maxLength: 3 }),
    fc.option(more, { nil: {} }),
  )
  .map(([action, from, tests]) => rule(action, from, tests));
const packet = fc.record({
  source: address,
  destination: address,
  protocol: fc.constantFrom(1, 6, 17, 47),
  port: fc.constantFrom(-1, 0, 53, 1701, 1702),
});
const limit = fc.constantFrom(2, 3, 5, 1000);

describe('beside the rules', () => {
  it('denies nothing that they allow, and where it is exact all that they deny', () => {
    fc.assert(
      fc.property(
        fc.array(anyRule, { maxLength: 6 }),
        fc.boolean(),
        limit,
        fc.array(packet, { minLength: 1, maxLength: 12 }),
        (rules, denyByDefault, most, packets) => {
          const list = compileDenyList(rules, denyByDefault, [], most);
          const judge = new RuleList(rules);
          expect(list.entries.length).toBeLessThanOrEqual(most);
          for (const p of packets) {
            // Also the very addresses that rules speak of.
            const sources = [p.source, ...rules.flatMap(({ from }) => from.map(({ words }) => words as AddressWords))];
            for (const source of sources) {
              const row = judge.evaluate(...source, ...p.destination, p.protocol, p.port);
              const denied = row < 0 ? denyByDefault : judge.denies(row);
              if (list.exact) expect(listDenies(list, source)).toBe(denied);
              else if (listDenies(list, source)) expect(denied).toBe(true);
            }
          }
        },
      ),
      { numRuns: RUNS * 5 },
    );
  });

  it('a change from one list to another at no step denies whom both allow', () => {
    const lists = fc.array(anyRule, { maxLength: 5 }).map((rules) => compileDenyList(rules, false).entries);
    fc.assert(
      fc.property(lists, lists, fc.array(address, { minLength: 1, maxLength: 8 }), (before, after, sources) => {
        const now = new Map(before.map((entry) => [`${entry.words}/${entry.length}`, entry]));
        const state = () => ({ entries: [...now.values()], denyByDefault: false });
        const both = sources.filter(
          (source) =>
            !listDenies({ entries: before, denyByDefault: false }, source) &&
            !listDenies({ entries: after, denyByDefault: false }, source),
        );
        const check = (): void => {
          for (const source of both) expect(listDenies(state(), source)).toBe(false);
        };
        const { removeFirst, put, removeLast } = denyListChange(before, after);
        for (const entry of removeFirst) {
          now.delete(`${entry.words}/${entry.length}`);
          check();
        }
        for (const entry of put) {
          now.set(`${entry.words}/${entry.length}`, entry);
          check();
        }
        for (const entry of removeLast) {
          now.delete(`${entry.words}/${entry.length}`);
          check();
        }
        const sorted = (entries: Iterable<DenyEntry>) => [...entries].map((e) => JSON.stringify(e)).sort();
        expect(sorted(now.values())).toEqual(sorted(after));
      }),
      { numRuns: RUNS },
    );
  });
});
