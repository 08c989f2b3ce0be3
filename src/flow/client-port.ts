/** The client's port as the client itself has it: towards its server it may be shown with another one. */
import type { ConnectionTable } from './connection-table.js';
import { FLAG_REWRITE_BOTH, FLAG_REWRITE_SOURCE, RECORD, RECORD_WORDS } from './layout.js';

/**
 * An entry of the tunnel that has the client's address in its key, −1 when it has none. With full NAT its alias and its
 * server → client entry have the designator's own address there.
 */
export function clientEntryOf(records: Int32Array, table: ConnectionTable, record: number): number {
  const at = record * RECORD_WORDS;
  const slot = (records[at + RECORD.entryForward] || records[at + RECORD.entryHalfOpen]) - 1;
  if (slot >= 0) return slot;
  const other = (records[at + RECORD.entryAlias] || records[at + RECORD.entryReverse]) - 1;
  return other >= 0 && (table.flagsOf(other) & FLAG_REWRITE_BOTH) === 0 ? other : -1;
}

/**
 * Of any entry. The key of a server → client entry has the port that the server sees; where that is a virtual one, the
 * entry orders the client's own as the new destination port.
 */
export function clientPortOf(table: ConnectionTable, slot: number): number {
  const own = (table.flagsOf(slot) & FLAG_REWRITE_SOURCE) !== 0 ? table.portsOf(slot) & 0xffff : 0;
  return own !== 0 ? own : table.keyWord(slot, 4) >>> 16;
}

/** The port that the server sees instead, 0 where it sees the client's own. */
export function virtualPortOf(table: ConnectionTable, slot: number): number {
  const ports = table.portsOf(slot);
  if ((table.flagsOf(slot) & FLAG_REWRITE_SOURCE) === 0) return ports >>> 16;
  return (ports & 0xffff) !== 0 ? table.keyWord(slot, 4) >>> 16 : 0;
}
