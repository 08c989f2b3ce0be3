import { describe, expect, test } from 'vitest';
import { OFFLOAD_WAITING_LIMIT } from '../../src/dataplane/offload.js';
import {
  ENTRY,
  ENTRY_WORDS,
  FLAG_OFFLOADED,
  NEXT_HOP,
  NEXT_HOP_WORDS,
  RECORD,
  RECORD_WORDS,
  XDP_FLAG,
} from '../../src/flow/layout.js';
import { setXdpFlags } from '../../src/flow/xdp-words.js';
import { PORT_INSIDE, PORT_OUTSIDE } from '../../src/io/port.js';
import { frame, l2tpData, scccn, sccrp, sccrq, udpFrame } from '../helpers/packet-builder.js';
import { CLIENT, defaultRoutes, Harness, SERVER_1, SERVER_2 } from '../helpers/shard-harness.js';
import { brokenInvariants } from '../helpers/table-invariants.js';
import { toVip, toClient, harness, connect, flags, isIn, isOut, wait, offloaded } from '../helpers/offload-harness.js';

describe('going in', () => {
  test('a tunnel is offloaded once its control connection stands and it has been quiet, both ways', () => {
    const h = harness();
    const record = connect(h);
    expect(isOut(h, record)).toBe(true);
    expect(h.rows.tunnels()).toMatchObject([{ state: 'established', offloaded: false }]);
    wait(h);
    expect(flags(h, record)).toHaveLength(2);
    expect(isIn(h, record)).toBe(true);
    expect(h.rows.tunnels()).toMatchObject([{ state: 'established', offloaded: true }]);
    expect(h.count('offloaded')).toBe(1);
    expect(brokenInvariants(h.memory)).toEqual([]);
  });

  test('the request’s entry never is, the alias of a floating port is', () => {
    const h = harness();
    const record = connect(h, 7, 99, CLIENT, 5000);
    wait(h);
    expect(flags(h, record)).toHaveLength(3);
    expect(isIn(h, record)).toBe(true);
    const slot = h.memory.records[record * RECORD_WORDS + RECORD.entryHalfOpen] - 1;
    expect(h.memory.entries[slot * ENTRY_WORDS + ENTRY.record] & FLAG_OFFLOADED).toBe(0);
  });

  test('a half-open one is not, whatever time passes', () => {
    const h = harness();
    h.send(toVip(sccrq({ assigned: 7 })));
    h.send(toClient(SERVER_1, sccrp({ tunnel: 7, assigned: 99 })), PORT_INSIDE);
    wait(h, 5);
    expect(h.rows.tunnels()).toMatchObject([{ state: 'half-open', offloaded: false }]);
    expect(isOut(h, 0)).toBe(true);
  });

  test('nothing is without a program, and the rows ask its switch', () => {
    const h = harness({ offload: false });
    const record = connect(h);
    wait(h, 1);
    expect(isOut(h, record)).toBe(true);
    const with_ = offloaded();
    setXdpFlags(with_.h.memory, XDP_FLAG.offload, false);
    expect(with_.h.rows.tunnels()).toMatchObject([{ offloaded: false }]);
  });

  test('what the shards still forward counts and ages as before', () => {
    const { h, record } = offloaded();
    const before = h.rows.tunnels()[0].packetsIn;
    expect(h.send(toVip(l2tpData({ tunnel: 99, session: 1 }))).sent).toHaveLength(1);
    expect(h.rows.tunnels()[0].packetsIn).toBe(before + 1);
    // The program stamps its packets: the tunnel is not idle, though no shard sees any.
    for (let n = 0; n < 4; n++) {
      h.at(h.now + 500);
      const slot = h.memory.records[record * RECORD_WORDS + RECORD.entryReverse] - 1;
      h.memory.entries[slot * ENTRY_WORDS + ENTRY.lastSeen] = h.now;
    }
    expect(h.rows.tunnels()).toMatchObject([{ offloaded: true, idleSeconds: 0 }]);
    h.at(h.now + 700);
    h.at(h.now + 700);
    expect(h.rows.tunnels()).toEqual([]);
    expect(brokenInvariants(h.memory)).toEqual([]);
  });

  test('more than may wait are found by a review', () => {
    const count = OFFLOAD_WAITING_LIMIT + 40;
    const h = harness({ connections: count * 2 }); // the requests’ entries are still there
    const clients = Array.from({ length: count }, (_, n) => `192.128.${64 + (n >> 8)}.${n & 0xff}`);
    const all = (frameOf: (client: string) => Uint8Array, ingress: number): void => {
      for (const client of clients) h.ports[0].waiting.push({ frame: frameOf(client), ingress });
      while (h.ports[0].waiting.length > 0) h.settle();
    };
    all((client) => toVip(sccrq({ assigned: 7 }), client), PORT_OUTSIDE);
    all((client) => toClient(SERVER_1, sccrp({ tunnel: 7, assigned: 99 }), client), PORT_INSIDE);
    all((client) => toVip(scccn({ tunnel: 99 }), client), PORT_OUTSIDE);
    expect(h.rows.tunnels().filter((row) => row.state !== 'established')).toEqual([]);
    expect(h.count('offloadDeferred')).toBe(40);
    for (let n = 0; n < 40; n++) wait(h);
    expect(h.rows.tunnels().filter((row) => !row.offloaded)).toEqual([]);
    expect(h.count('offloaded')).toBe(count);
  });
});

describe('what a live tunnel’s readers see', () => {
  test('another next hop comes in one store: the version does not move, the flag stays', () => {
    const { h, record } = offloaded();
    const slot = h.memory.records[record * RECORD_WORDS + RECORD.entryReverse] - 1;
    const { entries, nextHops } = h.memory;
    const version = entries[slot * ENTRY_WORDS + ENTRY.version];
    const routes = defaultRoutes();
    routes.gateways.set([0, 0, 0xffff, 0xc0800a01], 4);
    h.tell({ type: 'routes', routes });
    wait(h);
    const hop = entries[slot * ENTRY_WORDS + ENTRY.target] & 0xffff;
    expect(nextHops[hop * NEXT_HOP_WORDS + NEXT_HOP.address + 3]).toBe(0xc0800a01 | 0);
    expect(entries[slot * ENTRY_WORDS + ENTRY.version]).toBe(version);
    expect(isIn(h, record)).toBe(true);
    expect(h.count('withdrawn')).toBe(0);
  });

  test('a server whose route has gone keeps its last next hop', () => {
    const { h, record } = offloaded();
    const slot = h.memory.records[record * RECORD_WORDS + RECORD.entryForward] - 1;
    const target = h.memory.entries[slot * ENTRY_WORDS + ENTRY.target];
    h.memory.servers.fill(0, h.binding.servers[0].index * 16 + 4, h.binding.servers[0].index * 16 + 5);
    h.tell({ type: 'routes', routes: defaultRoutes() });
    wait(h);
    expect(h.memory.entries[slot * ENTRY_WORDS + ENTRY.target]).toBe(target);
  });
});

describe('a new shard over a table with offloaded tunnels', () => {
  test('leaves alone what is right and takes out what is not', () => {
    const { h, record } = offloaded({ shards: 1 });
    const other = connect(h, 8, 100, '192.128.10.6');
    wait(h);
    // While nobody ran, this one was told to go.
    h.memory.records[other * RECORD_WORDS] = (h.memory.records[other * RECORD_WORDS] & ~0xff) | 3;
    const { entries } = h.memory;
    const words = () => flags(h, record);
    const before = words();
    const { store, compareExchange } = Atomics;
    const seen: number[][] = [];
    Atomics.store = ((array: Int32Array, at: number, value: number) => {
      const result = store(array, at, value);
      if (array === entries) seen.push(words());
      return result;
    }) as typeof Atomics.store;
    Atomics.compareExchange = ((array: Int32Array, at: number, before: number, value: number) => {
      const result = compareExchange(array, at, before, value);
      if (array === entries) seen.push(words());
      return result;
    }) as typeof Atomics.compareExchange;
    let next: Harness;
    try {
      next = new Harness({ offload: true, kind: 'xdp', memory: h.memory, servers: h.options.servers ?? [] });
      for (const port of next.ports) port.clock[0] = h.now;
      expect(next.shards[0].adopt()).toBe(2);
      wait(next);
      wait(next);
    } finally {
      Atomics.store = store;
      Atomics.compareExchange = compareExchange;
    }
    expect(seen.length).toBeGreaterThan(0);
    for (const during of seen) expect(during).toEqual(before);
    expect(isIn(next, record)).toBe(true);
    expect(isOut(next, other)).toBe(true);
  });

  test('without a program takes all out', () => {
    const { h, record } = offloaded();
    const next = new Harness({ memory: h.memory, servers: h.options.servers ?? [] });
    next.at(h.now);
    next.shards[0].adopt();
    wait(next);
    expect(isOut(next, record)).toBe(true);
  });
});

describe('frames that the host does not get any more', () => {
  const stray = udpFrame('198.51.100.9:5353', '203.0.113.5:53', 'aabb');

  test('are counted where the kernel had given them away, and only there', () => {
    const h = harness();
    expect(h.send(stray)).toEqual({ sent: [], passed: [] });
    expect(h.send(frame({ arp: { senderIp: CLIENT, targetIp: '192.128.10.1' } }))).toEqual({ sent: [], passed: [] });
    expect(h.drops()).toEqual({ 'not-passed': 2 });
    expect(h.count('passed')).toBe(0);
    const packet = harness({ kind: 'packet' });
    expect(packet.send(stray).passed).toHaveLength(1);
    expect(packet.drops()).toEqual({});
  });

  test('a neighbour’s answer is taken in, not lost', () => {
    const h = harness();
    h.send(frame({ arp: { operation: 2, senderIp: SERVER_2, targetIp: '10.10.1.254' } }), PORT_INSIDE);
    expect([h.drops(), h.count('heard')]).toEqual([{}, 1]);
  });
});
