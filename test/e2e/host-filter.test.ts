/** The host's filter on a router that would answer and forward everything: what it takes away, and what it leaves. */
import { spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CompiledRule } from '../../src/config/compiled.js';
import { ruleInputs } from '../../src/flow/rule-list.js';
import { HostFilter, type HostFilterInput } from '../../src/io/host-filter.js';
import { parseAddress } from '../../src/wire/address.js';
import {
  CLIENT,
  CLIENT6,
  DENIED,
  FROM_CLIENT,
  FROM_SERVER,
  HostLab,
  markOf,
  SERVER,
  SERVER6,
  VIP,
  VIP6,
  VIP_UNREACHABLE,
  type Watch,
} from '../helpers/host-lab.js';
import {
  type BytesLike,
  concat,
  frame,
  type FrameOptions,
  hello,
  l2tpData,
  sccrp,
  sccrq,
  stopccn,
  udpFrame,
  zlb,
} from '../helpers/packet-builder.js';

const PLAIN = { device: 'wan0', name: 'wan0', vlan: 0 };
const INSIDE = { device: 'lan0', name: 'lan0', vlan: 0 };
const BASE: HostFilterInput = {
  outside: PLAIN,
  inside: INSIDE,
  vips: [
    { address: VIP, port: 1701 },
    { address: VIP_UNREACHABLE, port: 1701 },
    { address: VIP6, port: 1701 },
  ],
  servers: [
    { address: SERVER, port: 1701 },
    { address: SERVER6, port: 1701 },
  ],
  floating: [],
  rules: [],
  denyByDefault: false,
};
const DATA = l2tpData({ tunnel: 7, session: 1, payload: 'ff030021' });

/** HostFilter as the product has it: it watches over its own namespace. */
const GUARDED = path.resolve(import.meta.dirname, '../helpers/host-filter-child.ts');

let lab: HostLab;
let client: Watch;
let server: Watch;
let tap: Watch;
let mark = 0;

const filter = (input: HostFilterInput): HostFilter =>
  new HostFilter(input, { prefix: ['ip', 'netns', 'exec', lab.router] });

/** Runs with a filter, which is gone afterwards whatever happens. */
async function withFilter(input: HostFilterInput, body: (filter: HostFilter) => Promise<void>): Promise<void> {
  const one = filter(input);
  await one.install();
  try {
    await body(one);
  } finally {
    await one.remove();
  }
}

beforeAll(async () => {
  lab = new HostLab();
  [client, server, tap] = await Promise.all([lab.watch('client'), lab.watch('server'), lab.watch('tap')]);
});
afterAll(() => lab?.close());

const udp =
  (src: string, dst: string, payload: BytesLike, more: FrameOptions = {}) =>
  (id: number): Uint8Array =>
    udpFrame(src, dst, payload, {
      eth: { ...FROM_CLIENT, ...more.eth },
      ip: { id, flowLabel: id, ...more.ip } as FrameOptions['ip'],
    });
const fromServer = (src: string, dst: string, payload: BytesLike) => udp(src, dst, payload, { eth: FROM_SERVER });
const other =
  (options: FrameOptions) =>
  (id: number): Uint8Array =>
    frame({
      ...options,
      eth: { ...FROM_CLIENT, ...options.eth },
      ip: { ...options.ip, id, flowLabel: id } as FrameOptions['ip'],
    });

/**
 * Sends frames from one end, then one that always passes; tells which of them came out at the other end, and whether the
 * host sent anything else back to where they came from.
 */
async function passed(from: 'client' | 'server', makers: readonly ((id: number) => Uint8Array)[]): Promise<boolean[]> {
  const ids = makers.map((make) => {
    const id = ++mark;
    lab.inject(from, make(id));
    return id;
  });
  const last = ++mark;
  lab.inject(from, sentinel(from)(last));
  const far = from === 'client' ? server : client;
  await far.until((one) => markOf(one) === last);
  const marks = far.marks();
  return ids.map((id) => marks.includes(id));
}

/** ESP passes every filter here: no rule of a test names it. */
function sentinel(from: 'client' | 'server'): (id: number) => Uint8Array {
  return from === 'client'
    ? other({ ip: { src: CLIENT, dst: SERVER, protocol: 50 }, payload: '00' })
    : other({ eth: FROM_SERVER, ip: { src: SERVER, dst: CLIENT, protocol: 50 }, payload: '00' });
}

const TO_VIP = [
  udp(`${CLIENT}:4000`, `${VIP}:1701`, sccrq({ assigned: 7 })),
  udp(`${CLIENT}:4000`, `${VIP}:1701`, DATA),
  udp(`${CLIENT}:4000`, `${VIP}:5000`, hello({ tunnel: 3 })),
  udp(`[${CLIENT6}]:4000`, `[${VIP6}]:1701`, sccrq({ assigned: 7 })),
  udp(`[${CLIENT6}]:4000`, `[${VIP6}]:5000`, hello({ tunnel: 3 })),
  other({ ip: { src: CLIENT, dst: VIP }, icmp: { type: 8, id: 1 } }),
  other({ ip: { src: CLIENT6, dst: VIP6 }, icmp: { type: 128, id: 1 } }),
  other({
    ip: { src: CLIENT, dst: VIP, protocol: 17, fragment: { offset: 8, more: true } },
    payload: '0001020304050607',
  }),
  other({
    ip: { src: CLIENT6, dst: VIP6, protocol: 17, fragment: { offset: 8, more: true } },
    payload: '0001020304050607',
  }),
];
const NOT_TUNNEL = [
  udp(`${CLIENT}:4000`, `${VIP}:53`, '0000010000010000'),
  other({ ip: { src: CLIENT, dst: VIP }, tcp: { src: 1, dst: 1701 } }),
  udp(`${CLIENT}:1701`, `${SERVER}:1701`, sccrq({ assigned: 7 })),
  udp(`[${CLIENT6}]:4000`, `[${SERVER6}]:1701`, sccrq({ assigned: 7 })),
  other({ ip: { src: CLIENT, dst: SERVER }, icmp: { type: 8, id: 1 } }),
];
const all = (list: readonly unknown[], value: boolean): boolean[] => list.map(() => value);

describe('without a filter', () => {
  test('the router forwards all of it, so that the following tests can fail', async () => {
    expect(await passed('client', TO_VIP)).toEqual(all(TO_VIP, true));
    expect(await passed('client', NOT_TUNNEL)).toEqual(all(NOT_TUNNEL, true));
    expect(await passed('server', [fromServer(`${SERVER}:1701`, `${CLIENT}:4000`, DATA)])).toEqual([true]);
    lab.inject('client', udp(`${CLIENT}:4000`, `${VIP_UNREACHABLE}:1701`, DATA)(++mark));
    await client.until(isUnreachable);
  });
});

/** ICMP destination unreachable that quotes a packet to the unreachable VIP. */
function isUnreachable(one: Uint8Array): boolean {
  return one.length > 34 && one[23] === 1 && one[34] === 3;
}

describe('with the filter', () => {
  test('tunnel traffic to a VIP is neither forwarded nor answered, while a tap sees it', async () => {
    await withFilter(BASE, async () => {
      const answers = client.frames.filter(isUnreachable).length;
      const before = mark;
      expect(await passed('client', TO_VIP)).toEqual(all(TO_VIP, false));
      expect(await passed('client', [udp(`${CLIENT}:4000`, `${VIP_UNREACHABLE}:1701`, DATA)])).toEqual([false]);
      // The router answers in order, so an answer would have come before this one.
      expect(await passed('server', [])).toEqual([]);
      expect(client.frames.filter(isUnreachable).length).toBe(answers);
      await tap.until((one) => markOf(one) === mark - 1);
      const seen = tap.marks();
      for (let id = before + 1; id <= before + TO_VIP.length + 2; id++) expect(seen).toContain(id);
    });
  });

  test('everything else passes', async () => {
    await withFilter(BASE, async () => {
      expect(await passed('client', NOT_TUNNEL)).toEqual(all(NOT_TUNNEL, true));
    });
  });

  test('a host with proxy ARP does not answer for a VIP, but for others', async () => {
    await withFilter(BASE, async () => {
      const ask = (target: string): Uint8Array =>
        frame({ eth: { ...FROM_CLIENT, dst: 'ff:ff:ff:ff:ff:ff' }, arp: { senderIp: CLIENT, targetIp: target } });
      const answerFor =
        (target: string) =>
        (one: Uint8Array): boolean =>
          one[12] === 8 && one[13] === 6 && one[21] === 2 && one.subarray(28, 32).join('.') === target;
      lab.inject('client', ask(VIP));
      lab.inject('client', ask('198.51.100.1'));
      await client.until(answerFor('198.51.100.1'));
      expect(client.frames.some(answerFor(VIP))).toBe(false);
    });
  });

  test('what servers answer from their own, learnt and brand-new ports never passes', async () => {
    await withFilter({ ...BASE, floating: [{ address: SERVER, port: 6000 }] }, async (one) => {
      await one.addServerPorts([{ address: SERVER6, port: 6001 }]);
      const tunnel = [
        fromServer(`${SERVER}:1701`, `${CLIENT}:4000`, DATA),
        fromServer(`${SERVER}:6000`, `${CLIENT}:4000`, DATA),
        fromServer(`[${SERVER6}]:6001`, `[${CLIENT6}]:4000`, DATA),
        fromServer(`${SERVER}:6002`, `${CLIENT}:4000`, sccrp({ tunnel: 7, assigned: 9 })),
        fromServer(`${SERVER}:6003`, `${CLIENT}:4000`, stopccn({ assigned: 9 })),
        fromServer(`${SERVER}:6004`, `${CLIENT}:4000`, zlb({ tunnel: 7 })),
        fromServer(`[${SERVER6}]:6002`, `[${CLIENT6}]:4000`, sccrp({ tunnel: 7, assigned: 9 })),
        // Whatever else a server begins with from a port of its own choice: the shards take it as theirs too.
        fromServer(`${SERVER}:6005`, `${CLIENT}:1701`, sccrq({ assigned: 9 })),
        fromServer(`${SERVER}:6006`, `${CLIENT}:4000`, hello({ tunnel: 7 })),
        fromServer(`[${SERVER6}]:6005`, `[${CLIENT6}]:1701`, sccrq({ assigned: 9 })),
      ];
      expect(await passed('server', tunnel)).toEqual(all(tunnel, false));
      const rest = [
        fromServer(`${SERVER}:53`, `${CLIENT}:4000`, '0000010000010000'),
        fromServer(`${SERVER}:7000`, `${CLIENT}:4000`, DATA),
        fromServer(`10.0.0.11:1701`, `${CLIENT}:4000`, DATA),
        fromServer(`[${SERVER6}]:6000`, `[${CLIENT6}]:4000`, DATA), // the port of another server
      ];
      expect(await passed('server', rest)).toEqual(all(rest, true));
      const toFloating = [
        udp(`${CLIENT}:4000`, `${VIP}:6000`, DATA),
        udp(`[${CLIENT6}]:4000`, `[${VIP6}]:6001`, DATA),
        udp(`${CLIENT}:4000`, `${VIP}:7000`, DATA),
      ];
      expect(await passed('client', toFloating)).toEqual([false, false, true]);
      await one.removeServerPorts([{ address: SERVER, port: 6000 }]);
      expect(await passed('server', [fromServer(`${SERVER}:6000`, `${CLIENT}:4000`, DATA)])).toEqual([true]);
      expect(await passed('client', [udp(`${CLIENT}:4000`, `${VIP}:6000`, DATA)])).toEqual([true]);
    });
  });

  test('later fragments of what servers send from their tunnel port do not pass, those of other services do', async () => {
    await withFilter(BASE, async () => {
      const pieces = (src: string, dst: string): ((id: number) => Uint8Array)[] => {
        const datagram = ++mark; // both pieces have one identification, and each a flow label of its own
        const piece = (offset: number, more: boolean) => (flowLabel: number) =>
          udpFrame(src, dst, '00'.repeat(64), {
            eth: FROM_SERVER,
            ip: { id: datagram, flowLabel, fragment: { offset, more }, protocol: 17 } as FrameOptions['ip'],
          });
        return [piece(0, true), piece(64, false)];
      };
      const marked = async (src: string, dst: string): Promise<number> => {
        const makers = pieces(src, dst);
        const id = mark;
        for (const make of makers) lab.inject('server', make(id));
        await passed('server', []);
        return client.marks().filter((one) => one === id).length;
      };
      expect(await marked(`${SERVER}:1701`, `${CLIENT}:4000`)).toBe(0);
      expect(await marked(`[${SERVER6}]:1701`, `[${CLIENT6}]:4000`)).toBe(0);
      expect(await marked(`${SERVER}:2049`, `${CLIENT}:4000`)).toBe(2);
      expect(await marked(`[${SERVER6}]:2049`, `[${CLIENT6}]:4000`)).toBe(2);
    });
  });

  test('errors about what clients sent to a server’s tunnel port do not pass, others do', async () => {
    await withFilter(BASE, async () => {
      const about = (src: string, dst: string): Uint8Array => udpFrame(src, dst, '00'.repeat(20)).subarray(14);
      const error = (v6: boolean, payload: Uint8Array) =>
        other({
          eth: FROM_SERVER,
          ip: v6 ? { src: SERVER6, dst: CLIENT6 } : { src: SERVER, dst: CLIENT },
          icmp: { type: v6 ? 1 : 3, code: v6 ? 4 : 3, rest: 0 },
          payload,
        });
      const ours = [
        error(false, about(`${CLIENT}:4000`, `${SERVER}:1701`)),
        error(true, about(`[${CLIENT6}]:4000`, `[${SERVER6}]:1701`)),
      ];
      expect(await passed('server', ours)).toEqual([false, false]);
      const others = [
        error(false, about(`${CLIENT}:4000`, `${SERVER}:53`)),
        error(true, about(`[${CLIENT6}]:4000`, `[${SERVER6}]:53`)),
      ];
      expect(await passed('server', others)).toEqual([true, true]);
    });
  });

  test('a table that somebody flushed is written again with the next port', async () => {
    await withFilter(BASE, async (one) => {
      lab.inRouter('nft flush ruleset');
      await one.addServerPorts([{ address: SERVER, port: 6000 }]);
      expect(await passed('server', [fromServer(`${SERVER}:6000`, `${CLIENT}:4000`, DATA)])).toEqual([false]);
      expect(await passed('client', TO_VIP)).toEqual(all(TO_VIP, false));
    });
  });

  test('a table that somebody flushed comes back by itself', async () => {
    const words = ['netns', 'exec', lab.router, process.execPath, '--import', 'tsx', GUARDED];
    const child = spawn('ip', words, { stdio: ['pipe', 'pipe', 'inherit'] });
    try {
      child.stdin.write(JSON.stringify(BASE) + '\n');
      const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
      expect((await lines.next()).value).toBe('installed');
      lab.inRouter('nft flush ruleset');
      expect((await lines.next()).value).toBe('restored');
      expect(await passed('client', TO_VIP)).toEqual(all(TO_VIP, false));
      child.stdin.end();
      expect((await lines.next()).value).toBe('removed');
      expect((await lines.next()).done).toBe(true); // nothing keeps the process alive
      expect(await passed('client', TO_VIP)).toEqual(all(TO_VIP, true));
    } finally {
      child.kill('SIGKILL');
    }
  });

  test('remove restores the host, install after a crash replaces what is there', async () => {
    const dead = filter({ ...BASE, denyByDefault: true });
    await dead.install();
    const one = filter(BASE);
    await one.install();
    expect(await passed('client', NOT_TUNNEL)).toEqual(all(NOT_TUNNEL, true));
    expect(await passed('client', TO_VIP)).toEqual(all(TO_VIP, false));
    await one.remove();
    await one.remove();
    expect(lab.inRouter('nft list ruleset')).toBe('');
    expect(await passed('client', TO_VIP)).toEqual(all(TO_VIP, true));
  });

  test('an update under traffic has no gap', async () => {
    await withFilter(BASE, async (one) => {
      let updates = 0;
      let running = true;
      const updating = (async () => {
        while (running) {
          await one.update({
            ...BASE,
            denyByDefault: false,
            servers: updates % 2 === 0 ? BASE.servers.slice(0, 1) : BASE.servers,
          });
          updates++;
        }
      })();
      const sent: boolean[] = [];
      // Three updates at least happen between the first frame and the last one.
      while (updates < 3 || sent.length < 30) sent.push(...(await passed('client', TO_VIP.slice(0, 2))));
      running = false;
      await updating;
      expect(sent.filter(Boolean)).toEqual([]);
    });
  });
});

// ── firewall ────────────────────────────────────────────────────────────────────────────────────────────────────────

function firewall(denyByDefault: boolean, ...rules: Partial<CompiledRule>[]): HostFilterInput {
  const named = rules.map((rule) => ({ action: 'deny' as const, from: [], to: [], vips: [], protocols: [], ...rule }));
  const vips = [{ name: 'v', words: parseAddress(VIP) as never, port: 1701, protocols: ['l2tp'] }];
  return { ...BASE, denyByDefault, rules: ruleInputs(named, vips, () => ({ ipProtocol: 17, hasPorts: true })) };
}
function prefix(text: string): CompiledRule['from'][number] {
  const [address, length] = text.split('/');
  const family = address.includes(':') ? 6 : 4;
  return { words: parseAddress(address) as never, length: Number(length) + (family === 4 ? 96 : 0), text, family };
}
const icmp = (src: string, dst = SERVER) => other({ ip: { src, dst }, icmp: { type: 8, id: 1 } });
const tcp = (src: string, dst = SERVER) => other({ ip: { src, dst }, tcp: { src: 1, dst: 80 } });
const gre = (src: string, dst: string) => other({ ip: { src, dst, protocol: 47 }, payload: '00000800' });

describe('the firewall', () => {
  test('a denied source does not arrive, others do', async () => {
    const input = firewall(false, {
      from: [prefix('198.51.100.64/26'), prefix('198.51.100.66/32'), prefix('2001:db8:1::66/128')],
    });
    await withFilter(input, async () => {
      const frames = [
        icmp(DENIED),
        tcp(DENIED),
        icmp(CLIENT),
        other({ ip: { src: '2001:db8:1::66', dst: SERVER6 }, icmp: { type: 128, id: 1 } }),
      ];
      expect(await passed('client', frames)).toEqual([false, false, true, false]);
      expect(
        await passed('client', [other({ ip: { src: CLIENT6, dst: SERVER6 }, icmp: { type: 128, id: 1 } })]),
      ).toEqual([true]);
    });
  });

  test('to and protocol narrow a rule; the first match wins', async () => {
    const input = firewall(
      false,
      { action: 'allow', from: [prefix('198.51.100.66/32')], protocols: [{ text: 'tcp', tunnel: null, number: 6 }] },
      { from: [prefix('198.51.100.66/32')], to: [prefix('10.0.0.10/32')] },
    );
    await withFilter(input, async () => {
      expect(
        await passed('client', [tcp(DENIED), icmp(DENIED), gre(DENIED, VIP), gre(DENIED, SERVER), icmp(CLIENT)]),
      ).toEqual([true, false, true, false, true]);
    });
  });

  test('deny by default lets neighbour discovery and the allowed through', async () => {
    const input = firewall(
      true,
      { action: 'allow', protocols: [{ text: 'esp', tunnel: null, number: 50 }] },
      { action: 'allow', vips: ['v'], protocols: [{ text: 'tcp', tunnel: null, number: 6 }] },
    );
    await withFilter(input, async () => {
      expect(await passed('client', [tcp(CLIENT, VIP), tcp(CLIENT), icmp(CLIENT)])).toEqual([true, false, false]);
      const asked = frame({
        eth: { ...FROM_CLIENT, dst: '33:33:ff:00:00:01' },
        ip: { src: CLIENT6, dst: 'ff02::1:ff00:1', ttl: 255 },
        icmp: { type: 135, rest: 0 },
        payload: concat('20010db8000100000000000000000001', '0101', '020000000201'),
      });
      lab.inject('client', asked);
      await client.until((one) => one[12] === 0x86 && one[54] === 136);
    });
  });
});

// ── VLAN and one arm ────────────────────────────────────────────────────────────────────────────────────────────────

describe('layouts', () => {
  test('with a VLAN, frames of that tag are filtered and no others', async () => {
    await withFilter({ ...BASE, outside: { name: 'wan0.100', device: 'wan0', vlan: 100 } }, async () => {
      expect(await passed('client', TO_VIP)).toEqual(all(TO_VIP, true));
      expect(await dropCount('wan0', 100)).toBe(1);
      expect(await dropCount('wan0', 101)).toBe(0);
    });
  });

  test('without a VLAN, tagged frames are none of ours', async () => {
    await withFilter(BASE, async () => {
      expect(await dropCount('wan0', 100)).toBe(0);
      expect(await dropCount('wan0', 0)).toBe(1);
    });
  });

  test('with one arm both directions are filtered on it, and servers are exempt from the firewall', async () => {
    const input = { ...firewall(true), inside: PLAIN, servers: [{ address: CLIENT, port: 1701 }] };
    await withFilter(input, async () => {
      // Here the client's address plays the server.
      expect(await passed('client', [udp(`${CLIENT}:1701`, `${SERVER}:4000`, DATA), tcp(CLIENT), tcp(DENIED)])).toEqual(
        [false, true, false],
      );
      expect(await passed('client', TO_VIP)).toEqual(all(TO_VIP, false));
    });
  });
});

/**
 * How many of one tagged request to the VIP the filter drops: counted by a chain of the test's own behind it, since a
 * router without VLAN devices would not forward what is left.
 */
async function dropCount(device: string, vlan: number): Promise<number> {
  const script = [
    'table netdev probe {',
    'counter left {',
    '}',
    'chain behind {',
    `type filter hook ingress device "${device}" priority 0; policy accept;`,
    `ip daddr ${VIP} udp dport 1701 counter name left drop`,
    '}',
    '}',
    '',
  ].join('\n');
  lab.run(`ip netns exec ${lab.router} nft -f -`, Buffer.from(script));
  const tagged = udp(`${CLIENT}:4000`, `${VIP}:1701`, sccrq({ assigned: 7 }))(++mark);
  const whole = concat(tagged.subarray(0, 12), [0x81, 0, vlan >> 8, vlan & 0xff], tagged.subarray(12));
  lab.inject('client', whole);
  await passed('client', []); // it is through
  const left = /packets (\d+)/.exec(lab.inRouter('nft list counter netdev probe left'))?.[1];
  lab.inRouter('nft delete table netdev probe');
  return 1 - Number(left);
}
