/**
 * What the master does about a station that claims a shared address (RFC 5227 §2.4, RFC 4861 §7.2.6). It does not announce
 * the address to all, as a host would, since its hosts have been told different virtual MACs: it tells each known host its
 * own again, a bounded number a turn, and not more often than every second however often the station repeats itself.
 */
import type { AddressWords } from '../../wire/address.js';
import type { Mac } from '../mac.js';
import type { Claim } from './heard.js';

export interface DefenceOptions {
  /** Seconds between two defences of an address at least. */
  readonly interval?: number;
  /** Hosts told a second. */
  readonly hostsPerSecond?: number;
}

export interface DefendedHost {
  readonly mac: Mac;
  readonly addresses: readonly AddressWords[];
  readonly forwarder: number;
}

/** Stations named at a time, and after how many seconds again. */
const STATIONS_LIMIT = 64;
const NAMED_EVERY = 60;
/** Seconds between two turns of a defence. */
const STEP = 0.01;

export interface DefenceCounters {
  /** Frames in which a foreign station claimed a shared address. */
  claims: number;
  /** Defences begun, and hosts told in them. */
  defences: number;
  told: number;
  /** Stations not named, since there were too many. */
  unnamed: number;
}

export class ConflictDefence {
  readonly #interval: number;
  readonly #perStep: number;
  readonly #named = new Map<Mac, number>();
  readonly #counters: DefenceCounters = { claims: 0, defences: 0, told: 0, unnamed: 0 };
  /** A defence is asked for at this time; Infinity: none. */
  #due = Number.POSITIVE_INFINITY;
  #last = Number.NEGATIVE_INFINITY;
  #queue: Iterator<DefendedHost> | null = null;

  constructor(options: DefenceOptions = {}) {
    this.#interval = options.interval ?? 1;
    this.#perStep = Math.max(1, Math.round((options.hostsPerSecond ?? 2000) * STEP));
  }

  /**
   * Takes note of a claim. `master`: it is ours to defend. Returns the sentence for an event when the station is to be
   * named (once a minute), else null.
   */
  heard(claim: Claim, master: boolean, now: number): boolean {
    this.#counters.claims++;
    // Who only asks whether the address is free (duplicate address detection) has changed nobody's table: its answer is
    // the defence.
    if (master && claim.by !== 'detection' && this.#due === Number.POSITIVE_INFINITY)
      this.#due = Math.max(now, this.#last + this.#interval);
    return this.#toBeNamed(claim.station, now);
  }

  get nextTime(): number {
    return this.#due;
  }

  /** Hosts to be told their own forwarder now. `hosts` is asked for the table when a defence begins. */
  turn(hosts: () => Iterable<DefendedHost>, now: number): DefendedHost[] {
    if (now < this.#due) return [];
    if (this.#queue === null) {
      this.#queue = Array.from(hosts())[Symbol.iterator]();
      this.#last = now;
      this.#counters.defences++;
    }
    const told: DefendedHost[] = [];
    while (told.length < this.#perStep) {
      const next = this.#queue.next();
      if (next.done === true) {
        this.stop();
        this.#counters.told += told.length;
        return told;
      }
      told.push(next.value);
    }
    this.#due = now + STEP;
    this.#counters.told += told.length;
    return told;
  }

  /** We are master no more. */
  stop(): void {
    this.#queue = null;
    this.#due = Number.POSITIVE_INFINITY;
  }

  counters(): DefenceCounters {
    return { ...this.#counters };
  }

  #toBeNamed(station: Mac, now: number): boolean {
    const named = this.#named.get(station);
    if (named !== undefined && now - named < NAMED_EVERY) return false;
    if (named === undefined && this.#named.size >= STATIONS_LIMIT) {
      const [oldest, at] = this.#named.entries().next().value as [Mac, number];
      if (now - at < NAMED_EVERY) {
        this.#counters.unnamed++;
        return false;
      }
      this.#named.delete(oldest);
    }
    this.#named.delete(station);
    this.#named.set(station, now);
    return true;
  }
}
