/**
 * The one process-wide lock, a word in the table's header: HEADER.lock is 0 when free, else shard + 1 | generation << 8.
 * It is held for well under a microsecond (designation, free lists, address and next-hop tables). The memory is mapped,
 * not a SharedArrayBuffer, so a waiter cannot sleep on this word; it spins, then sleeps in ever longer steps on a private
 * word. Supervision frees the lock after its holder died.
 */

import { HEADER, type TableMemory } from './layout.js';

/** Tries before a waiter sleeps for the first time; 0.1 ms or so. */
const SPINS = 2000;
/** Sleeps at most: a holder that was preempted is back after a scheduler period. */
const LONGEST_SLEEP_MS = 4;

export class SpinLock {
  readonly #header: Int32Array;
  /** Nobody ever writes or notifies this word: waiting on it is sleeping. */
  readonly #pillow = new Int32Array(new SharedArrayBuffer(4));

  /** `deadlineMs`: a waiter gives up after so long; longer than supervision needs to notice a death. */
  constructor(
    memory: TableMemory,
    readonly deadlineMs = 10_000,
  ) {
    this.#header = memory.header;
  }

  /**
   * Takes the lock for `shard` (0 … SHARD_LIMIT − 1; SHARD_LIMIT is the main thread). Not re-entrant. Throws when it is
   * not had within the deadline: the holder is dead and nobody repaired it, or it waits for itself.
   */
  acquire(shard: number): void {
    const word = this.#word(shard);
    for (let spin = 0; spin < SPINS; spin++) {
      if (this.#header[HEADER.lock] === 0 && Atomics.compareExchange(this.#header, HEADER.lock, 0, word) === 0) return;
    }
    this.#acquireSlowly(word);
  }

  /** Gives it back. Returns false when this shard no longer held it (supervision took it away). */
  release(shard: number): boolean {
    const word = this.#word(shard);
    return Atomics.compareExchange(this.#header, HEADER.lock, word, 0) === word;
  }

  /** The shard that holds it, or −1. */
  holder(): number {
    const word = Atomics.load(this.#header, HEADER.lock);
    return word === 0 ? -1 : (word & 0xff) - 1;
  }

  /**
   * For supervision, when `deadShard` can run no more: frees the lock if it held it (any generation) and counts
   * HEADER.lockRepairs. Returns whether it did; the caller then lets RecordPool.adopt put the lists in order.
   */
  repair(deadShard: number): boolean {
    const word = Atomics.load(this.#header, HEADER.lock);
    if (word === 0 || (word & 0xff) !== deadShard + 1) return false;
    if (Atomics.compareExchange(this.#header, HEADER.lock, word, 0) !== word) return false;
    Atomics.add(this.#header, HEADER.lockRepairs, 1);
    return true;
  }

  /**
   * `repair` for a supervisor that has something to put in order before anybody else gets in: the lock passes from the
   * dead shard to `shard` without being free in between. Returns whether it did; the caller releases it.
   */
  takeOver(deadShard: number, shard: number): boolean {
    const word = Atomics.load(this.#header, HEADER.lock);
    if (word === 0 || (word & 0xff) !== deadShard + 1) return false;
    if (Atomics.compareExchange(this.#header, HEADER.lock, word, this.#word(shard)) !== word) return false;
    Atomics.add(this.#header, HEADER.lockRepairs, 1);
    return true;
  }

  /** After a crash of the whole process: frees the lock, whoever held it. Returns whether anybody did. */
  adopt(): boolean {
    if (Atomics.exchange(this.#header, HEADER.lock, 0) === 0) return false;
    Atomics.add(this.#header, HEADER.lockRepairs, 1);
    return true;
  }

  #word(shard: number): number {
    return (shard + 1) | (this.#header[HEADER.generation] << 8);
  }

  #acquireSlowly(word: number): void {
    let waited = 0;
    let sleep = 0.05;
    while (Atomics.compareExchange(this.#header, HEADER.lock, 0, word) !== 0) {
      if (waited > this.deadlineMs) {
        throw new Error(`table lock: not had within ${this.deadlineMs} ms, held by shard ${this.holder()}`);
      }
      Atomics.wait(this.#pillow, 0, 0, sleep);
      waited += sleep;
      sleep = Math.min(sleep * 2, LONGEST_SLEEP_MS);
    }
  }
}
