/**
 * What must hold in the table's memory whenever no shard is in the middle of a turn: entries, records, sessions and the
 * counts of servers agree with one another. Reads the memory by the layout alone, through none of the product's classes
 * that write it.
 */
import {
  CELL_WORDS,
  ENTRY,
  ENTRY_WORDS,
  FINGERPRINT_FIRST,
  HEADER,
  RECORD,
  RECORD_STATE,
  RECORD_WORDS,
  SERVER_CELL,
  SERVER_LIMIT,
  SESSION,
  SESSION_WORDS,
  type TableMemory,
} from '../../src/flow/layout.js';

/** Sentences about what does not agree; none when all is well. */
export function brokenInvariants(memory: TableMemory): string[] {
  const { header, records, sessions, layout } = memory;
  const broken: string[] = [];
  const expectEqual = (what: string, is: number, should: number): void => {
    if (is !== should) broken.push(`${what}: ${is}, should be ${should}`);
  };
  const pointedAt = new Map<number, number>();
  const counts = new Map<number, { halfOpen: number; established: number; sessions: number }>();
  let used = 0;
  let halfOpen = 0;
  let sessionsUsed = 0;
  for (let record = 0; record < layout.recordCount; record++) {
    const at = record * RECORD_WORDS;
    const state = records[at + RECORD.state] & 0xff;
    if (state === RECORD_STATE.free) continue;
    used++;
    for (let word = RECORD.entryHalfOpen; word <= RECORD.entryAlias; word++) {
      const slot = records[at + word] - 1;
      if (slot < 0) continue;
      if (pointedAt.has(slot)) broken.push(`entry ${slot} is of records ${pointedAt.get(slot)} and ${record}`);
      pointedAt.set(slot, record);
    }
    const length = listLength(records[at + RECORD.sessions], sessions, layout.sessionCount);
    if (length < 0) broken.push(`the session list of record ${record} runs in a circle`);
    sessionsUsed += length;
    if (state === RECORD_STATE.closing) continue;
    const server = records[at + RECORD.place] & 0xffff;
    const count = counts.get(server) ?? { halfOpen: 0, established: 0, sessions: 0 };
    counts.set(server, count);
    count.sessions += length;
    if (state === RECORD_STATE.halfOpen) {
      halfOpen++;
      count.halfOpen++;
    } else if (state !== RECORD_STATE.passed) count.established++;
  }
  const live = liveSlots(memory);
  for (const [slot, record] of live) {
    if (pointedAt.get(slot) !== record)
      broken.push(`entry ${slot} says record ${record}, of which it is not (${pointedAt.get(slot) ?? 'none'})`);
  }
  for (const [slot, record] of pointedAt) if (!live.has(slot)) broken.push(`record ${record} has dead entry ${slot}`);
  expectEqual('HEADER.entriesUsed', header[HEADER.entriesUsed], live.size);
  expectEqual('HEADER.recordsUsed', header[HEADER.recordsUsed], used);
  expectEqual('HEADER.sessionsUsed', header[HEADER.sessionsUsed], sessionsUsed);
  expectEqual('HEADER.halfOpen', header[HEADER.halfOpen], halfOpen);
  expectEqual('HEADER.lock', header[HEADER.lock], 0);
  expectEqual(
    'free records',
    freeListLength(header[HEADER.freeRecord], records, RECORD_WORDS, RECORD.sessions, layout.recordCount),
    layout.recordCount - used,
  );
  expectEqual(
    'free sessions',
    freeListLength(header[HEADER.freeSession], sessions, SESSION_WORDS, SESSION.next, layout.sessionCount),
    layout.sessionCount - sessionsUsed,
  );
  for (let server = 0; server < SERVER_LIMIT; server++) {
    const count = counts.get(server) ?? { halfOpen: 0, established: 0, sessions: 0 };
    const cell = (word: number): number => memory.servers[server * CELL_WORDS + word];
    expectEqual(`server ${server} half-open`, cell(SERVER_CELL.halfOpen), count.halfOpen);
    expectEqual(`server ${server} established`, cell(SERVER_CELL.established), count.established);
    expectEqual(`server ${server} sessions`, cell(SERVER_CELL.sessions), count.sessions);
  }
  return broken;
}

/** Slots that hold a published entry → the record that it names. */
function liveSlots({ fingerprints, entries, layout }: TableMemory): Map<number, number> {
  const live = new Map<number, number>();
  for (let slot = 0; slot < layout.slotCount; slot++) {
    const print = fingerprints[slot];
    if (print >= 0 && print < FINGERPRINT_FIRST) continue;
    const at = slot * ENTRY_WORDS;
    if ((entries[at + ENTRY.version] & 1) === 0) live.set(slot, entries[at + ENTRY.record] >>> 8);
  }
  return live;
}

/** −1 for a list that does not end. */
function listLength(head: number, sessions: Int32Array, limit: number): number {
  let length = 0;
  for (let next = head; next !== 0; next = sessions[(next - 1) * SESSION_WORDS + SESSION.next]) {
    if (++length > limit) return -1;
  }
  return length;
}

function freeListLength(head: number, items: Int32Array, words: number, nextWord: number, limit: number): number {
  let length = 0;
  for (let next = head; next !== 0; next = items[(next - 1) * words + nextWord]) if (++length > limit) return -1;
  return length;
}
