/**
 * Cost of replication: a tunnel read from the table and told, a frame of such records received and put into a standby's
 * table, and a whole table brought to a member that has nothing. CPU time of one core; no sockets.
 */
import { BusCore } from '#designator/cluster/bus-core.js';
import { Replication } from '#designator/cluster/replication.js';
import type { Stream } from '#designator/cluster/stream.js';
import { TableApply } from '#designator/cluster/table-apply.js';
import { TableFeed } from '#designator/cluster/table-feed.js';
import { ConnectionTable } from '#designator/flow/connection-table.js';
import {
  FLAG_DECREMENT_TTL,
  FLAG_REWRITE_PORTS,
  FLAG_REWRITE_SOURCE,
  formatTable,
  RECORD,
  RECORD_STATE,
  SHARD_LIMIT,
  TABLE_FORWARD,
  TABLE_REVERSE,
  TableMemory,
  tableLayout,
} from '#designator/flow/layout.js';
import { RecordPool, recordState } from '#designator/flow/record-pool.js';
import { SpinLock } from '#designator/flow/spin-lock.js';
import { type Options, type Row, row } from './row.js';

/** 100,000 updates a second of one core. */
const BAR_NS = 10_000;
const RESYNC_BAR_MS = 10_000;
const TAKE_OVER_BAR_MS = 500;
const PROTOCOL = 1;

/** A table with `count` established tunnels of as many clients. */
function tableOf(connections: number, count: number): TableMemory {
  const memory = new TableMemory(new ArrayBuffer(tableLayout(connections).length), connections);
  formatTable(memory, 1, new Int32Array(4));
  const table = new ConnectionTable(memory);
  const pool = new RecordPool(memory);
  const lock = new SpinLock(memory);
  const key = new Int32Array(8);
  lock.acquire(SHARD_LIMIT);
  for (let i = 0; i < count; i++) {
    const record = pool.allocateRecord();
    pool.set(record, RECORD.clientChannel, (i & 0xffff) + 1);
    pool.set(record, RECORD.serverChannel, (i & 0xffff) + 2);
    pool.set(record, RECORD.ports, (1701 << 16) | 1701);
    pool.set(record, RECORD.created, 100);
    pool.set(record, RECORD.state, recordState(1, PROTOCOL, RECORD_STATE.established));
    key.set([0, 0, 0xffff, 0x0a000000 + i, (1701 << 16) | 1701, (i & 0xffff) + 2, (PROTOCOL << 8) | TABLE_FORWARD]);
    const flags = FLAG_DECREMENT_TTL | FLAG_REWRITE_PORTS;
    pool.set(record, RECORD.entryForward, table.insert(key, 0, 1 << 16, 1701, record, flags, 0) + 1);
    key.set([1701 << 16, (i & 0xffff) + 1, (1 << 16) | (PROTOCOL << 8) | TABLE_REVERSE], 4);
    const slot = table.insert(key, 0, 0, 1701 << 16, record, flags | FLAG_REWRITE_SOURCE, 0);
    pool.set(record, RECORD.entryReverse, slot + 1);
  }
  lock.release(SHARD_LIMIT);
  return memory;
}

const PLACES = {
  vip: () => 0,
  server: () => 0,
  serverAddress: () => 1,
  serverPort: () => 1701,
  clientNextHop: () => 0,
  serverNextHop: () => 0,
};
const NOBODY = { changed: (_stream: Stream, _plane: number, _index: number) => undefined, counted: () => undefined };

function member(number: number, memory: TableMemory, sink: typeof NOBODY | TableApply): Replication {
  const capacity = [memory.layout.recordCount, memory.layout.sessionCount] as const;
  return new Replication({ number, facts: new Map(), capacity, sink, rate: 1e9, burst: 256 });
}

const cpuMs = (began: NodeJS.CpuUsage): number => {
  const { user, system } = process.cpuUsage(began);
  return (user + system) / 1000;
};

/** Passes frames to and fro until the reader has everything; CPU milliseconds of both sides together. */
function bring(from: Replication, to: Replication, done: () => boolean): number {
  const began = process.cpuUsage();
  let now = 1;
  for (let turns = 0; !done(); turns++, now += 0.001) {
    if (turns > 200_000) throw new Error('the table does not come');
    from.turn(now, (_target, body) => to.receive(1, 1, body, now));
    to.turn(now, (_target, body) => from.receive(2, 1, body, now));
  }
  return cpuMs(began);
}

export function run(options: Options = {}): Row[] {
  const updates = options.smoke ? 1000 : 100_000;
  const whole = options.smoke ? 2000 : 1_000_000;
  const rows: Row[] = [];

  const memory = tableOf(updates, updates);
  const writer = member(1, memory, NOBODY);
  const standby = new TableMemory(new ArrayBuffer(tableLayout(updates).length), updates);
  formatTable(standby, 2, new Int32Array(4));
  const apply = new TableApply(standby, PLACES);
  const reader = member(2, standby, apply);
  const feed = new TableFeed(memory, writer.write(1, 0, 0));
  bring(writer, reader, () => reader.stream(1, 0) !== undefined);
  const frames: Uint8Array[] = [];
  const pool = new RecordPool(memory);
  const told: number[] = [];
  const heard: number[] = [];
  let now = 300;
  // The first round makes all of them, the others change what a message on the control connection changes.
  for (let round = 0; round < (options.smoke ? 2 : 7); round++, now += 1) {
    for (let i = 0; i < updates; i++) pool.set(i, RECORD.clientSequence, (round << 16) | 1);
    frames.length = 0;
    let began = process.cpuUsage();
    for (let i = 0; i < updates; i++) feed.feed(i, now);
    while (feed.writer.waiting > 0) writer.turn((now += 0.001), (_target, body) => frames.push(body.slice()));
    told.push((cpuMs(began) * 1e6) / updates);
    began = process.cpuUsage();
    for (const body of frames) reader.receive(1, 1, body, now);
    heard.push((cpuMs(began) * 1e6) / updates);
    if (reader.stream(1, 0)?.mirrors[0].used !== updates) throw new Error('not all records arrived');
  }
  const median = (of: number[]): number => of.slice(1).sort((a, b) => a - b)[(of.length - 1) >> 1];
  rows.push(row('replication', 'an update read from the table and told', updates, median(told), 'ns', BAR_NS));
  rows.push(row('replication', 'a new tunnel put into the standby', updates, heard[0], 'ns', BAR_NS));
  rows.push(row('replication', 'an update put into the standby', updates, median(heard), 'ns', BAR_NS));

  // Its packets are forwarded all the time: this is until its messages are answered for, beside the shards' own slices.
  const before = reader.stream(1, 0) as Stream;
  const taken = performance.now();
  const heir = new TableFeed(standby, reader.write(1, 0, now), apply.maps(before));
  const takeOverMs = performance.now() - taken;
  heir.all(now);
  if (heir.writer.waiting > 0) throw new Error('an heir tells again what everybody has');
  rows.push(row('replication', 'a dead member’s stream taken over', updates, takeOverMs, 'ms', TAKE_OVER_BAR_MS));

  const key = new Uint8Array(32);
  const bus = [1, 2].map(
    (number) => new BusCore({ cluster: 'b', number, key, random: Uint8Array.of(number, 1, 2, 3, 4, 5) }),
  );
  for (let i = 0; i < 4; i++) {
    for (const [a, b] of [bus, [...bus].reverse()]) {
      const status = a.tick(1 + i / 10);
      if (status !== null) b.open(status, 1 + i / 10);
    }
  }
  const body = new Uint8Array(1330);
  const sealed = process.cpuUsage();
  const count = options.smoke ? 100 : 50_000;
  let opened = 0;
  for (let i = 0; i < count; i++) if (bus[1].open(bus[0].close('state', 0, body), 2) !== null) opened++;
  if (opened !== count) throw new Error(`${opened} of ${count} frames were believed`);
  rows.push(
    row(
      'replication',
      'sealing and opening, for each record of a frame',
      count,
      (cpuMs(sealed) * 1e6) / count / 18,
      'ns',
      BAR_NS,
    ),
  );

  const large = tableOf(whole, whole);
  const full = member(1, large, NOBODY);
  const stream = full.write(1, 0, 0);
  new TableFeed(large, stream).all(0);
  // Told long ago: the newcomer has to ask.
  for (let t = 0.01; stream.waiting > 0; t += 0.001) full.turn(t, () => undefined);
  const empty = new TableMemory(new ArrayBuffer(tableLayout(whole).length), whole);
  formatTable(empty, 2, new Int32Array(4));
  const newcomer = member(2, empty, new TableApply(empty, PLACES));
  const took = bring(full, newcomer, () => newcomer.stream(1, 0)?.mirrors[0].used === whole);
  rows.push(row('replication', 'a whole table brought to a newcomer, both sides', whole, took, 'ms', RESYNC_BAR_MS));
  return rows;
}
