/**
 * Smooth weighted round robin: at each turn every candidate's credit grows by its weight; the one with the greatest
 * credit (the first of equals) is given and pays the sum of all weights. So over any run of turns each gets its part
 * to within one host or two, and a heavy one is not given many times in a row.
 */
import type { Candidate, Selection } from './selection.js';

interface Account {
  readonly number: number;
  readonly weight: number;
  credit: number;
}

export class Weighted implements Selection {
  #accounts: Account[] = [];
  #total = 0;

  update(candidates: readonly Candidate[]): void {
    const before = this.#accounts;
    const total = candidates.reduce((sum, candidate) => sum + candidate.weight, 0);
    // Credits are worth what the weights were; they keep their worth when the weights are written in other units.
    const scale = this.#total > 0 ? total / this.#total : 1;
    this.#accounts = candidates.map(({ number, weight }) => {
      const credit = (before.find((account) => account.number === number)?.credit ?? 0) * scale;
      return { number, weight, credit: Math.max(-total, Math.min(total, credit)) };
    });
    this.#total = total;
  }

  peek(): number {
    return this.#next()?.number ?? 0;
  }

  take(): number {
    const chosen = this.#next();
    if (chosen === undefined) return 0;
    for (const account of this.#accounts) account.credit += account.weight;
    chosen.credit -= this.#total;
    return chosen.number;
  }

  follow(number: number): void {
    const chosen = this.#accounts.find((account) => account.number === number);
    if (chosen === undefined) return;
    for (const account of this.#accounts) account.credit += account.weight;
    chosen.credit -= this.#total;
  }

  #next(): Account | undefined {
    let best: Account | undefined;
    for (const account of this.#accounts) {
      if (best === undefined || account.credit + account.weight > best.credit + best.weight) best = account;
    }
    return best;
  }
}
