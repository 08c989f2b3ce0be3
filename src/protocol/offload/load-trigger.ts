/**
 * When an LNS is heavily loaded (document 002, step 224): connections, memory or processor over a threshold. Each has
 * two marks: it begins over the upper one, held for some seconds, and ends below the lower one.
 */
export const LOAD_REASONS = ['sessions', 'tunnels', 'memory', 'cpu'] as const;
export type LoadReason = (typeof LOAD_REASONS)[number];

/** Counts, or shares of 0 … 1. */
export interface LoadMarks {
  readonly above: number;
  /** Default nine tenths of `above`. */
  readonly below?: number;
}

export interface LoadTriggerOptions {
  readonly marks: Partial<Record<LoadReason, LoadMarks>>;
  /** Seconds that a value has to be over its mark. Default 3. */
  readonly hold?: number;
  /** Seconds until a load that has not gone asks again. Default 30. */
  readonly again?: number;
}

export interface LoadDemand {
  readonly reason: LoadReason;
  readonly value: number;
  readonly above: number;
  readonly below: number;
}

export class LoadTrigger {
  readonly #marks: readonly (readonly [reason: LoadReason, above: number, below: number])[];
  readonly #hold: number;
  readonly #again: number;
  readonly #since = new Map<LoadReason, number>();
  readonly #loaded = new Set<LoadReason>();
  #askedAt = Number.NEGATIVE_INFINITY;

  constructor({ marks, hold = 3, again = 30 }: LoadTriggerOptions) {
    this.#marks = LOAD_REASONS.flatMap((reason) => {
      const mark = marks[reason];
      return mark === undefined ? [] : [[reason, mark.above, mark.below ?? mark.above * 0.9] as const];
    });
    this.#hold = hold;
    this.#again = again;
  }

  /** Over some mark and not yet below it again. */
  get loaded(): readonly LoadReason[] {
    return [...this.#loaded];
  }

  /** Looks at the load; what is asked for now, if anything. A reason that is not known (null) is none. */
  look(load: Readonly<Record<LoadReason, number | null>>, now: number): LoadDemand | null {
    let demand: LoadDemand | null = null;
    for (const [reason, above, below] of this.#marks) {
      const value = load[reason];
      if (value === null || value <= (this.#loaded.has(reason) ? below : above)) {
        this.#since.delete(reason);
        this.#loaded.delete(reason);
        continue;
      }
      const since = this.#since.get(reason) ?? now;
      this.#since.set(reason, since);
      if (now - since < this.#hold) continue;
      this.#loaded.add(reason);
      demand ??= { reason, value, above, below };
    }
    if (demand === null || now - this.#askedAt < this.#again) return null;
    this.#askedAt = now;
    return demand;
  }
}
