/**
 * Look-ups of present keys, nanoseconds each, hash included: one by one (`find`) and a batch at a time (`findMany`, as
 * the shard does it). `active` is how many different keys the traffic has: with few of them the caches hold what a look-up
 * touches; with all of them every look-up waits for memory, whatever the program does. The bars are for 4096 active keys.
 */

import { firstHash, fingerprintOf, hashAddress, hashRest, secondHash } from '#designator/flow/hash.js';
import { KEY_WORDS } from '#designator/flow/layout.js';
import { Bench } from 'tinybench';
import { fill, newTable, randomBatches } from './table.js';
import { type Options, type Row, row } from './row.js';

const BATCH = 256;
const ACTIVE = 4096;
const BARS = new Map([
  [100_000, 15],
  [1_000_000, 35],
]);

export async function run(options: Options = {}): Promise<Row[]> {
  const rows: Row[] = [];
  for (const entries of options.smoke ? [1000] : [1000, 100_000, 1_000_000]) {
    const { table } = newTable(entries);
    fill(table, entries);
    const slots = new Int32Array(BATCH);
    const working = [...new Set([Math.min(entries, ACTIVE), entries])];
    for (const active of working) {
      // A batch list longer than any cache stands for "all keys"; each is used once a round.
      const batches = randomBatches(entries, Math.ceil(Math.max(active, BATCH) / BATCH), BATCH);
      const looked = batches.length * BATCH;
      const bench = new Bench({ time: options.smoke ? 5 : 600, warmupTime: options.smoke ? 1 : 150, iterations: 3 });
      let sum = 0;
      bench.add('find', () => {
        for (const keys of batches) for (let i = 0; i < BATCH; i++) sum += table.find(keys, i * KEY_WORDS);
      });
      bench.add('findMany', () => {
        for (const keys of batches) {
          table.findMany(keys, BATCH, slots);
          sum += slots[0];
        }
      });
      bench.add('hash alone', () => {
        for (const keys of batches) for (let i = 0; i < BATCH; i++) sum ^= hash(keys, i * KEY_WORDS);
      });
      bench.runSync();
      if (!Number.isFinite(sum)) throw new Error('unreachable'); // the results are used, so nothing is optimised away
      for (const task of bench.tasks) {
        const ns = medianNs(task) / looked;
        const bar = task.name !== 'hash alone' && active <= ACTIVE ? (BARS.get(entries) ?? null) : null;
        rows.push(row('look-up', `${task.name}, ${active} active`, entries, ns, 'ns', bar));
      }
    }
  }
  return rows;
}

function hash(keys: Int32Array, base: number): number {
  const x = hashAddress(keys, base, 0x5eed);
  const y = hashRest(keys, base, 0x5eed);
  return fingerprintOf(firstHash(x, y), secondHash(x, y));
}

/** Median time of a task's function, nanoseconds. Throws what the task threw. */
export function medianNs(task: Bench['tasks'][number]): number {
  const { result } = task;
  if (result.state === 'completed') return result.latency.p50 * 1e6;
  throw 'error' in result ? result.error : new Error(`${task.name}: ${result.state}`);
}
