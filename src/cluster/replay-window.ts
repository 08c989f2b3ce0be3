/**
 * Which sequence numbers of one sender have come: each is believed once, and none that is older than the window (RFC 4303
 * §3.4.3). Frames may overtake one another within it.
 */
const WINDOW = 4096;
const WORDS = WINDOW / 32;

export class ReplayWindow {
  readonly #bits = new Uint32Array(WORDS);

  /** Nothing up to `highest` is new. */
  constructor(public highest = 0) {
    this.#bits.fill(0xffffffff);
  }

  /** Would `take` take it? */
  isNew(sequence: number): boolean {
    if (sequence > this.highest) return true;
    if (sequence <= this.highest - WINDOW || sequence <= 0) return false;
    return (this.#bits[wordOf(sequence)] & (1 << (sequence % 32))) === 0;
  }

  /** False: it has come already, or is too old to tell. */
  take(sequence: number): boolean {
    if (!this.isNew(sequence)) return false;
    if (sequence > this.highest) {
      if (sequence - this.highest >= WINDOW) this.#bits.fill(0);
      else for (let s = this.highest + 1; s < sequence; s++) this.#clear(s);
      this.highest = sequence;
    }
    this.#bits[wordOf(sequence)] |= 1 << (sequence % 32);
    return true;
  }

  #clear(sequence: number): void {
    this.#bits[wordOf(sequence)] &= ~(1 << (sequence % 32));
  }
}

const wordOf = (sequence: number): number => Math.floor(sequence / 32) % WORDS;
