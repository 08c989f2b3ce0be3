/** What the ports without a network need to be made, with a rewriter that only chooses the way out. */
import type { NativeCounters, NativeTable, Rewriter, RewriterOptions } from '../../src/io/native.js';
import { BATCH_CAPACITY, VERDICT_DROP, VERDICT_RAW } from '../../src/io/port.js';

/**
 * Stands in for the addon's rewriter where a test is about the port alone: verdict 0 leaves by port 0, verdict 1 by
 * port 1 with its first byte changed to 0xee, any other entry "has changed" and is dropped.
 */
export function standInRewriter({ columns, frames, counters }: RewriterOptions): Rewriter {
  const bytes = new Uint8Array(frames);
  const range = (from: number, to: number): void => {
    for (let i = from; i < to; i++) {
      const entry = columns.verdict[i];
      if (entry < 0) continue;
      if (entry > 1) counters.statistics[counters.entryChanged]++;
      columns.verdict[i] = entry > 1 ? VERDICT_DROP : VERDICT_RAW;
      columns.egress[i] = entry;
      if (entry === 1) bytes[columns.offset[i]] = 0xee;
    }
  };
  return {
    rewrite: (received, scratch) => {
      range(0, received);
      range(BATCH_CAPACITY, BATCH_CAPACITY + scratch);
    },
  };
}

export function newCounters(): NativeCounters {
  return {
    statistics: new Float64Array(9),
    entryChanged: 0,
    ttlExpired: 1,
    neighbourUnresolved: 2,
    rewriteFailed: 3,
    sendFailed: 4,
    receiveRing: 5,
    framesReceived: 6,
    framesSent: 7,
    bytesSent: 8,
  };
}

/** A table that nobody looks into. */
export const NO_TABLE: NativeTable = {
  buffer: new ArrayBuffer(0),
  entries: 0,
  slotCount: 0,
  records: 0,
  recordCount: 0,
  addresses: 0,
  nextHops: 0,
};

/** VLAN 0 outside, VLAN 100 inside. */
export const PORTS = [
  { device: 0, vlan: 0, mac: Uint8Array.of(2, 0, 0, 0, 1, 0) },
  { device: 1, vlan: 100, mac: Uint8Array.of(2, 0, 0, 0, 1, 1) },
];
