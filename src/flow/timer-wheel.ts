/**
 * One timer per item, seconds. Items wait in buckets, one per second; a bucket is a doubly linked list through two words
 * of the items themselves. Scheduling, re-scheduling and cancelling are O(1) and allocate nothing. A deadline farther
 * away than the wheel reaches waits in the last bucket that it does reach and is looked at again there.
 *
 * The wheel belongs to one thread: heads and deadlines are private, so links that an earlier process left in the items
 * mean nothing and need no clearing.
 */

export class TimerWheel {
  /** Items that wait. */
  size = 0;
  readonly #words: Int32Array;
  readonly #stride: number;
  readonly #next: number;
  readonly #previous: number;
  readonly #heads: Int32Array;
  readonly #mask: number;
  /** Per item: 0 not scheduled, else deadline − #epoch + 1. */
  readonly #deadlines: Int32Array;
  /** Per item: its bucket. */
  readonly #places: Uint16Array;
  readonly #epoch: number;
  /** The second whose bucket is being emptied, or was last; nothing is ever put into that bucket. */
  #current: number;

  /**
   * Item i has its words at `words[i · stride]`, its links at the word offsets `next` and `previous` (index + 1 each).
   * `nowSeconds`: the time from which `advance` goes on. `buckets`: a power of two up to 65536.
   */
  constructor(words: Int32Array, stride: number, next: number, previous: number, nowSeconds: number, buckets = 1024) {
    if (buckets < 2 || buckets > 65536 || (buckets & (buckets - 1)) !== 0) {
      throw new RangeError(`timer wheel: ${buckets} buckets, a power of two from 2 to 65536 is needed`);
    }
    const count = Math.floor(words.length / stride);
    this.#words = words;
    this.#stride = stride;
    this.#next = next;
    this.#previous = previous;
    this.#heads = new Int32Array(buckets);
    this.#mask = buckets - 1;
    this.#deadlines = new Int32Array(count);
    this.#places = new Uint16Array(count);
    this.#epoch = Math.floor(nowSeconds);
    this.#current = this.#epoch;
  }

  /** The item is due at `deadlineSeconds` (rounded up), at the earliest a second after the last `advance`. */
  schedule(index: number, deadlineSeconds: number): void {
    if (this.#deadlines[index] !== 0) this.#unlink(index);
    else this.size++;
    const deadline = Math.max(Math.ceil(deadlineSeconds), this.#current + 1);
    this.#deadlines[index] = deadline - this.#epoch + 1;
    this.#link(index, deadline);
  }

  /** The item waits no longer; it need not have waited. */
  cancel(index: number): void {
    if (this.#deadlines[index] === 0) return;
    this.#unlink(index);
    this.#deadlines[index] = 0;
    this.size--;
  }

  isScheduled(index: number): boolean {
    return this.#deadlines[index] !== 0;
  }

  /** Deadline of a waiting item, seconds; −1 when it does not wait. */
  deadline(index: number): number {
    return this.#deadlines[index] === 0 ? -1 : this.#deadlines[index] + this.#epoch - 1;
  }

  /**
   * Calls `onDue` for items whose deadline has come, each no longer scheduled by then; it may schedule and cancel any
   * item. At most `limit` of them: the rest comes with the next call. Returns how many there were.
   */
  advance(nowSeconds: number, onDue: (index: number) => void, limit = 0x7fffffff): number {
    const now = Math.floor(nowSeconds);
    // After a long pause every bucket is looked at once, not once per second that went by.
    if (now - this.#current > this.#mask) this.#current = now - this.#mask;
    let fired = 0;
    for (;;) {
      const bucket = this.#current & this.#mask;
      while (this.#heads[bucket] !== 0) {
        const index = this.#heads[bucket] - 1;
        const deadline = this.#deadlines[index] + this.#epoch - 1;
        if (deadline > this.#current) {
          this.#unlink(index);
          this.#link(index, deadline);
          continue;
        }
        if (fired >= limit) return fired;
        this.cancel(index);
        fired++;
        onDue(index);
      }
      if (this.#current >= now) return fired;
      this.#current++;
    }
  }

  #link(index: number, deadline: number): void {
    const bucket = Math.min(deadline, this.#current + this.#mask) & this.#mask;
    const words = this.#words;
    const at = index * this.#stride;
    const head = this.#heads[bucket];
    words[at + this.#next] = head;
    words[at + this.#previous] = 0;
    if (head !== 0) words[(head - 1) * this.#stride + this.#previous] = index + 1;
    this.#heads[bucket] = index + 1;
    this.#places[index] = bucket;
  }

  #unlink(index: number): void {
    const words = this.#words;
    const at = index * this.#stride;
    const after = words[at + this.#next];
    const before = words[at + this.#previous];
    if (after !== 0) words[(after - 1) * this.#stride + this.#previous] = before;
    if (before !== 0) words[(before - 1) * this.#stride + this.#next] = after;
    else this.#heads[this.#places[index]] = after;
  }
}
