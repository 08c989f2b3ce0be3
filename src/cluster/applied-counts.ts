/**
 * Counts of servers for tunnels that streams have put into the table: they follow the states of the records, and every
 * record is counted with what it was counted with before.
 */
import {
  CELL_WORDS,
  ENTRY,
  ENTRY_WORDS,
  FLAG_REWRITE_SOURCE,
  HEADER,
  RECORD,
  RECORD_STATE,
  SERVER_CELL,
  type TableMemory,
} from '../flow/layout.js';
import type { ConnectionTable } from '../flow/connection-table.js';
import type { RecordPool } from '../flow/record-pool.js';
import { addWide } from '../flow/wide-counter.js';
import { ENTRY_FIELDS } from './tunnel-record.js';

const NOT_COUNTED = -1;

export class AppliedCounts {
  /** Server (low half) and RECORD_STATE that a record was counted with. */
  readonly #counted: Int32Array;

  /** `changed`: the counts of this server are other ones. */
  constructor(
    readonly memory: TableMemory,
    readonly pool: RecordPool,
    readonly changed: (server: number) => void,
  ) {
    this.#counted = new Int32Array(memory.layout.recordCount).fill(NOT_COUNTED);
  }

  /** The record is counted at its server already, as it stands: by whoever wrote it before. */
  take(record: number): void {
    this.#counted[record] = wordOf(this.pool.state(record), this.pool.get(record, RECORD.place) & 0xffff);
  }

  /** It is counted nowhere, whatever was counted for the record before. */
  forget(record: number): void {
    this.#counted[record] = NOT_COUNTED;
  }

  /** The tunnel is at this server in this RECORD_STATE; a closing or free one counts for nobody. */
  set(record: number, server: number, state: number): void {
    const before = this.#counted[record];
    const after = wordOf(state, server);
    if (before === after) return;
    const sessions = this.pool.sessionsOf(record);
    if (before !== NOT_COUNTED) this.#add(before, -1, -sessions);
    if (after !== NOT_COUNTED) this.#add(after, 1, sessions);
    this.#counted[record] = after;
  }

  addSessions(record: number, count: number): void {
    const counted = this.#counted[record];
    if (counted === NOT_COUNTED || count === 0) return;
    Atomics.add(this.memory.servers, (counted & 0xffff) * CELL_WORDS + SERVER_CELL.sessions, count);
    this.changed(counted & 0xffff);
  }

  #add(counted: number, tunnels: number, sessions: number): void {
    const server = counted & 0xffff;
    const at = server * CELL_WORDS;
    const halfOpen = counted >>> 16 === RECORD_STATE.halfOpen;
    const { servers, header } = this.memory;
    Atomics.add(servers, at + (halfOpen ? SERVER_CELL.halfOpen : SERVER_CELL.established), tunnels);
    if (halfOpen) Atomics.add(header, HEADER.halfOpen, tunnels);
    Atomics.add(servers, at + SERVER_CELL.sessions, sessions);
    this.changed(server);
  }
}

function wordOf(state: number, server: number): number {
  return state === RECORD_STATE.halfOpen || state === RECORD_STATE.established ? (state << 16) | server : NOT_COUNTED;
}

/** The sum over all entries of a tunnel's direction becomes this; none becomes smaller. */
export function raiseTotal(
  table: ConnectionTable,
  pool: RecordPool,
  memory: TableMemory,
  record: number,
  out: boolean,
  packets: number,
  bytes: number,
  seen: number,
): void {
  let first = -1;
  let morePackets = packets;
  let moreBytes = bytes;
  for (const [field] of ENTRY_FIELDS) {
    const slot = pool.get(record, field) - 1;
    if (slot < 0 || ((table.flagsOf(slot) & FLAG_REWRITE_SOURCE) !== 0) !== out) continue;
    if (first < 0) first = slot;
    morePackets -= table.packets(slot);
    moreBytes -= table.bytes(slot);
    if (seen > table.lastSeen(slot)) table.touch(slot, seen);
  }
  if (first < 0) return;
  if (morePackets > 0) addWide(memory.entries, first * ENTRY_WORDS + ENTRY.packets, morePackets);
  if (moreBytes > 0) addWide(memory.entries, first * ENTRY_WORDS + ENTRY.bytes, moreBytes);
}
