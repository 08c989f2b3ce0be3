/**
 * Cost of one designation among few and many servers, with what comes with it: the lock, the tunnel that is counted
 * half open, then established with a session, and an older one that ends, so that the farm stays as full as it is. Nobody else wants the
 * lock. `uneven`: every server has another weight, the dearest case for smooth weighted round robin.
 */
import { ALGORITHM_NAMES, Designator } from '#designator/designation/designate.js';
import { SERVER_CELL, SERVER_FLAG } from '#designator/flow/layout.js';
import { cellIdentity, ServerTable } from '#designator/designation/servers.js';
import { Bench } from 'tinybench';
import { medianNs } from './lookup.js';
import { newTable } from './table.js';
import { type Options, type Row, row } from './row.js';

const ROUND = 1000;
/** Tunnels that stand at a time. */
const STANDING = 4096;
/** DESIGN §6 has no figure for this; the bar is the issue's: a thousand servers in a microsecond. */
const BAR_NS = 1000;
const BAR_SERVERS = 1000;

export async function run(options: Options = {}): Promise<Row[]> {
  const rows: Row[] = [];
  for (const count of options.smoke ? [3] : [10, 100, 1000]) {
    const bench = new Bench({ time: options.smoke ? 5 : 250, warmupTime: options.smoke ? 1 : 100, iterations: 3 });
    for (const algorithm of ALGORITHM_NAMES)
      bench.add(
        algorithm,
        newFarm(algorithm, count, (i) => (i % 3) + 1),
      );
    bench.add(
      'weighted-round-robin, uneven',
      newFarm('weighted-round-robin', count, (i) => i + 1),
    );
    bench.runSync();
    for (const task of bench.tasks) {
      const bar = count === BAR_SERVERS ? BAR_NS : null;
      rows.push(row('designation', `${task.name}, ${count} servers`, count, medianNs(task) / ROUND, 'ns', bar));
    }
  }
  return rows;
}

function newFarm(algorithm: string, count: number, weight: (i: number) => number): () => void {
  const { memory } = newTable(100);
  const cells = new ServerTable(memory);
  const vip = cells.ensureVip(cellIdentity('access'), 0, 1701);
  const servers = Int32Array.from({ length: count }, (_, i) =>
    cells.ensureServer(
      cellIdentity('access', `lns${i}`),
      { vip, address: i, port: 1701, nextHop: 0, weight: weight(i) },
      0,
    ),
  );
  for (const [i, server] of servers.entries()) {
    cells.set(server, SERVER_CELL.reportedLoad, (i * 7919) % 900_000);
    cells.set(server, SERVER_CELL.tunnelLoad, 1000);
    cells.setFlag(server, SERVER_FLAG.reported, true);
  }
  const designator = new Designator(memory, cells);
  // No bucket is ever full: a refusal would be cheaper than a choice.
  designator.setPlan({ vips: [{ index: vip, algorithm, servers, bucket: { rate: 1e6, burst: 1e6 } }] });
  const standing = new Int32Array(STANDING).fill(-1);
  let client = 0;
  return () => {
    for (let i = 0; i < ROUND; i++) {
      designator.setTime(client / 100_000);
      const server = designator.designate(vip, 0, 0, 0xffff, client, 1);
      cells.addHalfOpen(server, 1);
      cells.addHalfOpen(server, -1);
      cells.addEstablished(server, 1);
      cells.addSessions(server, 1);
      const slot = client++ % STANDING;
      if (standing[slot] >= 0) {
        cells.addEstablished(standing[slot], -1);
        cells.addSessions(standing[slot], -1);
      }
      standing[slot] = server;
    }
  };
}
