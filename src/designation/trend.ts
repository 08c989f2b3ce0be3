/** Where a quantity is going: a line through what was measured in the last while (least squares). No clock of its own. */
const SAMPLES = 64;

export class Trend {
  readonly #times: number[] = [];
  readonly #values: number[] = [];

  /** `window`: seconds that count; at most 64 measurements of it are kept. */
  constructor(readonly window: number) {}

  /** Measured at `now`; what comes sooner than a 64th of the window after the last one replaces nothing and is left out. */
  add(now: number, value: number): void {
    const last = this.#times.at(-1);
    if (last !== undefined && now - last < this.window / SAMPLES) return;
    this.#times.push(now);
    this.#values.push(value);
    while (this.#times.length > SAMPLES || this.#times[0] < now - this.window) {
      this.#times.shift();
      this.#values.shift();
    }
  }

  /** Units a second; 0 as long as a quarter of the window has not been seen. */
  get slope(): number {
    const times = this.#times;
    const count = times.length;
    if (count < 3 || times[count - 1] - times[0] < this.window / 4) return 0;
    const middle = times.reduce((sum, time) => sum + time, 0) / count;
    let above = 0;
    let below = 0;
    for (let i = 0; i < count; i++) {
      above += (times[i] - middle) * this.#values[i];
      below += (times[i] - middle) ** 2;
    }
    return above / below;
  }
}
