/**
 * Hand-over between shards: a control message that arrives at a shard which does not own the client goes, whole, to the
 * owner. One ring for every ordered pair of shards, in shared memory: one writer and one reader each, no lock.
 */
import { FrameRing, RING_META } from '../flow/ring.js';
import { FRAME_HANDED, SCRATCH_SLOT_LENGTH } from '../io/port.js';
import type { Batch } from './batch.js';

export const HAND_OVER_SLOTS = 64;

/** Bytes of shared memory for the rings of `shards` shards. */
export function handOverLength(shards: number): number {
  return shards * shards * FrameRing.byteLength(HAND_OVER_SLOTS);
}

export class HandOver {
  readonly #out: FrameRing[] = [];
  readonly #in: FrameRing[] = [];
  readonly #meta = new Int32Array(4);
  /** Bit of every shard that was given something since the last `takeTouched`. */
  #touched: number[] = [];

  constructor(
    readonly shard: number,
    readonly shards: number,
    memory: SharedArrayBuffer,
  ) {
    const length = FrameRing.byteLength(HAND_OVER_SLOTS);
    for (let other = 0; other < shards; other++) {
      this.#out.push(new FrameRing(memory, (shard * shards + other) * length, HAND_OVER_SLOTS));
      this.#in.push(new FrameRing(memory, (other * shards + shard) * length, HAND_OVER_SLOTS));
    }
  }

  /** False when the owner's ring is full, or the frame is longer than a slot. */
  push(owner: number, batch: Batch, i: number): boolean {
    const { offset, length, ingress, flags } = batch.columns;
    if (owner >= this.shards || length[i] > SCRATCH_SLOT_LENGTH) return false;
    if (!this.#out[owner].push(batch.bytes, offset[i], length[i], ingress[i], flags[i])) return false;
    if (!this.#touched.includes(owner)) this.#touched.push(owner);
    return true;
  }

  /** Shards that were given something: they may sleep and have to be woken. */
  takeTouched(): readonly number[] {
    if (this.#touched.length === 0) return this.#touched;
    const touched = this.#touched;
    this.#touched = [];
    return touched;
  }

  /** Moves what others handed over into scratch frames of the batch; returns how many. */
  drain(batch: Batch): number {
    let taken = 0;
    for (let other = 0; other < this.shards; other++) {
      if (other === this.shard) continue;
      const ring = this.#in[other];
      while (ring.pending() > 0) {
        const slot = batch.takeScratch();
        if (slot < 0) return taken;
        if (!ring.pop(batch.bytes, batch.columns.offset[slot], this.#meta)) {
          batch.returnScratch();
          break;
        }
        batch.columns.length[slot] = this.#meta[RING_META.length];
        batch.columns.ingress[slot] = this.#meta[RING_META.ingress];
        batch.columns.flags[slot] = this.#meta[RING_META.flags] | FRAME_HANDED;
        taken++;
      }
    }
    return taken;
  }
}
