/**
 * The least busy gateway by its own report, and what it was given since: a report says nothing yet of a host that was
 * given a moment ago, so without counting those all hosts of a burst would go to one gateway. A host counts as the
 * mean load of one host, in proportion to the weight, and is forgotten by halves while the reports come to show it.
 * A report replaces the one before only when it differs by more than it wavers.
 */
import type { Mac } from '../../mac.js';
import type { Candidate, Selection } from './selection.js';

/** Difference of load below which a new report changes nothing. */
const WAVER = 0.03;
/** Seconds in which half of what was given is taken to show in the reports. */
const HALF = 3;
/** Load that a host is taken to bring to a gateway of mean weight. */
const HOST_LOAD = 0.002;

interface Account {
  readonly number: number;
  readonly weight: number;
  readonly load: number;
  given: number;
}

export class LeastLoad implements Selection {
  #accounts: Account[] = [];
  #mean = 1;
  #forgotten = 0;

  update(candidates: readonly Candidate[], now: number): void {
    this.#forget(now);
    const before = this.#accounts;
    this.#mean = candidates.reduce((sum, { weight }) => sum + weight, 0) / Math.max(1, candidates.length);
    this.#accounts = candidates.map(({ number, weight, load }) => {
      const old = before.find((account) => account.number === number);
      const kept = old !== undefined && Math.abs(old.load - load) <= WAVER;
      return { number, weight, load: kept ? old.load : load, given: old?.given ?? 0 };
    });
  }

  peek(_host: Mac, now: number): number {
    this.#forget(now);
    return this.#next()?.number ?? 0;
  }

  take(_host: Mac, now: number): number {
    this.#forget(now);
    const chosen = this.#next();
    if (chosen === undefined) return 0;
    chosen.given++;
    return chosen.number;
  }

  follow(number: number): void {
    const chosen = this.#accounts.find((account) => account.number === number);
    if (chosen !== undefined) chosen.given++;
  }

  #next(): Account | undefined {
    let best: Account | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (const account of this.#accounts) {
      const expected = account.load + ((account.given + 1) * HOST_LOAD * this.#mean) / account.weight;
      if (expected < least) {
        best = account;
        least = expected;
      }
    }
    return best;
  }

  /** In steps of a tenth of the time, so that it does not depend on how often somebody asks. */
  #forget(now: number): void {
    const step = HALF / 10;
    const steps = Math.floor((now - this.#forgotten) / step);
    if (steps <= 0) return;
    const left = 0.5 ** (steps / 10);
    for (const account of this.#accounts) account.given *= left;
    this.#forgotten += steps * step;
  }
}
