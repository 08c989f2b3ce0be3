/**
 * Another member of the group as this one knows it. A member that starts has a new incarnation, and each counts for
 * itself: first it is only heard, then, when it has listed what we sent a moment ago, it is proven to be of now.
 */
import { ReplayWindow } from '../flow/replay-window.js';
import type { Advert } from '../wire/gateway-advert.js';

/** An incarnation of which no message has listed ours yet. */
export interface Unproven {
  readonly incarnation: number;
  sequence: number;
  heardAt: number;
}

/** Messages may overtake one another by so many: each is taken once, as in RFC 4303 §3.4.3. */
const WINDOW = 64;

export type Absence = 'silent' | 'stopped' | 'unreachable';

export class Peer {
  readonly number: number;
  /** Proven incarnation; 0: none yet. */
  incarnation = 0;
  #window = new ReplayWindow(0, WINDOW);
  /** Of the advert that counts. */
  advertSequence = 0;
  alive = false;
  absence: Absence = 'silent';
  /** When a message of it arrived here, and when anybody is known to have heard one. */
  direct = Number.NEGATIVE_INFINITY;
  sign = Number.NEGATIVE_INFINITY;
  /** When it last heard us, as far as its adverts tell. */
  heardUs = Number.NEGATIVE_INFINITY;
  advert: Advert | null = null;
  /** Since when it is alive, or dead. */
  since = Number.NEGATIVE_INFINITY;
  /** Questions asked since the last sign, and when the last of them was. */
  probes = 0;
  readonly unproven: Unproven[] = [];

  constructor(number: number) {
    this.number = number;
  }

  /** The highest of the proven incarnation that was taken. */
  get sequence(): number {
    return this.#window.highest;
  }

  /** Has a message of the proven incarnation not come before? */
  isNew(sequence: number): boolean {
    return this.#window.isNew(sequence);
  }

  /** Takes a message that is new. */
  take(sequence: number): void {
    this.#window.take(sequence);
  }

  /** Another incarnation is the proven one from its message with this sequence on; 0: none is. */
  begin(incarnation: number, sequence: number): void {
    this.incarnation = incarnation;
    // What the new one said before it was proven does not count later.
    this.#window = new ReplayWindow(sequence, WINDOW);
    this.advertSequence = 0;
    this.advert = null;
  }

  /** A sign of life at this time. */
  signAt(time: number): void {
    if (time <= this.sign) return;
    this.sign = time;
    this.probes = 0;
  }
}
