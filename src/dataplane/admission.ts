/**
 * May a request make a new tunnel? Per-source token bucket and a cap on half-open tunnels (DESIGN §8, "Defaults").
 * Retransmissions of a request never come here.
 */
import { HEADER, type TableMemory } from '../flow/layout.js';
import { TokenBuckets } from '../flow/token-bucket.js';
import { DROP } from './drop-reasons.js';
import type { Plan } from './plan.js';

export class Admission {
  #buckets: TokenBuckets | null = null;
  #halfOpenLimit = Number.POSITIVE_INFINITY;
  #rate = -1;
  #burst = -1;

  constructor(readonly memory: TableMemory) {}

  setPlan(plan: Plan): void {
    this.#halfOpenLimit = plan.halfOpenLimit ?? Number.POSITIVE_INFINITY;
    if (plan.requestsPerSecond === null) {
      this.#buckets = null;
      this.#rate = -1;
      return;
    }
    const burst = plan.burst ?? Math.max(1, Math.ceil(plan.requestsPerSecond));
    if (plan.requestsPerSecond === this.#rate && burst === this.#burst) return; // keep what the sources have used
    this.#rate = plan.requestsPerSecond;
    this.#burst = burst;
    this.#buckets = new TokenBuckets({ rate: this.#rate, burst });
  }

  /** −1 admitted, else the drop reason. Takes a token only when everything else allows the request. */
  admit(a0: number, a1: number, a2: number, a3: number, nowSeconds: number): number {
    if (Atomics.load(this.memory.header, HEADER.halfOpen) >= this.#halfOpenLimit) return DROP['half-open-limit'];
    if (this.#buckets !== null && !this.#buckets.take(a0, a1, a2, a3, nowSeconds)) return DROP['request-rate'];
    return -1;
  }
}
