/**
 * Takes over a table that another process left behind, wherever its threads were stopped. Afterwards every entry belongs
 * to a record that names it, every record names only entries that belong to it, and counts and free lists are right.
 *
 * Nobody else may write the memory meanwhile, except the XDP program, which goes on forwarding by entries that live: it
 * reads them, their records' channels, next hops and addresses, and adds to their counters. Of all this adoption changes
 * only what was left half written, and that the program does not read until it is whole or gone.
 */

import { ConnectionTable } from './connection-table.js';
import { FLAG_OFFLOADED, RECORD, RECORD_STATE, RECORD_WORDS, type TableMemory } from './layout.js';
import { NextHopTable } from './next-hop-table.js';
import { RecordPool } from './record-pool.js';
import { SpinLock } from './spin-lock.js';

export interface Adoption {
  /** Tunnels, sessions and entries that live on. */
  readonly tunnels: number;
  readonly sessions: number;
  readonly entries: number;
  /** Entries that were half written, or that no record named. */
  readonly freedEntries: number;
  /** Records without any entry left. */
  readonly freedRecords: number;
}

/** `nowMs`: the clock that `ConnectionTable.remove` gets. Counts of servers are `ServerTable.recount`'s. */
export function adoptTable(memory: TableMemory, nowMs: number): Adoption {
  new SpinLock(memory).adopt();
  const table = new ConnectionTable(memory);
  const pool = new RecordPool(memory);
  let freedEntries = table.adopt(nowMs).freed;
  pool.adopt();
  new NextHopTable(memory).adopt();
  let freedRecords = 0;
  for (let record = 0; record < pool.recordCount; record++) {
    if (pool.state(record) === RECORD_STATE.free) continue;
    let entries = 0;
    for (let field = RECORD.entryHalfOpen; field <= RECORD.entryAlias; field++) {
      const slot = pool.get(record, field) - 1;
      if (slot < 0) continue;
      // A slot that was freed may soon hold another tunnel's entry: nothing may point there any more.
      if (slot < table.slotCount && table.isLive(slot) && table.recordOf(slot) === record) entries++;
      else pool.set(record, field, 0);
    }
    if (entries > 0) continue;
    pool.freeRecord(record);
    freedRecords++;
  }
  for (let slot = 0; slot < table.slotCount; slot++) {
    if (!table.isLive(slot) || isNamed(memory, table.recordOf(slot), slot)) continue;
    table.remove(slot, nowMs);
    freedEntries++;
  }
  const { records, sessions } = pool.adopt();
  return { tunnels: records, sessions, entries: table.count(), freedEntries, freedRecords };
}

/**
 * Takes FLAG_OFFLOADED off every entry: for a process that adopts a table and has no XDP program to forward by it.
 * Before any shard runs. Returns how many had it.
 */
export function clearOffload(memory: TableMemory): number {
  const table = new ConnectionTable(memory);
  let cleared = 0;
  for (let slot = 0; slot < table.slotCount; slot++) {
    if (!table.isLive(slot)) continue;
    const flags = table.flagsOf(slot);
    if ((flags & FLAG_OFFLOADED) === 0) continue;
    table.setFlags(slot, flags & ~FLAG_OFFLOADED);
    cleared++;
  }
  return cleared;
}

function isNamed(memory: TableMemory, record: number, slot: number): boolean {
  const at = record * RECORD_WORDS;
  if (record >= memory.layout.recordCount) return false;
  if ((memory.records[at + RECORD.state] & 0xff) === RECORD_STATE.free) return false;
  for (let field = RECORD.entryHalfOpen; field <= RECORD.entryAlias; field++) {
    if (memory.records[at + field] === slot + 1) return true;
  }
  return false;
}
