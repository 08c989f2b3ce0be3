/** The client's port as the client itself has it: towards its server it may be shown with another one. */
import type { ConnectionTable } from './connection-table.js';
import { FLAG_REWRITE_SOURCE } from './layout.js';

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
