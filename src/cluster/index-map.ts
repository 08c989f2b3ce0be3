/** Which index of a stream is which of our table: two that name each other, or none. */
export class IndexMap {
  readonly #local: Int32Array;
  readonly #remote: Int32Array;
  #cursor = 0;

  constructor(streamCount: number, localCount: number) {
    this.#local = new Int32Array(streamCount);
    this.#remote = new Int32Array(localCount);
  }

  /** −1: none. */
  localOf(index: number): number {
    return (this.#local[index] ?? 0) - 1;
  }

  streamOf(local: number): number {
    return (this.#remote[local] ?? 0) - 1;
  }

  link(index: number, local: number): void {
    this.unlinkStream(index);
    this.unlinkLocal(local);
    this.#local[index] = local + 1;
    this.#remote[local] = index + 1;
  }

  unlinkStream(index: number): void {
    const local = this.localOf(index);
    if (local >= 0) this.#remote[local] = 0;
    if (index >= 0 && index < this.#local.length) this.#local[index] = 0;
  }

  unlinkLocal(local: number): void {
    const index = this.streamOf(local);
    if (index >= 0) this.#local[index] = 0;
    if (local >= 0 && local < this.#remote.length) this.#remote[local] = 0;
  }

  /**
   * The stream's index of something of ours, a new one if it had none: the same number where nothing stands there.
   * `isUsed`: does something stand at this index of the stream? −1: all are used.
   */
  claim(local: number, isUsed: (index: number) => boolean): number {
    const known = this.streamOf(local);
    if (known >= 0) return known;
    const count = this.#local.length;
    let index = local < count && this.#local[local] === 0 && !isUsed(local) ? local : -1;
    for (let steps = 0; index < 0 && steps < count; steps++) {
      const next = this.#cursor;
      this.#cursor = next + 1 === count ? 0 : next + 1;
      if (this.#local[next] === 0 && !isUsed(next)) index = next;
    }
    if (index >= 0) this.link(index, local);
    return index;
  }
}
