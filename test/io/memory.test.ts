import { describe, expect, test } from 'vitest';
import {
  ADDRESS,
  ADDRESS_WORDS,
  ENTRY,
  FLAG_DECREMENT_TTL,
  FLAG_REWRITE_PORTS,
  formatTable,
  NEXT_HOP,
  NEXT_HOP_STATE,
  NEXT_HOP_WORDS,
  TABLE_FORWARD,
  TableMemory,
  tableLayout,
} from '../../src/flow/layout.js';
import { MemoryPort } from '../../src/io/memory.js';
import type { NativeTable } from '../../src/io/native.js';
import {
  BATCH_CAPACITY,
  FRAME_CHECKSUM_PARTIAL,
  PORT_INSIDE,
  PORT_NONE,
  PORT_OUTSIDE,
  SCRATCH_SLOT_LENGTH,
  VERDICT_DROP,
  VERDICT_HANDED,
  VERDICT_PASS,
  VERDICT_RAW,
} from '../../src/io/port.js';
import { type AddressWords, parseAddress } from '../../src/wire/address.js';
import { newCounters, NO_TABLE, PORTS, standInRewriter } from '../helpers/offline-port.js';
import { frame, hex, l2tpData, udpFrame } from '../helpers/packet-builder.js';

function newPort() {
  const counters = newCounters();
  const port = new MemoryPort({ table: NO_TABLE, counters, ports: PORTS, createRewriter: standInRewriter });
  const at = (i: number): string => hex(new Uint8Array(port.frames, port.columns.offset[i], port.columns.length[i]));
  return { port, columns: port.columns, counters, statistics: counters.statistics, at };
}
const packet = (id: number, vlan?: number): Uint8Array =>
  frame({ eth: { vlan }, ip: { src: '10.0.0.1', dst: '10.0.0.2', id } });

describe('receiving', () => {
  test('frames come in order, with their side, flags and no way out yet', () => {
    const { port, columns, statistics, counters, at } = newPort();
    port.inject(packet(1));
    port.inject(packet(2), PORT_INSIDE, { flags: FRAME_CHECKSUM_PARTIAL });
    expect(port.waiting).toBe(2);
    expect(port.turn(0, 0, 0)).toBe(2);
    expect([at(0), at(1)]).toEqual([hex(packet(1)), hex(packet(2))]);
    expect([...columns.ingress.subarray(0, 2)]).toEqual([PORT_OUTSIDE, PORT_INSIDE]);
    expect([...columns.egress.subarray(0, 2)]).toEqual([PORT_NONE, PORT_NONE]);
    expect([...columns.flags.subarray(0, 2)]).toEqual([0, FRAME_CHECKSUM_PARTIAL]);
    expect(statistics[counters.framesReceived]).toBe(2);
    expect(port.statistics()).toEqual({ received: 2, lost: 0 });
  });
  test('what the test does with its frame afterwards does not matter', () => {
    const { port, at } = newPort();
    const mine = Buffer.from(packet(1));
    port.inject(mine);
    mine.fill(0);
    port.turn(0, 0, 0);
    expect(at(0)).toBe(hex(packet(1)));
  });
  test('a tag is taken off; the VLAN of the side is its own, any other is no side', () => {
    const { port, columns, at } = newPort();
    port.inject(packet(1, 100), PORT_INSIDE);
    port.inject(packet(2, 101), PORT_INSIDE);
    port.inject(packet(3), PORT_INSIDE, { vlan: 0 });
    port.inject(packet(4, 100), PORT_OUTSIDE);
    port.inject(packet(5), PORT_INSIDE, { vlan: 100 });
    port.inject(packet(6), 7);
    expect(port.turn(0, 0, 0)).toBe(6);
    expect([0, 1, 2, 3, 4, 5].map(at)).toEqual([1, 2, 3, 4, 5, 6].map((id) => hex(packet(id))));
    expect([...columns.ingress.subarray(0, 6)]).toEqual([PORT_INSIDE, PORT_NONE, PORT_NONE, PORT_NONE, PORT_INSIDE, 7]);
  });
  test('any number of frames, a batch at a time, none lost', () => {
    const { port, at } = newPort();
    const total = BATCH_CAPACITY * 2 + 3;
    for (let id = 0; id < total; id++) port.inject(packet(id));
    port.end();
    const seen: string[] = [];
    const counts: number[] = [];
    for (let n = port.turn(0, 0, 0); n >= 0; n = port.turn(0, 0, 0)) {
      counts.push(n);
      for (let i = 0; i < n; i++) seen.push(at(i));
    }
    expect(counts).toEqual([BATCH_CAPACITY, BATCH_CAPACITY, 3]);
    expect(seen).toEqual(Array.from({ length: total }, (_, id) => hex(packet(id))));
  });
  test('long frames: a batch ends where its memory does, and stays clear of the scratch slots', () => {
    const { port, columns } = newPort();
    for (let i = 0; i < 6; i++) port.inject(new Uint8Array(262_144).fill(i + 1));
    expect(port.turn(0, 0, 0)).toBe(4);
    expect(columns.offset[3] + columns.length[3]).toBeLessThanOrEqual(port.scratchOffset);
    expect(port.turn(0, 0, 0)).toBe(2);
    expect(() => port.inject(new Uint8Array(262_145))).toThrow(RangeError);
  });
  test('empty and short frames are frames', () => {
    const { port, columns } = newPort();
    port.inject(new Uint8Array(0));
    port.inject(Uint8Array.of(1, 2, 3));
    expect(port.turn(0, 0, 0)).toBe(2);
    expect([...columns.length.subarray(0, 2)]).toEqual([0, 3]);
  });
});

describe('sending', () => {
  test('each verdict has its way, in order, received frames before made ones', () => {
    const { port, columns, statistics, counters } = newPort();
    for (let id = 0; id < 6; id++) port.inject(packet(id));
    port.turn(0, 0, 0);
    columns.verdict.set([1, VERDICT_DROP, VERDICT_PASS, VERDICT_HANDED, VERDICT_RAW, 0]);
    columns.egress[4] = PORT_INSIDE;
    columns.verdict[BATCH_CAPACITY] = VERDICT_RAW;
    columns.offset[BATCH_CAPACITY] = port.scratchOffset;
    columns.length[BATCH_CAPACITY] = 60;
    columns.egress[BATCH_CAPACITY] = PORT_OUTSIDE;
    new Uint8Array(port.frames, port.scratchOffset, SCRATCH_SLOT_LENGTH).fill(0x77);
    expect(port.turn(6, 1, 0)).toBe(0);
    expect(port.sent.map(({ port: out, frame: data, vlan }) => [out, vlan, hex(data)])).toEqual([
      [PORT_INSIDE, 100, `ee${hex(packet(0)).slice(2)}`],
      [PORT_INSIDE, 100, hex(packet(4))],
      [PORT_OUTSIDE, 0, hex(packet(5))],
      [PORT_OUTSIDE, 0, '77'.repeat(60)],
    ]);
    expect(port.passed).toEqual([{ ingress: PORT_OUTSIDE, frame: packet(2) }]);
    expect(statistics[counters.framesSent]).toBe(4);
    expect(statistics[counters.bytesSent]).toBe(34 * 3 + 60);
  });
  test('rewriting first, so that a capture can look, sends nothing twice', () => {
    const { port, columns } = newPort();
    port.inject(packet(1));
    port.turn(0, 0, 0);
    columns.verdict[0] = 1;
    port.rewrite(1, 0);
    expect(columns.verdict[0]).toBe(VERDICT_RAW);
    expect(port.sent).toEqual([]);
    port.turn(1, 0, 0);
    expect(port.sent).toHaveLength(1);
    port.turn(0, 0, 0);
    expect(port.sent).toHaveLength(1);
  });
  test('a port that does not exist is a failure of sending, counted', () => {
    const { port, columns, statistics, counters } = newPort();
    port.inject(packet(1));
    port.turn(0, 0, 0);
    columns.verdict[0] = VERDICT_RAW;
    columns.egress[0] = 2;
    port.turn(1, 0, 0);
    expect(port.sent).toEqual([]);
    expect(statistics[counters.sendFailed]).toBe(1);
  });
  test('an entry that the rewriter refuses is not sent', () => {
    const { port, columns, statistics, counters } = newPort();
    port.inject(packet(1));
    port.turn(0, 0, 0);
    columns.verdict[0] = 5;
    port.turn(1, 0, 0);
    expect(port.sent).toEqual([]);
    expect(statistics[counters.entryChanged]).toBe(1);
  });
  test('what was sent stays as it was when the memory is used again', () => {
    const { port, columns } = newPort();
    port.inject(packet(1));
    port.turn(0, 0, 0);
    columns.verdict[0] = 0;
    port.inject(packet(2));
    port.turn(1, 0, 0);
    expect(hex(port.sent[0].frame)).toBe(hex(packet(1)));
  });
});

describe('time and end', () => {
  test('the clock stands still until it is set', () => {
    const { port } = newPort();
    expect(port.clock[0]).toBe(0);
    port.setTime(12.5);
    port.inject(packet(1));
    port.turn(0, 0, 1000);
    expect(port.clock[0]).toBe(12.5);
  });
  test('without an end an empty port says 0; with one, −1 after the last frame was sent', () => {
    const { port, columns } = newPort();
    expect(port.turn(0, 0, 0)).toBe(0);
    port.inject(packet(1));
    port.end();
    expect(port.turn(0, 0, 0)).toBe(1);
    columns.verdict[0] = 0;
    expect(port.turn(1, 0, 0)).toBe(-1);
    expect(port.sent).toHaveLength(1);
    expect(port.turn(0, 0, 0)).toBe(-1);
  });
  test('closed: nothing comes, nothing goes, and closing again is no error', () => {
    const { port, columns } = newPort();
    port.inject(packet(1));
    port.turn(0, 0, 0);
    port.inject(packet(2));
    columns.verdict[0] = 0;
    port.close();
    port.close();
    expect(port.turn(1, 0, 0)).toBe(-1);
    port.rewrite(1, 0);
    expect(port.sent).toEqual([]);
  });
});

describe('with the addon’s rewriter', () => {
  const CLIENT = '10.0.0.1:1701';
  const VIP = '200.200.100.1:1701';
  const SERVER = '10.10.1.2:1702';
  const HOP_MAC = '02:00:00:00:09:09';

  /** A table of one forward entry: client → VIP becomes client → server, through one next hop inside. */
  function newTable() {
    const memory = new TableMemory(new ArrayBuffer(tableLayout(16).length), 16);
    formatTable(memory, 1, new Int32Array(4));
    memory.addresses.set(parseAddress('10.10.1.2') as AddressWords, ADDRESS_WORDS);
    memory.addresses[ADDRESS_WORDS + ADDRESS.family] = 4;
    memory.nextHops[NEXT_HOP_WORDS + NEXT_HOP.macHigh] = 0x02000000;
    memory.nextHops[NEXT_HOP_WORDS + NEXT_HOP.macLow] = (0x0909 << 16) | (PORT_INSIDE << 8) | NEXT_HOP_STATE.resolved;
    const { entries, layout } = memory;
    entries[ENTRY.version] = 2;
    entries.set(parseAddress('10.0.0.1') as AddressWords, ENTRY.client);
    entries[ENTRY.keyA] = (1701 << 16) | 1701;
    entries[ENTRY.keyB] = 9;
    entries[ENTRY.tag] = (17 << 8) | TABLE_FORWARD;
    entries[ENTRY.target] = (1 << 16) | 1;
    entries[ENTRY.ports] = (1701 << 16) | 1702;
    entries[ENTRY.record] = FLAG_REWRITE_PORTS | FLAG_DECREMENT_TTL;
    const table: NativeTable = {
      buffer: memory.buffer as ArrayBuffer,
      entries: layout.entries,
      slotCount: layout.slotCount,
      records: layout.records,
      recordCount: layout.recordCount,
      addresses: layout.addresses,
      nextHops: layout.nextHops,
    };
    return { memory, table };
  }

  test('a frame leaves as its entry says, byte for byte, and the entry counts it', () => {
    const { memory, table } = newTable();
    const port = new MemoryPort({ table, counters: newCounters(), ports: PORTS });
    const payload = l2tpData({ tunnel: 9, session: 1 });
    port.setTime(77.5);
    port.inject(udpFrame(CLIENT, VIP, payload, { ip: { ttl: 9 } }));
    expect(port.turn(0, 0, 0)).toBe(1);
    port.columns.verdict[0] = 0;
    port.turn(1, 0, 0);
    const expected = udpFrame(CLIENT, SERVER, payload, {
      eth: { src: '02:00:00:00:01:01', dst: HOP_MAC },
      ip: { ttl: 8 },
    });
    expect(port.sent.map((sent) => [sent.port, sent.vlan, hex(sent.frame)])).toEqual([
      [PORT_INSIDE, 100, hex(expected)],
    ]);
    expect(memory.entries[ENTRY.packets]).toBe(1);
    expect(memory.entries[ENTRY.bytes]).toBe(expected.length - 14);
    expect(memory.entries[ENTRY.lastSeen]).toBe(77);
  });
  test('a TTL that is used up is dropped and counted', () => {
    const { table } = newTable();
    const counters = newCounters();
    const port = new MemoryPort({ table, counters, ports: PORTS });
    port.inject(udpFrame(CLIENT, VIP, l2tpData({ tunnel: 9, session: 1 }), { ip: { ttl: 1 } }));
    port.turn(0, 0, 0);
    port.columns.verdict[0] = 0;
    port.turn(1, 0, 0);
    expect(port.sent).toEqual([]);
    expect(counters.statistics[counters.ttlExpired]).toBe(1);
  });
});
