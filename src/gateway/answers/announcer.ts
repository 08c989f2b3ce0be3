/**
 * When a master of a group whose hosts all have the master (`algorithm: master`) tells everybody where the shared
 * addresses are: when it takes the office, soon after for who has lost that, and when somebody who may have said
 * otherwise is heard again.
 */

/** Seconds after the beginning at which it is told. */
const TIMES = [0, 1, 4];
/** Seconds after which it is told again because a member is back: one of two masters has stepped down by then. */
const AGAIN = 1;

export class Announcer {
  #times: number[] = [];

  start(now: number): void {
    this.#times = TIMES.map((after) => now + after);
  }

  /** Somebody who was cut off may have been master there. */
  again(now: number): void {
    if (!this.#times.includes(now + AGAIN)) this.#times = [now + AGAIN];
  }

  stop(): void {
    this.#times = [];
  }

  /** Is it time? What was missed meanwhile is told once. */
  due(now: number): boolean {
    const before = this.#times.length;
    this.#times = this.#times.filter((at) => at > now);
    return this.#times.length < before;
  }

  get nextTime(): number {
    return Math.min(...this.#times);
  }
}
