/**
 * Another member of the group as this one knows it. A member that starts has a new incarnation, and each counts for
 * itself: first it is only heard, then, when it has listed what we sent a moment ago, it is proven to be of now.
 */
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
  /** The highest that was taken; and of each place in the window the one that was taken last. */
  sequence = 0;
  readonly #taken = new Float64Array(WINDOW).fill(-1);
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

  /** Has a message of the proven incarnation not come before? */
  isNew(sequence: number): boolean {
    if (sequence > this.sequence) return true;
    return sequence > this.sequence - WINDOW && this.#taken[sequence % WINDOW] !== sequence;
  }

  /** Takes a message that is new. */
  take(sequence: number): void {
    this.sequence = Math.max(this.sequence, sequence);
    this.#taken[sequence % WINDOW] = sequence;
  }

  /** Another incarnation is the proven one from its message with this sequence on; 0: none is. */
  begin(incarnation: number, sequence: number): void {
    this.incarnation = incarnation;
    this.sequence = sequence;
    // What the new one said before it was proven does not count later.
    this.#taken.fill(-1);
    for (let old = Math.max(0, sequence - WINDOW + 1); old <= sequence; old++) this.#taken[old % WINDOW] = old;
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
