/** The forwarders as the group sees them, and those of them that may be given to hosts. */
import type { Candidate } from './selection/selection.js';
import type { ForwarderView } from './types.js';

export class Views {
  readonly #views = new Map<number, ForwarderView>();
  #candidates: Candidate[] = [];
  #anyServed: number | null = null;

  set(list: readonly ForwarderView[]): void {
    this.#views.clear();
    for (const view of [...list].sort((a, b) => a.number - b.number)) this.#views.set(view.number, view);
  }

  /** Computes the candidates; `factorOf`: part of its weight that counts for a forwarder. */
  weigh(factorOf: (number: number) => number): void {
    const given = [...this.#views.values()].filter(({ server, givenOut }) => server !== 0 && givenOut);
    // Weights of zero are for gateways that are to get nobody, unless there are no others.
    const none = given.every(({ weight }) => weight <= 0);
    this.#candidates = given
      .filter(({ weight }) => none || weight > 0)
      .map(({ number, weight, load }) => ({ number, weight: none ? 1 : weight * factorOf(number), load }));
    this.#anyServed = null;
    for (const { number, server } of this.#views.values()) {
      if (server !== 0) {
        this.#anyServed = number;
        break;
      }
    }
  }

  /** Forwarders that hosts may be given, in the order of their numbers. */
  get candidates(): readonly Candidate[] {
    return this.#candidates;
  }

  /** When nothing is given out: some forwarder that is served, for an answer is better than none. */
  anyServed(): number | null {
    return this.#anyServed;
  }

  get(number: number): ForwarderView | undefined {
    return this.#views.get(number);
  }

  values(): IterableIterator<ForwarderView> {
    return this.#views.values();
  }

  served(number: number): boolean {
    return (this.#views.get(number)?.server ?? 0) !== 0;
  }

  /** May a host keep it when it asks? */
  usable(number: number): boolean {
    const view = this.#views.get(number);
    return view !== undefined && view.server !== 0 && view.givenOut;
  }
}
