/**
 * Evens out what the gateways carry: now and then it looks at the busiest and the least busy one and moves some hosts.
 *
 * Reports of load are late and waver, and nobody knows beforehand how much traffic a host takes along. So that it ends
 * instead of swinging: what was moved counts as moved until the reports show it; at most half the difference is moved at a
 * look; moving begins at one difference and ends at half of it; a direction that turns out wrong (what one was given has
 * to be taken back) needs twice the difference next time, and that is forgotten by halves in hours only; a host that
 * was moved is left alone, longer each time.
 */
import type { RebalanceOptions } from '../types.js';

/** Looks in which half of what was moved is taken to show in the reports. */
const HALF = 3;
/** Seconds in which half of a reluctance is forgotten. */
const RELUCTANCE_HALF = 3600;
const RELUCTANCE_MAX = 1024;
const FACTOR_MIN = 0.25;

export interface Carrier {
  readonly number: number;
  /** > 0. */
  readonly weight: number;
  readonly load: number;
  readonly hosts: number;
}

export interface Shift {
  readonly from: number;
  readonly to: number;
  readonly hosts: number;
}

interface Memory {
  /** Load that was moved to it (< 0: away) and does not show in its reports yet. */
  unseen: number;
  /** 1: was given hosts last; −1: gave some; 0: neither. */
  role: -1 | 0 | 1;
  /** How much more than usual the difference must be to undo what was done. */
  reluctance: number;
  /** Part of its weight that counts for hosts that come anew. */
  factor: number;
}

export class Rebalancer {
  reversals = 0;
  #options: RebalanceOptions | null = null;
  readonly #memories = new Map<number, Memory>();
  #nextLook = Number.POSITIVE_INFINITY;
  #active = false;

  configure(options: RebalanceOptions | null, now: number): void {
    const before = this.#options;
    this.#options = options;
    if (options === null) {
      this.#nextLook = Number.POSITIVE_INFINITY;
      this.#memories.clear();
      this.#active = false;
    } else if (before === null || before.interval !== options.interval) this.#nextLook = now + options.interval;
  }

  get nextTime(): number {
    return this.#nextLook;
  }

  /** Part (0.25 … 1) of a gateway's weight that counts for hosts that come anew: less for one that is busier than most. */
  factorOf(number: number): number {
    return this.#memories.get(number)?.factor ?? 1;
  }

  /** The hosts to be moved now. `carriers`: the gateways that hosts may be moved to or from. */
  look(carriers: readonly Carrier[], now: number): Shift | null {
    const options = this.#options;
    if (options === null || now < this.#nextLook) return null;
    this.#nextLook = now + options.interval;
    this.#age(options.interval);
    if (carriers.length < 2) return null;
    const busy = options.by === 'load' ? this.#byLoad(carriers) : byHosts(carriers);
    if (options.by === 'load') this.#follow(carriers, options.threshold);
    let from = 0;
    let to = 0;
    for (let i = 1; i < carriers.length; i++) {
      if (busy[i] > busy[from]) from = i;
      if (busy[i] < busy[to]) to = i;
    }
    const gap = busy[from] - busy[to];
    const source = carriers[from];
    const target = carriers[to];
    const enough = options.threshold * (this.#active ? 0.5 : 1) * this.#reluctance(source.number, target.number);
    this.#active = gap > enough;
    if (!this.#active || source.hosts === 0) return null;
    const each = busy[from] / source.hosts;
    if (each <= 0) return null;
    const eachThere = each * (source.weight / target.weight);
    // As many as make both equal; of loads, which are guesses, half of them.
    const hosts = Math.min(options.hosts, Math.floor((gap / (each + eachThere)) * (options.by === 'load' ? 0.5 : 1)));
    if (hosts < 1) return null;
    return { from: source.number, to: target.number, hosts };
  }

  /** So many hosts of the shift could be moved. */
  shifted(shift: Shift, hosts: number, carriers: readonly Carrier[]): void {
    const source = carriers.find(({ number }) => number === shift.from);
    const target = carriers.find(({ number }) => number === shift.to);
    if (hosts === 0 || source === undefined || target === undefined) return;
    const giver = this.#memory(shift.from);
    const taker = this.#memory(shift.to);
    if (giver.role === 1 || taker.role === -1) {
      this.reversals++;
      giver.reluctance = Math.min(RELUCTANCE_MAX, giver.reluctance * 2);
      taker.reluctance = Math.min(RELUCTANCE_MAX, taker.reluctance * 2);
    }
    giver.role = -1;
    taker.role = 1;
    const each = (source.load + giver.unseen) / source.hosts;
    giver.unseen -= each * hosts;
    taker.unseen += each * hosts * (source.weight / target.weight);
  }

  #memory(number: number): Memory {
    let memory = this.#memories.get(number);
    if (memory === undefined) {
      memory = { unseen: 0, role: 0, reluctance: 1, factor: 1 };
      this.#memories.set(number, memory);
    }
    return memory;
  }

  #byLoad(carriers: readonly Carrier[]): number[] {
    return carriers.map(({ number, load }) => Math.max(0, load + this.#memory(number).unseen));
  }

  /** Undoing needs a greater difference than going on. */
  #reluctance(from: number, to: number): number {
    const giver = this.#memory(from);
    const taker = this.#memory(to);
    const undoing = giver.role === 1 || taker.role === -1;
    return undoing ? 2 * Math.max(giver.reluctance, taker.reluctance) : 1;
  }

  #age(interval: number): void {
    const seen = 0.5 ** (1 / HALF);
    const forgotten = 0.5 ** (interval / RELUCTANCE_HALF);
    for (const memory of this.#memories.values()) {
      memory.unseen *= seen;
      memory.reluctance = Math.max(1, memory.reluctance * forgotten);
    }
  }

  /** Weights for new hosts: less by steps above one mark, back by smaller steps below another, as it is in between. */
  #follow(carriers: readonly Carrier[], threshold: number): void {
    const mean = carriers.reduce((sum, { load }) => sum + load, 0) / carriers.length;
    for (const { number, load } of carriers) {
      const memory = this.#memory(number);
      if (load > mean + threshold / 2) memory.factor = Math.max(FACTOR_MIN, memory.factor * 0.8);
      else if (load < mean + threshold / 4) memory.factor = Math.min(1, memory.factor * 1.1);
    }
  }
}

/** Hosts in proportion to what the weight entitles to: 1 is its part exactly. */
function byHosts(carriers: readonly Carrier[]): number[] {
  const hosts = carriers.reduce((sum, carrier) => sum + carrier.hosts, 0);
  const weights = carriers.reduce((sum, { weight }) => sum + weight, 0);
  return carriers.map((carrier) => (hosts === 0 ? 0 : (carrier.hosts * weights) / (carrier.weight * hosts)));
}
