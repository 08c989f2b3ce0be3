import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  DEADLINE_SECONDS,
  OFFLOAD_WAITING_LIMIT,
  PATIENCE_SECONDS,
  QUIET_SECONDS,
} from '../../src/dataplane/offload.js';
import type { CaptureFilter } from '../../src/dataplane/plan.js';
import {
  ENTRY,
  ENTRY_WORDS,
  FLAG_DENIED,
  FLAG_OFFLOADED,
  NEXT_HOP,
  NEXT_HOP_WORDS,
  RECORD,
  RECORD_WORDS,
  SERVER_REASON,
  SERVER_STATE,
  XDP_FLAG,
} from '../../src/flow/layout.js';
import { ConnectionTable } from '../../src/flow/connection-table.js';
import { ServerTable } from '../../src/designation/servers.js';
import { setXdpFlags } from '../../src/flow/xdp-words.js';
import { BATCH_CAPACITY, PORT_INSIDE, PORT_OUTSIDE } from '../../src/io/port.js';
import { FUZZ_RUNS } from '../helpers/fuzz.js';
import { KernelModel } from '../helpers/kernel-model.js';
import {
  cdn,
  frame,
  iccn,
  icrp,
  icrq,
  l2tpData,
  scccn,
  sccrp,
  sccrq,
  stopccn,
  udpFrame,
  viewOf,
} from '../helpers/packet-builder.js';
import {
  CLIENT,
  defaultRoutes,
  Harness,
  type HarnessOptions,
  SERVER_1,
  SERVER_2,
  VIP,
} from '../helpers/shard-harness.js';
import { brokenInvariants } from '../helpers/table-invariants.js';

const toVip = (payload: Uint8Array, client = CLIENT, port = 1701) =>
  udpFrame(`${client}:${port}`, `${VIP}:1701`, payload);
const toClient = (server: string, payload: Uint8Array, client = CLIENT, port = 1701, sport = 1701) =>
  udpFrame(`${server}:${sport}`, `${client}:${port}`, payload);

function harness(options: HarnessOptions = {}): Harness {
  const h = new Harness({ offload: true, kind: 'xdp', servers: [{ name: 'lns1', address: SERVER_1 }], ...options });
  setXdpFlags(h.memory, XDP_FLAG.offload, true);
  return h;
}

/** SCCRQ … SCCCN; the tunnel's record. Client id 7 and server id 99 unless told otherwise. */
function connect(h: Harness, id = 7, serverId = 99, client = CLIENT, serverPort = 1701): number {
  const request = h.send(toVip(sccrq({ assigned: id }), client));
  const v = viewOf(request.sent[0].frame);
  const server = [0, 1, 2, 3].map((i) => v.getUint8(30 + i)).join('.');
  h.send(toClient(server, sccrp({ tunnel: id, assigned: serverId }), client, 1701, serverPort), PORT_INSIDE);
  h.send(toVip(scccn({ tunnel: serverId }), client));
  const records = h.memory.layout.recordCount;
  for (let record = 0; record < records; record++) {
    const at = record * RECORD_WORDS;
    if ((h.memory.records[at] & 0xff) !== 0 && h.memory.records[at + RECORD.serverChannel] === serverId) return record;
  }
  throw new Error('no such tunnel');
}

/** Flags of the entries that data goes by. */
function flags(h: Harness, record: number): number[] {
  const { records, entries } = h.memory;
  return [RECORD.entryReverse, RECORD.entryForward, RECORD.entryAlias]
    .map((word) => records[record * RECORD_WORDS + word] - 1)
    .filter((slot) => slot >= 0)
    .map((slot) => entries[slot * ENTRY_WORDS + ENTRY.record] & 0xff);
}

const isIn = (h: Harness, record: number): boolean => flags(h, record).every((f) => (f & FLAG_OFFLOADED) !== 0);
const isOut = (h: Harness, record: number): boolean => flags(h, record).every((f) => (f & FLAG_OFFLOADED) === 0);
/** Time enough for a quiet tunnel. */
const wait = (h: Harness, seconds = QUIET_SECONDS * 2): void => h.at(h.now + seconds);

/** A tunnel that the program has. */
function offloaded(options: HarnessOptions = {}): { h: Harness; record: number } {
  const h = harness(options);
  const record = connect(h);
  wait(h);
  expect(isIn(h, record)).toBe(true);
  return { h, record };
}

function openSession(h: Harness, client = 11, server = 22): void {
  h.send(toVip(icrq({ tunnel: 99, assigned: client })));
  h.send(toClient(SERVER_1, icrp({ tunnel: 7, session: client, assigned: server })), PORT_INSIDE);
  h.send(toVip(iccn({ tunnel: 99, session: server })));
}

const setServer = (h: Harness, state: number): void =>
  new ServerTable(h.memory).setState(h.binding.servers[0].index, state, SERVER_REASON.command, Math.floor(h.now));

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

describe('coming out', () => {
  test.each([
    ['client', () => toVip(stopccn({ tunnel: 99, assigned: 7 })), PORT_OUTSIDE],
    ['server', () => toClient(SERVER_1, stopccn({ tunnel: 7, assigned: 99 })), PORT_INSIDE],
  ] as const)('StopCCN of the %s, at once', (_side, message, port) => {
    const { h, record } = offloaded();
    h.ports[0].waiting.push({ frame: message(), ingress: port });
    h.shards[0].turn(0);
    expect(isOut(h, record)).toBe(true);
    wait(h, 1);
    expect(h.rows.tunnels()).toMatchObject([{ state: 'closing', offloaded: false }]);
  });

  test('CDN of its last session, until another one stands', () => {
    const { h, record } = offloaded();
    openSession(h);
    openSession(h, 12, 23);
    expect(isIn(h, record)).toBe(true);
    h.send(toVip(cdn({ tunnel: 99, session: 22, assigned: 11 })));
    expect(isIn(h, record)).toBe(true);
    h.send(toVip(cdn({ tunnel: 99, session: 23, assigned: 12 })));
    expect(isOut(h, record)).toBe(true);
    wait(h, 1);
    h.tell({ type: 'review' });
    wait(h, 1);
    expect(isOut(h, record)).toBe(true);
    openSession(h, 13, 24);
    wait(h);
    expect(isIn(h, record)).toBe(true);
    expect([h.count('offloaded'), h.count('withdrawn')]).toEqual([2, 1]);
  });

  test('a new tunnel with the record of one whose sessions had ended goes in', () => {
    const { h, record } = offloaded();
    openSession(h);
    h.send(toVip(cdn({ tunnel: 99, session: 22, assigned: 11 })));
    h.send(toVip(stopccn({ tunnel: 99, assigned: 7 })));
    h.at(h.now + 60);
    h.at(h.now + 60);
    expect(h.rows.tunnels()).toEqual([]);
    expect(connect(h)).toBe(record);
    wait(h);
    expect(isIn(h, record)).toBe(true);
  });

  test.each(['suspect', 'down', 'draining', 'disabled', 'inactive'] as const)('a server that is %s', (state) => {
    const { h, record } = offloaded();
    setServer(h, SERVER_STATE[state]);
    h.tell({ type: 'review' });
    h.shards[0].turn(0);
    expect(isOut(h, record)).toBe(true);
    wait(h, 1);
    expect(isOut(h, record)).toBe(true);
    setServer(h, SERVER_STATE.slowStart);
    h.tell({ type: 'review' });
    wait(h);
    wait(h);
    expect(isIn(h, record)).toBe(true);
  });

  test('the drain’s deadline ends it in both ends’ name', () => {
    const { h, record } = offloaded();
    h.tell({ type: 'release', server: h.binding.servers[0].index });
    expect(isOut(h, record)).toBe(true);
    h.settle();
    expect(h.rows.tunnels()).toMatchObject([{ state: 'closing', offloaded: false }]);
  });

  test('a rule that denies its client; and back when the rule has gone', () => {
    const { h, record } = offloaded();
    const from = [
      { words: [0, 0, 0xffff, 0xc0800a00] as const, length: 120, text: '192.128.10.0/24', family: 4 as const },
    ];
    const rule = { name: null, action: 'deny' as const, from, to: [], vips: [], protocols: [], path: 'rules[0]' };
    h.reconfigure({ rules: [rule] as unknown as HarnessOptions['rules'] });
    expect(isOut(h, record)).toBe(true);
    expect(flags(h, record).map((f) => f & FLAG_DENIED)).toEqual([0, FLAG_DENIED]);
    wait(h, 1);
    expect(isOut(h, record)).toBe(true);
    h.reconfigure({ rules: [] });
    wait(h);
    wait(h);
    expect(flags(h, record).map((f) => f & FLAG_DENIED)).toEqual([0, 0]);
    expect(isIn(h, record)).toBe(true);
  });

  const captures: [string, CaptureFilter, boolean][] = [
    ['of all', { slot: 0 }, true],
    ['of its id', { slot: 0, clientTunnelId: 7 }, true],
    ['of another id', { slot: 0, clientTunnelId: 8 }, false],
    ['of its client', { slot: 0, client: [0, 0, 0xffff, 0xc0800a05], clientPort: 1701 }, true],
    ['of another port', { slot: 0, client: [0, 0, 0xffff, 0xc0800a05], clientPort: 1702 }, false],
    ['of another client', { slot: 0, client: [0, 0, 0xffff, 0xc0800a06] }, false],
  ];
  test.each(captures)('a capture %s', (_what, capture, wanted) => {
    const { h, record } = offloaded();
    h.tell({ type: 'capture', captures: [capture] });
    h.shards[0].turn(0);
    expect(isOut(h, record)).toBe(wanted);
    expect(isIn(h, record)).toBe(!wanted);
    wait(h, 1);
    expect(isOut(h, record)).toBe(wanted);
    h.tell({ type: 'capture', captures: [] });
    wait(h);
    wait(h);
    expect(isIn(h, record)).toBe(true);
  });

  test('a capture that is there already keeps new tunnels out', () => {
    const h = harness();
    h.tell({ type: 'capture', captures: [{ slot: 0 }] });
    const record = connect(h);
    wait(h, 1);
    expect(isOut(h, record)).toBe(true);
  });

  test('only the owner’s shard writes', () => {
    const h = harness({ shards: 2 });
    const records = [CLIENT, '192.128.10.6', '192.128.10.7', '192.128.10.8'].map((client, n) =>
      connect(h, 7, 99 + n, client),
    );
    wait(h);
    expect(records.map((record) => isIn(h, record))).toEqual([true, true, true, true]);
    setServer(h, SERVER_STATE.down);
    h.shards[0].message({ type: 'review' });
    h.settle();
    const owners = h.rows.tunnels().map((row) => row.shard);
    expect(new Set(owners).size).toBe(2);
    const rows = h.rows.tunnels();
    expect(rows.map((row) => row.offloaded)).toEqual(owners.map((shard) => shard !== 0));
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

describe('order', () => {
  const STEP = 0.0001;

  /** Bursts of data from SCCCN on; the shards take turns after each, then everything runs dry. */
  function run(bursts: readonly number[], shards: number, gap: number): { model: KernelModel; h: Harness } {
    const h = harness({ shards });
    const record = connect(h);
    const model = new KernelModel(h);
    const table = new ConnectionTable(h.memory);
    expect(table.recordOf(h.memory.records[record * RECORD_WORDS + RECORD.entryForward] - 1)).toBe(record);
    const ring = h.memory.records[record * RECORD_WORDS] === 0 ? 0 : shards - 1;
    for (const burst of bursts) {
      for (let n = 0; n < burst; n++) model.arrive(record, 99, ring);
      for (let shard = 0; shard < shards; shard++) model.turn(shard);
      model.pass(STEP);
      for (let spent = STEP; spent < gap; spent += STEP) {
        for (let shard = 0; shard < shards; shard++) model.turn(shard);
        model.pass(STEP);
      }
    }
    for (let n = 0; n < 8; n++) for (let shard = 0; shard < shards; shard++) model.turn(shard);
    expect(model.log).toHaveLength(bursts.reduce((sum, burst) => sum + burst, 0));
    return { model, h };
  }

  test('no frame overtakes another, whatever the traffic, as long as the ring runs empty now and then', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.nat(5), fc.nat(BATCH_CAPACITY - 1)), { minLength: 1, maxLength: 40 }),
        fc.constantFrom(STEP, QUIET_SECONDS / 2, QUIET_SECONDS * 2),
        (bursts, gap) => {
          expect(run(bursts, 1, gap).model.overtaken).toBe(0);
        },
      ),
      { numRuns: Math.min(FUZZ_RUNS, 100) },
    );
  });

  test('nor through another shard’s ring, when there are pauses', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(60), { minLength: 1, maxLength: 20 }), (bursts) => {
        const { model } = run(bursts, 2, QUIET_SECONDS * 3);
        expect(model.overtaken).toBe(0);
      }),
      { numRuns: Math.min(FUZZ_RUNS, 50) },
    );
  });

  test('a tunnel with pauses is soon forwarded by the program', () => {
    const { model } = run(new Array(20).fill(3), 1, QUIET_SECONDS * 3);
    expect(model.forwarded).toBeGreaterThan(50);
  });

  test('one that is never quiet waits for a turn without it', () => {
    const turns = Math.ceil((PATIENCE_SECONDS / STEP) * 1.2);
    const bursts = Array.from({ length: turns }, (_, n) => (n % 3 === 0 ? 1 : 0));
    const { model } = run(bursts, 1, STEP);
    expect(model.forwarded).toBeGreaterThan(0);
    expect(model.overtaken).toBe(0);
  });

  test('one that fills every batch goes in at the deadline; once, at most what waited is overtaken', () => {
    const h = harness();
    const record = connect(h);
    const model = new KernelModel(h);
    const step = DEADLINE_SECONDS / 20;
    // More comes than a turn takes, so that the ring is never empty.
    for (let n = 0; n < 24; n++) {
      for (let i = 0; i < BATCH_CAPACITY + 4; i++) model.arrive(record, 99, 0);
      model.turn(0);
      model.pass(step);
    }
    const waiting = 24 * 4 + 2 * BATCH_CAPACITY;
    for (let n = 0; n < 8; n++) model.turn(0);
    expect(isIn(h, record)).toBe(true);
    expect(model.forwarded).toBeGreaterThan(0);
    expect(model.overtaken).toBeGreaterThan(0);
    expect(model.overtaken).toBeLessThanOrEqual(waiting);
    expect(model.log).toHaveLength(24 * (BATCH_CAPACITY + 4));
  });

  test('a tunnel that ends while it waits stays out', () => {
    const h = harness();
    const record = connect(h);
    h.send(toVip(stopccn({ tunnel: 99, assigned: 7 })));
    wait(h, 1);
    expect(isOut(h, record)).toBe(true);
    expect(h.count('offloaded')).toBe(0);
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
    const store = Atomics.store;
    const seen: number[][] = [];
    Atomics.store = ((array: Int32Array, at: number, value: number) => {
      const result = store(array, at, value);
      if (array === entries) seen.push(words());
      return result;
    }) as typeof Atomics.store;
    let next: Harness;
    try {
      next = new Harness({ offload: true, kind: 'xdp', memory: h.memory, servers: h.options.servers ?? [] });
      for (const port of next.ports) port.clock[0] = h.now;
      expect(next.shards[0].adopt()).toBe(2);
      wait(next);
      wait(next);
    } finally {
      Atomics.store = store;
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
