/**
 * Block 314 of document 003: which server of the VIP gets this tunnel request? One decision for the whole process,
 * whatever the number of workers: it is made under the process-wide lock, over cells that all threads share.
 */
import {
  HEADER,
  SERVER_CELL,
  SERVER_FLAG,
  SERVER_LIMIT,
  SHARD_LIMIT,
  type TableMemory,
  VIP_CELL,
} from '../flow/layout.js';
import { SpinLock } from '../flow/spin-lock.js';
import { type Algorithm, NO_ROOM, NO_SERVER } from './algorithm.js';
import { GroupTable } from './group-table.js';
import { LeakyBucket } from './leaky-bucket.js';
import { LeastLoad } from './least-load.js';
import { LeastRecentUse } from './least-recent-use.js';
import { LeastSessions, LeastTunnels } from './least-count.js';
import { Maglev } from './maglev.js';
import { PowerOfTwo } from './power-of-two.js';
import { RoundRobin } from './round-robin.js';
import { ServerTable } from './servers.js';
import { type DesignationVip, VipServers } from './vip-servers.js';
import { WeightedRoundRobin } from './weighted-round-robin.js';

export { NO_ROOM, NO_SERVER } from './algorithm.js';

/** What a Designator needs of the plan. */
export interface DesignationPlan {
  readonly vips: readonly DesignationVip[];
  /** How long a server that comes back takes to its full share; 0 or absent: not at all. */
  readonly slowStartSeconds?: number;
}

export interface Designation {
  /** Server cell index, NO_SERVER when no server may take a tunnel, NO_ROOM when none may take one yet. */
  readonly server: number;
  readonly reason: string;
}

type MakeAlgorithm = (cells: ServerTable, vip: DesignationVip) => Algorithm;

const ALGORITHMS: ReadonlyMap<string, MakeAlgorithm> = new Map<string, MakeAlgorithm>([
  ['round-robin', (cells) => new RoundRobin(cells)],
  ['weighted-round-robin', (cells) => new WeightedRoundRobin(cells)],
  ['least-recent-use', (cells) => new LeastRecentUse(cells)],
  ['least-load', (cells, vip) => new LeastLoad(cells, vip.loadFallback)],
  ['least-tunnels', (cells) => new LeastTunnels(cells)],
  ['least-sessions', (cells) => new LeastSessions(cells)],
  ['power-of-two', (cells) => new PowerOfTwo(cells)],
  ['leaky-bucket', (cells) => new LeakyBucket(cells)],
  ['maglev', (cells) => new Maglev(cells)],
]);

/** Names that a configuration may use. */
export const ALGORITHM_NAMES: readonly string[] = [...ALGORITHMS.keys()];

const REFUSALS: ReadonlyMap<number, string> = new Map([
  [NO_SERVER, 'no server of the VIP may take a new tunnel'],
  [NO_ROOM, 'every server of the VIP has had as many new tunnels as its leaky bucket lets through'],
]);

export class Designator {
  /** Kept over plans: what an algorithm caches for itself stays. */
  readonly #algorithms = new Map<string, Algorithm>();
  /** By VIP index. */
  #byVip: (VipServers | undefined)[] = [];
  /** By server index. */
  #byServer: (VipServers | undefined)[] = [];
  readonly #header: Int32Array;
  readonly #groups: GroupTable;

  /** `shard` is what the lock is taken as; SHARD_LIMIT for the main thread. */
  constructor(
    memory: TableMemory,
    readonly cells = new ServerTable(memory),
    readonly lock = new SpinLock(memory),
    readonly shard: number = SHARD_LIMIT,
  ) {
    this.#header = memory.header;
    this.#groups = new GroupTable(cells);
  }

  /** CLOCK_MONOTONIC seconds; what paces and ramps goes by it. */
  setTime(seconds: number): void {
    this.cells.now = seconds;
  }

  /** Throws RangeError for an algorithm that does not exist. Scheduler state lives on in the cells. */
  setPlan(plan: DesignationPlan): void {
    const algorithms = plan.vips.map((vip) => this.#algorithm(vip));
    this.cells.slowStartSeconds = plan.slowStartSeconds ?? 0;
    const byVip: (VipServers | undefined)[] = [];
    const byServer: (VipServers | undefined)[] = new Array(SERVER_LIMIT).fill(undefined);
    for (const [i, vip] of plan.vips.entries()) {
      const own = new VipServers(this.cells, vip, algorithms[i]);
      byVip[vip.index] = own;
      for (const server of vip.servers) byServer[server] = own;
    }
    this.#byVip = byVip;
    this.#byServer = byServer;
  }

  /**
   * Server cell index for a request of this client (address words) with this channel of its own; NO_SERVER when the VIP
   * has none that may take it, NO_ROOM when none may yet. The turn is taken. Allocates nothing, but for a new Maglev table
   * after a change.
   */
  designate(vip: number, a0: number, a1: number, a2: number, a3: number, channel: number): number {
    this.lock.acquire(this.shard);
    try {
      return this.designateLocked(vip, a0, a1, a2, a3, channel);
    } finally {
      this.lock.release(this.shard);
    }
  }

  /** `designate` for a caller that holds the lock, because it goes on to make the record. `group`: key of its group, 0 none. */
  designateLocked(vip: number, a0: number, a1: number, a2: number, a3: number, channel: number, group = 0): number {
    const of = this.#byVip[vip];
    if (of === undefined) return NO_SERVER;
    this.#settle(of);
    if (group !== 0) return this.#designateGroup(of, group);
    const server = of.algorithm.choose(of, a0, a1, a2, a3, channel);
    if (server < 0) return server;
    of.algorithm.take?.(server, of);
    this.cells.use(server);
    of.ranking.used(of.position(server));
    return server;
  }

  /**
   * Another server than those that `excluded` names, for a client that they cannot serve: always the same one while the
   * same servers take tunnels, each as often as its weight says (rendezvous hashing). NO_SERVER: there is none. The caller
   * holds the lock.
   */
  designateBesidesLocked(
    vip: number,
    excluded: (server: number) => boolean,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
  ): number {
    let best = NO_SERVER;
    let longest = Number.NEGATIVE_INFINITY;
    for (const server of this.#byVip[vip]?.servers ?? []) {
      if (!this.cells.eligible(server) || excluded(server)) continue;
      const drawn = Math.log(lotOf(server, a0, a1, a2, a3)) / Math.max(1, this.cells.weight(server));
      if (drawn <= longest) continue;
      longest = drawn;
      best = server;
    }
    if (best >= 0) this.cells.use(best);
    return best;
  }

  /**
   * By a consistent hash of the group's key, names and weights alone: the same server at every designator, and when it
   * may take no tunnel, the same next one. It is nobody's turn that is taken.
   */
  #designateGroup(of: VipServers, group: number): number {
    const server = this.#groups.choose(of, group);
    if (server < 0) return server;
    this.cells.use(server);
    // What the algorithm made of its last use it makes anew.
    this.cells.changed(server);
    return server;
  }

  /** For `explain`: what `designate` would answer now, and why. No turn is taken. */
  peek(vip: number, a0: number, a1: number, a2: number, a3: number, channel: number, group = 0): Designation {
    const of = this.#byVip[vip];
    if (of === undefined) return { server: NO_SERVER, reason: 'there is no such VIP' };
    this.lock.acquire(this.shard);
    try {
      this.#settle(of);
      if (group !== 0) {
        const server = this.#groups.choose(of, group);
        return { server, reason: REFUSALS.get(server) ?? "the hash of its group's key" };
      }
      const server = of.algorithm.choose(of, a0, a1, a2, a3, channel);
      return { server, reason: REFUSALS.get(server) ?? of.algorithm.reason(server, of) };
    } finally {
      this.lock.release(this.shard);
    }
  }

  /** Brings the rankings up to date with what has changed since somebody last did. */
  #settle(asked: VipServers): void {
    const header = this.#header;
    if (Atomics.load(header, HEADER.changedSummary) !== 0) {
      let words = Atomics.exchange(header, HEADER.changedSummary, 0);
      while (words !== 0) {
        const word = 31 - Math.clz32(words);
        words &= ~(1 << word);
        let bits = Atomics.exchange(header, HEADER.changed + word, 0);
        while (bits !== 0) {
          const bit = 31 - Math.clz32(bits);
          bits &= ~(1 << bit);
          this.#follow((word << 5) | bit);
        }
      }
    }
    if (!asked.isRanked) asked.rank();
  }

  #follow(server: number): void {
    const of = this.#byServer[server];
    if (of?.isRanked) return of.update(server);
    // Another thread's plan is newer or older than this one's, or the server is on its way out: whoever is asked next for
    // that VIP ranks all of it, and says anew whose counts matter.
    this.cells.setFlag(server, SERVER_FLAG.countsTunnels | SERVER_FLAG.countsSessions, false);
    this.cells.setVip(this.cells.get(server, SERVER_CELL.vip), VIP_CELL.ranking, 0);
  }

  #algorithm(vip: DesignationVip): Algorithm {
    const name = vip.algorithm;
    const key = name === 'least-load' ? `${name} ${vip.loadFallback ?? ''}` : name;
    let algorithm = this.#algorithms.get(key);
    if (algorithm === undefined) {
      const make = ALGORITHMS.get(name);
      if (make === undefined) throw new RangeError(`no algorithm ${name}; there are ${ALGORITHM_NAMES.join(', ')}`);
      algorithm = make(this.cells, vip);
      this.#algorithms.set(key, algorithm);
    }
    return algorithm;
  }
}

/** A number above 0 and below 1 that follows from the server and the client's address. */
function lotOf(server: number, a0: number, a1: number, a2: number, a3: number): number {
  let hash = 0x9e3779b9 ^ server;
  for (const word of [a0, a1, a2, a3]) {
    hash = Math.imul(hash ^ word, 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
    hash ^= hash >>> 16;
  }
  return ((hash >>> 0) + 1) / 0x1_0000_0001;
}
