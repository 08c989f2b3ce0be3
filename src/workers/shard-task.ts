/** What a shard's thread is started with: plain data, shared memory, and one end of a mailbox. */
import type { MessagePort } from 'node:worker_threads';
import type { CaptureFilter, Plan } from '../dataplane/plan.js';
import type { ShareMemory } from '../dataplane/share.js';
import type { RouteSnapshot } from '../flow/route-table.js';

/** Which adapter the shard opens. */
export type ShardIo =
  | {
      readonly kind: 'packet';
      readonly devices: readonly { readonly name: string; readonly role: 'outside' | 'inside' | 'both' }[];
      /** The same for all shards of the process; every device takes one more. */
      readonly fanoutGroup: number;
    }
  | {
      readonly kind: 'xdp';
      /** Of the process's sockets (XskSet.handle). */
      readonly sockets: number;
      /** For `show workers`. */
      readonly description: string;
      /** The XDP program forwards what the shard lets it. */
      readonly offload: boolean;
    };

export interface ShardTask {
  readonly shard: number;
  readonly shards: number;
  readonly control: Int32Array;
  readonly statistics: Float64Array;
  readonly handOver: SharedArrayBuffer;
  readonly capture: SharedArrayBuffer;
  readonly events: SharedArrayBuffer;
  /** The table is shared with other designators. */
  readonly share?: ShareMemory;
  /** Rates that all shards share (POLICY_WORD). */
  readonly policy: Int32Array;
  /** Event descriptors of all shards, to wake them; every thread of the process may use them. */
  readonly wakeFds: readonly number[];
  readonly table: { readonly fd: number; readonly length: number; readonly connections: number };
  readonly io: ShardIo;
  readonly ports: readonly { readonly device: number; readonly vlan: number; readonly mac: Uint8Array }[];
  /** MTUs of outside and inside. */
  readonly mtus: readonly [number, number];
  readonly oneArm: boolean;
  /** CPU to stay on, −1 none. */
  readonly cpu: number;
  readonly plan: Plan;
  readonly routes: RouteSnapshot;
  /** Floating ports that the host's filter knows already. */
  readonly floating: readonly number[];
  /** Captures that run already. */
  readonly captures: readonly CaptureFilter[];
}

export interface ShardTaskWithMailbox extends ShardTask {
  readonly mailbox: MessagePort;
}

/** A shard's mailbox is emptied this often even when nothing says that mail waits. */
export const YIELD_EVERY_MS = 50;
/** An idle turn waits this long for traffic; the wake descriptor ends it early. */
export const IDLE_WAIT_MS = 20;
