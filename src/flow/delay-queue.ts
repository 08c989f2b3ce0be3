/**
 * Items that all wait equally long, so that a queue in order of arrival is one in order of deadlines. Bounded; numbers
 * only. Adding and taking are O(1).
 */
export class DelayQueue {
  readonly #items: Int32Array;
  readonly #deadlines: Float64Array;
  #first = 0;
  #count = 0;

  constructor(
    readonly delay: number,
    capacity: number,
  ) {
    this.#items = new Int32Array(capacity);
    this.#deadlines = new Float64Array(capacity);
  }

  get count(): number {
    return this.#count;
  }

  /** False when the queue is full. `now` must not go backwards. */
  push(item: number, now: number): boolean {
    if (this.#count === this.#items.length) return false;
    const at = (this.#first + this.#count++) % this.#items.length;
    this.#items[at] = item;
    this.#deadlines[at] = now + this.delay;
    return true;
  }

  /** The next item that has waited long enough, or −1. */
  take(now: number): number {
    if (this.#count === 0 || this.#deadlines[this.#first] > now) return -1;
    const item = this.#items[this.#first];
    this.#first = (this.#first + 1) % this.#items.length;
    this.#count--;
    return item;
  }
}
