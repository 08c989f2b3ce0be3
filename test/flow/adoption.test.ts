import { describe, expect, it } from 'vitest';
import { adoptTable } from '../../src/flow/adoption.js';
import { ConnectionTable } from '../../src/flow/connection-table.js';
import {
  ENTRY_WORDS,
  FINGERPRINT_CLAIMED,
  HEADER,
  KEY_WORDS,
  RECORD,
  RECORD_STATE,
  type TableMemory,
} from '../../src/flow/layout.js';
import { NextHopTable } from '../../src/flow/next-hop-table.js';
import { RecordPool, recordState } from '../../src/flow/record-pool.js';
import { SpinLock } from '../../src/flow/spin-lock.js';
import { newMemory, realisticKey } from './memory.js';

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
