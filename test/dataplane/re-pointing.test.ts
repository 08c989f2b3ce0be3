/** A dead server's tunnels go to its heir: the client sees nothing of it, and the old server has no say any more. */
import { describe, expect, test } from 'vitest';
import type { RePointed } from '../../src/dataplane/re-pointing.js';
import { CELL_WORDS, SERVER_CELL } from '../../src/flow/layout.js';
import { PORT_INSIDE, PORT_OUTSIDE } from '../../src/io/port.js';
import { connect, isIn, isOut, toClient, toVip, harness as offloadHarness, wait } from '../helpers/offload-harness.js';
import { hello, l2tpData, scccn, sccrp, sccrq, stopccn, udpFrame, viewOf, zlb } from '../helpers/packet-builder.js';
import { MemoryAppliance } from '../helpers/memory-appliance.js';
import { brokenInvariants } from '../helpers/table-invariants.js';
import { CLIENT, Harness, type HarnessOptions, type Out, SERVER_1, SERVER_2, VIP } from '../helpers/shard-harness.js';

const SERVERS = [
  { name: 'lns1', address: SERVER_1, weight: 1 },
  { name: 'lns2', address: SERVER_2, weight: 0 },
];
const harness = (options: HarnessOptions = {}): Harness => new Harness({ servers: SERVERS, ...options });
const CLIENT_2 = '192.128.10.6';

function endsOf({ frame, port }: Out): { src: string; dst: string; port: number } {
  const v = viewOf(frame);
  const end = (at: number, l4: number): string =>
    `${[0, 1, 2, 3].map((i) => v.getUint8(at + i)).join('.')}:${v.getUint16(l4)}`;
  return { src: end(26, 34), dst: end(30, 36), port };
}

const cell = (h: Harness, name: string, word: number): number => {
  const { index } = h.binding.servers.find((server) => server.name === name) as { index: number };
  return h.memory.servers[index * CELL_WORDS + word];
};
const indexOf = (h: Harness, name: string): number => h.binding.servers.find((s) => s.name === name)?.index ?? -1;

let nextId = 1;
function move(h: Harness, from = 'lns1', to = 'lns2', ranges: { low: number; high: number }[] = []): RePointed {
  const order = { id: nextId++, server: indexOf(h, from), heir: indexOf(h, to), ranges };
  h.tell({ type: 're-point', order });
  h.settle();
  const done = h.shards.flatMap((shard) => shard.takeNotices()).flatMap((n) => (n.type === 're-pointed' ? n.done : []));
  expect(done.map(({ id }) => id)).toEqual(h.shards.map(() => order.id));
  return done.reduce((sum, { moved, left }) => ({ id: order.id, moved: sum.moved + moved, left: sum.left + left }));
}

const data = (h: Harness, channel: number, session = 1, client = CLIENT) =>
  h.send(toVip(l2tpData({ tunnel: channel, session, payload: 'ff03' }), client));
const answer = (h: Harness, server: string, channel = 7, client = CLIENT) =>
  h.send(toClient(server, l2tpData({ tunnel: channel, session: 2, payload: 'ff03' }), client), PORT_INSIDE);

describe('an established tunnel', () => {
  test('goes on at the heir in both directions, with all that was counted', () => {
    const h = harness();
    connect(h);
    data(h, 99);
    answer(h, SERVER_1);
    expect(move(h)).toMatchObject({ moved: 1, left: 0 });
    expect(data(h, 99).sent.map(endsOf)).toEqual([
      { src: `${CLIENT}:1701`, dst: `${SERVER_2}:1701`, port: PORT_INSIDE },
    ]);
    expect(answer(h, SERVER_2).sent.map(endsOf)).toEqual([
      { src: `${VIP}:1701`, dst: `${CLIENT}:1701`, port: PORT_OUTSIDE },
    ]);
    expect(h.rows.tunnels()).toMatchObject([
      {
        server: 'lns2',
        serverAddress: SERVER_2,
        serverTunnelId: 99,
        state: 'established',
        packetsIn: 4,
        packetsOut: 3,
      },
    ]);
    expect([cell(h, 'lns1', SERVER_CELL.established), cell(h, 'lns2', SERVER_CELL.established)]).toEqual([0, 1]);
    expect(h.drops()).toEqual({});
  });

  test('its control messages pass, too, in both directions', () => {
    const h = harness();
    connect(h);
    move(h);
    const said = h.send(toClient(SERVER_2, hello({ tunnel: 7, ns: 1, nr: 2 })), PORT_INSIDE);
    expect(said.sent.map(endsOf)).toEqual([{ src: `${VIP}:1701`, dst: `${CLIENT}:1701`, port: PORT_OUTSIDE }]);
    const heard = h.send(toVip(zlb({ tunnel: 99, ns: 2, nr: 2 })));
    expect(heard.sent.map(endsOf)).toEqual([{ src: `${CLIENT}:1701`, dst: `${SERVER_2}:1701`, port: PORT_INSIDE }]);
  });

  test('what the old server still says is dropped by name, and does not end the tunnel', () => {
    const h = harness();
    connect(h);
    move(h);
    expect(answer(h, SERVER_1).sent).toEqual([]);
    expect(h.send(toClient(SERVER_1, stopccn({ tunnel: 7, assigned: 99, ns: 1, nr: 2 })), PORT_INSIDE).sent).toEqual(
      [],
    );
    expect(h.drops()).toEqual({ 'taken-over': 2 });
    expect(h.rows.tunnels()).toMatchObject([{ state: 'established', server: 'lns2' }]);
    // Of a tunnel that nobody has it is as unknown as ever.
    answer(h, SERVER_1, 1234);
    expect(h.drops()).toEqual({ 'taken-over': 2, 'unknown-server': 1 });
  });

  test('shards that were started later are told of heirs', () => {
    const h = harness();
    connect(h);
    move(h);
    const later = new Harness({ servers: SERVERS, memory: h.memory });
    answer(later, SERVER_1);
    const address = (name: string): number => cell(h, name, SERVER_CELL.address);
    later.tell({ type: 'heirs', pairs: [[address('lns1'), address('lns2')]] });
    answer(later, SERVER_1);
    expect(later.drops()).toEqual({ 'unknown-server': 1, 'taken-over': 1 });
  });

  test('comes back by the same way, and by its ids alone', () => {
    const h = harness();
    connect(h, 7, 99);
    connect(h, 8, 40_000);
    move(h);
    expect(move(h, 'lns2', 'lns1', [{ low: 1, high: 0x7fff }])).toMatchObject({ moved: 1, left: 0 });
    expect(endsOf(data(h, 99).sent[0]).dst).toBe(`${SERVER_1}:1701`);
    expect(endsOf(data(h, 40_000).sent[0]).dst).toBe(`${SERVER_2}:1701`);
    expect(answer(h, SERVER_1, 7).sent).toHaveLength(1);
    expect(answer(h, SERVER_2, 7).sent).toHaveLength(0);
    expect(h.drops()).toEqual({ 'taken-over': 1 });
  });

  test('whose server had floated is led to the port that the heir is known by; the client sees the old one', () => {
    const h = harness({ servers: [SERVERS[0], { ...SERVERS[1], port: 1702 }] });
    h.send(toVip(sccrq({ assigned: 7 })));
    h.send(toClient(SERVER_1, sccrp({ tunnel: 7, assigned: 99 }), CLIENT, 1701, 40_001), PORT_INSIDE);
    const shown = udpFrame(`${CLIENT}:1701`, `${VIP}:40001`, zlb({ tunnel: 99, ns: 1, nr: 1 }));
    h.send(udpFrame(`${CLIENT}:1701`, `${VIP}:40001`, hello({ tunnel: 99, ns: 1, nr: 1 })));
    h.send(toVip(scccn({ tunnel: 99 })));
    expect(move(h)).toMatchObject({ moved: 1 });
    expect(h.send(shown).sent.map(endsOf)).toEqual([
      { src: `${CLIENT}:1701`, dst: `${SERVER_2}:1702`, port: PORT_INSIDE },
    ]);
    const back = h.send(toClient(SERVER_2, hello({ tunnel: 7, ns: 1, nr: 2 }), CLIENT, 1701, 1702), PORT_INSIDE);
    expect(back.sent.map(endsOf)).toEqual([{ src: `${VIP}:40001`, dst: `${CLIENT}:1701`, port: PORT_OUTSIDE }]);
  });

  test('with a virtual id keeps it: the heir hears the id that the dead one gave', () => {
    const h = harness({ algorithm: 'round-robin', servers: SERVERS.map((server) => ({ ...server, weight: 1 })) });
    connect(h, 7, 99);
    const request = h.send(toVip(sccrq({ assigned: 8 })));
    expect(endsOf(request.sent[0]).dst).toBe(`${SERVER_2}:1701`);
    const reply = h.send(toClient(SERVER_2, sccrp({ tunnel: 8, assigned: 99 })), PORT_INSIDE);
    expect(reply.sent).toHaveLength(1);
    const virtual = h.rows.tunnels().find(({ clientTunnelId }) => clientTunnelId === 8)?.virtualTunnelId ?? 0;
    expect(virtual).toBeGreaterThan(0);
    h.send(toVip(scccn({ tunnel: virtual })));
    expect(move(h, 'lns2', 'lns1')).toMatchObject({ moved: 1 });
    const [sent] = data(h, virtual).sent;
    expect(endsOf(sent).dst).toBe(`${SERVER_1}:1701`);
    expect(viewOf(sent.frame).getUint16(34 + 8 + 2)).toBe(99);
  });
});

describe('a server that gives its tunnels away', () => {
  const giveAway = (h: Harness, from: string, to: string): void => {
    h.tell({
      type: 're-point',
      order: { id: nextId++, server: indexOf(h, from), heir: indexOf(h, to), ranges: [], grace: 1 },
    });
    h.settle();
  };

  test('is heard for a moment longer, for what was on its way, and then no more', () => {
    const h = harness();
    connect(h);
    giveAway(h, 'lns1', 'lns2');
    expect(answer(h, SERVER_1).sent.map(endsOf)).toEqual([
      { src: `${VIP}:1701`, dst: `${CLIENT}:1701`, port: PORT_OUTSIDE },
    ]);
    expect(answer(h, SERVER_2).sent).toHaveLength(1);
    h.at(h.now + 1);
    expect(answer(h, SERVER_1).sent).toEqual([]);
    expect(h.drops()).toEqual({ 'taken-over': 1 });
    expect(brokenInvariants(h.memory)).toEqual([]);
  });

  test('may get them back in that moment', () => {
    const h = harness();
    connect(h);
    giveAway(h, 'lns1', 'lns2');
    giveAway(h, 'lns2', 'lns1');
    expect(h.count('takeOversLeft')).toBe(0);
    expect(answer(h, SERVER_1).sent).toHaveLength(1);
    h.at(h.now + 1);
    expect(answer(h, SERVER_1).sent).toHaveLength(1);
    expect(answer(h, SERVER_2).sent).toEqual([]);
    expect(brokenInvariants(h.memory)).toEqual([]);
  });
});

describe('what does not move', () => {
  test('a request without an answer, and a tunnel that ends', () => {
    const h = harness();
    connect(h, 7, 99);
    h.send(toVip(stopccn({ tunnel: 99, assigned: 7, ns: 2, nr: 1 })));
    h.send(toVip(sccrq({ assigned: 8 })));
    expect(move(h)).toMatchObject({ moved: 0, left: 0 });
    expect(
      h.rows
        .tunnels()
        .map(({ server, state }) => `${server} ${state}`)
        .sort(),
    ).toEqual(['lns1 closing', 'lns1 half-open']);
  });

  test('one that the heir could not tell from another that it has', () => {
    const h = harness({ algorithm: 'round-robin', servers: SERVERS.map((server) => ({ ...server, weight: 1 })) });
    // The client gives the same id again: that is fine as long as its tunnels are at different servers.
    connect(h, 7, 99);
    h.send(toVip(sccrq({ assigned: 7, host: 'another' })));
    const reply = h.send(toClient(SERVER_2, sccrp({ tunnel: 7, assigned: 40_000 })), PORT_INSIDE);
    expect(reply.sent).toHaveLength(1);
    h.send(toVip(scccn({ tunnel: 40_000 })));
    expect(move(h)).toMatchObject({ moved: 0, left: 1 });
    expect(h.count('takeOversLeft')).toBe(1);
    expect(endsOf(data(h, 99).sent[0]).dst).toBe(`${SERVER_1}:1701`);
  });

  test('anything, when the heir is in no plan', () => {
    const h = harness();
    connect(h);
    h.tell({ type: 're-point', order: { id: 900, server: indexOf(h, 'lns1'), heir: 999, ranges: [] } });
    h.settle();
    expect(h.shards[0].takeNotices()).toContainEqual({ type: 're-pointed', done: [{ id: 900, moved: 0, left: 0 }] });
  });
});

test('two shards move what each of them owns, and nobody anything twice', () => {
  const h = harness({ shards: 2, connections: 1024 });
  const clients = Array.from({ length: 80 }, (_, i) => `192.128.${10 + (i >> 7)}.${1 + (i & 127)}`);
  clients.forEach((client, i) => {
    connect(h, 7, 1000 + i, client);
  });
  expect(move(h)).toMatchObject({ moved: 80, left: 0 });
  expect(cell(h, 'lns2', SERVER_CELL.established)).toBe(80);
  for (const [i, client] of clients.entries()) {
    expect(endsOf(data(h, 1000 + i, 1, client).sent[0]).dst).toBe(`${SERVER_2}:1701`);
    expect(answer(h, SERVER_2, 7, client).sent).toHaveLength(1);
  }
  expect(move(h)).toMatchObject({ moved: 0, left: 0 });
  expect(brokenInvariants(h.memory)).toEqual([]);
});

test('the XDP program lets go of the tunnels, and has them again', () => {
  const h = offloadHarness({ servers: SERVERS });
  const record = connect(h);
  wait(h);
  expect(isIn(h, record)).toBe(true);
  h.tell({ type: 're-point', order: { id: 901, server: indexOf(h, 'lns1'), heir: indexOf(h, 'lns2'), ranges: [] } });
  h.shards[0].turn(0);
  expect(isOut(h, record)).toBe(true);
  expect(h.rows.tunnels()).toMatchObject([{ server: 'lns2', offloaded: false }]);
  h.settle();
  wait(h);
  h.settle();
  expect(isIn(h, record)).toBe(true);
});

test('IPv6, with the true rewriting: addresses, ports and checksums are right', () => {
  const [client, vip, s1, s2] = ['[2001:db8:1::5]', '[2001:db8:2::1]', '[fd00::1]', '[fd00::2]'];
  const appliance = new MemoryAppliance(
    'vips:\n  - name: six\n    address: "2001:db8:2::1"\n    servers:\n' +
      '      - { name: s1, address: "fd00::1", peer: s2 }\n      - { name: s2, address: "fd00::2", weight: 0 }\n' +
      'takeOver: { listen: "[::1]:7018", secret: a secret of sixteen }\n',
  );
  const out = (to: string, payload: Uint8Array) => appliance.send(udpFrame(`${client}:1701`, `${to}:1701`, payload));
  const back = (from: string, payload: Uint8Array) =>
    appliance.send(udpFrame(`${from}:1701`, `${client}:1701`, payload), PORT_INSIDE);
  out(vip, sccrq({ assigned: 7 }));
  back(s1, sccrp({ tunnel: 7, assigned: 99 }));
  out(vip, scccn({ tunnel: 99 }));
  const [server, heir] = appliance.binding.servers.map(({ index }) => index);
  appliance.tell({ type: 're-point', order: { id: 1, server, heir, ranges: [] } });
  appliance.settle();
  const data = l2tpData({ tunnel: 99, session: 1, payload: 'ff03' });
  /** Behind Ethernet, but for the hop limit, which no checksum covers. */
  const packet = (frame: Uint8Array): string => {
    const bytes = Buffer.from(frame.subarray(14));
    bytes[7] = 0;
    return bytes.toString('hex');
  };
  const towards = out(vip, data).sent[0].frame;
  expect(packet(towards)).toBe(packet(udpFrame(`${client}:1701`, `${s2}:1701`, data)));
  const echo = l2tpData({ tunnel: 7, session: 2, payload: 'ff03' });
  const from = back(s2, echo).sent[0].frame;
  expect(packet(from)).toBe(packet(udpFrame(`${vip}:1701`, `${client}:1701`, echo)));
  expect(back(s1, echo).sent).toEqual([]);
  expect(appliance.drops()).toEqual({ 'taken-over': 1 });
  expect(brokenInvariants(appliance.memory)).toEqual([]);
});

describe('farewells', () => {
  const down = (h: Harness, seconds: number): void =>
    h.tell({ type: 'server-down', server: indexOf(h, 'lns1'), wait: seconds });
  const told = (h: Harness): number => h.ports[0].sent.length;

  test('wait for the peer, whoever speaks meanwhile', () => {
    const h = harness();
    connect(h);
    down(h, 10);
    const before = told(h);
    h.at(h.now + 9);
    expect(h.send(toVip(hello({ tunnel: 99, ns: 2, nr: 1 }))).sent.map(endsOf)).toEqual([
      { src: `${CLIENT}:1701`, dst: `${SERVER_1}:1701`, port: PORT_INSIDE },
    ]);
    expect(told(h)).toBe(before + 1);
    h.at(h.now + 2);
    expect(told(h)).toBe(before + 2);
    expect(h.rows.tunnels()).toMatchObject([{ state: 'closing' }]);
  });

  test('are not said to tunnels that were taken over', () => {
    const h = harness();
    connect(h);
    connect(h, 8, 40_000, CLIENT_2);
    down(h, 10);
    h.at(h.now + 1);
    move(h, 'lns1', 'lns2', [{ low: 1, high: 0x7fff }]);
    h.at(h.now + 20);
    expect(
      h.rows
        .tunnels()
        .map(({ client, state }) => `${client} ${state}`)
        .sort(),
    ).toEqual([`${CLIENT}:1701 established`, `${CLIENT_2}:1701 closing`]);
  });

  test('of a server without a peer do not wait for those of one that has one', () => {
    const h = harness({ algorithm: 'round-robin', servers: SERVERS.map((server) => ({ ...server, weight: 1 })) });
    connect(h);
    connect(h, 8, 100, CLIENT_2);
    down(h, 10);
    h.tell({ type: 'server-down', server: indexOf(h, 'lns2') });
    h.at(h.now + 1);
    expect(
      h.rows
        .tunnels()
        .map(({ server, state }) => `${server} ${state}`)
        .sort(),
    ).toEqual(['lns1 established', 'lns2 closing']);
  });
});
