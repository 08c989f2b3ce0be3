/**
 * The cached decision (document 003: blocks 302, 308, 312 and 324 "can be cached"): a data packet whose tunnel is in
 * the connection table needs no other stage. Look-ups of a batch are made together, so that their cache misses overlap.
 */
import type { ConnectionTable } from '../flow/connection-table.js';
import { FLAG_DENIED } from '../flow/layout.js';
import { BATCH_CAPACITY, VERDICT_HANDED } from '../io/port.js';
import { type Batch, KEY_STRIDE, KIND_DATA_IN, KIND_DATA_OUT, KIND_DONE, KIND_HOST, KIND_MISSED_OUT } from './batch.js';
import { drop } from './classify.js';
import { COUNTER } from './counters.js';
import { DROP } from './drop-reasons.js';
import type { Heirs } from './heirs.js';
import type { Relay } from './relay.js';

/** Gives every data frame of columns [from, to) its verdict; what no table knows is dropped or left to the host. */
export function recall(
  batch: Batch,
  from: number,
  to: number,
  table: ConnectionTable,
  statistics: Float64Array,
  heirs: Heirs | null = null,
  relay: Relay | null = null,
  /** A server's packet makes the way to its client where there is none (`NatPart`). */
  learns = false,
): void {
  const { kind, slots, keys, columns } = batch;
  const together = from === 0 && to <= BATCH_CAPACITY;
  // Rows that are no data frames are looked up too; what they find is never read.
  const flags = together && to > 0 ? table.findMany(keys, to, slots, batch.wide) : FLAG_DENIED;
  for (let i = from; i < to; i++) {
    const what = kind[i];
    if (what !== KIND_DATA_IN && what !== KIND_DATA_OUT) continue;
    const slot = together ? slots[i] : table.find(keys, i * KEY_STRIDE);
    if (slot < 0) {
      // A packet on a port that neither VIP nor server is known by may be anything: the host's.
      if (batch.local[i] < 0) kind[i] = KIND_HOST;
      else if (relay?.take(batch, i, what === KIND_DATA_IN) === true) continue;
      else if (learns && what === KIND_DATA_OUT) kind[i] = KIND_MISSED_OUT;
      else drop(batch, i, statistics, whyUnknown(keys, i, what, heirs));
      continue;
    }
    if ((flags & FLAG_DENIED) !== 0 && (table.flagsOf(slot) & FLAG_DENIED) !== 0) {
      drop(batch, i, statistics, DROP['firewall-denied']);
      continue;
    }
    columns.verdict[i] = slot;
    kind[i] = KIND_DONE;
  }
}

function whyUnknown(keys: Int32Array, i: number, what: number, heirs: Heirs | null): number {
  if (what === KIND_DATA_IN) return DROP['unknown-tunnel'];
  return heirs?.have(keys, i * KEY_STRIDE) === true ? DROP['taken-over'] : DROP['unknown-server'];
}

/** Adds up what goes through, by direction. `isOut(slot)` tells server → client entries. */
export function countForwarded(
  batch: Batch,
  from: number,
  to: number,
  table: ConnectionTable,
  statistics: Float64Array,
): void {
  const { verdict } = batch.columns;
  let packetsIn = 0;
  let packetsOut = 0;
  let bytesIn = 0;
  let bytesOut = 0;
  for (let i = from; i < to; i++) {
    const slot = verdict[i];
    if (slot < 0) continue;
    const bytes = batch.end[i] - batch.l3[i];
    if ((table.flagsOf(slot) & 1) !== 0) {
      packetsOut++;
      bytesOut += bytes;
    } else {
      packetsIn++;
      bytesIn += bytes;
    }
  }
  statistics[COUNTER.packetsIn] += packetsIn;
  statistics[COUNTER.packetsOut] += packetsOut;
  statistics[COUNTER.bytesIn] += bytesIn;
  statistics[COUNTER.bytesOut] += bytesOut;
}

/** A frame that was answered or copied elsewhere: nothing more happens to it, nothing is counted as lost. */
export function finish(batch: Batch, i: number): void {
  batch.kind[i] = KIND_DONE;
  batch.columns.verdict[i] = VERDICT_HANDED;
}
