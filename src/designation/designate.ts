/**
 * Block 314 of document 003: which server of the VIP gets this tunnel request? One decision for the whole process,
 * whatever the number of workers: it is made under the process-wide lock, over cells that all threads share.
 */
import { SHARD_LIMIT, type TableMemory } from '../flow/layout.js';
import { SpinLock } from '../flow/spin-lock.js';
import type { Algorithm } from './algorithm.js';
import { LeastRecentUse } from './least-recent-use.js';
import { LeastTunnels } from './least-tunnels.js';
import { Maglev } from './maglev.js';
import { RoundRobin } from './round-robin.js';
import { ServerTable } from './servers.js';
import { WeightedRoundRobin } from './weighted-round-robin.js';

/** What a Designator needs of the plan. */
export interface DesignationPlan {
  readonly vips: readonly {
    /** Index of the VIP cell. */
    readonly index: number;
    readonly algorithm: string;
    /** Server cell indices in the order of the configuration. */
    readonly servers: Int32Array;
  }[];
}

export interface Designation {
  /** Server cell index, −1 when no server may take a tunnel. */
  readonly server: number;
  readonly reason: string;
}

type AlgorithmClass = new (cells: ServerTable) => Algorithm;

const ALGORITHMS: ReadonlyMap<string, AlgorithmClass> = new Map<string, AlgorithmClass>([
  ['round-robin', RoundRobin],
  ['weighted-round-robin', WeightedRoundRobin],
  ['least-recent-use', LeastRecentUse],
  ['least-tunnels', LeastTunnels],
  ['maglev', Maglev],
]);

/** Names that a configuration may use. */
export const ALGORITHM_NAMES: readonly string[] = [...ALGORITHMS.keys()];

const NO_SERVERS = new Int32Array(0);

export class Designator {
  readonly #algorithms = new Map<string, Algorithm>();
  /** By VIP index. */
  #byVip: (Algorithm | undefined)[] = [];
  #servers: (Int32Array | undefined)[] = [];

  /** `shard` is what the lock is taken as; SHARD_LIMIT for the main thread. */
  constructor(
    memory: TableMemory,
    readonly cells = new ServerTable(memory),
    readonly lock = new SpinLock(memory),
    readonly shard: number = SHARD_LIMIT,
  ) {}

  /** Throws RangeError for an algorithm that does not exist. Scheduler state lives on in the cells. */
  setPlan(plan: DesignationPlan): void {
    const byVip: (Algorithm | undefined)[] = [];
    const servers: (Int32Array | undefined)[] = [];
    for (const vip of plan.vips) {
      byVip[vip.index] = this.#algorithm(vip.algorithm);
      servers[vip.index] = vip.servers;
    }
    this.#byVip = byVip;
    this.#servers = servers;
  }

  /**
   * Server cell index for a request of this client (address words) with this channel of its own; −1 when the VIP has no
   * server that may take it. The turn is taken. Allocates nothing, but for a new Maglev table after a change.
   */
  designate(vip: number, a0: number, a1: number, a2: number, a3: number, channel: number): number {
    this.lock.acquire(this.shard);
    try {
      return this.designateLocked(vip, a0, a1, a2, a3, channel);
    } finally {
      this.lock.release(this.shard);
    }
  }

  /** `designate` for a caller that holds the lock, because it goes on to make the record. */
  designateLocked(vip: number, a0: number, a1: number, a2: number, a3: number, channel: number): number {
    const algorithm = this.#byVip[vip];
    if (algorithm === undefined) return -1;
    const servers = this.#servers[vip] ?? NO_SERVERS;
    const server = algorithm.choose(servers, vip, a0, a1, a2, a3, channel);
    if (server < 0) return -1;
    algorithm.take(server, servers, vip);
    this.cells.use(server);
    return server;
  }

  /** For `explain`: what `designate` would answer now, and why. No turn is taken. */
  peek(vip: number, a0: number, a1: number, a2: number, a3: number, channel: number): Designation {
    const algorithm = this.#byVip[vip];
    if (algorithm === undefined) return { server: -1, reason: 'there is no such VIP' };
    const servers = this.#servers[vip] ?? NO_SERVERS;
    this.lock.acquire(this.shard);
    try {
      const server = algorithm.choose(servers, vip, a0, a1, a2, a3, channel);
      if (server < 0) return { server, reason: 'no server of the VIP may take a new tunnel' };
      return { server, reason: algorithm.reason(server, servers, vip) };
    } finally {
      this.lock.release(this.shard);
    }
  }

  #algorithm(name: string): Algorithm {
    let algorithm = this.#algorithms.get(name);
    if (algorithm === undefined) {
      const make = ALGORITHMS.get(name);
      if (make === undefined) throw new RangeError(`no algorithm ${name}; there are ${ALGORITHM_NAMES.join(', ')}`);
      algorithm = new make(this.cells);
      this.#algorithms.set(name, algorithm);
    }
    return algorithm;
  }
}
