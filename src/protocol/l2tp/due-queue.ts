/** Things that are due at some time, the earliest first: a binary heap in which every item knows its place. */
export interface Due {
  /** Seconds; set by `DueQueue` alone. */
  dueAt: number;
  /** Place in the heap, −1: not in it; set by `DueQueue` alone. */
  duePlace: number;
}

export class DueQueue<T extends Due> {
  readonly #heap: T[] = [];

  get size(): number {
    return this.#heap.length;
  }

  /** The earliest time, Infinity without items. */
  get nextTime(): number {
    return this.#heap.length === 0 ? Number.POSITIVE_INFINITY : this.#heap[0].dueAt;
  }

  /** The item is due at this time, wherever it was before; Infinity takes it out. */
  set(item: T, at: number): void {
    if (at === Number.POSITIVE_INFINITY) return this.remove(item);
    const before = item.dueAt;
    if (item.duePlace >= 0 && at === before) return;
    item.dueAt = at;
    if (item.duePlace < 0) {
      item.duePlace = this.#heap.length;
      this.#heap.push(item);
      this.#up(item.duePlace);
    } else if (at < before) this.#up(item.duePlace);
    else this.#down(item.duePlace);
  }

  remove(item: T): void {
    const place = item.duePlace;
    if (place < 0) return;
    item.duePlace = -1;
    const last = this.#heap.pop() as T;
    if (last === item) return;
    this.#put(last, place);
    this.#up(place);
    this.#down(last.duePlace);
  }

  /** Takes out an item that is due, or answers undefined. */
  take(now: number): T | undefined {
    if (this.nextTime > now) return undefined;
    const item = this.#heap[0];
    this.remove(item);
    return item;
  }

  #put(item: T, place: number): void {
    this.#heap[place] = item;
    item.duePlace = place;
  }

  #up(from: number): void {
    const item = this.#heap[from];
    let place = from;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (this.#heap[parent].dueAt <= item.dueAt) break;
      this.#put(this.#heap[parent], place);
      place = parent;
    }
    this.#put(item, place);
  }

  #down(from: number): void {
    const item = this.#heap[from];
    const { length } = this.#heap;
    let place = from;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= length) break;
      if (child + 1 < length && this.#heap[child + 1].dueAt < this.#heap[child].dueAt) child++;
      if (this.#heap[child].dueAt >= item.dueAt) break;
      this.#put(this.#heap[child], place);
      place = child;
    }
    this.#put(item, place);
  }
}
