/**
 * Messages that wait: until the host's drop filter knows a server's floating port (docs/decisions/0004), since the answer
 * that reveals it must not reach the host, nor may what follows; or until a NAT server knows the way to a client. A bounded
 * store of frame copies.
 */
import { SCRATCH_SLOT_LENGTH } from '../io/port.js';
import type { Batch } from './batch.js';

export const HELD_LIMIT = 256;

export class HeldFrames {
  readonly #bytes = new Uint8Array(HELD_LIMIT * SCRATCH_SLOT_LENGTH);
  readonly #length = new Int32Array(HELD_LIMIT);
  readonly #ingress = new Uint8Array(HELD_LIMIT);
  /** What the frame waits for: address index << 16 | port, or a next hop. */
  readonly #place = new Int32Array(HELD_LIMIT);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** False when the store is full or the frame is too long. */
  hold(batch: Batch, i: number, place: number): boolean {
    const length = batch.columns.length[i];
    if (this.#count >= HELD_LIMIT || length > SCRATCH_SLOT_LENGTH) return false;
    const offset = batch.columns.offset[i];
    const at = this.#count++;
    this.#bytes.set(batch.bytes.subarray(offset, offset + length), at * SCRATCH_SLOT_LENGTH);
    this.#length[at] = length;
    this.#ingress[at] = batch.columns.ingress[i];
    this.#place[at] = place;
    return true;
  }

  /** Puts frames whose place is known into scratch slots of the batch; the rest keeps its order. */
  release(batch: Batch, isRegistered: (place: number) => boolean, flags: number): void {
    let kept = 0;
    for (let at = 0; at < this.#count; at++) {
      const slot = isRegistered(this.#place[at]) ? batch.takeScratch() : -1;
      const from = at * SCRATCH_SLOT_LENGTH;
      if (slot >= 0) {
        batch.bytes.set(this.#bytes.subarray(from, from + this.#length[at]), batch.columns.offset[slot]);
        batch.columns.length[slot] = this.#length[at];
        batch.columns.ingress[slot] = this.#ingress[at];
        batch.columns.flags[slot] = flags;
        continue;
      }
      if (kept !== at) {
        this.#bytes.copyWithin(kept * SCRATCH_SLOT_LENGTH, from, from + this.#length[at]);
        this.#length[kept] = this.#length[at];
        this.#ingress[kept] = this.#ingress[at];
        this.#place[kept] = this.#place[at];
      }
      kept++;
    }
    this.#count = kept;
  }
}
