/** All micro benchmarks of tables, designation, L2TP's control messages, state offload, a gateway's answers and hosts, replication, one after another. */
import * as churn from './churn.js';
import * as cluster from './cluster.js';
import * as designation from './designation.js';
import * as gatewayAnswers from './gateway-answers.js';
import * as gatewayHosts from './gateway-hosts.js';
import * as l2tp from './l2tp.js';
import * as lookup from './lookup.js';
import * as memory from './memory.js';
import * as offload from './offload.js';
import type { Options, Row } from './row.js';

export type { Options, Row } from './row.js';

export async function run(options: Options = {}): Promise<Row[]> {
  const rows: Row[] = [];
  for (const benchmark of [memory, lookup, churn, designation, l2tp, offload, gatewayAnswers, gatewayHosts, cluster])
    rows.push(...(await benchmark.run(options)));
  return rows;
}
