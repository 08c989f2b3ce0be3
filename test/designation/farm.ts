/** A VIP and its servers in table memory, as the main thread lays them out. */
import { Designator } from '../../src/designation/designate.js';
import { ServerTable, cellIdentity } from '../../src/designation/servers.js';
import type { DesignationVip } from '../../src/designation/vip-servers.js';
import type { TableMemory } from '../../src/flow/layout.js';
import { newMemory } from '../flow/memory.js';

export interface Farm {
  readonly memory: TableMemory;
  readonly cells: ServerTable;
  readonly vip: number;
  readonly servers: Int32Array;
  readonly plan: { vips: DesignationVip[]; slowStartSeconds: number };
  /** Position in the configuration of the server designated for this client, −1 none. */
  next(client?: number, channel?: number): number;
  readonly designator: Designator;
}

export function newFarm(
  algorithm: string,
  weights: readonly number[],
  memory = newMemory(64),
  { slowStartSeconds = 0, ...more }: Partial<DesignationVip> & { readonly slowStartSeconds?: number } = {},
): Farm {
  const cells = new ServerTable(memory);
  const vip = cells.ensureVip(cellIdentity('access'), 0, 1701);
  const servers = Int32Array.from(weights, (weight, i) =>
    cells.ensureServer(
      cellIdentity('access', `lns${i + 1}`),
      { vip, address: i + 1, port: 1701, nextHop: 0, weight },
      0,
    ),
  );
  const plan = { vips: [{ index: vip, algorithm, servers, ...more }], slowStartSeconds };
  const designator = new Designator(memory, cells);
  designator.setPlan(plan);
  const next = (client = 1, channel = 1) => servers.indexOf(designator.designate(vip, 0, 0, 0xffff, client, channel));
  return { memory, cells, vip, servers, plan, next, designator };
}

export const ALGORITHMS = [
  'round-robin',
  'weighted-round-robin',
  'least-recent-use',
  'least-load',
  'least-tunnels',
  'least-sessions',
  'power-of-two',
  'leaky-bucket',
  'maglev',
];
