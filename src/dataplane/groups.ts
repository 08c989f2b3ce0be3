/** Groups of tunnels in one shard's hands: which group a request is of, where the group is, and who has joined it. */
import type { ServerTable } from '../designation/servers.js';
import { CELL_WORDS, VIP_CELL } from '../flow/layout.js';
import type { TunnelDescriptor } from '../tunnels/descriptor.js';
import type { Batch } from './batch.js';
import { COUNTER } from './counters.js';
import { GroupKeys } from './group-keys.js';
import type { PlanVip } from './plan.js';
import type { TunnelStore } from './tunnel-store.js';

export class Groups {
  readonly #keys = new GroupKeys();

  constructor(
    readonly store: TunnelStore,
    readonly servers: ServerTable,
    readonly statistics: Float64Array,
  ) {}

  /** Key of the group of the request in this frame, 0 none. */
  of(batch: Batch, i: number, descriptor: TunnelDescriptor, vip: PlanVip): number {
    if (vip.groupBy === undefined) return 0;
    const seed = this.store.memory.vips[vip.index * CELL_WORDS + VIP_CELL.identity];
    const key = this.#keys.keyOf(batch, i, descriptor, vip.groupBy, seed);
    if (key !== 0) this.statistics[COUNTER.grouped]++;
    return key;
  }

  /** Lock held: the server that the group's tunnels are at, if it may take one more; −1. It has its turn then. */
  server(key: number, vip: PlanVip): number {
    if (key === 0) return -1;
    const server = this.store.groups.serverOf(key);
    if (server < 0 || !vip.servers.includes(server) || !this.servers.eligible(server)) return -1;
    this.statistics[COUNTER.groupsFollowed]++;
    this.servers.use(server);
    return server;
  }

  /** Lock held: the request has made this tunnel. */
  join(record: number, key: number): void {
    if (key !== 0 && !this.store.groups.join(record, key)) this.statistics[COUNTER.groupsUnkept]++;
  }
}
