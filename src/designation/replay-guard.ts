/**
 * Which authenticated load status messages are believed: those of now, each once, in order. A status replaces the one
 * before, so nothing is lost by refusing one that was overtaken on its way, and no window of past ones is needed.
 * Reads no clock.
 */
export type StaleFault = 'late' | 'early' | 'replayed';

export class ReplayGuard {
  /** Sequence of the last believed message, by sender. */
  readonly #last = new Map<string, number>();

  /** `skewMs`: how far a sender's clock may be from ours. */
  constructor(public skewMs: number) {}

  /** Null: believe it, and nothing as old from this sender any more. */
  judge(sender: string, sequence: number, timeMs: number, nowMs: number): StaleFault | null {
    if (timeMs < nowMs - this.skewMs) return 'late';
    if (timeMs > nowMs + this.skewMs) return 'early';
    const last = this.#last.get(sender);
    if (last !== undefined && sequence <= last) return 'replayed';
    this.#last.set(sender, sequence);
    return null;
  }

  /** Forgets senders that are no longer known. */
  keep(senders: { has(sender: string): boolean }): void {
    for (const sender of this.#last.keys()) if (!senders.has(sender)) this.#last.delete(sender);
  }
}
