import { setImmediate as breathe } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { adoptTable, clearOffload } from '../../src/flow/adoption.js';
import { ConnectionTable } from '../../src/flow/connection-table.js';
import {
  ENTRY,
  ENTRY_WORDS,
  FINGERPRINT_CLAIMED,
  FLAG_DECREMENT_TTL,
  FLAG_OFFLOADED,
  HEADER,
  KEY_WORDS,
  NEXT_HOP,
  NEXT_HOP_STATE,
  NEXT_HOP_WORDS,
  RECORD,
  RECORD_STATE,
  type TableMemory,
} from '../../src/flow/layout.js';
import { NextHopTable } from '../../src/flow/next-hop-table.js';
import { RecordPool, recordState } from '../../src/flow/record-pool.js';
import { SpinLock } from '../../src/flow/spin-lock.js';
import { newMemory, newSharedMemory, realisticKey } from './memory.js';
import { inThread } from './thread.js';

const NOW = 5000;

function keyOf(i: number): Int32Array {
  const key = new Int32Array(KEY_WORDS);
  realisticKey(i, key, 0);
  return key;
}

/** Tunnel i: a record with a half-open entry (key 2 i) and a reverse entry (key 2 i + 1), and a session. */
function make(memory: TableMemory, i: number) {
  const table = new ConnectionTable(memory);
  const pool = new RecordPool(memory);
  const record = pool.allocateRecord();
  pool.set(record, RECORD.state, recordState(0, 1, RECORD_STATE.established));
  const halfOpen = table.insert(keyOf(2 * i), 0, 0, 0, record, 0, 0);
  const reverse = table.insert(keyOf(2 * i + 1), 0, 0, 0, record, 0, 0);
  pool.set(record, RECORD.entryHalfOpen, halfOpen + 1);
  pool.set(record, RECORD.entryReverse, reverse + 1);
  pool.allocateSession(record);
  return { table, pool, record, halfOpen, reverse };
}

describe('adoption of a table', () => {
  it('changes nothing in one that was left in order', () => {
    const memory = newMemory(8);
    for (const i of [0, 1, 2]) make(memory, i);
    const before = memory.records.slice();
    expect(adoptTable(memory, NOW)).toEqual({ tunnels: 3, sessions: 3, entries: 6, freedEntries: 0, freedRecords: 0 });
    expect(memory.records).toEqual(before);
  });

  it('frees the lock and mends next hops', () => {
    const memory = newMemory(8);
    new SpinLock(memory).acquire(1);
    new NextHopTable(memory).ensure(0, 0, 0, 0xffff, 1);
    memory.header[HEADER.nextHopsUsed] = 9;
    adoptTable(memory, NOW);
    expect([memory.header[HEADER.lock], memory.header[HEADER.nextHopsUsed]]).toEqual([0, 1]);
  });

  it('leaves no record pointing at an entry that was torn, so that it cannot remove its successor', () => {
    const memory = newMemory(8);
    const { table, pool, record, reverse } = make(memory, 0);
    memory.entries[reverse * ENTRY_WORDS]++;
    expect(adoptTable(memory, NOW)).toEqual({ tunnels: 1, sessions: 1, entries: 1, freedEntries: 1, freedRecords: 0 });
    expect(pool.get(record, RECORD.entryReverse)).toBe(0);
    expect(table.find(keyOf(0), 0)).toBe(pool.get(record, RECORD.entryHalfOpen) - 1);
  });

  it('removes entries that no record names: the record was not written yet, or is free, or is another', () => {
    const memory = newMemory(8);
    const whole = make(memory, 0);
    const torn = make(memory, 1);
    torn.pool.set(torn.record, RECORD.entryReverse, 0);
    const freed = make(memory, 2);
    freed.pool.set(freed.record, RECORD.state, RECORD_STATE.free);
    whole.table.insert(keyOf(20), 0, 0, 0, 0xffff, 0, 0); // a record number beyond the segment
    whole.table.insert(keyOf(21), 0, 0, 0, whole.record, 0, 0);
    expect(adoptTable(memory, NOW)).toEqual({ tunnels: 2, sessions: 2, entries: 3, freedEntries: 5, freedRecords: 0 });
    const left = [0, 1, 2, 3, 4, 5, 20, 21].filter((i) => whole.table.find(keyOf(i), 0) >= 0);
    expect(left).toEqual([0, 1, 2]);
  });

  it('frees records without any entry, and claimed slots', () => {
    const memory = newMemory(8);
    const { pool, record, halfOpen, reverse } = make(memory, 0);
    for (const slot of [halfOpen, reverse]) memory.fingerprints[slot] = FINGERPRINT_CLAIMED;
    expect(adoptTable(memory, NOW)).toEqual({ tunnels: 0, sessions: 0, entries: 0, freedEntries: 2, freedRecords: 1 });
    expect([pool.state(record), pool.count(), memory.header[HEADER.sessionsUsed]]).toEqual([RECORD_STATE.free, 0, 0]);
  });
});

describe('adoption while the XDP program goes on', () => {
  /** A table as SIGKILL leaves it: tunnels that are offloaded, and pieces that were half written. */
  function leftBehind(tunnels: number) {
    const memory = newSharedMemory(tunnels * 2);
    const hops = new NextHopTable(memory);
    const slots: number[] = [];
    for (let i = 0; i < tunnels; i++) {
      const { table, halfOpen, reverse } = make(memory, i);
      for (const slot of [halfOpen, reverse]) table.setFlags(slot, FLAG_OFFLOADED | FLAG_DECREMENT_TTL);
      slots.push(halfOpen, reverse);
    }
    const whole = hops.ensure(1, 0, 0, 0xffff, 0x0a000001);
    hops.setMac(whole, Uint8Array.of(2, 0, 0, 0, 0, 1), 9);
    const torn = hops.ensure(1, 0, 0, 0xffff, 0x0a000002);
    hops.setMac(torn, Uint8Array.of(2, 0, 0, 0, 0, 2), 9);
    const w = memory.nextHops;
    w[torn * NEXT_HOP_WORDS + NEXT_HOP.version] |= 1;
    w[torn * NEXT_HOP_WORDS + NEXT_HOP.macHigh] = 0x06060606;
    // Of the last tunnels one entry was being written, another one's record had not yet been told of it.
    const broken = make(memory, tunnels);
    memory.entries[broken.reverse * ENTRY_WORDS + ENTRY.version] |= 1;
    broken.table.insert(keyOf(2 * tunnels + 2), 0, 0, 0, 0xffff, 0, 0);
    new SpinLock(memory).acquire(1);
    return { memory, slots, whole, torn };
  }

  it('does not touch a word of an entry that lives, of its record and its next hop', () => {
    const { memory, slots, whole } = leftBehind(50);
    const words = (): number[] => [
      ...slots.flatMap((slot) => [...memory.entries.subarray(slot * ENTRY_WORDS, (slot + 1) * ENTRY_WORDS)]),
      ...slots.map((slot) => memory.fingerprints[slot]),
      ...memory.nextHops.subarray(whole * NEXT_HOP_WORDS, (whole + 1) * NEXT_HOP_WORDS),
    ];
    const before = words();
    expect(adoptTable(memory, NOW)).toMatchObject({ tunnels: 51, freedEntries: 2 });
    expect(words()).toEqual(before);
  });

  it('lets nobody read a MAC of two halves', () => {
    const { memory, torn } = leftBehind(1);
    const at = torn * NEXT_HOP_WORDS;
    const w = memory.nextHops;
    const readable: number[] = [];
    const add = Atomics.add;
    Atomics.add = ((array: Int32Array, index: number, value: number) => {
      const before = add(array, index, value);
      if (array === w && index === at + NEXT_HOP.version) readable.push(w[at + NEXT_HOP.macLow] & 0xff);
      return before;
    }) as typeof Atomics.add;
    try {
      adoptTable(memory, NOW);
    } finally {
      Atomics.add = add;
    }
    expect(readable).toEqual([NEXT_HOP_STATE.unresolved]);
    expect([w[at + NEXT_HOP.version] & 1, w[at + NEXT_HOP.macHigh]]).toEqual([0, 0]);
  });

  it('a reader that looks up and counts all the time misses nothing, and no count is lost', async () => {
    const tunnels = 300;
    const { memory, slots, whole } = leftBehind(tunnels);
    const control = new Int32Array(new SharedArrayBuffer(8)); // stop, sweeps
    const keys = new Int32Array(slots.length * KEY_WORDS);
    for (let i = 0; i < slots.length; i++) keys.set(keyOf(i), i * KEY_WORDS);
    const answer = inThread(new URL('./adoption.thread.ts', import.meta.url), {
      buffer: memory.buffer,
      connections: memory.layout.connections,
      control,
      keys,
      slots,
      hop: whole,
    });
    const sweeps = async (count: number): Promise<void> => {
      const until = Atomics.load(control, 1) + count;
      while (Atomics.load(control, 1) < until) await breathe();
    };
    await sweeps(1);
    for (let n = 0; n < 10; n++) {
      adoptTable(memory, NOW + n);
      await sweeps(1);
    }
    Atomics.store(control, 0, 1);
    const { missed, changed, added } = (await answer) as { missed: number; changed: number; added: number };
    expect([missed, changed]).toEqual([0, 0]);
    const table = new ConnectionTable(memory);
    expect(slots.reduce((sum, slot) => sum + table.packets(slot), 0)).toBe(added);
    expect(added).toBeGreaterThanOrEqual(11 * slots.length);
  });
});

describe('a table for a process without an XDP program', () => {
  it('has no entry that says it is offloaded, and is else as it was', () => {
    const memory = newMemory(8);
    const { table, halfOpen, reverse } = make(memory, 0);
    const other = make(memory, 1);
    table.setFlags(halfOpen, FLAG_OFFLOADED | FLAG_DECREMENT_TTL);
    table.setFlags(reverse, FLAG_OFFLOADED);
    table.setFlags(other.reverse, FLAG_DECREMENT_TTL);
    expect(clearOffload(memory)).toBe(2);
    expect([halfOpen, reverse, other.reverse].map((slot) => table.flagsOf(slot))).toEqual([
      FLAG_DECREMENT_TTL,
      0,
      FLAG_DECREMENT_TTL,
    ]);
    expect(table.recordOf(reverse)).toBe(table.recordOf(halfOpen));
    expect([0, 1, 2, 3].map((i) => table.find(keyOf(i), 0) >= 0)).toEqual([true, true, true, true]);
    expect(clearOffload(memory)).toBe(0);
  });
});
