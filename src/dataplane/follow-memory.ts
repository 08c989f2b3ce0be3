/**
 * What clients have shown of following answers, per VIP and client address: the last that were seen, up to a limit for
 * each shard. It is asked for requests and for the first messages of tunnels, never for every packet.
 */
import { FOLLOW } from './follow-class.js';

/** Clients that a shard remembers. */
export const FOLLOW_LIMIT = 65_536;

export class FollowMemory {
  /** In the order of last use, oldest first. */
  readonly #classes = new Map<string, number>();
  /** Clients by class, of every VIP index that has any. */
  readonly #counts = new Map<number, Int32Array>();
  /** Clients that gave way to later ones. */
  forgotten = 0;

  constructor(readonly limit = FOLLOW_LIMIT) {}

  classOf(vip: number, a0: number, a1: number, a2: number, a3: number): number {
    return this.#classes.get(keyOf(vip, a0, a1, a2, a3)) ?? FOLLOW.unknown;
  }

  /** Returns the class that was known before. */
  set(vip: number, a0: number, a1: number, a2: number, a3: number, next: number): number {
    const key = keyOf(vip, a0, a1, a2, a3);
    const before = this.#classes.get(key) ?? FOLLOW.unknown;
    // Set anew, so that it is the youngest.
    this.#classes.delete(key);
    if (before !== FOLLOW.unknown) this.#count(vip, before, -1);
    if (next === FOLLOW.unknown) return before;
    if (this.#classes.size >= this.limit) this.#forgetOldest();
    this.#classes.set(key, next);
    this.#count(vip, next, 1);
    return before;
  }

  /** Clients of a class at a VIP. */
  count(vip: number, follow: number): number {
    return this.#counts.get(vip)?.[follow] ?? 0;
  }

  #forgetOldest(): void {
    for (const [key, follow] of this.#classes) {
      this.#classes.delete(key);
      this.#count(vipOf(key), follow, -1);
      this.forgotten++;
      return;
    }
  }

  #count(vip: number, follow: number, by: number): void {
    let counts = this.#counts.get(vip);
    if (counts === undefined) {
      counts = new Int32Array(4);
      this.#counts.set(vip, counts);
    }
    counts[follow] += by;
  }
}

const keyOf = (vip: number, a0: number, a1: number, a2: number, a3: number): string => `${vip} ${a0} ${a1} ${a2} ${a3}`;
const vipOf = (key: string): number => Number(key.slice(0, key.indexOf(' ')));
