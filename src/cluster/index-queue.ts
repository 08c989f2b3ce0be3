/** Indices that wait, each at most once, in the order in which they came: bounded by the number of indices there are. */
export class IndexQueue {
  readonly #waiting: Uint8Array;
  #ring = new Int32Array(64);
  #head = 0;
  #size = 0;

  constructor(readonly capacity: number) {
    this.#waiting = new Uint8Array(capacity);
  }

  get size(): number {
    return this.#size;
  }

  /** False: it waits already, or there is no such index. */
  push(index: number): boolean {
    if (index < 0 || index >= this.capacity || this.#waiting[index] === 1) return false;
    this.#waiting[index] = 1;
    if (this.#size === this.#ring.length) this.#grow();
    this.#ring[(this.#head + this.#size) & (this.#ring.length - 1)] = index;
    this.#size++;
    return true;
  }

  /** The next one, or −1. */
  peek(): number {
    return this.#size === 0 ? -1 : this.#ring[this.#head];
  }

  pop(): number {
    if (this.#size === 0) return -1;
    const index = this.#ring[this.#head];
    this.#head = (this.#head + 1) & (this.#ring.length - 1);
    this.#size--;
    this.#waiting[index] = 0;
    return index;
  }

  clear(): void {
    while (this.#size > 0) this.pop();
  }

  #grow(): void {
    const ring = new Int32Array(this.#ring.length * 2);
    for (let i = 0; i < this.#size; i++) ring[i] = this.#ring[(this.#head + i) & (this.#ring.length - 1)];
    this.#ring = ring;
    this.#head = 0;
  }
}
