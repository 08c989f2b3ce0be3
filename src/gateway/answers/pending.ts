/**
 * Questions that nobody may have answered: every member remembers those that came since the last sign of the master, and
 * the successor answers them at once, so that a host need not wait for its own next try (a second in Linux).
 */
import { ADDRESS_LIMIT } from './classify.js';
import type { Ask } from './heard.js';

export interface PendingOptions {
  /** Questions remembered at most; one a host and shared address, the last. */
  readonly limit?: number;
  /** Seconds after which a host has asked again or given up. */
  readonly maxAge?: number;
}

interface Remembered {
  readonly ask: Ask;
  readonly at: number;
}

export class PendingAsks {
  readonly #limit: number;
  readonly #maxAge: number;
  /** In the order of their time: a question that is asked again moves to the end. */
  readonly #asks = new Map<number, Remembered>();
  #overflow = 0;
  #expired = 0;

  constructor(options: PendingOptions = {}) {
    this.#limit = options.limit ?? 4096;
    this.#maxAge = options.maxAge ?? 3;
  }

  get size(): number {
    return this.#asks.size;
  }

  /** Takes note of a question that is not ours to answer. When full, the oldest is given up. */
  remember(ask: Ask, now: number): void {
    const key = keyOf(ask);
    this.#asks.delete(key);
    this.#forgetBefore(now - this.#maxAge);
    if (this.#asks.size >= this.#limit) {
      this.#asks.delete(this.#asks.keys().next().value as number);
      this.#overflow++;
    }
    this.#asks.set(key, { ask, at: now });
  }

  /** The master was seen at work at this time: what came before it is answered. */
  answeredUntil(time: number): void {
    for (const [key, { at }] of this.#asks) {
      if (at >= time) return;
      this.#asks.delete(key);
    }
  }

  /** Hands over all that are young enough, oldest first, and forgets them. */
  take(now: number): Ask[] {
    this.#forgetBefore(now - this.#maxAge);
    const asks = Array.from(this.#asks.values(), ({ ask }) => ask);
    this.#asks.clear();
    return asks;
  }

  counters(): { overflow: number; expired: number } {
    return { overflow: this.#overflow, expired: this.#expired };
  }

  #forgetBefore(time: number): void {
    for (const [key, { at }] of this.#asks) {
      if (at >= time) return;
      this.#asks.delete(key);
      this.#expired++;
    }
  }
}

/** A MAC has 48 bits, the place of an address 5: together what a number holds exactly. */
function keyOf({ host, index }: Ask): number {
  return host * ADDRESS_LIMIT + index;
}
