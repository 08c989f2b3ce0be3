/**
 * The same host, the same gateway: weighted rendezvous hashing (Thaler and Ravishankar, "Using name-based mappings to
 * increase hit rates", 1998; weights by Schindelhauer and Schomaker, 2005). Every candidate draws for the host, a number
 * that depends on the two alone, and the best draw wins; so a candidate that leaves gives up its own hosts and no others
 * change, and members whose tables differ select alike. The parts follow the weights as throws of dice do: of 200 hosts
 * a third is 67 ± 7.
 */
import type { Mac } from '../../mac.js';
import { hashOfMac } from '../host-table.js';
import type { Candidate, Selection } from './selection.js';

export function rendezvous(candidates: readonly Candidate[], host: Mac): number {
  let best = 0;
  let least = Number.POSITIVE_INFINITY;
  for (const { number, weight } of candidates) {
    // −ln(u) / weight of an even u in (0, 1): the least of such numbers is a candidate's in proportion to its weight.
    const draw = -Math.log((hashOfMac(host, Math.imul(number, 0x9e3779b1)) + 0.5) / 2 ** 32) / weight;
    if (draw < least) {
      least = draw;
      best = number;
    }
  }
  return best;
}

export class Rendezvous implements Selection {
  #candidates: readonly Candidate[] = [];

  update(candidates: readonly Candidate[]): void {
    this.#candidates = candidates;
  }

  peek(host: Mac): number {
    return rendezvous(this.#candidates, host);
  }

  take(host: Mac): number {
    return this.peek(host);
  }

  follow(): void {}
}
