import { describe, expect, test } from 'vitest';
import { PORT_INSIDE, PORT_OUTSIDE } from '../../src/io/port.js';
import { Harness, CLIENT, SERVER_1, SERVER_2, VIP } from '../helpers/shard-harness.js';
import {
  describeFrame,
  frame,
  hello,
  iccn,
  icrp,
  icrq,
  cdn,
  l2tpData,
  scccn,
  sccrp,
  sccrq,
  stopccn,
  udpFrame,
  viewOf,
  zlb,
} from '../helpers/packet-builder.js';

const toVip = (payload: Uint8Array, client = CLIENT, sport = 1701, dport = 1701) =>
  udpFrame(`${client}:${sport}`, `${VIP}:${dport}`, payload);
const toClient = (server: string, payload: Uint8Array, sport = 1701, client = CLIENT, dport = 1701) =>
  udpFrame(`${server}:${sport}`, `${client}:${dport}`, payload);

/** Addresses and ports of a sent frame. */
function ends(bytes: Uint8Array): { src: string; sport: number; dst: string; dport: number } {
  const v = viewOf(bytes);
  const ip = (o: number) => [0, 1, 2, 3].map((i) => bytes[o + i]).join('.');
  return { src: ip(26), sport: v.getUint16(34), dst: ip(30), dport: v.getUint16(36) };
}

/** Sets a tunnel up; returns the server's address. */
function connect(
  h: Harness,
  client: { id: number; port?: number; address?: string },
  serverId: number,
  options: { serverPort?: number; shard?: number } = {},
): string {
  const address = client.address ?? CLIENT;
  const port = client.port ?? 1701;
  const request = h.send(toVip(sccrq({ assigned: client.id }), address, port), PORT_OUTSIDE, options.shard ?? 0);
  expect(request.sent).toHaveLength(1);
  const server = ends(request.sent[0].frame).dst;
  const reply = h.send(
    toClient(server, sccrp({ tunnel: client.id, assigned: serverId }), options.serverPort ?? 1701, address, port),
    PORT_INSIDE,
  );
  expect(reply.sent).toHaveLength(1);
  const shown = ends(reply.sent[0].frame).sport;
  const connected = h.send(toVip(scccn({ tunnel: serverId }), address, port, shown), PORT_OUTSIDE);
  expect(connected.sent.map((out) => describeFrame(out.frame))).toHaveLength(1);
  return server;
}

describe('document 003, the worked example', () => {
  test('the first request goes to 10.10.1.2 and the address map is filled in both directions', () => {
    const h = new Harness();
    const request = h.send(toVip(sccrq({ assigned: 7 })));
    expect(request.sent.map((out) => [ends(out.frame), out.port])).toEqual([
      [{ src: CLIENT, sport: 1701, dst: SERVER_2, dport: 1701 }, PORT_INSIDE],
    ]);
    const reply = h.send(toClient(SERVER_2, sccrp({ tunnel: 7, assigned: 99 })), PORT_INSIDE);
    expect(reply.sent.map((out) => [ends(out.frame), out.port])).toEqual([
      [{ src: VIP, sport: 1701, dst: CLIENT, dport: 1701 }, PORT_OUTSIDE],
    ]);
    h.send(toVip(scccn({ tunnel: 99 })));
    const data = h.send(toVip(l2tpData({ tunnel: 99, session: 1, payload: 'ff03' })));
    expect(ends(data.sent[0].frame).dst).toBe(SERVER_2);
    const back = h.send(toClient(SERVER_2, l2tpData({ tunnel: 7, session: 2, payload: 'ff03' })), PORT_INSIDE);
    expect(ends(back.sent[0].frame).src).toBe(VIP);
    expect(h.rows.tunnels()).toMatchObject([
      {
        client: `${CLIENT}:1701`,
        clientTunnelId: 7,
        serverTunnelId: 99,
        server: 'lns2',
        serverPort: 1701,
        state: 'established',
        packetsIn: 3,
        packetsOut: 2,
      },
    ]);
    expect(h.drops()).toEqual({});
  });

  test('over three requests the servers get 1 and 2', () => {
    const h = new Harness();
    const servers = [1, 2, 3, 4, 5, 6].map((id) => ends(h.send(toVip(sccrq({ assigned: id }))).sent[0].frame).dst);
    expect(servers.filter((s) => s === SERVER_1)).toHaveLength(2);
    expect(servers.filter((s) => s === SERVER_2)).toHaveLength(4);
  });
});

describe('requests', () => {
  test('a retransmitted SCCRQ goes where the first went and takes no turn', () => {
    const h = new Harness();
    const first = ends(h.send(toVip(sccrq({ assigned: 7 }))).sent[0].frame).dst;
    for (let n = 0; n < 4; n++) expect(ends(h.send(toVip(sccrq({ assigned: 7 }))).sent[0].frame).dst).toBe(first);
    expect(h.rows.tunnels()).toHaveLength(1);
    expect(h.count('requests')).toBe(1);
    expect(h.count('requestsRepeated')).toBe(4);
  });

  test('a late copy of the SCCRQ after the answer still goes to the same server', () => {
    const h = new Harness();
    const server = connect(h, { id: 7 }, 99);
    expect(ends(h.send(toVip(sccrq({ assigned: 7 }))).sent[0].frame).dst).toBe(server);
    expect(h.rows.tunnels()).toHaveLength(1);
  });

  test('five tunnels of one client socket spread over both servers, each kept apart by its id', () => {
    const h = new Harness();
    const servers = [1, 2, 3, 4, 5].map((id) => connect(h, { id }, 100 + id));
    expect(new Set(servers)).toEqual(new Set([SERVER_1, SERVER_2]));
    for (let id = 1; id <= 5; id++) {
      expect(ends(h.send(toVip(l2tpData({ tunnel: 100 + id, session: 1, payload: '00' }))).sent[0].frame).dst).toBe(
        servers[id - 1],
      );
    }
    expect(h.rows.tunnels()).toHaveLength(5);
  });

  test('a flood beyond perSource and halfOpen is dropped by name', () => {
    const h = new Harness({ requestsPerSecond: 1, burst: 3 });
    for (let id = 1; id <= 10; id++) h.send(toVip(sccrq({ assigned: id })));
    expect(h.drops()).toEqual({ 'request-rate': 7 });
    const capped = new Harness({ halfOpen: 2 });
    for (let id = 1; id <= 5; id++) capped.send(toVip(sccrq({ assigned: id })));
    expect(capped.drops()).toEqual({ 'half-open-limit': 3 });
  });

  test('leaky bucket: beyond its burst dropped by name, and a copy later finds room', () => {
    const h = new Harness({ algorithm: 'leaky-bucket', leakyBucket: { rate: 1, burst: 2 } }); // weights 1 and 2
    for (let id = 1; id <= 9; id++) h.send(toVip(sccrq({ assigned: id })));
    expect(h.drops()).toEqual({ 'server-pace': 3 });
    expect(h.rows.servers().map(({ tunnels }) => tunnels)).toEqual([2, 4]);
    h.ports[0].clock[0] += 1;
    for (let id = 7; id <= 10; id++) h.send(toVip(sccrq({ assigned: id })));
    expect(h.drops()).toEqual({ 'server-pace': 4 });
    expect(h.rows.servers().map(({ tunnels }) => tunnels)).toEqual([3, 6]);
  });

  test('no server: dropped by name; a full table likewise', () => {
    const h = new Harness({ servers: [{ name: 'lns1', address: SERVER_1, weight: 0 }] });
    h.send(toVip(sccrq({ assigned: 1 })));
    expect(h.drops()).toEqual({ 'no-server': 1 });
    const small = new Harness({ connections: 16 });
    for (let id = 1; id <= 20; id++) small.send(toVip(sccrq({ assigned: id })));
    expect(small.drops()).toEqual({ 'table-full': 4 });
    expect(small.rows.tunnels()).toHaveLength(16);
  });
});

describe('a server that was started again during the set-up', () => {
  test('its second answer, with another id, is the one that counts', () => {
    const h = new Harness({ servers: [{ name: 'lns1', address: SERVER_1 }] });
    h.send(toVip(sccrq({ assigned: 7 })));
    h.send(toClient(SERVER_1, sccrp({ tunnel: 7, assigned: 99 })), PORT_INSIDE);
    h.send(toVip(sccrq({ assigned: 7 })));
    h.send(toClient(SERVER_1, sccrp({ tunnel: 7, assigned: 100 })), PORT_INSIDE);
    expect(h.send(toVip(scccn({ tunnel: 100 }))).sent).toHaveLength(1);
    expect(h.rows.tunnels()).toMatchObject([{ clientTunnelId: 7, serverTunnelId: 100, state: 'established' }]);
    expect(h.send(toVip(l2tpData({ tunnel: 99, session: 1, payload: '00' }))).sent).toEqual([]);
    expect(h.drops()).toEqual({ 'unknown-tunnel': 1 });
  });
});

describe('ends of tunnels', () => {
  test('after StopCCN the mapping lives a retransmission cycle, then goes', () => {
    const h = new Harness();
    const server = connect(h, { id: 7 }, 99);
    h.send(toVip(stopccn({ tunnel: 99, assigned: 7 })));
    expect(h.rows.tunnels()[0].state).toBe('closing');
    h.at(1000 + 31);
    expect(ends(h.send(toVip(stopccn({ tunnel: 99, assigned: 7 }))).sent[0].frame).dst).toBe(server);
    h.at(1000 + 36);
    expect(h.rows.tunnels()).toEqual([]);
    h.send(toVip(stopccn({ tunnel: 99, assigned: 7 })));
    expect(h.drops()).toEqual({ 'unknown-tunnel': 1 });
    expect(h.rows.servers().map((row) => row.tunnels)).toEqual([0, 0]);
  });

  test('a closing mapping does not stand in the way of a new tunnel with the same ids', () => {
    const h = new Harness({ servers: [{ name: 'lns1', address: SERVER_1 }] });
    connect(h, { id: 7 }, 99);
    h.send(toVip(stopccn({ tunnel: 99, assigned: 7 })));
    h.at(1003);
    connect(h, { id: 7 }, 99);
    expect(
      h.rows
        .tunnels()
        .map((row) => row.state)
        .sort(),
    ).toContain('established');
    expect(h.drops()).toEqual({});
    h.at(1000 + 40);
    expect(h.rows.tunnels()).toMatchObject([{ state: 'established', clientTunnelId: 7, serverTunnelId: 99 }]);
    expect(ends(h.send(toVip(l2tpData({ tunnel: 99, session: 1, payload: '00' }))).sent[0].frame).dst).toBe(SERVER_1);
  });

  test('StopCCN with tunnel id 0 follows the request', () => {
    const h = new Harness();
    const server = ends(h.send(toVip(sccrq({ assigned: 7 }))).sent[0].frame).dst;
    const stop = h.send(toVip(stopccn({ tunnel: 0, assigned: 7 })));
    expect(ends(stop.sent[0].frame).dst).toBe(server);
    expect(h.rows.tunnels()[0].state).toBe('closing');
  });

  test('half-open and idle tunnels age', () => {
    const h = new Harness();
    h.send(toVip(sccrq({ assigned: 1 })));
    connect(h, { id: 2 }, 99);
    h.at(1061);
    expect(h.rows.tunnels().map((row) => row.clientTunnelId)).toEqual([2]);
    h.at(1500);
    h.send(toVip(hello({ tunnel: 99 })));
    h.at(1900);
    expect(h.rows.tunnels()).toHaveLength(1);
    h.at(2102);
    expect(h.rows.tunnels()).toEqual([]);
    expect(h.rows.totals()).toMatchObject({ entries: 0, tunnels: 0 });
  });
});

describe('floating server ports', () => {
  test('expose: the client sees the port and both the new and the dialled port lead to it', () => {
    const h = new Harness();
    const server = ends(h.send(toVip(sccrq({ assigned: 7 }))).sent[0].frame).dst;
    const reply = h.send(toClient(server, sccrp({ tunnel: 7, assigned: 99 }), 50001), PORT_INSIDE);
    expect(ends(reply.sent[0].frame)).toEqual({ src: VIP, sport: 50001, dst: CLIENT, dport: 1701 });
    for (const port of [50001, 1701]) {
      expect(ends(h.send(toVip(scccn({ tunnel: 99 }), CLIENT, 1701, port)).sent[0].frame)).toMatchObject({
        dst: server,
        dport: 50001,
      });
    }
    expect(h.rows.tunnels()[0].serverPort).toBe(50001);
  });

  test('hide: the client goes on seeing the VIP’s port', () => {
    const h = new Harness({ serverPort: 'hide' });
    const server = ends(h.send(toVip(sccrq({ assigned: 7 }))).sent[0].frame).dst;
    const reply = h.send(toClient(server, sccrp({ tunnel: 7, assigned: 99 }), 50001), PORT_INSIDE);
    expect(ends(reply.sent[0].frame).sport).toBe(1701);
    expect(ends(h.send(toVip(scccn({ tunnel: 99 }))).sent[0].frame)).toMatchObject({ dst: server, dport: 50001 });
  });

  test('with a host filter the answer waits until the port is registered', () => {
    const h = new Harness({ filterNeeded: true });
    const server = ends(h.send(toVip(sccrq({ assigned: 7 }))).sent[0].frame).dst;
    expect(h.send(toClient(server, sccrp({ tunnel: 7, assigned: 99 }), 50001), PORT_INSIDE).sent).toEqual([]);
    const notices = h.shards[0].takeNotices().filter((notice) => notice.type === 'floating');
    expect(notices).toHaveLength(1);
    const before = h.ports[0].sent.length;
    h.tell({ type: 'floating', ports: (notices[0] as { ports: readonly number[] }).ports });
    h.settle();
    expect(h.ports[0].sent.slice(before).map((out) => ends(out.frame).sport)).toEqual([50001]);
    expect(h.drops()).toEqual({});
  });
});

describe('sessions', () => {
  test('are followed through ICRQ, ICRP, ICCN and CDN', () => {
    const h = new Harness();
    const server = connect(h, { id: 7 }, 99);
    h.send(toVip(icrq({ tunnel: 99, assigned: 11, ns: 2, nr: 1 })));
    h.send(toClient(server, icrp({ tunnel: 7, session: 11, assigned: 22 })), PORT_INSIDE);
    h.send(toVip(iccn({ tunnel: 99, session: 22 })));
    h.send(toVip(icrq({ tunnel: 99, assigned: 12 })));
    expect(h.rows.tunnels()[0].sessions).toBe(2);
    h.send(toClient(server, cdn({ tunnel: 7, session: 11, assigned: 22 })), PORT_INSIDE);
    expect(h.rows.tunnels()[0].sessions).toBe(1);
    expect(h.rows.servers().reduce((sum, row) => sum + row.sessions, 0)).toBe(1);
    h.send(toVip(zlb({ tunnel: 99 })));
    expect(h.drops()).toEqual({});
  });
});

describe('ids chosen alike by two servers', () => {
  test('the second tunnel gets a virtual id, in the SCCRP and in every header', () => {
    const h = new Harness({ algorithm: 'round-robin' });
    const first = connect(h, { id: 7 }, 2);
    const second = ends(h.send(toVip(sccrq({ assigned: 8 }))).sent[0].frame).dst;
    expect(second).not.toBe(first);
    const reply = h.send(toClient(second, sccrp({ tunnel: 8, assigned: 2 })), PORT_INSIDE);
    const row = h.rows.tunnels().find((tunnel) => tunnel.clientTunnelId === 8);
    expect(row?.virtualTunnelId).toBeGreaterThan(0);
    const virtual = row?.virtualTunnelId as number;
    expect(describeFrame(reply.sent[0].frame)).toContain(String(virtual));
    const data = h.send(toVip(l2tpData({ tunnel: virtual, session: 1, payload: '00' })));
    expect(ends(data.sent[0].frame).dst).toBe(second);
    expect(describeFrame(data.sent[0].frame)).toContain('tid 2');
    expect(ends(h.send(toVip(l2tpData({ tunnel: 2, session: 1, payload: '00' }))).sent[0].frame).dst).toBe(first);
  });
});

describe('several shards over one table', () => {
  test('control messages reach their owner whichever shard gets them, and the sequence of servers is the same', () => {
    const sequence = (shards: number): string[] => {
      const h = new Harness({ shards });
      return Array.from({ length: 24 }, (_, n) =>
        connect(h, { id: n + 1, address: `192.128.10.${n + 1}` }, 100 + n, { shard: n % shards }),
      );
    };
    const one = sequence(1);
    expect(sequence(2)).toEqual(one);
    expect(sequence(4)).toEqual(one);
  });

  test('data is forwarded by any shard', () => {
    const h = new Harness({ shards: 2 });
    const server = connect(h, { id: 7 }, 99);
    for (const shard of [0, 1]) {
      expect(
        ends(h.send(toVip(l2tpData({ tunnel: 99, session: 1, payload: '00' })), PORT_OUTSIDE, shard).sent[0].frame).dst,
      ).toBe(server);
    }
  });
});

describe('non-tunnel traffic and the firewall', () => {
  test('passes untouched', () => {
    const h = new Harness();
    const other = udpFrame('198.51.100.9:5353', '203.0.113.5:53', 'aabb');
    const result = h.send(other);
    expect(result.sent).toEqual([]);
    expect(result.passed.map((out) => out.frame)).toEqual([other]);
    const tcp = frame({ ip: { src: CLIENT, dst: VIP }, tcp: { src: 1, dst: 22 } });
    expect(h.send(tcp).passed.map((out) => out.frame)).toEqual([tcp]);
  });

  const deny = (from: string, length: number) => ({
    name: null,
    action: 'deny' as const,
    from: [
      {
        words: [0, 0, 0xffff, from.split('.').reduce((w, b) => (w << 8) | Number(b), 0)] as [
          number,
          number,
          number,
          number,
        ],
        length,
        text: from,
        family: 4 as const,
      },
    ],
    to: [],
    vips: [],
    protocols: [],
    path: 'firewall.rules[0]',
  });

  test('a denied source reaches neither a server nor the host, and a rule that comes later stops a standing tunnel', () => {
    const h = new Harness({ rules: [deny('192.128.10.0', 120)] });
    h.send(toVip(sccrq({ assigned: 7 })));
    const other = h.send(udpFrame(`${CLIENT}:5353`, '203.0.113.5:53', 'aabb'));
    expect(other.passed).toEqual([]);
    expect(h.drops()).toEqual({ 'firewall-denied': 2 });

    const later = new Harness();
    const server = connect(later, { id: 7 }, 99);
    later.reconfigure({ rules: [deny('192.128.10.0', 120)] });
    expect(later.send(toVip(l2tpData({ tunnel: 99, session: 1, payload: '00' }))).sent).toEqual([]);
    expect(later.drops()).toEqual({ 'firewall-denied': 1 });
    later.reconfigure({ rules: [] });
    expect(ends(later.send(toVip(l2tpData({ tunnel: 99, session: 1, payload: '00' }))).sent[0].frame).dst).toBe(server);
  });
});

describe('bad input', () => {
  test.each([
    [
      'ip-header',
      frame({
        ip: { src: CLIENT, dst: VIP, headerWords: 4 },
        udp: { src: 1701, dst: 1701 },
        payload: sccrq({ assigned: 1 }),
      }),
    ],
    ['udp-length', udpFrame(`${CLIENT}:1701`, `${VIP}:1701`, sccrq({ assigned: 1 }), { udp: { length: 7 } })],
    [
      'fragment-control',
      udpFrame(`${CLIENT}:1701`, `${VIP}:1701`, sccrq({ assigned: 1 }), {
        ip: { fragment: { offset: 0, more: true } },
      }),
    ],
    ['unknown-tunnel', toVip(l2tpData({ tunnel: 5, session: 1, payload: '00' }))],
    ['truncated', frame({ ip: { src: CLIENT, dst: VIP, protocol: 17 }, payload: 'aabb' })],
  ])('%s has a name and a count', (reason, bytes) => {
    const h = new Harness();
    const result = h.send(bytes);
    expect(result.sent).toEqual([]);
    expect(h.drops()).toEqual({ [reason]: 1 });
  });

  test('a frame cut at any length never throws', () => {
    const h = new Harness();
    const whole = toVip(sccrq({ assigned: 1 }));
    for (let length = 0; length < whole.length; length++) h.send(whole.subarray(0, length));
    expect(h.rows.tunnels()).toEqual([]);
  });
});

describe('a drain whose deadline has come', () => {
  test('ends the server’s tunnels in both ends’ name and leaves others alone', () => {
    const h = new Harness({ algorithm: 'round-robin' });
    connect(h, { id: 7 }, 99);
    connect(h, { id: 8 }, 100);
    const before = h.ports[0].sent.length;
    const first = h.rows.tunnels().find((row) => row.clientTunnelId === 7)?.server as string;
    const index = h.binding.servers.find((server) => server.name === first)?.index as number;
    h.tell({ type: 'release', server: index });
    h.settle();
    const sent = h.ports[0].sent.slice(before).map((out) => [out.port, describeFrame(out.frame)]);
    expect(sent).toHaveLength(2);
    expect(sent[0][1]).toMatch(/200\.200\.100\.1:1701 > 192\.128\.10\.5:1701 .*StopCCN.*tid 7/);
    expect(sent[1][1]).toMatch(/192\.128\.10\.5:1701 > 10\.10\.1\..:1701 .*StopCCN.*tid 99/);
    expect(sent.map(([port]) => port)).toEqual([PORT_OUTSIDE, PORT_INSIDE]);
    expect(
      h.rows
        .tunnels()
        .map((row) => [row.clientTunnelId, row.state])
        .sort(),
    ).toEqual([
      [7, 'closing'],
      [8, 'established'],
    ]);
  });
});
