/** Cost of one designation, lock included, nobody else wanting it: every algorithm with few and with many servers. */
import { ALGORITHM_NAMES, Designator } from '#designator/designation/designate.js';
import { cellIdentity, ServerTable } from '#designator/designation/servers.js';
import { Bench } from 'tinybench';
import { medianNs } from './lookup.js';
import { newTable } from './table.js';
import { type Options, type Row, row } from './row.js';

const ROUND = 1000;

export async function run(options: Options = {}): Promise<Row[]> {
  const rows: Row[] = [];
  for (const count of options.smoke ? [2] : [2, 16, 128]) {
    const bench = new Bench({ time: options.smoke ? 5 : 200, warmupTime: options.smoke ? 1 : 50, iterations: 3 });
    for (const algorithm of ALGORITHM_NAMES) {
      const { memory } = newTable(100);
      const cells = new ServerTable(memory);
      const vip = cells.ensureVip(cellIdentity('access'), 0, 1701);
      const servers = Int32Array.from({ length: count }, (_, i) =>
        cells.ensureServer(
          cellIdentity('access', `lns${i}`),
          { vip, address: i, port: 1701, nextHop: 0, weight: (i % 3) + 1 },
          0,
        ),
      );
      const designator = new Designator(memory, cells);
      designator.setPlan({ vips: [{ index: vip, algorithm, servers }] });
      let client = 0;
      bench.add(algorithm, () => {
        for (let i = 0; i < ROUND; i++) designator.designate(vip, 0, 0, 0xffff, client++, 1);
      });
    }
    bench.runSync();
    for (const task of bench.tasks) {
      rows.push(row('designation', `${task.name}, ${count} servers`, count, medianNs(task) / ROUND, 'ns'));
    }
  }
  return rows;
}
