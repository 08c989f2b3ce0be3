/** Fragments through whole shards, rewritten by the addon: in any order, both ways, IPv4 and IPv6. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PORT_INSIDE, PORT_OUTSIDE } from '../../src/io/port.js';
import { checksum, pseudoHeaderIpv4, pseudoHeaderIpv6 } from '../../src/wire/checksum.js';
import { fragmentOf, fragments, pieceOf, reassemble } from '../helpers/fragmenter.js';
import { FUZZ_RUNS } from '../helpers/fuzz.js';
import { MemoryAppliance } from '../helpers/memory-appliance.js';
import {
  describeFrame,
  hex,
  l2tpData,
  scccn,
  sccrp,
  sccrq,
  stopccn,
  udpFrame,
  viewOf,
} from '../helpers/packet-builder.js';

const CONFIG = `
vips:
  - { name: four, address: 200.200.100.1, algorithm: round-robin, servers: [{ name: a, address: 10.10.1.1 }, { name: b, address: 10.10.1.2 }] }
  - { name: six, address: "2001:db8:2::1", algorithm: round-robin, servers: [{ name: c, address: "fd00::1" }, { name: d, address: "fd00::2" }] }
table: { connections: 64 }
`;
const CLIENT = '192.0.2.7:1701';
const CLIENT_V6 = '[2001:db8:9::7]:1701';
const VIP = '200.200.100.1:1701';
const VIP_V6 = '[2001:db8:2::1]:1701';
/** A PPP frame of 1,500 bytes: too long for a path of 1,500 with all that goes around it. */
const PPP = `ff030021${'a5'.repeat(1496)}`;
const SIZE = 1200; // of a fragment's payload; copies have to fit a scratch slot

interface Tunnel {
  readonly client: string;
  readonly vip: string;
  readonly server: string;
  readonly id: number;
  readonly serverId: number;
}

function connect(
  a: MemoryAppliance,
  id: number,
  serverId: number,
  v6 = false,
  client = v6 ? CLIENT_V6 : CLIENT,
): Tunnel {
  const vip = v6 ? VIP_V6 : VIP;
  const request = a.send(udpFrame(client, vip, sccrq({ assigned: id })));
  const ip = request.sent[0].frame;
  const server = v6 ? `[fd00::${ip[53]}]:1701` : `${ip[30]}.${ip[31]}.${ip[32]}.${ip[33]}:1701`;
  a.send(udpFrame(server, client, sccrp({ tunnel: id, assigned: serverId })), PORT_INSIDE);
  a.send(udpFrame(client, vip, scccn({ tunnel: serverId })));
  return { client, vip, server, id, serverId };
}

const inward = (t: Tunnel): Uint8Array =>
  udpFrame(t.client, t.vip, l2tpData({ tunnel: t.serverId, session: 1, payload: PPP }), { ip: { ttl: 9 } });
const outward = (t: Tunnel): Uint8Array =>
  udpFrame(t.server, t.client, l2tpData({ tunnel: t.id, session: 1, length: true, payload: PPP }), { ip: { ttl: 9 } });

function udpChecksumIsRight(frame: Uint8Array): boolean {
  const view = viewOf(frame);
  const v6 = view.getUint16(12) === 0x86dd;
  const l4 = v6 ? 54 : 34;
  const length = view.getUint16(l4 + 4);
  const pseudo = v6 ? pseudoHeaderIpv6(view, 14, 17, length) : pseudoHeaderIpv4(view, 14, 17, length);
  return checksum(view, l4, l4 + length, pseudo) === 0;
}

/** All that came out for these fragments, in order. */
function through(a: MemoryAppliance, frames: readonly Uint8Array[], ingress: number, shard = 0): Uint8Array[] {
  return frames.flatMap((frame) => a.send(frame, ingress, shard).sent.map((sent) => sent.frame));
}

describe.each([
  ['IPv4', false],
  ['IPv6', true],
])('%s', (_family, v6) => {
  test.each([
    ['client to server', true],
    ['server to client', false],
  ])('%s, in every order', (_direction, inwards) => {
    for (const order of [
      [0, 1],
      [1, 0],
      [0, 1, 2, 3],
      [3, 2, 1, 0],
      [2, 0, 3, 1],
      [1, 3, 0, 2],
    ]) {
      const a = new MemoryAppliance(CONFIG);
      const tunnel = connect(a, 7, 99, v6);
      const whole = inwards ? inward(tunnel) : outward(tunnel);
      const pieces = fragments(whole, order.length === 2 ? SIZE : 400, 0x1234);
      expect(pieces).toHaveLength(order.length);
      const out = through(
        a,
        order.map((n) => pieces[n]),
        inwards ? PORT_OUTSIDE : PORT_INSIDE,
      );
      expect(out).toHaveLength(order.length);
      const arrived = reassemble(out);
      expect(udpChecksumIsRight(arrived)).toBe(true);
      const text = describeFrame(arrived);
      expect(text).toContain(inwards ? `${tunnel.client} > ${tunnel.server}` : `${tunnel.vip} > ${tunnel.client}`);
      const header = v6 ? 54 : 34;
      expect(hex(arrived.subarray(header + 8))).toBe(hex(whole.subarray(header + 8)));
      for (const frame of out) expect(frame[v6 ? 21 : 22]).toBe(8); // every one has gone through a router
      expect(a.drops()).toEqual({});
      expect(a.count('fragments')).toBe(order.length);
      expect(a.rows.tunnels()[0][inwards ? 'packetsIn' : 'packetsOut']).toBe(order.length + (inwards ? 2 : 1));
    }
  });
  test('the same bytes as for the whole datagram, but for what makes it fragments', () => {
    const a = new MemoryAppliance(CONFIG);
    const tunnel = connect(a, 7, 99, v6);
    const whole = inward(tunnel);
    const direct = a.send(whole).sent[0].frame;
    expect(hex(reassemble(through(a, fragments(whole, SIZE, 0), PORT_OUTSIDE)))).toBe(hex(direct));
  });
  test('two servers with one identification get two', () => {
    const a = new MemoryAppliance(CONFIG);
    const first = connect(a, 7, 99, v6);
    const second = connect(a, 8, 100, v6);
    expect(first.server).not.toBe(second.server);
    const out = [first, second].map((tunnel) => fragments(outward(tunnel), SIZE, 0x4321));
    // One after the other in one stream, as they may come.
    const mixed = through(a, [out[0][0], out[1][1], out[1][0], out[0][1]], PORT_INSIDE);
    expect(mixed).toHaveLength(4);
    const ids = new Set(mixed.map((frame) => pieceOf(frame).id));
    expect(ids.size).toBe(2);
    for (const id of ids)
      expect(reassemble(mixed.filter((frame) => pieceOf(frame).id === id))).toHaveLength(outward(first).length);
  });
  test('by the owner, wherever they arrive', () => {
    const a = new MemoryAppliance(CONFIG, { shards: 2 });
    const tunnel = connect(a, 7, 99, v6);
    const pieces = fragments(outward(tunnel), 400, 5);
    const out = pieces.flatMap((piece, n) => a.send(piece, PORT_INSIDE, n % 2).sent.map(({ frame }) => frame));
    expect(udpChecksumIsRight(reassemble(out))).toBe(true);
    expect(a.count('handedOver')).toBeGreaterThan(0);
    expect(a.drops()).toEqual({});
  });
  test('a datagram whose lengths, order and pieces are anything arrives whole', () => {
    const a = new MemoryAppliance(CONFIG);
    const tunnel = connect(a, 7, 99, v6);
    let id = 0;
    fc.assert(
      fc.property(
        fc.integer({ min: 5, max: 180 }),
        fc.boolean(),
        fc.infiniteStream(fc.nat()),
        (eights, inwards, dice) => {
          const whole = inwards ? inward(tunnel) : outward(tunnel);
          const pieces = fragments(whole, eights * 8, ++id & 0xffff);
          if (pieces.length > 48) return;
          for (let n = pieces.length - 1; n > 0; n--) {
            const other = (dice.next().value as number) % (n + 1);
            [pieces[n], pieces[other]] = [pieces[other], pieces[n]];
          }
          const out = through(a, pieces, inwards ? PORT_OUTSIDE : PORT_INSIDE);
          expect(udpChecksumIsRight(reassemble(out))).toBe(true);
        },
      ),
      { numRuns: Math.floor(FUZZ_RUNS / 10) },
    );
    expect(a.drops()).toEqual({});
  });
});

describe('an atomic fragment', () => {
  test('is a whole packet with one header more', () => {
    const a = new MemoryAppliance(CONFIG);
    const tunnel = connect(a, 7, 99, true);
    const whole = inward(tunnel);
    const atomic = fragmentOf(whole, 0, whole.length - 54, 77);
    const { sent } = a.send(atomic);
    expect(sent).toHaveLength(1);
    expect(udpChecksumIsRight(reassemble([sent[0].frame]))).toBe(true);
    expect(a.drops()).toEqual({});
  });
});

describe('what is refused', () => {
  const appliance = (): { a: MemoryAppliance; pieces: Uint8Array[]; whole: Uint8Array } => {
    const a = new MemoryAppliance(CONFIG);
    const whole = inward(connect(a, 7, 99));
    return { a, whole, pieces: fragments(whole, 400, 9) };
  };
  test('an overlap, and the rest of its datagram', () => {
    const { a, whole, pieces } = appliance();
    expect(
      through(a, [pieces[0], fragmentOf(whole, 392, 792, 9, true), pieces[1], pieces[3]], PORT_OUTSIDE),
    ).toHaveLength(1);
    expect(a.drops()).toEqual({ 'fragment-overlap': 3 });
  });
  test('an overlap among those that wait', () => {
    const { a, whole, pieces } = appliance();
    expect(through(a, [pieces[1], fragmentOf(whole, 408, 800, 9, true), pieces[0]], PORT_OUTSIDE)).toEqual([]);
    expect(a.drops()).toEqual({ 'fragment-overlap': 3 });
  });
  test('a copy, once', () => {
    const { a, pieces } = appliance();
    expect(through(a, [pieces[0], pieces[0], pieces[2], pieces[2], pieces[1], pieces[3]], PORT_OUTSIDE)).toHaveLength(
      4,
    );
    expect(a.drops()).toEqual({ 'fragment-repeated': 2 });
  });
  test('a tiny first one, and what follows it', () => {
    const { a, whole } = appliance();
    const tiny = [fragmentOf(whole, 0, 24, 9), fragmentOf(whole, 24, 400, 9)];
    expect(through(a, tiny, PORT_OUTSIDE)).toEqual([]);
    expect(a.drops()).toEqual({ 'fragment-tiny': 2 });
  });
  test.each([
    ['a length that is no multiple of 8', (w: Uint8Array) => [fragmentOf(w, 0, 399, 9, true)]],
    ['bytes beyond 65,535', (w: Uint8Array) => [withOffset(fragmentOf(w, 0, 800, 9), 65528)]],
    ['bytes behind the end', (w: Uint8Array) => [fragmentOf(w, 400, 800, 9, false), fragmentOf(w, 800, 1200, 9, true)]],
    ['a second end', (w: Uint8Array) => [fragmentOf(w, 400, 800, 9, false), fragmentOf(w, 200, 396, 9, false)]],
  ])('%s', (_what, make) => {
    const { a, whole } = appliance();
    expect(through(a, make(whole), PORT_OUTSIDE)).toEqual([]);
    expect(Object.keys(a.drops())).toEqual(['fragment-header']);
  });
  test('fragments that never end: they wait their time, and no longer', () => {
    const { a, pieces } = appliance();
    through(a, pieces.slice(1), PORT_OUTSIDE);
    a.at(a.now + 1.9);
    expect(a.drops()).toEqual({});
    a.at(a.now + 0.2);
    expect(a.drops()).toEqual({ 'fragment-timeout': 3 });
    // The same id again later: a new datagram.
    expect(through(a, pieces, PORT_OUTSIDE)).toHaveLength(4);
  });
  test('a flood of later fragments takes no more than there is, and honest ones still pass', () => {
    const { a, pieces } = appliance();
    for (let n = 0; n < 2000; n++) {
      const forged = fragmentOf(
        inward({ client: '198.51.100.9:1', vip: VIP, server: '', id: 1, serverId: 1 }),
        800,
        1200,
        n & 0xffff,
        true,
      );
      a.ports[0].inject(forged, PORT_OUTSIDE);
      if (n % 200 === 0) a.settle();
    }
    a.settle();
    expect(through(a, [pieces[1], pieces[0], pieces[3], pieces[2]], PORT_OUTSIDE)).toHaveLength(4);
    a.at(a.now + 3);
    expect(a.drops()).toEqual({ 'fragment-limit': 2000 - 255, 'fragment-timeout': 255 });
  });
  test('more fragments than a datagram may have', () => {
    const { a, whole } = appliance();
    expect(through(a, fragments(whole, 24, 3).slice(1, 60), PORT_OUTSIDE)).toEqual([]);
    expect(Object.keys(a.drops())).toEqual(['fragment-limit']);
  });
  test('control messages, and what is no tunnel’s', () => {
    const { a } = appliance();
    const stop = udpFrame(CLIENT, VIP, stopccn({ tunnel: 99, assigned: 7 }));
    through(a, fragments(stop, 40, 4), PORT_OUTSIDE);
    expect(a.drops()).toEqual({ 'fragment-control': 1 + Math.floor((stop.length - 34 - 1) / 40) });
    const other = udpFrame(CLIENT, VIP, l2tpData({ tunnel: 98, session: 1, payload: PPP }));
    through(a, fragments(other, SIZE, 5), PORT_OUTSIDE);
    expect(a.drops()['unknown-tunnel']).toBe(2);
    const dns = udpFrame(CLIENT, '200.200.100.1:53', '00'.repeat(900));
    through(a, fragments(dns, 400, 6), PORT_OUTSIDE);
    expect(a.drops().fragment).toBe(3);
    expect(a.rows.tunnels()).toMatchObject([{ state: 'established' }]);
  });
  test('a tunnel that ends between two fragments', () => {
    const { a, pieces } = appliance();
    through(a, [pieces[0]], PORT_OUTSIDE);
    a.send(udpFrame(CLIENT, VIP, stopccn({ tunnel: 99, assigned: 7, ns: 2, nr: 1 })));
    for (let n = 0; n < 5; n++) a.at(a.now + 0.3);
    expect(through(a, [pieces[1]], PORT_OUTSIDE)).toHaveLength(1); // its mapping stays for a while
    expect(a.drops()).toEqual({});
  });
});

describe('the host’s own', () => {
  const appliance = (): MemoryAppliance => {
    const a = new MemoryAppliance(CONFIG);
    connect(a, 7, 99);
    return a;
  };
  test('fragments of a server towards nobody’s client are left alone', () => {
    const a = appliance();
    const pieces = fragments(udpFrame('10.10.1.1:2049', '10.10.9.9:900', '00'.repeat(2000)), SIZE, 5);
    const passed = pieces.flatMap((piece) => a.send(piece, PORT_INSIDE).passed);
    expect(passed.map(({ frame }) => hex(frame))).toEqual(pieces.map(hex));
    expect(a.count('fragmentsHeld')).toBe(0);
  });
  test('fragments of a server towards a client, of another service, are left alone, too', () => {
    const a = appliance();
    const pieces = fragments(udpFrame('10.10.1.1:2049', '192.0.2.7:900', '00'.repeat(2000)), SIZE, 5);
    const passed = pieces.flatMap((piece) => a.send(piece, PORT_INSIDE).passed);
    expect(passed.map(({ frame }) => hex(frame))).toEqual(pieces.map(hex));
    expect(a.drops()).toEqual({});
  });
});

function withOffset(fragment: Uint8Array, offset: number): Uint8Array {
  const out = fragment.slice();
  viewOf(out).setUint16(20, (offset >> 3) | 0x2000);
  return out;
}
