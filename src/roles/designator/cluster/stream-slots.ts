/** The streams that a process knows, with the numbers that the share map has for them. */
import { type Stream, streamKey } from '../../../cluster/stream.js';
import type { TableFeed } from '../../../cluster/table-feed.js';
import { STREAM_NUMBERS, STREAM_OURS } from '../../../flow/share-map.js';

/** A stream as this process has it. */
export interface Slot {
  readonly number: number;
  readonly origin: number;
  readonly shard: number;
  /** We write it. */
  feed: TableFeed | null;
  /** We opened it ourselves: nobody else has a better claim. */
  readonly opened: boolean;
  /** Seconds since when nobody writes it; 0: somebody does. */
  orphanSince: number;
  /** … until when its writer was one that is not believed here. */
  deafUntil: number;
  /** … since when it has no tunnels. */
  emptySince: number;
}

export class StreamSlots {
  readonly #slots = new Map<number, Slot>();
  readonly #byNumber: (Slot | undefined)[] = [];

  [Symbol.iterator](): Iterator<Slot> {
    return this.#slots.values();
  }

  get size(): number {
    return this.#slots.size;
  }

  find(origin: number, shard: number): Slot | undefined {
    return this.#slots.get(streamKey(origin, shard));
  }

  numbered(number: number): Slot | undefined {
    return this.#byNumber[number];
  }

  /** The stream that new tunnels of our own belong to. */
  open(origin: number, shard: number): Slot {
    return this.#add(STREAM_OURS, origin, shard, true);
  }

  /** Errors: RangeError, no number is free; replication holds fewer streams than there are. */
  of(stream: Stream): Slot {
    const known = this.#slots.get(stream.key);
    if (known !== undefined) return known;
    let number = 1;
    while (this.#byNumber[number] !== undefined) number++;
    if (number > STREAM_NUMBERS) throw new RangeError(`more than ${STREAM_NUMBERS} streams`);
    return this.#add(number, stream.name.origin, stream.name.shard, false);
  }

  remove(slot: Slot): void {
    this.#slots.delete(streamKey(slot.origin, slot.shard));
    this.#byNumber[slot.number] = undefined;
  }

  #add(number: number, origin: number, shard: number, opened: boolean): Slot {
    const slot: Slot = { number, origin, shard, feed: null, opened, orphanSince: 0, deafUntil: 0, emptySince: 0 };
    this.#slots.set(streamKey(origin, shard), slot);
    this.#byNumber[number] = slot;
    return slot;
  }
}
