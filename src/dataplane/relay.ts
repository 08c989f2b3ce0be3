/**
 * Packets of tunnels that another member of the gateway group has: this one does not know them, so it hands the frame to
 * the others, from its own virtual MAC to theirs, and who knows the tunnel forwards it. A server sends to the designator
 * that the group inside gives it, whichever designator its client came through; until the members share one connection
 * table this is what brings both ways of a tunnel together. A frame is handed on once: one that comes from a virtual MAC
 * of the group is not handed on again.
 */
import { GROUP, GROUP_INSIDE, GROUP_OUTSIDE, GROUP_PEER_LIMIT, type TableMemory } from '../flow/layout.js';
import { PORT_OUTSIDE, SCRATCH_SLOT_LENGTH, VERDICT_RAW } from '../io/port.js';
import { type Batch, KIND_DONE } from './batch.js';
import { COUNTER } from './counters.js';

const SOURCE = 6;
/** What clients send of no tunnel, anywhere, is handed on no faster than this, by each shard: a flood stays here. */
const FROM_CLIENTS_PER_SECOND = 5000;

export class Relay {
  readonly #xdp: Int32Array;
  readonly #statistics: Float64Array;
  readonly #oneArm: boolean;
  #second = 0;
  #left = FROM_CLIENTS_PER_SECOND;

  constructor(memory: TableMemory, statistics: Float64Array, oneArm: boolean) {
    this.#xdp = memory.xdp;
    this.#statistics = statistics;
    this.#oneArm = oneArm;
  }

  setTime(seconds: number): void {
    const second = Math.floor(seconds);
    if (second === this.#second) return;
    this.#second = second;
    this.#left = FROM_CLIENTS_PER_SECOND;
  }

  /** Hands the frame on; `known`: it is certain that another member has the tunnel. False: there is nobody to have it, or it has been handed on before; it stays as it is. */
  take(batch: Batch, i: number, fromClient: boolean, known = false): boolean {
    const { columns } = batch;
    const outside = this.#oneArm ? fromClient : columns.ingress[i] === PORT_OUTSIDE;
    const group = outside ? GROUP_OUTSIDE : GROUP_INSIDE;
    const xdp = this.#xdp;
    if (xdp[group + GROUP.macHigh] === 0 || xdp[group + GROUP.peers] === 0 || xdp[group + GROUP.own] === 0)
      return false;
    const offset = columns.offset[i];
    const length = columns.length[i];
    // Only what came by the group: what is sent to this gateway by its own address is meant for it alone.
    if (!this.#ofGroup(batch, offset, group) || this.#ofGroup(batch, offset + SOURCE, group)) return false;
    if (fromClient && !known && this.#left-- <= 0) return false;
    for (let n = 1; n < GROUP_PEER_LIMIT; n++) {
      const peer = this.#peer(group, n);
      if (peer === 0) break;
      if (length > SCRATCH_SLOT_LENGTH) break;
      const slot = batch.takeScratch();
      if (slot < 0) break;
      const to = columns.offset[slot];
      batch.bytes.copyWithin(to, offset, offset + length);
      columns.length[slot] = length;
      columns.flags[slot] = columns.flags[i];
      this.#address(batch, slot, to, group, peer, columns.ingress[i]);
    }
    this.#address(batch, i, offset, group, this.#peer(group, 0), columns.ingress[i]);
    this.#statistics[COUNTER.relayed]++;
    return true;
  }

  /** Some member has no virtual MAC that this frame could be handed on to, and the cluster's bus reaches it. */
  goesByBus(batch: Batch, i: number, fromClient: boolean): boolean {
    const outside = this.#oneArm ? fromClient : batch.columns.ingress[i] === PORT_OUTSIDE;
    return this.#xdp[(outside ? GROUP_OUTSIDE : GROUP_INSIDE) + GROUP.byBus] !== 0;
  }

  /** Another member of the group handed it on. */
  wasTaken(batch: Batch, i: number, fromClient: boolean): boolean {
    const outside = this.#oneArm ? fromClient : batch.columns.ingress[i] === PORT_OUTSIDE;
    const group = outside ? GROUP_OUTSIDE : GROUP_INSIDE;
    return this.#xdp[group + GROUP.macHigh] !== 0 && this.#ofGroup(batch, batch.columns.offset[i] + SOURCE, group);
  }

  #peer(group: number, n: number): number {
    return (this.#xdp[group + GROUP.peers + (n >> 2)] >>> ((n & 3) * 8)) & 0xff;
  }

  #ofGroup(batch: Batch, at: number, group: number): boolean {
    return (
      batch.view.getInt32(at) === this.#xdp[group + GROUP.macHigh] &&
      batch.bytes[at + 4] === this.#xdp[group + GROUP.macLow]
    );
  }

  #address(batch: Batch, i: number, at: number, group: number, peer: number, port: number): void {
    const { bytes, columns } = batch;
    // Both begin as the destination does, which is a virtual MAC of the group.
    bytes.copyWithin(at + SOURCE, at, at + 5);
    bytes[at + SOURCE + 5] = this.#xdp[group + GROUP.own];
    bytes[at + 5] = peer;
    columns.ingress[i] = port;
    columns.egress[i] = port;
    columns.verdict[i] = VERDICT_RAW;
    batch.kind[i] = KIND_DONE;
  }
}
