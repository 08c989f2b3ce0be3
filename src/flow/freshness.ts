/**
 * What a member of a group needs to believe only what is of now, without a clock of the day: an incarnation of another one is
 * believed when it lists a sequence of our own incarnation that we sent within the last seconds, which no recording can.
 */

/** Seconds in which a sequence of ours must have been sent for its echo to prove anything. */
export const ECHO_SECONDS = 3;
/** Incarnations remembered that are believed no more. */
const SPENT_LIMIT = 1024;

/** The sequences that we sent in the last seconds. Sequences rise. */
export class OwnSequences {
  #sent: { sequence: number; readonly at: number }[] = [];
  /** The last one that is too long ago. */
  #floor = 0;
  #last = 0;

  sent(sequence: number, now: number): void {
    this.#sent.push({ sequence, at: now });
    this.#last = sequence;
    this.#prune(now);
  }

  /** Others have gone out since the one before, up to this sequence: they count as long as that does. */
  alsoSent(sequence: number): void {
    const before = this.#sent.at(-1);
    if (before === undefined) this.#floor = sequence;
    else before.sequence = sequence;
    this.#last = sequence;
  }

  /** Nothing that was sent up to now proves anything. */
  forget(): void {
    this.#sent = [];
    this.#floor = this.#last;
  }

  isRecent(sequence: number, now: number): boolean {
    this.#prune(now);
    return sequence > this.#floor && sequence <= this.#last;
  }

  #prune(now: number): void {
    let old = 0;
    while (old < this.#sent.length && this.#sent[old].at < now - ECHO_SECONDS) old++;
    if (old === 0) return;
    this.#floor = this.#sent[old - 1].sequence;
    this.#sent.splice(0, old);
  }
}

/** The last sequence of incarnations that are believed no more; the oldest are forgotten first. */
export class SpentIncarnations {
  readonly #last = new Map<number, number>();

  spend(incarnation: number, sequence: number): void {
    this.#last.delete(incarnation);
    this.#last.set(incarnation, sequence);
    if (this.#last.size > SPENT_LIMIT) for (const oldest of this.#last.keys()) return void this.#last.delete(oldest);
  }

  /** -1: nothing is known of it. */
  lastOf(incarnation: number): number {
    return this.#last.get(incarnation) ?? -1;
  }
}
