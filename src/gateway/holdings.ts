/**
 * Which virtual MACs this gateway holds, and when it shows the switches where they are. A switch learns from any frame
 * with the virtual MAC as its source: at once when it is taken over, often in the first second, then every second.
 */
import { type Mac, macBytes } from './mac.js';
import type { ForwarderAction } from './types.js';

/** Seconds after a change in which it is shown every interval. */
const FRESH = 1;
/** Seconds between two frames for a virtual MAC that has been served for a while. */
const STEADY = 1;
/** Seconds for which one that others serve from now on is still held: they may need a moment, and the switches too. */
const LINGER = 0.2;

interface Teaching {
  next: number;
  readonly freshUntil: number;
}

export class Holdings {
  readonly #macOf: (forwarder: number) => Mac;
  readonly #interval: number;
  /** Forwarders held: true when served. */
  readonly #held = new Map<number, boolean>();
  readonly #teaching = new Map<number, Teaching>();
  /** Until when those are held that are not wanted any more. */
  readonly #lingering = new Map<number, number>();
  #actions: ForwarderAction[] = [];

  constructor(interval: number, macOf: (forwarder: number) => Mac) {
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
        this.#teaching.set(number, { next: now + this.#interval / 2, freshUntil: now + FRESH });
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

  /** Somebody else may have shown the switches other places: all are shown again as if they were new. */
  refresh(now: number): void {
    for (const number of this.#teaching.keys()) this.#teaching.set(number, { next: now, freshUntil: now + FRESH });
  }

  /** Which to show the switches now. */
  due(now: number): number[] {
    const numbers: number[] = [];
    for (const [number, teaching] of this.#teaching) {
      if (now < teaching.next) continue;
      numbers.push(number);
      teaching.next = now + (now < teaching.freshUntil ? this.#interval : STEADY);
    }
    return numbers;
  }

  get nextTime(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const teaching of this.#teaching.values()) next = Math.min(next, teaching.next);
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
