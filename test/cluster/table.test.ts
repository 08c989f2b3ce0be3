/** From one table into another: what a designator has learnt of tunnels is what its standby has, whatever they are like. */
import { describe, expect, test } from 'vitest';
import { Replication } from '../../src/cluster/replication.js';
import { TableFeed } from '../../src/cluster/table-feed.js';
import { CELL_WORDS, SERVER_CELL, VIP_CELL } from '../../src/flow/layout.js';
import { ClusterPair, entriesOf, rowsOf } from '../helpers/cluster-pair.js';
import { DEFAULT_CONFIG, GOLDEN } from '../helpers/golden-cases.js';
import { cdn, iccn, icrp, icrq, l2tpData, scccn, sccrp, sccrq, stopccn, udpFrame } from '../helpers/packet-builder.js';
import { brokenInvariants } from '../helpers/table-invariants.js';

const CLIENT = '192.128.10.5:1701';
const VIP = '200.200.100.1:1701';
const SERVER = '10.10.1.1:1701';
const ONE = 'vips: [{ name: access, address: 200.200.100.1, servers: [{ name: lns1, address: 10.10.1.1 }] }]\n';

/** A tunnel with `sessions` calls, through the active designator. */
function connect(pair: ClusterPair, id: number, sessions = 0, client = CLIENT): void {
  pair.send(udpFrame(client, VIP, sccrq({ assigned: id })));
  pair.send(udpFrame(SERVER, client, sccrp({ tunnel: id, assigned: id + 1000 })));
  pair.send(udpFrame(client, VIP, scccn({ tunnel: id + 1000 })));
  for (let n = 1; n <= sessions; n++) {
    pair.send(udpFrame(client, VIP, icrq({ tunnel: id + 1000, assigned: n, ns: 2 * n, nr: n })));
    pair.send(udpFrame(SERVER, client, icrp({ tunnel: id, session: n, assigned: n + 50, ns: n, nr: 2 * n + 1 })));
    pair.send(udpFrame(client, VIP, iccn({ tunnel: id + 1000, session: n + 50, ns: 2 * n + 1, nr: n + 1 })));
  }
}

function expectEqual(pair: ClusterPair, counters = false): void {
  expect(rowsOf(pair.standby, counters)).toEqual(rowsOf(pair.active, counters));
  expect(entriesOf(pair.standby.memory)).toEqual(entriesOf(pair.active.memory));
  expect(brokenInvariants(pair.standby.memory)).toEqual([]);
}

describe('every kind of tunnel that there is', () => {
  test.each(GOLDEN.map((golden) => [golden.name, golden] as const))('%s', (_name, { config, frames }) => {
    const pair = new ClusterPair(config ?? DEFAULT_CONFIG);
    const start = pair.active.now;
    for (const { at, frame } of frames) {
      pair.at(start + at);
      pair.send(frame);
      pair.feed.all(pair.active.now);
    }
    pair.carry();
    expectEqual(pair);
    // What ends there ends here.
    pair.at(start + 2000);
    pair.carry();
    expectEqual(pair);
  });
});

describe('other ways of answers', () => {
  const nat = `vips: [{ name: access, address: 200.200.100.1, reply: nat, natAddress: 200.200.100.2, servers: [{ name: lns1, address: 10.10.1.1 }] }]\n`;
  const direct = `vips: [{ name: access, address: 200.200.100.1, reply: direct, localAddress: 10.10.1.200, servers: [{ name: lns1, address: 10.10.1.1 }] }]\n`;

  test.each([
    ['one who follows', '200.200.100.2:1701'],
    ['one who is carried', VIP],
  ])('reply nat: %s', (_who, to) => {
    const pair = new ClusterPair(nat);
    pair.send(udpFrame(CLIENT, VIP, sccrq({ assigned: 7 })));
    pair.carry();
    expectEqual(pair);
    pair.send(udpFrame(SERVER, CLIENT, sccrp({ tunnel: 7, assigned: 1007 })));
    pair.send(udpFrame(CLIENT, to, scccn({ tunnel: 1007 })));
    pair.carry();
    expectEqual(pair);
    expect(rowsOf(pair.standby, false)).toHaveLength(1);
    // The standby goes on with it, in both directions.
    const data = l2tpData({ tunnel: 1007, session: 1 });
    const packets = (of: ClusterPair['active']): string[] =>
      pair.send(udpFrame(CLIENT, to, data), of).map(({ frame }) => Buffer.from(frame.subarray(14)).toString('hex'));
    expect(packets(pair.standby)).toEqual(packets(pair.active));
    const back = udpFrame(SERVER, CLIENT, l2tpData({ tunnel: 7, session: 1 }));
    expect(pair.send(back, pair.standby)).toHaveLength(1);
  });

  test('reply nat: one who refuses', () => {
    const pair = new ClusterPair(nat);
    const request = udpFrame(CLIENT, VIP, sccrq({ assigned: 7 }));
    for (let n = 0; n < 4; n++) {
      pair.at(pair.active.now + 2);
      pair.send(request);
      pair.send(udpFrame(SERVER, CLIENT, sccrp({ tunnel: 7, assigned: 1007 })));
    }
    pair.carry();
    expectEqual(pair);
  });

  test('reply direct: a request that passed, and one that is put on full NAT', () => {
    const pair = new ClusterPair(direct);
    const request = udpFrame(CLIENT, VIP, sccrq({ assigned: 7 }));
    pair.send(request);
    pair.carry();
    expectEqual(pair);
    for (let n = 0; n < 4; n++) {
      pair.at(pair.active.now + 2);
      pair.send(request);
    }
    pair.carry();
    expectEqual(pair);
    expect(entriesOf(pair.active.memory).join()).not.toBe('');
  });
});

describe('a table and its copy', () => {
  test('VIPs and servers are found by name, whatever their numbers are', () => {
    const pair = new ClusterPair(ONE);
    const number = (of: ClusterPair['active']): number[] => [of.plan.vips[0].index, of.plan.servers[0].index];
    expect(number(pair.standby)).not.toEqual(number(pair.active));
    connect(pair, 7);
    pair.carry();
    expectEqual(pair);
    expect(rowsOf(pair.standby, false)).toHaveLength(1);
  });

  test('sessions come and go with their states', () => {
    const pair = new ClusterPair(ONE);
    connect(pair, 7, 3);
    connect(pair, 8, 1);
    pair.carry();
    expectEqual(pair);
    expect(pair.standby.rows.tunnels().map(({ sessions }) => sessions)).toEqual([3, 1]);
    pair.send(udpFrame(CLIENT, VIP, cdn({ tunnel: 1007, session: 52, assigned: 2, ns: 8, nr: 4 })));
    pair.carry();
    expectEqual(pair);
    expect(pair.standby.rows.tunnels().map(({ sessions }) => sessions)).toEqual([2, 1]);
  });

  test('a closing tunnel, a tunnel with the same ids after it, and the counts of the servers', () => {
    const pair = new ClusterPair(ONE);
    connect(pair, 7, 2);
    pair.carry();
    pair.send(udpFrame(CLIENT, VIP, stopccn({ tunnel: 1007, assigned: 7, ns: 6, nr: 3 })));
    pair.carry();
    expectEqual(pair);
    expect(pair.standby.rows.tunnels().map(({ state }) => state)).toEqual(['closing']);
    connect(pair, 7, 1);
    pair.carry();
    expectEqual(pair);
    const cell = pair.standby.plan.servers[0].index * CELL_WORDS;
    expect(pair.standby.memory.servers[cell + SERVER_CELL.established]).toBe(1);
    expect(pair.standby.memory.servers[cell + SERVER_CELL.sessions]).toBe(1);
  });

  test('counters and last packet, and never backwards', () => {
    const pair = new ClusterPair(ONE);
    connect(pair, 7, 1);
    for (let n = 0; n < 30; n++) {
      pair.send(udpFrame(CLIENT, VIP, l2tpData({ tunnel: 1007, session: 51, payload: '0a0b' })));
      if (n % 3 === 0) pair.send(udpFrame(SERVER, CLIENT, l2tpData({ tunnel: 7, session: 1, payload: '0a0b' })));
    }
    pair.at(pair.active.now + 20);
    pair.send(udpFrame(CLIENT, VIP, l2tpData({ tunnel: 1007, session: 51, payload: '0a0b' })));
    pair.carry();
    expectEqual(pair, true);
    const [row] = pair.standby.rows.tunnels();
    expect(row).toMatchObject({ packetsIn: 35, packetsOut: 12, idleSeconds: 0, ageSeconds: 20 });
  });

  test('a server that the standby does not know is waited for', () => {
    const pair = new ClusterPair(ONE);
    pair.standby.reload(ONE.replace('lns1', 'other'));
    connect(pair, 7, 2);
    pair.carry();
    expect(pair.standby.rows.tunnels()).toEqual([]);
    expect(pair.apply.counters.unplaced).toBeGreaterThan(0);
    pair.standby.reload(ONE);
    pair.apply.refresh(pair.stream, 0, pair.stream.capacity[0]);
    expectEqual(pair);
  });

  test('a tunnel for which the standby has no room is put in when there is some', () => {
    const pair = new ClusterPair(ONE);
    const { pool } = pair.apply;
    const taken: number[] = [];
    for (let record = pool.allocateRecord(); record >= 0; record = pool.allocateRecord()) taken.push(record);
    connect(pair, 7, 2);
    pair.carry();
    expect(pair.apply.counters.tableFull).toBeGreaterThan(0);
    expect(pair.standby.rows.tunnels()).toEqual([]);
    for (const record of taken) pool.freeRecord(record);
    pair.apply.retryCollided(pair.stream);
    expectEqual(pair);
  });

  test('a record whose state is none is not put in', () => {
    const pair = new ClusterPair(ONE);
    connect(pair, 7);
    pair.carry();
    const [mirror] = pair.stream.mirrors;
    const index = Array.from({ length: mirror.capacity }, (_, i) => i).find((i) => mirror.has(i)) as number;
    const words = (mirror.wordsOf(index) as Int32Array).slice(mirror.offset(index));
    for (const state of [0, 5, 255]) {
      words[0] = (words[0] & ~0xff) | state;
      mirror.write(index, words, 0, 1000 + state);
      pair.apply.changed(pair.stream, 0, index);
      expect(pair.standby.rows.tunnels()).toEqual([]);
      expect(brokenInvariants(pair.standby.memory)).toEqual([]);
    }
  });

  test('sessions that come before their tunnel wait for it, and for no other', () => {
    const pair = new ClusterPair(ONE);
    const { sessions, tunnels } = { sessions: pair.stream.mirrors[1], tunnels: pair.stream.mirrors[0] };
    connect(pair, 7, 2);
    pair.feed.all(pair.active.now);
    const { mirrors } = pair.writer;
    const [index] = Array.from({ length: mirrors[0].capacity }, (_, i) => i).filter((i) => mirrors[0].has(i));
    const copy = (from: typeof sessions, to: typeof sessions, i: number): void =>
      void to.write(i, from.wordsOf(i) as Int32Array, from.offset(i), 0);
    for (let i = 0; i < mirrors[1].capacity; i++) {
      if (!mirrors[1].has(i)) continue;
      copy(mirrors[1], sessions, i);
      pair.apply.changed(pair.stream, 1, i);
    }
    expect(brokenInvariants(pair.standby.memory)).toEqual([]);
    copy(mirrors[0], tunnels, index);
    pair.apply.changed(pair.stream, 0, index);
    expect(pair.standby.rows.tunnels()).toMatchObject([{ sessions: 2, clientTunnelId: 7 }]);
    expect(brokenInvariants(pair.standby.memory)).toEqual([]);
  });

  test('a stream that is given up takes its tunnels along', () => {
    const pair = new ClusterPair(ONE);
    connect(pair, 7, 2);
    connect(pair, 9);
    pair.carry();
    pair.apply.drop(pair.stream);
    expect(pair.standby.rows.tunnels()).toEqual([]);
    expect(brokenInvariants(pair.standby.memory)).toEqual([]);
    expect(pair.standby.memory.vips[pair.standby.plan.vips[0].index * CELL_WORDS + VIP_CELL.state]).toBe(1);
  });

  test('thousands of tunnels that come and go', () => {
    const pair = new ClusterPair(`${ONE}table: { connections: 4096 }\n`);
    for (let round = 0; round < 3; round++) {
      for (let n = 0; n < 500; n++) connect(pair, 1 + n, n % 2, `192.128.${10 + round}.${n & 255}:1701`);
      pair.carry();
      for (let n = round; n < 500; n += 3)
        pair.send(
          udpFrame(`192.128.${10 + round}.${n & 255}:1701`, VIP, stopccn({ tunnel: 1001 + n, assigned: 1 + n, ns: 9 })),
        );
      pair.at(pair.active.now + 60);
      pair.carry();
      expectEqual(pair);
    }
    expect(pair.standby.rows.tunnels().length).toBeGreaterThan(900);
  });
});

describe('take-over', () => {
  test('the standby forwards what it never saw the beginning of, both ways', () => {
    const pair = new ClusterPair(ONE);
    connect(pair, 7, 1);
    pair.carry();
    const up = udpFrame(CLIENT, VIP, l2tpData({ tunnel: 1007, session: 51, payload: '0a0b' }));
    const down = udpFrame(SERVER, CLIENT, l2tpData({ tunnel: 7, session: 1, payload: '0a0b' }));
    for (const shard of pair.standby.shards) shard.adopt();
    const ends = (frame: Uint8Array): number[][] =>
      pair.send(frame, pair.standby).map(({ frame: out }) => [...out.subarray(26, 34)]);
    expect(ends(up)).toEqual([[192, 128, 10, 5, 10, 10, 1, 1]]);
    expect(ends(down)).toEqual([[200, 200, 100, 1, 192, 128, 10, 5]]);
    expect(pair.standby.drops()).toEqual({});
  });

  test('the successor writes the stream on, and has nothing to tell', () => {
    const pair = new ClusterPair(ONE);
    for (let n = 1; n <= 50; n++) connect(pair, n, 2);
    pair.carry();
    const now = pair.standby.now;
    const writer = pair.replication.write(1, 0, now);
    const feed = new TableFeed(pair.standby.memory, writer, pair.apply.maps(writer));
    feed.all(now);
    expect(writer.waiting).toBe(0);
    expect(writer.mirrors.map((mirror) => mirror.digest())).toEqual(
      pair.writer.mirrors.map((mirror) => mirror.digest()),
    );
    for (const shard of pair.standby.shards) shard.adopt();
    pair.send(udpFrame('192.128.77.1:1701', VIP, sccrq({ assigned: 1 })), pair.standby);
    feed.all(now);
    expect(writer.waiting).toBe(1);
    expect(writer.mirrors[0].used).toBe(51);
  });

  test('a sweep finds what nobody marked, within the time that it may take', () => {
    const pair = new ClusterPair(ONE);
    const now = pair.active.now;
    const replication = new Replication({
      number: 1,
      facts: new Map(),
      capacity: [pair.active.memory.layout.recordCount, pair.active.memory.layout.sessionCount],
      sink: { changed: () => undefined, counted: () => undefined },
    });
    const feed = new TableFeed(pair.active.memory, replication.write(1, 0, now), { sweepSeconds: 2 });
    feed.turn(now);
    for (let n = 1; n <= 20; n++) connect(pair, n, 1);
    for (let i = 0; i <= 210; i++) feed.turn(now + i / 100);
    expect(feed.writer.mirrors.map(({ used }) => used)).toEqual([20, 20]);
    pair.active.at(now + 700);
    for (let i = 0; i <= 210; i++) feed.turn(now + 700 + i / 100);
    expect(feed.writer.mirrors.map(({ used }) => used)).toEqual([0, 0]);
  });
});
