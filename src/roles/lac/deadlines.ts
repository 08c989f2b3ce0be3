/** Who is due when: a binary heap. An item has one deadline at a time; a later `set` replaces the earlier one. */

interface Entry<T> {
  readonly at: number;
  readonly item: T;
}

export class Deadlines<T extends object> {
  readonly #heap: Entry<T>[] = [];
  /** The entry that counts; others of the item are stale and are skipped when they come up. */
  readonly #current = new Map<T, Entry<T>>();

  /** Infinity: none. */
  set(item: T, at: number): void {
    if (this.#current.get(item)?.at === at) return;
    if (at === Number.POSITIVE_INFINITY) {
      this.delete(item);
      return;
    }
    const entry = { at, item };
    this.#current.set(item, entry);
    this.#push(entry);
    // Stale entries must not outnumber the others for long.
    if (this.#heap.length > 2 * this.#current.size + 64) this.#rebuild();
  }

  delete(item: T): void {
    this.#current.delete(item);
  }

  get nextTime(): number {
    this.#skipStale();
    return this.#heap[0]?.at ?? Number.POSITIVE_INFINITY;
  }

  /** One that is due, which has no deadline any more then; null: none is. */
  take(now: number): T | null {
    this.#skipStale();
    const first = this.#heap[0];
    if (first === undefined || first.at > now) return null;
    this.#pop();
    this.#current.delete(first.item);
    return first.item;
  }

  get size(): number {
    return this.#current.size;
  }

  #skipStale(): void {
    while (this.#heap.length > 0 && this.#current.get(this.#heap[0].item) !== this.#heap[0]) this.#pop();
  }

  #rebuild(): void {
    this.#heap.length = 0;
    for (const entry of this.#current.values()) this.#push(entry);
  }

  #push(entry: Entry<T>): void {
    const heap = this.#heap;
    let i = heap.push(entry) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (heap[parent].at <= entry.at) break;
      heap[i] = heap[parent];
      i = parent;
    }
    heap[i] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Entry<T>;
    if (heap.length === 0) return;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1].at < heap[child].at) child++;
      if (heap[child].at >= last.at) break;
      heap[i] = heap[child];
      i = child;
    }
    heap[i] = last;
  }
}
