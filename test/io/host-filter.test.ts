import { describe, expect, test } from 'vitest';
import { ruleInputs, type NamedRule } from '../../src/flow/rule-list.js';
import { HostFilter, type HostFilterInput, renderHostFilter, tableName } from '../../src/io/host-filter.js';
import { guardTable } from '../../src/io/host-filter-guard.js';
import { runNft } from '../../src/io/host-nft.js';
import { parseAddress } from '../../src/wire/address.js';
import * as build from '../helpers/netlink-builder.js';
import { concat } from '../helpers/packet-builder.js';

const side = (name: string) => ({ name, device: name.split('.')[0], vlan: Number(name.split('.')[1] ?? 0) });
const BASE: HostFilterInput = {
  outside: side('wan0'),
  inside: side('lan0'),
  vips: [{ address: '203.0.113.1', port: 1701 }],
  servers: [{ address: '10.0.0.10', port: 1701 }],
  floating: [],
  rules: [],
  denyByDefault: false,
};

/** Lines of one chain or set. */
function part(input: HostFilterInput, name: string): string[] {
  const lines = renderHostFilter(input)
    .split('\n')
    .map((line) => line.trim());
  const from = lines.indexOf(`${name} {`);
  return lines.slice(from + 1, lines.indexOf('}', from));
}

describe('the text', () => {
  test('replaces the table in one transaction', () => {
    const text = renderHostFilter(BASE);
    expect(text.split('\n').slice(0, 3)).toEqual([
      'add table netdev designator_wan0',
      'delete table netdev designator_wan0',
      'table netdev designator_wan0 {',
    ]);
    expect(renderHostFilter(BASE)).toBe(text);
  });

  test('is named after the outside, with letters that nft takes', () => {
    expect(tableName(side('wan0.100'))).toBe('designator_wan0_100');
    expect(tableName(side('enp3s0-x'))).toBe('designator_enp3s0_x');
  });

  test('refuses a name that would be more than a name', () => {
    expect(() => renderHostFilter({ ...BASE, outside: { name: 'x', device: 'x"; drop', vlan: 0 } })).toThrow(
      RangeError,
    );
    expect(() => renderHostFilter({ ...BASE, inside: { name: 'x', device: 'x\ny', vlan: 0 } })).toThrow(RangeError);
  });

  test('what goes to a VIP', () => {
    expect(part(BASE, 'chain to_vips')).toEqual([
      'ip daddr . udp dport { 203.0.113.1 . 1701 } drop',
      'ip daddr { 203.0.113.1 } meta l4proto 17 @th,64,16 & 0xcb0f == 0xc802 drop',
      'ip daddr { 203.0.113.1 } udp dport @floating_ports drop',
      'ip daddr { 203.0.113.1 } ip frag-off & 0x3fff != 0 drop',
      'ip daddr { 203.0.113.1 } icmp type echo-request drop',
      'ip daddr { 203.0.113.1 } icmp type { 3, 11, 12 } drop',
    ]);
    expect(part(BASE, 'chain questions')).toEqual(['arp operation request arp daddr ip { 203.0.113.1 } drop']);
  });

  test('two VIPs on one address, and one of IPv6', () => {
    const vips = [...BASE.vips, { address: '203.0.113.1', port: 1702 }, { address: '2001:db8::1', port: 1701 }];
    const rules = part({ ...BASE, vips }, 'chain to_vips');
    expect(rules[0]).toBe('ip daddr . udp dport { 203.0.113.1 . 1701, 203.0.113.1 . 1702 } drop');
    expect(rules[1]).toContain('ip daddr { 203.0.113.1 } ');
    expect(rules.slice(6)).toEqual([
      'ip6 daddr . udp dport { 2001:db8::1 . 1701 } drop',
      'ip6 daddr { 2001:db8::1 } meta l4proto 17 @th,64,16 & 0xcb0f == 0xc802 drop',
      'ip6 daddr { 2001:db8::1 } udp dport @floating_ports drop',
      'ip6 daddr { 2001:db8::1 } exthdr frag exists drop',
      'ip6 daddr { 2001:db8::1 } icmpv6 type echo-request drop',
      'ip6 daddr { 2001:db8::1 } icmpv6 type 1-4 drop',
    ]);
    expect(part({ ...BASE, vips }, 'chain questions')[1]).toBe(
      'icmpv6 type nd-neighbor-solicit @th,64,128 0x20010db8000000000000000000000001 drop',
    );
  });

  test('what comes from a server, and the sets', () => {
    const floating = [
      { address: '10.0.0.10', port: 6000 },
      { address: '2001:db8::10', port: 6000 },
    ];
    expect(part({ ...BASE, floating }, 'chain from_servers')).toEqual([
      'ip saddr . udp sport { 10.0.0.10 . 1701 } ip frag-off & 0x2000 != 0 update @fragments4 { ip saddr . ip daddr . ip id } drop',
      'ip saddr . udp sport { 10.0.0.10 . 1701 } drop',
      'ip frag-off & 0x1fff != 0 ip saddr . ip daddr . ip id @fragments4 drop',
      'ip saddr . udp sport @floating4 drop',
      'ip saddr { 10.0.0.10 } meta l4proto 17 @th,64,16 & 0xcb0f == 0xc802 @th,176,32 0x0 drop',
      'ip saddr { 10.0.0.10 } udp length 20 @th,64,16 & 0xcb0f == 0xc802 drop',
      'ip6 saddr . udp sport @floating6 drop',
    ]);
    expect(part({ ...BASE, floating }, 'set floating4')).toEqual([
      'type ipv4_addr . inet_service',
      'elements = { 10.0.0.10 . 6000 }',
    ]);
    expect(part({ ...BASE, floating }, 'set floating6')).toEqual([
      'type ipv6_addr . inet_service',
      'elements = { 2001:db8::10 . 6000 }',
    ]);
    expect(part({ ...BASE, floating }, 'set floating_ports')).toEqual(['type inet_service', 'elements = { 6000 }']);
    expect(part(BASE, 'set floating4')).toEqual(['type ipv4_addr . inet_service']);
  });

  test('errors about what clients sent to servers, unless the host sent it', () => {
    const servers = [...BASE.servers, { address: '2001:db8::10', port: 1702 }];
    expect(part({ ...BASE, servers }, 'chain errors')).toEqual([
      'icmp type { 3, 11, 12 } @th,136,8 17 @th,240,16 { 1701 } fib daddr type != local @th,192,32 0x0a00000a drop',
      'icmpv6 type 1-4 @th,112,8 17 @th,400,16 { 1702 } fib daddr type != local @th,256,128 0x20010db8000000000000000000000010 drop',
    ]);
    expect(part({ ...BASE, servers: [] }, 'chain errors')).toEqual([]);
    expect(part(BASE, 'set fragments6')).toContain('timeout 2s');
  });

  test('hooks: two arms, VLANs of one device, one arm', () => {
    expect(part(BASE, 'chain outside').slice(0, 3)).toEqual([
      'type filter hook ingress device "wan0" priority -500; policy accept;',
      'ether type ip ip daddr 203.0.113.1 udp dport 1701 drop',
      'ether type != { 8021q, 8021ad } jump to_vips',
    ]);
    expect(part(BASE, 'chain outside')).toContain('vlan id 0 jump firewall');
    expect(part(BASE, 'chain inside').join()).not.toContain('firewall');
    const vlans = { ...BASE, outside: side('eth0.100'), inside: side('eth0.200') };
    expect(part(vlans, 'chain outside')).toContain('vlan id 100 jump to_vips');
    expect(part(vlans, 'chain inside')).toEqual([
      'type filter hook ingress device "eth0" priority -500; policy accept;',
      'vlan id 200 jump to_vips',
      'vlan id 200 jump from_servers',
      'vlan id 200 jump errors',
    ]);
    const oneArm = { ...BASE, inside: BASE.outside };
    expect(renderHostFilter(oneArm)).not.toContain('chain inside');
    expect(part(oneArm, 'chain outside')).toContain('vlan id 0 jump from_servers');
  });
});

const prefix = (text: string) => {
  const [address, length] = text.split('/');
  return {
    words: parseAddress(address) as readonly [number, number, number, number],
    length: Number(length) + (address.includes(':') ? 0 : 96),
  };
};
const VIPS = [
  { name: 'a', words: prefix('203.0.113.1/32').words, port: 1701, protocols: ['l2tp'] },
  { name: 'b', words: prefix('2001:db8::1/128').words, port: 1702, protocols: ['l2tp'] },
];
function rules(rule: Partial<NamedRule>, more: Partial<HostFilterInput> = {}): string[] {
  const named: NamedRule = { action: 'deny', from: [], to: [], vips: [], protocols: [], ...rule };
  const input = { ...BASE, rules: ruleInputs([named], VIPS, () => ({ ipProtocol: 17, hasPorts: true })), ...more };
  return part(input, 'chain firewall');
}
const DISCOVERY = 'icmpv6 type 133-137 accept';

describe('the firewall', () => {
  test('is empty without rules, and never filters neighbour discovery', () => {
    expect(part(BASE, 'chain firewall')).toEqual([]);
    expect(rules({})).toEqual([DISCOVERY, 'meta protocol ip drop', 'meta protocol ip6 drop']);
    expect(part({ ...BASE, denyByDefault: true }, 'chain firewall')).toEqual([
      DISCOVERY,
      'meta protocol { ip, ip6 } drop',
    ]);
  });

  test('from and to, each family for itself', () => {
    expect(rules({ from: [prefix('198.51.100.0/24')] })).toEqual([
      DISCOVERY,
      'meta protocol ip ip saddr { 198.51.100.0/24 } drop',
    ]);
    expect(
      rules({ from: [prefix('198.51.100.0/24'), prefix('2001:db8:1::/48')], to: [prefix('2001:db8:2::/48')] }),
    ).toEqual([DISCOVERY, 'meta protocol ip6 ip6 saddr { 2001:db8:1::/48 } ip6 daddr { 2001:db8:2::/48 } drop']);
  });

  test('prefixes inside each other are one, everything is no test', () => {
    expect(
      rules({ from: [prefix('10.1.0.0/16'), prefix('10.0.0.0/8'), prefix('10.1.0.0/16'), prefix('11.0.0.9/32')] })[1],
    ).toBe('meta protocol ip ip saddr { 10.0.0.0/8, 11.0.0.9/32 } drop');
    expect(rules({ from: [prefix('10.0.0.0/8'), prefix('0.0.0.0/0')] })).toEqual([DISCOVERY, 'meta protocol ip drop']);
    // ::/0 is all of IPv6 and nothing of IPv4, as in flow/rule-list.
    expect(rules({ from: [prefix('::/0')] })).toEqual([DISCOVERY, 'meta protocol ip6 drop']);
    expect(rules({ from: [prefix('2000::/3')] })).toEqual([DISCOVERY, 'meta protocol ip6 ip6 saddr { 2000::/3 } drop']);
  });

  test('a VIP is its address, and for the tunnel transport its port', () => {
    expect(rules({ action: 'allow', vips: ['a'] })).toEqual([
      DISCOVERY,
      'meta protocol ip ip daddr 203.0.113.1 meta l4proto != { 17 } accept',
      'meta protocol ip ip daddr 203.0.113.1 meta l4proto 17 @th,16,16 1701 accept',
    ]);
  });

  test('protocols by number, and a tunnel protocol as the places of its VIPs', () => {
    expect(
      rules({
        protocols: [
          { tunnel: null, number: 6 },
          { tunnel: null, number: 47 },
        ],
      }).slice(1),
    ).toEqual(['meta protocol ip meta l4proto { 6, 47 } drop', 'meta protocol ip6 meta l4proto { 6, 47 } drop']);
    expect(rules({ protocols: [{ tunnel: 'l2tp', number: null }] }).slice(1)).toEqual([
      'meta protocol ip ip daddr 203.0.113.1 meta l4proto 17 @th,16,16 1701 drop',
      'meta protocol ip6 ip6 daddr 2001:db8::1 meta l4proto 17 @th,16,16 1702 drop',
    ]);
    expect(rules({ protocols: [{ tunnel: 'pptp', number: null }] })).toEqual([DISCOVERY]);
  });

  test('with one arm servers are exempt, before any rule', () => {
    expect(rules({}, { inside: BASE.outside }).slice(0, 2)).toEqual([DISCOVERY, 'ip saddr { 10.0.0.10 } accept']);
  });
});

// ── runs ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** nft as a list of scripts, each held until it is let go. */
class Nft {
  readonly scripts: string[] = [];
  readonly #waiting: { resolve: () => void; reject: (error: Error) => void }[] = [];
  readonly run = (script: string): Promise<void> => {
    this.scripts.push(script);
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  };

  /** Lets runs end, as long as there are any. */
  async finish(error?: Error): Promise<void> {
    for (let idle = 0; idle < 5; idle++) {
      await new Promise((resolve) => setImmediate(resolve));
      const one = this.#waiting.shift();
      if (one === undefined) continue;
      idle = 0;
      if (error === undefined) one.resolve();
      else one.reject(error);
      error = undefined;
    }
  }
}
const place = (port: number, address = '10.0.0.10') => ({ address, port });
const turn = () => new Promise((resolve) => setImmediate(resolve));

async function installed(): Promise<{ nft: Nft; filter: HostFilter }> {
  const nft = new Nft();
  const filter = new HostFilter(BASE, { run: nft.run });
  const done = filter.install();
  await nft.finish();
  await done;
  nft.scripts.length = 0;
  return { nft, filter };
}

describe('runs', () => {
  test('calls while one is in flight join the next', async () => {
    const { nft, filter } = await installed();
    const first = filter.addServerPorts([place(6000)]);
    await turn();
    const rest = [filter.addServerPorts([place(6001)]), filter.addServerPorts([place(6002), place(6002, '10.0.0.11')])];
    await nft.finish();
    await Promise.all([first, ...rest]);
    expect(nft.scripts).toEqual([
      'add element netdev designator_wan0 floating4 { 10.0.0.10 . 6000 }\nadd element netdev designator_wan0 floating_ports { 6000 }\n',
      'add element netdev designator_wan0 floating4 { 10.0.0.10 . 6001, 10.0.0.10 . 6002, 10.0.0.11 . 6002 }\n' +
        'add element netdev designator_wan0 floating_ports { 6001, 6002 }\n',
    ]);
  });

  test('what is there is not added again; a port goes when its last server does', async () => {
    const { nft, filter } = await installed();
    const add = filter.addServerPorts([place(6000), place(6000, '10.0.0.11')]);
    await nft.finish();
    await add;
    await filter.addServerPorts([place(6000)]);
    expect(nft.scripts.length).toBe(1);
    const one = filter.removeServerPorts([place(6000)]);
    await nft.finish();
    await one;
    expect(nft.scripts[1]).toBe('delete element netdev designator_wan0 floating4 { 10.0.0.10 . 6000 }\n');
    const two = filter.removeServerPorts([place(6000, '10.0.0.11'), place(9)]);
    await nft.finish();
    await two;
    expect(nft.scripts[2]).toBe(
      'delete element netdev designator_wan0 floating4 { 10.0.0.11 . 6000 }\ndelete element netdev designator_wan0 floating_ports { 6000 }\n',
    );
  });

  test('an update keeps the ports added since', async () => {
    const { nft, filter } = await installed();
    const add = filter.addServerPorts([place(6000)]);
    const update = filter.update({ ...BASE, floating: [place(6001)] });
    await nft.finish();
    await Promise.all([add, update]);
    expect(nft.scripts.length).toBe(1);
    expect(nft.scripts[0]).toContain('elements = { 10.0.0.10 . 6000, 10.0.0.10 . 6001 }');
  });

  test('when the table is not there any more it is written anew', async () => {
    const { nft, filter } = await installed();
    const add = filter.addServerPorts([place(6000)]);
    await nft.finish(new Error('No such file or directory'));
    await add;
    expect(nft.scripts[1]).toContain('table netdev designator_wan0 {');
    expect(nft.scripts[1]).toContain('10.0.0.10 . 6000');
  });

  test("a failure is the caller's, and the next run tries again", async () => {
    const { nft, filter } = await installed();
    const update = filter.update({ ...BASE, floating: [place(6001)] });
    const failed = expect(update).rejects.toThrow('no');
    await nft.finish(new Error('no'));
    await failed;
    const again = filter.update(BASE);
    await nft.finish();
    await expect(again).resolves.toBeUndefined();
  });

  test('after remove, ports are remembered only', async () => {
    const { nft, filter } = await installed();
    const removed = filter.remove();
    await nft.finish();
    await removed;
    expect(nft.scripts).toEqual(['add table netdev designator_wan0\ndelete table netdev designator_wan0\n']);
    await filter.addServerPorts([place(6000)]);
    expect(nft.scripts.length).toBe(1);
  });
});

describe('the guard', () => {
  const notice = (type: number, table: string, family = 5): Uint8Array =>
    build.message((10 << 8) | type, concat([family, 0, 0, 0], build.name(1, table)));
  const generation = build.message((10 << 8) | 15, [0, 0, 0, 0]);

  /** What it does with a list of datagrams: how often it says that table t is gone. */
  function told(...datagrams: (Uint8Array | Error)[]): number {
    let times = 0;
    let readable = (): void => {};
    const receive = (): Uint8Array | null => {
      const next = datagrams.shift();
      if (next instanceof Error) throw next;
      return next ?? null;
    };
    const open = (_protocol: number, _groups: number, onReadable: () => void) => {
      readable = onReadable;
      return { send: () => {}, receive, close: () => {} };
    };
    guardTable('t', () => times++, open);
    readable();
    return times;
  }

  test('tells when a transaction leaves no table, and of no other table', () => {
    expect(told(notice(2, 't'), generation)).toBe(1);
    expect(told(concat(notice(2, 'a'), notice(2, 't'), generation), concat(notice(2, 'a'), generation))).toBe(1);
    expect(told(notice(2, 'u'), generation)).toBe(0);
    expect(told(notice(2, 't', 2), generation)).toBe(0);
  });

  test('a replacement is no loss, also when its notices come apart', () => {
    expect(told(notice(2, 't'), notice(0, 't'), generation)).toBe(0);
    expect(told(notice(2, 't'))).toBe(0);
  });

  test('lost and damaged notices do no harm', () => {
    expect(told(new Error('ENOBUFS'), notice(2, 't'), generation)).toBe(1);
    const whole = notice(2, 't');
    for (let length = 0; length < 24; length++) {
      const cut = whole.slice(0, length);
      if (length >= 4) cut[0] = length;
      expect(told(cut, generation)).toBe(0);
    }
  });

  test('the table is written again, until it is removed', async () => {
    const nft = new Nft();
    const lost: (Error | null)[] = [];
    let gone = (): void => {};
    let closed = 0;
    const filter = new HostFilter(BASE, {
      run: nft.run,
      onLost: (error) => lost.push(error),
      guard: (table, onGone) => {
        expect(table).toBe('designator_wan0');
        gone = onGone;
        return { close: () => closed++ };
      },
    });
    void filter.install();
    await nft.finish();
    gone();
    await nft.finish();
    expect([nft.scripts.length, lost]).toEqual([2, [null]]);
    gone();
    await nft.finish(new Error('no'));
    expect(lost[1]?.message).toBe('no');
    void filter.remove();
    await nft.finish();
    expect(closed).toBe(1);
    gone();
    await nft.finish();
    expect(nft.scripts.length).toBe(4);
  });
});

describe('nft', () => {
  const shell = (script: string) => ['sh', '-c', script];

  test('is missing', async () => {
    await expect(runNft('x', ['/nowhere/at/all'])).rejects.toMatchObject({
      code: 'TD_UNAVAILABLE',
      message: expect.stringContaining('package nftables'),
    });
  });

  test('may not', async () => {
    await expect(
      runNft('x', shell('echo "Error: Could not process rule: Operation not permitted" >&2; exit 1')),
    ).rejects.toMatchObject({
      code: 'TD_NO_PERMISSION',
      message: expect.stringContaining('CAP_NET_ADMIN'),
    });
  });

  test('complains', async () => {
    await expect(runNft('x', shell('echo "line 3: syntax error" >&2; exit 1'))).rejects.toMatchObject({
      code: 'TD_UNAVAILABLE',
      message: expect.stringContaining('line 3: syntax error'),
    });
  });

  test('gets the script as its input', async () => {
    await runNft('the script\n', shell('read -r line && test "$line" = "the script" && test "$1 $2" = "-f -"'));
    await expect(runNft('another\n', shell('read -r line && test "$line" = "the script"'))).rejects.toThrow();
  });

  test('that ends without reading does not take the process with it', async () => {
    await expect(runNft('x'.repeat(1_000_000), shell('exit 3'))).rejects.toMatchObject({ context: { status: 3 } });
  });
});
