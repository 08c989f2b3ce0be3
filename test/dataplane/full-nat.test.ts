/**
 * Full NAT: what a server sees of a client that takes answers from the VIP alone is the designator's own address and a port
 * of it (document 001, FIG. 4, for initiators that do not follow).
 */
import { describe, expect, test } from 'vitest';
import { ENTRY, ENTRY_WORDS, FLAG_REWRITE_BOTH, HEADER, RECORD } from '../../src/flow/layout.js';
import { PORT_INSIDE, PORT_OUTSIDE } from '../../src/io/port.js';
import { checksum } from '../../src/wire/checksum.js';
import { configOf, MemoryAppliance, type MemoryApplianceOptions } from '../helpers/memory-appliance.js';
import {
  frame,
  hello,
  l2tpData,
  scccn,
  sccrp,
  sccrq,
  stopccn,
  udpFrame,
  viewOf,
  zlb,
} from '../helpers/packet-builder.js';

const VIP = '200.200.100.1';
const LOCAL = '10.10.1.254';
const S1 = '10.10.1.1';
const CLIENT = '192.128.10.5';
const YAML = `vips:
  - name: access
    address: ${VIP}
    reply: direct
    localAddress: ${LOCAL}
    servers: [{ name: lns1, address: ${S1} }]
table: { connections: 64 }
`;

function ways(sent: readonly { readonly frame: Uint8Array }[]): string[] {
  return sent.map(({ frame }) => {
    const view = viewOf(frame);
    const end = (ip: number, port: number): string =>
      `${[...frame.subarray(ip, ip + 4)].join('.')}:${view.getUint16(port)}`;
    return `${end(26, 34)} > ${end(30, 36)}`;
  });
}

class World extends MemoryAppliance {
  constructor(options: MemoryApplianceOptions = {}, yaml = YAML) {
    super(configOf(yaml), options);
  }
  wait(seconds: number): void {
    this.at(this.now + seconds);
  }
  up(payload: Uint8Array, client = `${CLIENT}:1701`): string[] {
    return ways(this.send(udpFrame(client, `${VIP}:1701`, payload)).sent);
  }
  down(port: number, payload: Uint8Array, server = `${S1}:1701`): string[] {
    return ways(this.send(udpFrame(server, `${LOCAL}:${port}`, payload), PORT_INSIDE).sent);
  }
  /** A client that repeats its request until it goes out from the local address. Returns that port. */
  refused(assigned: number, client = `${CLIENT}:1701`): number {
    for (let n = 0; n < 6; n++) {
      const [way] = this.up(sccrq({ assigned }), client);
      const port = new RegExp(`^${LOCAL}:(\\d+) > ${S1}:1701$`).exec(way ?? '');
      if (port !== null) return Number(port[1]);
      this.wait(1);
    }
    throw new Error('the request never went out from the local address');
  }
  /** The whole set-up; returns the port of the local address. */
  established(assigned = 7, id = 99, client = `${CLIENT}:1701`): number {
    const port = this.refused(assigned, client);
    expect(this.down(port, sccrp({ tunnel: assigned, assigned: id }))).toEqual([`${VIP}:1701 > ${client}`]);
    expect(this.up(scccn({ tunnel: id }), client)).toEqual([`${LOCAL}:${port} > ${S1}:1701`]);
    expect(this.down(port, zlb({ tunnel: assigned, ns: 1, nr: 2 }))).toEqual([`${VIP}:1701 > ${client}`]);
    return port;
  }
  tunnels(): readonly object[] {
    return this.rows.tunnels();
  }
}

describe('a tunnel on full NAT', () => {
  test('is set up, carries data both ways and ends, by the VIP for the client and the local address for the server', () => {
    const w = new World();
    const port = w.established();
    const client = `${CLIENT}:1701`;
    expect(w.up(l2tpData({ tunnel: 99, session: 1 }))).toEqual([`${LOCAL}:${port} > ${S1}:1701`]);
    expect(w.down(port, l2tpData({ tunnel: 7, session: 1 }))).toEqual([`${VIP}:1701 > ${client}`]);
    expect(w.down(port, hello({ tunnel: 7, ns: 2, nr: 2 }))).toEqual([`${VIP}:1701 > ${client}`]);
    expect(w.tunnels()).toMatchObject([
      { client, clientTunnelId: 7, serverTunnelId: 99, state: 'established', server: 'lns1' },
    ]);
    expect(w.down(port, stopccn({ tunnel: 7, assigned: 99 }))).toEqual([`${VIP}:1701 > ${client}`]);
    expect(w.tunnels()).toMatchObject([{ state: 'closing' }]);
    w.wait(40);
    w.wait(40);
    expect(w.tunnels()).toEqual([]);
    expect(w.memory.header[HEADER.entriesUsed]).toBe(0);
    expect(w.drops()).toEqual({});
  });

  test('has a port of its own towards its server, whatever ids and ports clients choose', () => {
    const w = new World();
    const ports = [
      w.established(7, 99),
      w.established(8, 98),
      w.established(7, 97, '192.128.10.6:1701'),
      w.established(7, 96, '192.128.10.6:40000'),
    ];
    expect(new Set(ports).size).toBe(4);
    for (const port of ports) expect(port).toBeGreaterThanOrEqual(16_384);
  });

  test('a server that answers from another port is heard at the VIP’s own', () => {
    const w = new World();
    const port = w.refused(7);
    expect(w.down(port, sccrp({ tunnel: 7, assigned: 99 }), `${S1}:5000`)).toEqual([`${VIP}:1701 > ${CLIENT}:1701`]);
    expect(w.up(scccn({ tunnel: 99 }))).toEqual([`${LOCAL}:${port} > ${S1}:5000`]);
  });

  test('belongs to the shard of its client, wherever the server’s messages come in', () => {
    const w = new World({ shards: 4 });
    for (let n = 1; n <= 8; n++) w.established(n, 100 + n, `192.128.10.${n}:1701`);
    expect(w.tunnels()).toHaveLength(8);
    expect(w.drops()).toEqual({});
  });

  test('is adopted whole by the next process', () => {
    const w = new World();
    const port = w.established();
    const next = new World({ memory: w.memory });
    expect(next.up(l2tpData({ tunnel: 99, session: 1 }))).toEqual([`${LOCAL}:${port} > ${S1}:1701`]);
    expect(next.down(port, l2tpData({ tunnel: 7, session: 1 }))).toEqual([`${VIP}:1701 > ${CLIENT}:1701`]);
    expect(next.down(port, hello({ tunnel: 7, ns: 2, nr: 2 }))).toEqual([`${VIP}:1701 > ${CLIENT}:1701`]);
    expect(next.established(8, 98)).not.toBe(port);
  });

  test('keeps its port in an entry that no packet goes by', () => {
    const w = new World();
    w.established();
    const { records, entries } = w.memory;
    const slot = records[RECORD.entryAlias] - 1;
    expect(entries[slot * ENTRY_WORDS + ENTRY.record] & FLAG_REWRITE_BOTH).toBe(FLAG_REWRITE_BOTH);
    expect(entries[slot * ENTRY_WORDS + ENTRY.packets]).toBe(0);
  });
});

describe('an error about a packet of such a tunnel', () => {
  const unreachable = (from: string, to: string, about: Uint8Array): Uint8Array =>
    frame({
      ip: { src: from, dst: to, ttl: 33 },
      icmp: { type: 3, code: 3, rest: 0 },
      payload: about.subarray(14, 60),
    });
  const address = (bytes: Uint8Array, at: number): string => [...bytes.subarray(at, at + 4)].join('.');

  test('comes to the local address and goes to the client, who sees what it sent itself', () => {
    const w = new World();
    w.established(7, 99, `${CLIENT}:4321`);
    const asked = udpFrame(`${CLIENT}:4321`, `${VIP}:1701`, l2tpData({ tunnel: 99, session: 1 }));
    const [{ frame: about }] = w.send(asked).sent;
    const { sent } = w.send(unreachable('10.10.1.9', LOCAL, about), PORT_INSIDE);
    expect(sent.map(({ port }) => port)).toEqual([PORT_OUTSIDE]);
    const told = sent[0].frame;
    expect([address(told, 26), address(told, 30)]).toEqual([VIP, CLIENT]);
    expect([address(told, 54), address(told, 58)]).toEqual([CLIENT, VIP]);
    expect([viewOf(told).getUint16(62), viewOf(told).getUint16(64)]).toEqual([4321, 1701]);
    expect(checksum(viewOf(told), 42, 62)).toBe(0);
    expect(checksum(viewOf(told), 34, 14 + viewOf(told).getUint16(16))).toBe(0);
    expect(w.drops()).toEqual({});
  });

  test('comes to the VIP and goes to the server, who sees the local address', () => {
    const w = new World();
    const port = w.established();
    const data = udpFrame(`${S1}:1701`, `${LOCAL}:${port}`, l2tpData({ tunnel: 7, session: 1 }));
    const [{ frame: about }] = w.send(data, PORT_INSIDE).sent;
    const { sent } = w.send(unreachable(CLIENT, VIP, about));
    expect(sent.map(({ port: side }) => side)).toEqual([PORT_INSIDE]);
    const told = sent[0].frame;
    expect(address(told, 30)).toBe(S1);
    expect([address(told, 54), address(told, 58)]).toEqual([S1, LOCAL]);
    expect([viewOf(told).getUint16(62), viewOf(told).getUint16(64)]).toEqual([1701, port]);
    expect(checksum(viewOf(told), 42, 62)).toBe(0);
  });

  test('about no tunnel is dropped by name', () => {
    const w = new World();
    const about = udpFrame(`${LOCAL}:20000`, `${S1}:1701`, l2tpData({ tunnel: 7, session: 1 }));
    expect(w.send(unreachable(S1, LOCAL, about), PORT_INSIDE).sent).toEqual([]);
    expect(w.drops()).toEqual({ 'icmp-unknown': 1 });
  });
});

describe('the local address', () => {
  test('is asked for inside and outside; the VIP is not asked for inside', () => {
    const w = new World();
    const ask = (targetIp: string) => frame({ arp: { senderIp: S1, targetIp } });
    expect(w.send(ask(LOCAL), PORT_INSIDE).sent).toHaveLength(1);
    expect(w.send(ask(LOCAL), PORT_OUTSIDE).sent).toHaveLength(1);
    expect(w.send(ask(VIP), PORT_INSIDE).sent).toHaveLength(0);
    expect(w.send(ask(VIP), PORT_OUTSIDE).sent).toHaveLength(1);
  });

  test('what goes to it in the name of no tunnel is dropped by name', () => {
    const w = new World();
    const port = w.established();
    expect(w.down(port, hello({ tunnel: 8, ns: 2, nr: 2 }))).toEqual([]);
    expect(w.down(port + 1, hello({ tunnel: 7, ns: 2, nr: 2 }))).toEqual([]);
    expect(w.down(port, l2tpData({ tunnel: 8, session: 1 }))).toEqual([]);
    expect(w.down(port, sccrq({ assigned: 3 }))).toEqual([]);
    expect(w.down(53, l2tpData({ tunnel: 8, session: 1 }), '10.10.1.77:53')).toEqual([]);
    expect(w.drops()).toEqual({ 'unknown-server': 4, 'local-address': 1 });
  });
});
