/**
 * The shards as the main thread has them: what each is started with, what wakes and counts it, and what is cleared up
 * after one that crashed.
 */
import { availableParallelism } from 'node:os';
import type { CompiledConfig } from '../../config/compiled.js';
import { newStatistics } from '../../dataplane/counters.js';
import { handOverLength } from '../../dataplane/hand-over.js';
import type { Plan, ShardMessage, ShardNotice } from '../../dataplane/plan.js';
import type { ShareMemory } from '../../dataplane/share.js';
import { DesignatorError } from '../../errors.js';
import { SHARD_LIMIT } from '../../flow/layout.js';
import { RecordPool } from '../../flow/record-pool.js';
import type { RouteSnapshot } from '../../flow/route-table.js';
import { SpinLock } from '../../flow/spin-lock.js';
import type { NativeAddon } from '../../io/native.js';
import type { EventLog } from '../../ops/events.js';
import type { Logger } from '../../ops/log.js';
import { newControl } from '../../workers/control.js';
import { ShardPool, type ShardStatus } from '../../workers/pool.js';
import type { ShardTask } from '../../workers/shard-task.js';
import type { Datapath } from './datapath.js';

export interface ShardDeskParts {
  readonly shards: number;
  readonly addon: NativeAddon;
  readonly datapath: Datapath;
  readonly logger: Logger;
  readonly events: () => EventLog;
  /** Pin shards to CPUs. */
  readonly pin: boolean;
  /** Asked anew at every start of a shard: what others keep for it. */
  readonly current: () => ShardSurroundings;
  readonly onNotice: (shard: number, notice: ShardNotice) => void;
  /** The dead shard held the designation lock: whatever caches the cells is out of date. */
  readonly onLockTaken: () => void;
  /** The process cannot go on. */
  readonly onFatal: (error: Error) => void;
}

export interface ShardSurroundings {
  readonly config: CompiledConfig;
  readonly plan: Plan;
  readonly routes: RouteSnapshot;
  readonly policy: ShardTask['policy'];
  readonly captures: ShardTask['captures'];
  readonly captureMemory: readonly SharedArrayBuffer[];
  readonly eventMemory: readonly SharedArrayBuffer[];
  readonly floating: readonly number[];
  /** One for each shard, or none. */
  readonly share: readonly ShareMemory[];
}

export class ShardDesk {
  readonly statistics: Float64Array[];
  /** For `show workers`. */
  readonly ioOf: string[];
  readonly #parts: ShardDeskParts;
  readonly #pool: ShardPool;
  readonly #wakeFds: number[];
  readonly #controls: Int32Array[];
  readonly #handOver: SharedArrayBuffer;
  readonly #up = new Set<number>();
  #upListener: (() => void) | null = null;
  #startFailure: ((error: Error) => void) | null = null;

  constructor(parts: ShardDeskParts) {
    this.#parts = parts;
    const { shards, addon, datapath } = parts;
    this.statistics = Array.from({ length: shards }, newStatistics);
    this.ioOf = new Array(shards).fill(datapath.words);
    this.#controls = Array.from({ length: shards }, newControl);
    this.#wakeFds = Array.from({ length: shards }, () => addon.eventFd());
    this.#handOver = new SharedArrayBuffer(handOverLength(shards));
    this.#pool = new ShardPool({
      shards,
      task: (shard) => this.#task(shard),
      onNotice: parts.onNotice,
      onCrash: (shard, error, restarts) => this.#crashed(shard, error, restarts),
      onFatal: (shard, error) =>
        parts.onFatal(new DesignatorError('TD_INTERNAL', `shard ${shard}: ${error.message}`, { shard }, error)),
      wake: (shard) => addon.signalEventFd(this.#wakeFds[shard]),
    });
  }

  /** Resolves when every shard is up; rejects when one crashes before. */
  async start(): Promise<void> {
    const started = new Promise<void>((resolve, reject) => {
      this.#upListener = () => this.#up.size === this.#parts.shards && resolve();
      this.#startFailure = reject;
    });
    this.#pool.start();
    await started;
    this.#startFailure = null;
  }

  stop(): Promise<void> {
    return this.#pool.stop();
  }

  /** After everything else: nothing may wake a shard any more. */
  close(): void {
    for (const fd of this.#wakeFds) this.#parts.addon.closeFd(fd);
  }

  broadcast(message: ShardMessage): void {
    this.#pool.broadcast(message);
  }

  /** False: that shard does not run. */
  message(shard: number, message: ShardMessage): boolean {
    return this.#pool.message(shard, message);
  }

  status(): ShardStatus[] {
    return this.#pool.status();
  }

  /** For tests. */
  crash(shard: number): void {
    if (!this.#pool.message(shard, { type: 'crash' }))
      throw new DesignatorError('TD_NOT_FOUND', `no running shard ${shard}`);
  }

  /** A shard's own word that it runs. */
  isUp(shard: number, { description, adopted }: Extract<ShardNotice, { type: 'up' }>): void {
    this.#up.add(shard);
    this.ioOf[shard] = description;
    this.#parts.logger.info({ shard, io: description, adopted }, 'shard up');
    this.#parts.events().emit('shard-up', { shard, io: description, adopted });
  }

  /** Whoever keeps something for shards has heard of it too. */
  told(): void {
    this.#upListener?.();
  }

  #task(shard: number): ShardTask {
    const { addon, datapath, shards, current, pin } = this.#parts;
    const { config, plan, routes, policy, captures, captureMemory, eventMemory, floating, share } = current();
    const oneArm = config.outside.name === config.inside.name;
    const sameDevice = config.outside.device === config.inside.device;
    const io = datapath.shardIo();
    const mac = (name: string): Uint8Array => addon.interfaceInfo(name).mac;
    const [{ mtu }, { mtu: mtuInside }] = [config.outside, config.inside].map((at) => addon.interfaceInfo(at.device));
    return {
      mtus: [mtu, mtuInside],
      shard,
      shards,
      control: this.#controls[shard],
      statistics: this.statistics[shard],
      handOver: this.#handOver,
      capture: captureMemory[shard],
      events: eventMemory[shard],
      policy,
      ...(share.length === 0 ? {} : { share: share[shard] }),
      wakeFds: this.#wakeFds,
      table: { fd: datapath.table.fd, length: datapath.table.length, connections: config.table.connections },
      io,
      ports: oneArm
        ? [{ device: 0, vlan: config.outside.vlan, mac: mac(config.outside.device) }]
        : [
            { device: 0, vlan: config.outside.vlan, mac: mac(config.outside.device) },
            { device: sameDevice ? 0 : 1, vlan: config.inside.vlan, mac: mac(config.inside.device) },
          ],
      oneArm,
      cpu: pin ? shard % availableParallelism() : -1,
      plan,
      routes,
      floating: [...floating],
      captures,
    };
  }

  /** What the dead thread held is freed before its successor starts. */
  #crashed(shard: number, error: Error, restarts: number): void {
    const { datapath, logger, events, onLockTaken } = this.#parts;
    const { memory } = datapath.table;
    const lock = new SpinLock(memory);
    if (lock.takeOver(shard, SHARD_LIMIT)) {
      new RecordPool(memory).adopt();
      onLockTaken();
      lock.release(SHARD_LIMIT);
    }
    datapath.shardEnded(shard);
    logger.error({ shard, restarts, err: error }, 'shard crashed, starting it again');
    events().emit('shard-crashed', { shard, restarts, error: error.message });
    if (this.#startFailure !== null && !this.#up.has(shard)) this.#startFailure(error);
  }
}
