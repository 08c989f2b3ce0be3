/**
 * Look-ups of present keys, nanoseconds each, hash and store of the slot included: a batch at a time (`findMany`, as the
 * shard does it), one by one (`find`), and the same search in C++ (`DecisionTwin`) over the same memory. `active` is how
 * many different keys the traffic has: with few of them the caches hold what a look-up touches; with all of them every
 * look-up waits for memory, whatever the program does. The bars are for `findMany` and 4096 active keys.
 *
 * Every size is measured in a thread of its own, as a shard has one table: the loops of `findMany` are compiled for it.
 */
import { Worker } from 'node:worker_threads';
import type { Bench } from 'tinybench';
import type { Measured, Order } from './lookup-thread.js';
import { type Options, type Row, row } from './row.js';

const ACTIVE = 4096;
/** A thread cannot run TypeScript: where the test suite does, the built one is taken. */
const THREAD = import.meta.url.endsWith('.ts') ? '../../dist/bench/micro/lookup-thread.js' : './lookup-thread.js';
const BARS = new Map([
  [100_000, 15],
  [1_000_000, 35],
]);

export async function run(options: Options = {}): Promise<Row[]> {
  const rows: Row[] = [];
  for (const entries of options.smoke ? [1000] : [1000, 100_000, 1_000_000]) {
    const active = [...new Set([Math.min(entries, ACTIVE), entries])];
    for (const { variant, keys, ns } of await measure({ entries, active, repeats: options.smoke ? 1 : 25 })) {
      const bar = variant === 'findMany' && keys <= ACTIVE ? (BARS.get(entries) ?? null) : null;
      rows.push(row('look-up', `${variant}, ${keys} active`, entries, ns, 'ns', bar));
    }
  }
  return rows;
}

function measure(order: Order): Promise<Measured[]> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(THREAD, import.meta.url), { workerData: order, trackUnmanagedFds: false });
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', (code) => reject(new Error(`the measuring thread ended with ${code} and no figures`)));
  });
}

/** Median time of a task's function, nanoseconds. Throws what the task threw. */
export function medianNs(task: Bench['tasks'][number]): number {
  const { result } = task;
  if (result.state === 'completed') return result.latency.p50 * 1e6;
  throw 'error' in result ? result.error : new Error(`${task.name}: ${result.state}`);
}
