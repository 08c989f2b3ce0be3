/** How the addon is told where things lie: the table's segments and a shard's counters, by index. */
import { COUNTER, DROP_BASE } from '../dataplane/counters.js';
import { DROP } from '../dataplane/drop-reasons.js';
import type { TableMemory } from '../flow/layout.js';
import type { NativeCounters, NativeTable } from '../io/native.js';

export function nativeTable(memory: TableMemory): NativeTable {
  const { layout } = memory;
  return {
    buffer: memory.buffer as ArrayBuffer,
    header: layout.header,
    entries: layout.entries,
    slotCount: layout.slotCount,
    records: layout.records,
    recordCount: layout.recordCount,
    addresses: layout.addresses,
    nextHops: layout.nextHops,
  };
}

/** Slots of a shard's statistics that native code adds to. */
export function nativeCounters(statistics: Float64Array): NativeCounters {
  return {
    statistics,
    entryChanged: DROP_BASE + DROP['entry-changed'],
    ttlExpired: DROP_BASE + DROP['ttl-expired'],
    neighbourUnresolved: DROP_BASE + DROP['neighbour-unresolved'],
    rewriteFailed: DROP_BASE + DROP['rewrite-failed'],
    sendFailed: DROP_BASE + DROP['send-failed'],
    receiveRing: DROP_BASE + DROP['receive-ring'],
    framesReceived: COUNTER.framesReceived,
    framesSent: COUNTER.framesSent,
    bytesSent: COUNTER.bytesSent,
  };
}
