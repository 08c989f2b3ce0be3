/** Memory of a million connections, both directions, keys as wide as IPv6: the table's own layout says it. */
import { tableLayout } from '#designator/flow/layout.js';
import { type Options, type Row, row } from './row.js';

const CONNECTIONS = 1_000_000;
const BAR_MIB = 256;

export async function run(_options: Options = {}): Promise<Row[]> {
  return [row('memory', '1 M connections', CONNECTIONS * 2, tableLayout(CONNECTIONS).length / 2 ** 20, 'MiB', BAR_MIB)];
}
