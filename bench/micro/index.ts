/** All micro benchmarks of tables and designation, one after another. */
import * as churn from './churn.js';
import * as designation from './designation.js';
import * as lookup from './lookup.js';
import * as memory from './memory.js';
import type { Options, Row } from './row.js';

export type { Options, Row } from './row.js';

export async function run(options: Options = {}): Promise<Row[]> {
  const rows: Row[] = [];
  for (const benchmark of [memory, lookup, churn, designation]) rows.push(...(await benchmark.run(options)));
  return rows;
}
