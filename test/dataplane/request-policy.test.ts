/** The firewall's rules about tunnel requests, rates and floods, through whole shards. */
import { describe, expect, test } from 'vitest';
import type { CompiledConfig, CompiledRule } from '../../src/config/compiled.js';
import { PORT_INSIDE } from '../../src/io/port.js';
import { FirewallRows } from '../../src/roles/designator/firewall-rows.js';
import { compiled, withTop } from '../config/sample.js';
import { avp, l2tpData, scccn, sccrp, sccrq, text, udpFrame } from '../helpers/packet-builder.js';
import { CLIENT, Harness, type HarnessOptions, SERVER_1, VIP } from '../helpers/shard-harness.js';

const rulesOf = (...rules: object[]): CompiledRule[] => [...compiled(withTop({ firewall: { rules } })).firewall.rules];
const harness = (rules: object[], options: Partial<HarnessOptions> = {}): Harness =>
  new Harness({ servers: [{ name: 'lns1', address: SERVER_1 }], rules: rulesOf(...rules), ...options });

let next = 1;
/** One request, of a new tunnel; did it get through? */
function asks(h: Harness, host: string, { from = CLIENT, more = [] as Uint8Array[], id = next++ } = {}): boolean {
  const payload = sccrq({ assigned: id, host, more });
  return h.send(udpFrame(`${from}:1701`, `${VIP}:1701`, payload)).sent.length > 0;
}
function connect(h: Harness, host: string, id: number, serverId: number, from = CLIENT): void {
  expect(asks(h, host, { from, id })).toBe(true);
  h.send(udpFrame(`${SERVER_1}:1701`, `${from}:1701`, sccrp({ tunnel: id, assigned: serverId })), PORT_INSIDE);
  h.send(udpFrame(`${from}:1701`, `${VIP}:1701`, scccn({ tunnel: serverId })));
}
const passes = (h: Harness, serverId: number, from = CLIENT): boolean =>
  h.send(udpFrame(`${from}:1701`, `${VIP}:1701`, l2tpData({ tunnel: serverId, session: 1, payload: '00' }))).sent
    .length > 0;

describe('rules by what a request says of itself', () => {
  test('the first match decides; the rest goes by default', () => {
    const h = harness([
      { deny: { hostName: 'test-*' }, name: 'tests' },
      { allow: { hostName: ['lac-?', 'cpe-*.example.net'] } },
      { deny: { vendorName: 'bad*' } },
      { deny: { framing: 'none' } },
    ]);
    expect(asks(h, 'TEST-1')).toBe(false);
    expect(asks(h, 'lac-1', { more: [avp(8, text('Badly made'))] })).toBe(true);
    expect(asks(h, 'other', { more: [avp(8, text('Badly made'))] })).toBe(false);
    expect(asks(h, 'other', { more: [avp(8, text('Good'))] })).toBe(true);
    expect(h.drops()).toEqual({ 'firewall-denied': 2 });
  });

  test('version, bearer, id, and the packet’s own addresses beside them', () => {
    const h = harness(
      [
        { allow: { from: '192.128.10.0/24', protocolVersion: '1.0', bearer: ['digital', 'analog'] } },
        { allow: { clientTunnelId: ['1000-1999', 3000], vip: 'access', protocol: 'l2tp' } },
      ],
      { denyByDefault: true },
    );
    const digital = [avp(4, '00000001')];
    expect(asks(h, 'a', { more: digital })).toBe(true);
    expect(asks(h, 'a')).toBe(false);
    expect(asks(h, 'a', { more: digital, from: '192.128.11.1' })).toBe(false);
    expect(asks(h, 'a', { id: 1500 })).toBe(true);
    expect(asks(h, 'a', { id: 3000 })).toBe(true);
    expect(asks(h, 'a', { id: 2000 })).toBe(false);
  });

  test('what cannot be read is what the rule fears', () => {
    const hidden = [avp(8, 'aabb', { hidden: true })];
    expect(asks(harness([{ deny: { vendorName: 'bad' } }]), 'a', { more: hidden })).toBe(false);
    const allowing = harness([{ allow: { vendorName: '*' } }], { denyByDefault: true });
    expect(asks(allowing, 'a', { more: hidden })).toBe(false);
    expect(asks(allowing, 'a')).toBe(true);
  });

  test('they have nothing to say about other packets', () => {
    const h = harness([{ deny: { hostName: '*' } }]);
    const ssh = udpFrame('192.128.10.9:4000', '192.128.10.1:53', Uint8Array.of(1, 2, 3, 4));
    expect(h.send(ssh).passed).toHaveLength(1);
    expect(asks(h, 'a')).toBe(false);
  });
});

describe('a reload', () => {
  test('judges standing tunnels by what their requests said', () => {
    const h = harness([]);
    connect(h, 'good', 101, 201);
    connect(h, 'bad', 102, 202);
    h.reconfigure({ rules: rulesOf({ deny: { hostName: 'bad' } }) });
    expect([passes(h, 201), passes(h, 202)]).toEqual([true, false]);
    h.reconfigure({ rules: rulesOf({ limit: { hostName: 'bad' }, rate: '1/s' }) });
    expect([passes(h, 201), passes(h, 202)]).toEqual([true, true]);
  });

  test('leaves a tunnel of which nobody knows that the verdict that it has', () => {
    const first = harness([]);
    connect(first, 'bad', 103, 203);
    const h = new Harness({
      servers: [{ name: 'lns1', address: SERVER_1 }],
      memory: first.memory,
      rules: rulesOf({ deny: { hostName: 'bad' } }),
    });
    for (const shard of h.shards) expect(shard.adopt()).toBe(1);
    h.settle();
    expect(passes(h, 203)).toBe(true);
    h.reconfigure({ rules: rulesOf({ deny: { hostName: 'bad' } }, { deny: { from: CLIENT } }) });
    expect(passes(h, 203)).toBe(true); // the first rule might have let it pass, or not
    h.reconfigure({ rules: rulesOf({ deny: { from: CLIENT } }) });
    expect(passes(h, 203)).toBe(false);
  });
});

describe('limits of rules', () => {
  test('of all that a rule matches, over several shards, and of each source', () => {
    const h = harness(
      [
        { limit: { hostName: 'cpe-*' }, rate: '2/s', burst: 4, name: 'cpe' },
        { limit: {}, perSource: '1/s', perSourceBurst: 2 },
      ],
      { shards: 3 },
    );
    const rows = rowsOf(h);
    const passed = (host: string, count: number, from: (i: number) => string): number =>
      Array.from({ length: count }, (_, i) => asks(h, host, { from: from(i) })).filter(Boolean).length;
    expect(passed('cpe-1', 12, (i) => `192.128.10.${i + 1}`)).toBe(4);
    expect(passed('other', 12, (i) => `192.128.10.${100 + (i % 3)}`)).toBe(6);
    expect(h.drops()).toEqual({ 'rule-rate': 14 });
    h.at(1001);
    expect(passed('cpe-1', 12, (i) => `192.128.10.${i + 1}`)).toBe(2);
    expect(rows.rows(h.config)).toMatchObject([
      { rule: 0, name: 'cpe', match: 'hostName cpe-*', limit: '2/s (burst 4)', matched: 24, refused: 18 },
      { rule: 1, name: 'rules[1]', match: 'everything', limit: '1/s per source (burst 2)', matched: 12, refused: 6 },
      { rule: null, name: 'default', action: 'allow', matched: 0 },
    ]);
  });

  test('a rule that a reload leaves alone goes on counting, another one begins at nothing', () => {
    const kept = { deny: { hostName: 'a' }, name: 'kept' };
    const h = harness([{ deny: { hostName: 'x' } }, kept]);
    const rows = rowsOf(h);
    for (const host of ['x', 'x', 'a']) asks(h, host);
    const matched = () => rows.rows(h.config).map((row) => row.matched);
    expect(matched()).toEqual([2, 1, 0]);
    const rules = rulesOf(kept, { deny: { hostName: 'y' } });
    h.config = { ...h.config, firewall: { ...h.config.firewall, rules } } as CompiledConfig;
    h.plan = h.bind();
    rows.rebase();
    h.tell({ type: 'plan', plan: h.plan });
    asks(h, 'y');
    expect(matched()).toEqual([1, 1, 0]);
  });
});

const rowsOf = (h: Harness): FirewallRows => new FirewallRows(h.binding.ruleSlots, h.statistics, () => null);

describe('rates of sources and of all', () => {
  test('a prefix is one source', () => {
    const h = harness([], { requestsPerSecond: 1, burst: 3, policy: { prefixIpv4: 24 } });
    const from = (i: number) => (i < 5 ? `192.128.10.${i}` : `192.128.11.${i}`);
    expect(Array.from({ length: 10 }, (_, i) => asks(h, 'a', { from: from(i) })).filter(Boolean)).toHaveLength(6);
    expect(h.drops()).toEqual({ 'request-rate': 4 });
  });

  test('of all: what is over is dropped by name where strangers need not ask twice', () => {
    const policy = { totalPerSecond: 5, totalBurst: 5, unknownSources: 'admit' } as const;
    const h = harness([], { shards: 2, policy });
    const passed = Array.from({ length: 20 }, (_, i) => asks(h, 'a', { from: `192.128.10.${i + 1}` }));
    expect(passed.filter(Boolean)).toHaveLength(5);
    expect(h.drops()).toEqual({ 'request-total-rate': 15 });
  });

  test('copies of a request pass once in a while', () => {
    const h = harness([], { policy: { duplicatesMs: 100 } });
    const copy = () => asks(h, 'a', { id: 900 });
    expect([copy(), copy(), copy()]).toEqual([true, false, false]);
    h.at(1000.15);
    expect([copy(), copy()]).toEqual([true, false]);
    expect(h.drops()).toEqual({ 'request-repeated': 3 });
  });
});

describe('a flood of requests from forged sources', () => {
  const flood = (h: Harness, count: number, first: number): number => {
    let passed = 0;
    for (let i = 0; i < count; i++) {
      const n = first + i;
      if (asks(h, 'x', { from: `10.${64 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`, id: 1 + (n % 60000) })) passed++;
    }
    return passed;
  };

  test('half of the half-open tunnels is all it gets; a client that repeats gets in, one that had a tunnel at once', () => {
    const h = harness([], { halfOpen: 200, connections: 2048 });
    connect(h, 'known', 7001, 8001, '192.128.10.9');
    expect(flood(h, 2000, 0)).toBe(100);
    expect(h.drops()).toEqual({ 'request-unproven': 1900 });

    const asksAgain = () => asks(h, 'honest', { from: '192.128.10.77', id: 4444 });
    expect(asksAgain()).toBe(false);
    h.at(1001);
    expect(flood(h, 2000, 2000)).toBe(0);
    expect(asksAgain()).toBe(true);
    expect(asks(h, 'known', { from: '192.128.10.9' })).toBe(true);
    expect(asks(h, 'a second, which is another request', { from: '192.128.10.77', id: 4445 })).toBe(false);
  });

  test('over the total rate likewise, and a while after it strangers are welcome again', () => {
    const h = harness([], { connections: 2048, policy: { totalPerSecond: 50, totalBurst: 50 } });
    expect(flood(h, 500, 0)).toBe(50);
    for (let second = 1001; second < 1010; second++) {
      h.at(second);
      expect(flood(h, 200, second * 200)).toBeLessThanOrEqual(1);
    }
    h.at(1020);
    expect(asks(h, 'honest', { from: '192.128.10.77' })).toBe(true);
  });

  test('without any limit the table keeps a quarter for those who repeat', () => {
    const h = harness([], { connections: 2000 });
    expect(flood(h, 3000, 0)).toBe(1500);
    expect(h.drops()).toEqual({ 'request-unproven': 1500 });
  });
});
