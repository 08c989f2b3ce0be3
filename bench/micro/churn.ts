/**
 * A full table in which tunnels end and begin all the time: an entry is removed and another one made, its record freed
 * and allocated, its timer cancelled and set. Nanoseconds a tunnel, and the longest pause of the garbage collector, which
 * has nothing to collect because everything lives in typed arrays.
 */

import { setImmediate as turn } from 'node:timers/promises';
import { PerformanceObserver, performance } from 'node:perf_hooks';
import { KEY_WORDS, RECORD, RECORD_STATE, RECORD_WORDS } from '#designator/flow/layout.js';
import { RecordPool, recordState } from '#designator/flow/record-pool.js';
import { SpinLock } from '#designator/flow/spin-lock.js';
import { TimerWheel } from '#designator/flow/timer-wheel.js';
import { fill, newTable, numbers, writeKey } from './table.js';
import { type Options, type Row, row } from './row.js';

const PAUSE_BAR_MS = 5;

export async function run(options: Options = {}): Promise<Row[]> {
  const entries = options.smoke ? 1000 : 1_000_000;
  const steps = options.smoke ? 2000 : 2_000_000;
  const { memory, table } = newTable(entries);
  fill(table, entries);
  const pool = new RecordPool(memory);
  const lock = new SpinLock(memory);
  const wheel = new TimerWheel(memory.records, RECORD_WORDS, RECORD.wheelNext, RECORD.wheelPrevious, 0);
  const records = new Int32Array(entries / 2).map(() => make());
  function make(): number {
    const record = pool.allocateRecord();
    pool.set(record, RECORD.state, recordState(0, 1, RECORD_STATE.halfOpen));
    wheel.schedule(record, 60);
    return record;
  }

  let longest = 0;
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) longest = Math.max(longest, entry.duration);
  });
  observer.observe({ entryTypes: ['gc'] });
  const key = new Int32Array(KEY_WORDS);
  const next = numbers(5);
  const living = Int32Array.from({ length: entries }, (_, i) => i);
  const changesPerMs = entries / 4000; // so that 2.5 % of the slots rest in quarantine at any time
  let refused = 0;
  const began = performance.now();
  for (let step = 0; step < steps; step++) {
    const at = next() % entries;
    const nowMs = 1000 + Math.floor(step / changesPerMs);
    writeKey(living[at], key, 0);
    const slot = table.find(key, 0);
    if (slot >= 0) table.remove(slot, nowMs);
    lock.acquire(0);
    const record = records[at >>> 1];
    wheel.cancel(record);
    pool.freeRecord(record);
    records[at >>> 1] = make();
    lock.release(0);
    living[at] = entries + step;
    writeKey(living[at], key, 0);
    if (table.insert(key, 0, 1, 1, 1, 1, nowMs) < 0) refused++;
  }
  const ns = ((performance.now() - began) * 1e6) / steps;
  await turn(); // the observer is told asynchronously
  await turn();
  observer.disconnect();
  if (refused > 0) throw new Error(`${refused} of ${steps} entries found no place at load 0.8`);
  return [
    row('churn', 'remove + make, record, timer', entries, ns, 'ns'),
    row('churn', 'longest garbage collection', entries, longest, 'ms', PAUSE_BAR_MS),
  ];
}
