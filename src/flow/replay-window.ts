/**
 * Which sequence numbers of one sender have come: each is believed once, and none that is older than the window (RFC 4303
 * §3.4.3). Frames may overtake one another within it.
 */
export class ReplayWindow {
  readonly #bits: Uint32Array;

  /** Nothing up to `highest` is new. `length`: of the window, a multiple of 32. */
  constructor(
    public highest: number,
    readonly length: number,
  ) {
    this.#bits = new Uint32Array(length / 32).fill(0xffffffff);
  }

  /** Would `take` take it? */
  isNew(sequence: number): boolean {
    if (sequence > this.highest) return true;
    if (sequence <= this.highest - this.length || sequence <= 0) return false;
    return (this.#bits[this.#wordOf(sequence)] & (1 << (sequence % 32))) === 0;
  }

  /** False: it has come already, or is too old to tell. */
  take(sequence: number): boolean {
    if (!this.isNew(sequence)) return false;
    if (sequence > this.highest) {
      if (sequence - this.highest >= this.length) this.#bits.fill(0);
      else for (let s = this.highest + 1; s < sequence; s++) this.#clear(s);
      this.highest = sequence;
    }
    this.#bits[this.#wordOf(sequence)] |= 1 << (sequence % 32);
    return true;
  }

  #clear(sequence: number): void {
    this.#bits[this.#wordOf(sequence)] &= ~(1 << (sequence % 32));
  }

  #wordOf(sequence: number): number {
    return Math.floor(sequence / 32) % this.#bits.length;
  }
}
