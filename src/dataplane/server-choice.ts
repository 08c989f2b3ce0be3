/**
 * Which server a request gets, of all who have a say, in this order: an older tunnel that it follows, the group that it is
 * of and where that has tunnels, a server that is to be tried again, the group's key or else the VIP's algorithm, and
 * when nobody may take it, whoever might live.
 */
import { type Designator, NO_SERVER } from '../designation/designate.js';
import type { Lending } from '../designation/lending.js';
import { CELL_WORDS, VIP_CELL } from '../flow/layout.js';
import type { TunnelDescriptor } from '../tunnels/descriptor.js';
import type { Batch } from './batch.js';
import { COUNTER } from './counters.js';
import { GroupKeys } from './group-keys.js';
import type { PlanVip } from './plan.js';
import type { TunnelDraft } from './tunnel-draft.js';
import type { TunnelStore } from './tunnel-store.js';

export class ServerChoice {
  readonly #keys = new GroupKeys();
  /** Key of the group of the request that was looked at last, 0 none. */
  #group = 0;

  constructor(
    readonly store: TunnelStore,
    readonly designator: Designator,
    readonly lending: Lending,
    readonly statistics: Float64Array,
  ) {}

  /** A request in this frame: what it says of its group. */
  look(batch: Batch, i: number, descriptor: TunnelDescriptor, vip: PlanVip): void {
    this.#group = 0;
    if (vip.groupBy === undefined) return;
    const seed = this.store.memory.vips[vip.index * CELL_WORDS + VIP_CELL.identity];
    this.#group = this.#keys.keyOf(batch, i, descriptor, vip.groupBy, seed);
    if (this.#group !== 0) this.statistics[COUNTER.grouped]++;
  }

  /**
   * Lock held: server cell index for the request that was looked at, NO_SERVER or NO_ROOM. Its turn is taken. `followed`: server
   * of an older tunnel that it must go to, −1; `moved`: it has been at a server that seems to be dead.
   */
  take({ vip, a0, a1, a2, a3, clientChannel }: TunnelDraft, followed: number, moved: boolean): number {
    const { designator, lending } = this;
    if (followed >= 0) {
      designator.cells.use(followed);
      return followed;
    }
    let index = this.#where(vip);
    if (index < 0 && !moved) index = lending.take(vip.servers);
    if (index < 0) index = designator.designateLocked(vip.index, a0, a1, a2, a3, clientChannel, this.#group);
    return index === NO_SERVER ? lending.lastResort(vip.servers) : index;
  }

  /** Lock held: the request has made this tunnel. */
  made(record: number): void {
    if (this.#group === 0) return;
    if (!this.store.groups.join(record, this.#group)) this.statistics[COUNTER.groupsUnkept]++;
    // The record may have been told to the others already, without its group.
    this.store.share?.changed(record);
  }

  /** The server that the group's tunnels are at, if it may take one more; −1. */
  #where(vip: PlanVip): number {
    const { cells } = this.designator;
    const server = this.#group === 0 ? -1 : this.store.groups.serverOf(this.#group);
    if (server < 0 || !vip.servers.includes(server) || !cells.eligible(server)) return -1;
    this.statistics[COUNTER.groupsFollowed]++;
    cells.use(server);
    return server;
  }
}
