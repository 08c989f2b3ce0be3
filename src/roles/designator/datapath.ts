/**
 * What carries the packets: the adapter that the process has chosen at its start, and what belongs to it — the table's
 * memory, what the kernel must know of a plan, what is left on the interfaces. The rest of the role does not ask which
 * one it is.
 */
import type { CompiledConfig } from '../../config/compiled.js';
import type { Plan } from '../../dataplane/plan.js';
import type { NativeAddon } from '../../io/native.js';
import type { ShardIo } from '../../workers/shard-task.js';
import type { Binding } from './binding.js';
import { type OpenedTable, openTableFile, tableFile } from './table-file.js';

/** What the kernel did without a shard, since the program was loaded. */
export interface KernelTotals {
  readonly packetsIn: number;
  readonly packetsOut: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly passed: number;
  readonly answered: number;
  /** Drops by the names of drop-reasons.ts. */
  readonly drops: Readonly<Record<string, number>>;
}

export interface Datapath {
  readonly table: OpenedTable;
  /** The program may forward what the shards let it. */
  readonly offload: boolean;
  /** For `show workers` and the ready line: `packet`, `xdp-native copy` … */
  readonly words: string;
  /** Why it is not a better one; one sentence each. */
  readonly reasons: readonly string[];
  shardIo(): ShardIo;
  /** Before the shards start: everything that the first packet needs. */
  prepare(bound: Bound): Promise<void>;
  /** The shards run: packets may come. */
  attach(): Promise<void>;
  /** Another plan; before the shards get it. */
  update(bound: Bound): void;
  /** Once a second. Returns sentences for the log when something has changed by itself. */
  tick(): readonly string[];
  /** A shard's thread has ended and left things behind. */
  shardEnded(shard: number): void;
  totals(): KernelTotals | null;
  /** The interfaces as they were; the tunnels stay for the next process. The shards have ended. */
  stop(): Promise<void>;
  /** The process goes and the kernel goes on: what is on the interfaces stays for the next process. False: it cannot. */
  leave(): boolean;
}

export interface Bound {
  readonly config: CompiledConfig;
  readonly binding: Binding;
  readonly plan: Plan;
  /** The host has no device there that would ask for neighbours: outside, inside. */
  readonly ownResolution: readonly [boolean, boolean];
}

/** AF_PACKET: everything belongs to the shards, the table is a file. */
export class PacketDatapath implements Datapath {
  readonly offload = false;
  readonly words: string;
  readonly #io: ShardIo;

  constructor(
    config: CompiledConfig,
    readonly reasons: readonly string[],
    /** A number of this process, for the fan-out groups. */
    processId: number,
    readonly table: OpenedTable,
  ) {
    this.words = 'packet';
    this.#io = {
      kind: 'packet',
      devices:
        config.outside.device === config.inside.device
          ? [{ name: config.outside.device, role: 'both' }]
          : [
              { name: config.outside.device, role: 'outside' },
              { name: config.inside.device, role: 'inside' },
            ],
      // A group per device: two ids a process, so that a neighbour's do not fall between.
      fanoutGroup: (processId * 2) & 0xfffe,
    };
  }

  static open(
    addon: NativeAddon,
    config: CompiledConfig,
    reasons: readonly string[],
    processId: number,
  ): PacketDatapath {
    const table = openTableFile(addon, tableFile(config.control.socket), config.table.connections);
    return new PacketDatapath(config, reasons, processId, table);
  }

  shardIo(): ShardIo {
    return this.#io;
  }

  async prepare(): Promise<void> {}

  async attach(): Promise<void> {}

  update(): void {}

  tick(): readonly string[] {
    return [];
  }

  shardEnded(): void {}

  totals(): null {
    return null;
  }

  async stop(): Promise<void> {}

  leave(): boolean {
    return false;
  }
}
