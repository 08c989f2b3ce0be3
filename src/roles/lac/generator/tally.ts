/** What becomes of calls, in numbers. */
import { Histogram } from './histogram.js';
import type { Failure, GeneratorResults } from './results.js';

/** Different failures that are told apart; the rest is one line. */
const FAILURES_LIMIT = 64;

export class Tally {
  tunnelsUp = 0;
  up = 0;
  failed = 0;
  lost = 0;
  readonly tunnelTimes = new Histogram();
  readonly l2tpTimes = new Histogram();
  readonly setupTimes = new Histogram();
  readonly #failures = new Map<string, { stage: string; reason: string; count: number }>();
  #firstBegun = Number.POSITIVE_INFINITY;
  #lastUp = 0;
  readonly #perSecond = new Map<number, number>();

  begun(now: number): void {
    this.#firstBegun = Math.min(this.#firstBegun, now);
  }

  cameUp(startedAt: number, now: number): void {
    this.up++;
    this.#lastUp = now;
    this.setupTimes.add(now - startedAt);
    const second = Math.floor(now - this.#firstBegun);
    this.#perSecond.set(second, (this.#perSecond.get(second) ?? 0) + 1);
  }

  failure(stage: string, reason: string): void {
    const known = this.#failures.get(`${stage} ${reason}`);
    if (known !== undefined) {
      known.count++;
      return;
    }
    const isFull = this.#failures.size >= FAILURES_LIMIT;
    const [key, shown] = isFull ? ['other', 'other reasons'] : [`${stage} ${reason}`, reason];
    const entry = this.#failures.get(key);
    if (entry !== undefined) entry.count++;
    else this.#failures.set(key, { stage: isFull ? '' : stage, reason: shown, count: 1 });
  }

  get failures(): Failure[] {
    return [...this.#failures.values()].sort((a, b) => b.count - a.count);
  }

  sessions(asked: number, held: number): GeneratorResults['sessions'] {
    const seconds = this.#lastUp - this.#firstBegun;
    return {
      asked,
      up: this.up,
      failed: this.failed,
      lost: this.lost,
      held,
      perSecond: seconds > 0 ? Math.round(this.up / seconds) : 0,
      bestSecond: Math.max(0, ...this.#perSecond.values()),
      l2tpMs: this.l2tpTimes.figures(),
      setupMs: this.setupTimes.figures(),
    };
  }
}
