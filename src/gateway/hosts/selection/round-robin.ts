/** One after the other, in the order of the numbers; weights do not matter. */
import type { Candidate, Selection } from './selection.js';

export class RoundRobin implements Selection {
  #numbers: readonly number[] = [];
  #last = 0;

  update(candidates: readonly Candidate[]): void {
    this.#numbers = candidates.map((candidate) => candidate.number);
  }

  peek(): number {
    const next = this.#numbers.find((number) => number > this.#last);
    return next ?? this.#numbers[0] ?? 0;
  }

  take(): number {
    const number = this.peek();
    this.#last = number;
    return number;
  }

  follow(number: number): void {
    this.#last = number;
  }
}
