/**
 * Which virtual MACs this gateway holds, and when it shows the switches where they are. A switch learns from any frame
 * with the virtual MAC as its source. Adverts have the gateway's own; the others it serves are shown as often.
 */
import { type Mac, macBytes } from './mac.js';
import type { ForwarderAction } from './types.js';

/** Seconds for which one that others serve from now on is still held: they may need a moment, and the switches too. */
const LINGER = 0.2;

export class Holdings {
  readonly #macOf: (forwarder: number) => Mac;
  readonly #interval: number;
  readonly #own: number;
  /** Forwarders held: true when served. */
  readonly #held = new Map<number, boolean>();
  /** When those that are served, but for the own one, are shown next. */
  readonly #teaching = new Map<number, number>();
  /** Until when those are held that are not wanted any more. */
  readonly #lingering = new Map<number, number>();
  #actions: ForwarderAction[] = [];

  /** `own`: number of the own forwarder. */
  constructor(own: number, interval: number, macOf: (forwarder: number) => Mac) {
    this.#own = own;
    this.#interval = interval;
    this.#macOf = macOf;
  }

  serves(forwarder: number): boolean {
    return this.#held.get(forwarder) === true;
  }

  holds(forwarder: number): boolean {
    return this.#held.has(forwarder);
  }

  served(): number[] {
    return [...this.#held].filter(([, serve]) => serve).map(([number]) => number);
  }

  /** What is to be held: forwarder → served. Returns those that are served from now on. */
  set(wanted: ReadonlyMap<number, boolean>, now: number): number[] {
    const taken: number[] = [];
    for (const [number, serve] of [...this.#held]) {
      if (wanted.has(number) || this.#lingering.has(number)) continue;
      this.#lingering.set(number, now + LINGER);
      this.#teaching.delete(number);
      if (!serve) continue;
      this.#held.set(number, false);
      this.#actions.push({ kind: 'hold', number, mac: macBytes(this.#macOf(number)), serve: false });
    }
    for (const [number, serve] of wanted) {
      this.#lingering.delete(number);
      if (this.#held.get(number) === serve) continue;
      this.#held.set(number, serve);
      this.#actions.push({ kind: 'hold', number, mac: macBytes(this.#macOf(number)), serve });
      if (serve) {
        taken.push(number);
        if (number !== this.#own) this.#teaching.set(number, now + this.#interval / 2);
      } else this.#teaching.delete(number);
    }
    return taken;
  }

  /** Lets go of those that have been kept for long enough; all: of everything, at once. */
  letGo(now: number, all = false): void {
    for (const number of all ? [...this.#held.keys()] : [...this.#lingering.keys()]) {
      if (!all && now < (this.#lingering.get(number) ?? 0)) continue;
      this.#lingering.delete(number);
      this.#held.delete(number);
      this.#teaching.delete(number);
      this.#actions.push({ kind: 'let-go', number, mac: macBytes(this.#macOf(number)), serve: false });
    }
  }

  /** Holds on to what is held, without serving it. */
  suspend(now: number): void {
    this.set(new Map([...this.#held.keys()].map((number) => [number, false])), now);
  }

  /** Somebody else may have shown the switches other places: all are shown again now. */
  refresh(now: number): void {
    for (const number of this.#teaching.keys()) this.#teaching.set(number, now);
  }

  /** Which to show the switches now. */
  due(now: number): number[] {
    const numbers: number[] = [];
    for (const [number, next] of this.#teaching) {
      if (now < next) continue;
      numbers.push(number);
      this.#teaching.set(number, now + this.#interval);
    }
    return numbers;
  }

  get nextTime(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const time of this.#teaching.values()) next = Math.min(next, time);
    for (const until of this.#lingering.values()) next = Math.min(next, until);
    return next;
  }

  /** Since the last call. */
  actions(): ForwarderAction[] {
    const actions = this.#actions;
    this.#actions = [];
    return actions;
  }
}
