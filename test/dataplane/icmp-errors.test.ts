/** ICMP and ICMPv6 errors through whole shards, both ways: what an end is told is about packets that it knows. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PORT_INSIDE, PORT_OUTSIDE } from '../../src/io/port.js';
import { checksum, pseudoHeaderIpv6 } from '../../src/wire/checksum.js';
import { FUZZ_RUNS } from '../helpers/fuzz.js';
import { MemoryAppliance } from '../helpers/memory-appliance.js';
import { frame, hex, l2tpData, scccn, sccrp, sccrq, udpFrame, viewOf } from '../helpers/packet-builder.js';

const CONFIG = `
vips:
  - { name: four, address: 200.200.100.1, algorithm: round-robin, servers: [{ name: a, address: 10.10.1.1 }, { name: b, address: 10.10.1.2 }] }
  - { name: six, address: "2001:db8:2::1", algorithm: round-robin, servers: [{ name: c, address: "fd00::1" }, { name: d, address: "fd00::2" }] }
firewall: { rules: [{ deny: { from: 203.0.113.66 } }] }
table: { connections: 64 }
`;
interface Side {
  readonly v6: boolean;
  readonly client: string;
  readonly vip: string;
  readonly router: string;
  readonly l4: number;
}
const FOUR: Side = { v6: false, client: '192.0.2.7:1701', vip: '200.200.100.1:1701', router: '203.0.113.1', l4: 34 };
const SIX: Side = {
  v6: true,
  client: '[2001:db8:9::7]:1701',
  vip: '[2001:db8:2::1]:1701',
  router: '2001:db8:5::1',
  l4: 54,
};
const bare = (endpoint: string): string => endpoint.slice(0, endpoint.lastIndexOf(':')).replace(/[[\]]/g, '');

function connect(a: MemoryAppliance, side: Side, id: number, serverId: number, port = '1701'): string {
  const request = a.send(udpFrame(side.client, side.vip, sccrq({ assigned: id }))).sent[0].frame;
  const at = side.v6 ? `[fd00::${request[53]}]` : `${request[30]}.${request[31]}.${request[32]}.${request[33]}`;
  a.send(udpFrame(`${at}:${port}`, side.client, sccrp({ tunnel: id, assigned: serverId })), PORT_INSIDE);
  a.send(udpFrame(side.client, side.vip.replace('1701', port), scccn({ tunnel: serverId })));
  return `${at}:${port}`;
}

/** An error about a frame that was sent, with so many bytes of its packet (all by default). */
function errorAbout(
  side: Side,
  about: Uint8Array,
  to: string,
  kind: 'too-big' | 'unreachable' | 'exceeded',
  bytes = 1000,
  from = side.router,
) {
  const [type, code, rest] = {
    'too-big': side.v6 ? [2, 0, 1400] : [3, 4, 1400],
    unreachable: side.v6 ? [1, 4, 0] : [3, 3, 0],
    exceeded: side.v6 ? [3, 0, 0] : [11, 0, 0],
  }[kind];
  return frame({
    ip: { src: from, dst: to, ttl: 33 },
    icmp: { type, code, rest },
    payload: about.subarray(14, 14 + bytes),
  });
}

/** All checksums of the error and of the packet in it hold; the packet inside, as a frame. */
function opened(side: Side, out: Uint8Array): Uint8Array {
  const view = viewOf(out);
  const end = out.length;
  const pseudo = side.v6 ? pseudoHeaderIpv6(view, 14, 58, end - side.l4) : 0;
  expect(checksum(view, side.l4, end, pseudo)).toBe(0);
  if (!side.v6) expect(checksum(view, 14, 34)).toBe(0);
  expect(out[side.v6 ? 21 : 22]).toBe(32);
  const inner = new Uint8Array(14 + end - side.l4 - 8);
  inner.set([0x08, 0x00], 12);
  inner.set(out.subarray(side.l4 + 8), 14);
  if (!side.v6) expect(checksum(viewOf(inner), 14, 34)).toBe(0);
  return inner;
}
const addresses = (side: Side, bytes: Uint8Array): string =>
  side.v6 ? hex(bytes.subarray(22, 54)) : hex(bytes.subarray(26, 34));

describe.each([
  ['IPv4', FOUR],
  ['IPv6', SIX],
])('%s', (_name, side) => {
  const KINDS = ['too-big', 'unreachable', 'exceeded'] as const;

  test.each(KINDS)(
    '%s from outside reaches the server that sent the packet, as if that packet were its own',
    (kind) => {
      const a = new MemoryAppliance(CONFIG);
      const server = connect(a, side, 7, 99);
      connect(a, side, 8, 100);
      const original = udpFrame(server, side.client, l2tpData({ tunnel: 7, session: 1, payload: 'ab'.repeat(50) }));
      const shown = a.send(original, PORT_INSIDE).sent[0].frame;
      const { sent } = a.send(errorAbout(side, shown, bare(side.vip), kind));
      expect(sent.map(({ port }) => port)).toEqual([PORT_INSIDE]);
      const inner = opened(side, sent[0].frame);
      // Byte for byte what the server sent, but for the hop that it took.
      expect(hex(inner.subarray(side.l4))).toBe(hex(original.subarray(side.l4)));
      expect(addresses(side, inner)).toBe(addresses(side, original));
      expect(sent[0].frame[side.l4]).toBe(errorAbout(side, shown, bare(side.vip), kind)[side.l4]);
      expect(a.drops()).toEqual({});
      expect(a.count('icmpTranslated')).toBe(1);
    },
  );

  test('without the tunnel id every server of that client gets it, once', () => {
    const a = new MemoryAppliance(CONFIG);
    const servers = [
      connect(a, side, 7, 99),
      connect(a, side, 8, 100),
      connect(a, side, 9, 101),
      connect(a, side, 10, 102),
    ];
    const original = udpFrame(servers[0], side.client, l2tpData({ tunnel: 7, session: 1 }));
    const shown = a.send(original, PORT_INSIDE).sent[0].frame;
    const { sent } = a.send(errorAbout(side, shown, bare(side.vip), 'too-big', side.l4 - 14 + 8));
    expect(new Set(servers).size).toBe(2);
    expect(sent).toHaveLength(2);
    expect(new Set(sent.map(({ frame: out }) => addresses(side, opened(side, out)))).size).toBe(2);
    expect(a.drops()).toEqual({});
  });

  test.each(KINDS)('%s from inside reaches the client, and names the VIP alone', (kind) => {
    const a = new MemoryAppliance(CONFIG);
    const server = connect(a, side, 7, 99);
    const original = udpFrame(side.client, side.vip, l2tpData({ tunnel: 99, session: 1, payload: 'ab'.repeat(50) }));
    const inside = a.send(original).sent[0].frame;
    for (const from of [bare(server), side.v6 ? 'fd00::fe' : '10.10.1.254']) {
      const { sent } = a.send(errorAbout(side, inside, bare(side.client), kind, 1000, from), PORT_INSIDE);
      expect(sent.map(({ port }) => port)).toEqual([PORT_OUTSIDE]);
      const inner = opened(side, sent[0].frame);
      expect(hex(inner.subarray(side.l4))).toBe(hex(original.subarray(side.l4)));
      expect(addresses(side, inner)).toBe(addresses(side, original));
      expect(addresses(side, sent[0].frame)).toBe(addresses(side, udpFrame(side.vip, side.client, '')));
    }
    expect(a.drops()).toEqual({});
  });

  test('a floating port and a virtual id are undone inside the error, too', () => {
    const a = new MemoryAppliance(CONFIG);
    connect(a, side, 7, 99);
    const server = connect(a, side, 8, 99); // the other server, with the same id
    const virtual = a.rows.tunnels().find((row) => row.clientTunnelId === 8)?.virtualTunnelId as number;
    expect(virtual).toBeGreaterThan(0);
    const original = udpFrame(
      side.client,
      side.vip,
      l2tpData({ tunnel: virtual, session: 1, payload: 'ab'.repeat(50) }),
    );
    const inside = a.send(original).sent[0].frame;
    const { sent } = a.send(
      errorAbout(side, inside, bare(side.client), 'unreachable', 1000, bare(server)),
      PORT_INSIDE,
    );
    expect(hex(opened(side, sent[0].frame).subarray(side.l4))).toBe(hex(original.subarray(side.l4)));

    const floating = connect(a, side, 9, 500, '50001');
    const out = udpFrame(floating, side.client, l2tpData({ tunnel: 9, session: 1, payload: 'ab'.repeat(50) }));
    const shown = a.send(out, PORT_INSIDE).sent[0].frame;
    const back = a.send(errorAbout(side, shown, bare(side.vip), 'too-big'));
    expect(hex(opened(side, back.sent[0].frame).subarray(side.l4))).toBe(hex(out.subarray(side.l4)));
  });

  test('a virtual client port is undone, too', () => {
    const a = new MemoryAppliance(CONFIG.replaceAll('algorithm:', 'clientPort: distinct, algorithm:'));
    const servers: string[] = [];
    for (const id of [7, 8, 9]) {
      const request = a.send(udpFrame(side.client, side.vip, sccrq({ assigned: id }))).sent[0].frame;
      const seenAt = viewOf(request).getUint16(side.l4);
      const ip = side.v6 ? `[fd00::${request[53]}]` : `${request[30]}.${request[31]}.${request[32]}.${request[33]}`;
      const client = side.client.replace(/\d+$/, String(seenAt));
      a.send(udpFrame(`${ip}:1701`, client, sccrp({ tunnel: id, assigned: 90 + id })), PORT_INSIDE);
      a.send(udpFrame(side.client, side.vip, scccn({ tunnel: 90 + id })));
      servers.push(client);
      const original = udpFrame(`${ip}:1701`, client, l2tpData({ tunnel: id, session: 1, payload: 'ab'.repeat(50) }));
      const shown = a.send(original, PORT_INSIDE).sent[0].frame;
      const back = a.send(errorAbout(side, shown, bare(side.vip), 'too-big'));
      expect(hex(opened(side, back.sent[0].frame).subarray(side.l4))).toBe(hex(original.subarray(side.l4)));
      const mine = udpFrame(side.client, side.vip, l2tpData({ tunnel: 90 + id, session: 1, payload: 'ab'.repeat(50) }));
      const inside = a.send(mine).sent[0].frame;
      const told = a.send(
        errorAbout(side, inside, bare(side.client), 'unreachable', 1000, bare(ip + ':1')),
        PORT_INSIDE,
      );
      expect(hex(opened(side, told.sent[0].frame).subarray(side.l4))).toBe(hex(mine.subarray(side.l4)));
    }
    expect(new Set(servers).size).toBeGreaterThan(1); // some tunnel has such a port
    expect(a.drops()).toEqual({});
  });

  test('what lies has a name', () => {
    const a = new MemoryAppliance(CONFIG);
    const server = connect(a, side, 7, 99);
    const shown = a.send(udpFrame(server, side.client, l2tpData({ tunnel: 7, session: 1 })), PORT_INSIDE).sent[0].frame;
    const vip = bare(side.vip);
    const refused = (bytes: Uint8Array): string[] => {
      const before = a.drops();
      expect(a.send(bytes).sent).toEqual([]);
      return Object.keys(a.drops()).filter((name) => a.drops()[name] !== before[name]);
    };
    expect(refused(errorAbout(side, shown, vip, 'too-big', side.l4 - 14 + 7))).toEqual(['icmp-inner']);
    const foreign = udpFrame(side.v6 ? '[2001:db8:77::1]:1701' : '198.51.100.1:1701', side.client, '00'.repeat(20));
    expect(refused(errorAbout(side, foreign, vip, 'too-big'))).toEqual(['icmp-inner']);
    const stranger = udpFrame(side.vip, side.v6 ? '[2001:db8:9::8]:1701' : '192.0.2.8:1701', '00'.repeat(20));
    expect(refused(errorAbout(side, stranger, vip, 'too-big'))).toEqual(['icmp-unknown']);
    const otherPort = udpFrame(side.vip, side.client.replace(/1701$/, '1702'), '00'.repeat(20));
    expect(refused(errorAbout(side, otherPort, vip, 'too-big'))).toEqual(['icmp-unknown']);
    const bent = errorAbout(side, shown, vip, 'too-big');
    bent[bent.length - 1] ^= 1;
    expect(refused(bent)).toEqual(['icmp-checksum']);
    const rest = side.v6 ? 1000 : 60;
    const tiny = frame({
      ip: { src: side.router, dst: vip },
      icmp: { type: side.v6 ? 2 : 3, code: side.v6 ? 0 : 4, rest },
      payload: shown.subarray(14),
    });
    expect(refused(tiny)).toEqual(['icmp-mtu']);
  });

  test('the errors of one source are limited, and the next second brings more', () => {
    const a = new MemoryAppliance(CONFIG);
    const server = connect(a, side, 7, 99);
    const shown = a.send(udpFrame(server, side.client, l2tpData({ tunnel: 7, session: 1 })), PORT_INSIDE).sent[0].frame;
    const error = errorAbout(side, shown, bare(side.vip), 'too-big');
    for (let n = 0; n < 150; n++) a.ports[0].inject(error, PORT_OUTSIDE);
    a.settle();
    expect(a.drops()).toEqual({ 'icmp-rate': 50 });
    a.at(a.now + 1);
    expect(a.send(error).sent).toHaveLength(1);
  });

  test('whatever is inside, nothing throws and every error has one end', () => {
    const a = new MemoryAppliance(CONFIG);
    const server = connect(a, side, 7, 99);
    const shown = a.send(udpFrame(server, side.client, l2tpData({ tunnel: 7, session: 1 })), PORT_INSIDE).sent[0].frame;
    const change = fc.tuple(fc.nat(90), fc.integer({ min: 0, max: 255 }));
    fc.assert(
      fc.property(fc.array(change, { maxLength: 4 }), fc.nat(120), fc.boolean(), (changes, cut, inside) => {
        a.at(a.now + 1);
        const packet = shown.slice();
        for (const [at, value] of changes) if (14 + at < packet.length) packet[14 + at] = value;
        const error = errorAbout(side, packet, inside ? bare(side.client) : bare(side.vip), 'too-big', cut);
        const before = Object.values(a.drops()).reduce((x, y) => x + y, 0);
        const { sent, passed } = a.send(error, inside ? PORT_INSIDE : PORT_OUTSIDE);
        const dropped = Object.values(a.drops()).reduce((x, y) => x + y, 0) - before;
        expect(sent.length + passed.length + dropped).toBe(1);
      }),
      { numRuns: Math.floor(FUZZ_RUNS / 2) },
    );
  });
});

test('errors about other traffic of servers are the host’s', () => {
  const a = new MemoryAppliance(CONFIG);
  connect(a, FOUR, 7, 99);
  const about = udpFrame('10.10.9.9:53', '10.10.1.1:53', '00'.repeat(20));
  const error = errorAbout(FOUR, about, '10.10.9.9', 'unreachable', 1000, '10.10.1.1');
  expect(a.send(error, PORT_INSIDE).passed.map(({ frame: out }) => hex(out))).toEqual([hex(error)]);
});

test('the firewall holds for errors from outside', () => {
  const a = new MemoryAppliance(CONFIG);
  const server = connect(a, FOUR, 7, 99);
  const shown = a.send(udpFrame(server, FOUR.client, l2tpData({ tunnel: 7, session: 1 })), PORT_INSIDE).sent[0].frame;
  a.send(errorAbout(FOUR, shown, bare(FOUR.vip), 'too-big', 1000, '203.0.113.66'));
  expect(a.drops()).toEqual({ 'firewall-denied': 1 });
});
