/**
 * Power of two choices (Mitzenmacher 1996): two different eligible servers at random, and of these the better one: the
 * lower load where both report one, else the fewer tunnels for the weight. Nearly as even as looking at all, and many
 * designators that do not know of each other do not all pick the same. The generator's state lies in shared memory and
 * starts from the table's seed: one sequence, whoever asks.
 */
import { VIP_CELL } from '../flow/layout.js';
import { type Algorithm, NO_SERVER } from './algorithm.js';
import { LeastLoad, predict } from './least-load.js';
import type { ServerTable } from './servers.js';
import type { VipServers } from './vip-servers.js';

const STEP = 0x9e3779b9;

export class PowerOfTwo implements Algorithm {
  readonly ranking = 'count';
  readonly counts = 0;
  readonly #better: LeastLoad;

  constructor(readonly cells: ServerTable) {
    this.#better = new LeastLoad(cells, 'least-tunnels');
  }

  before(): boolean {
    return false;
  }

  choose(of: VipServers): number {
    const { ranking } = of;
    // A server may have left while the marks were looked at: it is counted out, and drawn again.
    for (let tries = 0; tries <= of.servers.length; tries++) {
      const { size } = ranking;
      if (size === 0) return NO_SERVER;
      const state = this.cells.vip(of.index, VIP_CELL.random) ^ this.cells.seed;
      const one = below(size, mix(state + STEP));
      const drawn = size === 1 ? one : below(size - 1, mix(state + 2 * STEP));
      const a = ranking.nth(one);
      const b = size === 1 ? a : ranking.nth(drawn >= one ? drawn + 1 : drawn);
      if (this.cells.eligible(a) && this.cells.eligible(b)) return this.#better.before(b, a) ? b : a;
      ranking.replay(of.position(this.cells.eligible(a) ? b : a));
    }
    return NO_SERVER;
  }

  take(server: number, of: VipServers): void {
    this.cells.setVip(of.index, VIP_CELL.random, (this.cells.vip(of.index, VIP_CELL.random) + 2 * STEP) | 0);
    predict(this.cells, server);
  }

  reason(server: number, of: VipServers): string {
    const { cells } = this;
    return `power of two: the better of two drawn from ${of.eligible}, ${cells.tunnels(server)} tunnels at weight ${cells.weight(server)}`;
  }
}

/** A 32-bit number into 0 … count − 1, evenly. */
function below(count: number, random: number): number {
  return Math.floor((random / 2 ** 32) * count);
}

/** splitmix32's finish: neighbouring states give numbers that have nothing in common. */
function mix(state: number): number {
  let z = state | 0;
  z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
  return (z ^ (z >>> 15)) >>> 0;
}
