/** The demo's words: one line a step, what belongs to it indented below. Colours and a live line on terminals only. */
import { DesignatorError } from '../errors.js';

export interface NarratorOptions {
  readonly write: (text: string) => void;
  /** The last line may be written over. */
  readonly live: boolean;
  readonly color: boolean;
}

export interface StepResult {
  readonly step: string;
  readonly outcome: 'ok' | 'failed' | 'left out';
  readonly seconds: number;
  readonly message: string;
}

const INDENT = ' '.repeat(10);
const SGR = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33 } as const;

export class Narrator {
  readonly results: StepResult[] = [];
  readonly #o: NarratorOptions;
  readonly #began = performance.now();
  #muted = false;

  constructor(options: NarratorOptions) {
    this.#o = options;
  }

  get seconds(): number {
    return (performance.now() - this.#began) / 1000;
  }

  /** Nothing more is said or noted: what still runs was told to stop. */
  mute(): void {
    this.#muted = true;
  }

  #write(text: string): void {
    if (!this.#muted) this.#o.write(text);
  }

  heading(text: string): void {
    this.#write(`${this.#paint(text, 'bold')}\n`);
  }

  /** Lines below the step that has just ended. */
  block(text: string): void {
    const lines = text.trimEnd().split('\n');
    this.#write(`${lines.map((line) => (line === '' ? '' : `${INDENT}${this.#paint(line, 'dim')}`)).join('\n')}\n`);
  }

  /** Runs a step. What it answers replaces its title in the line that stays. An error is shown, and thrown again. */
  async step(title: string, run: () => Promise<string | undefined>): Promise<void> {
    const began = performance.now();
    if (this.#o.live) this.#write(`${this.#stamp()} ${this.#paint('…', 'yellow')} ${title}`);
    try {
      const message = (await run()) ?? title;
      this.#end('ok', title, message, began);
    } catch (error) {
      this.#end('failed', title, `${title}: ${(error as Error).message}`, began);
      throw new StepFailed(title, error);
    }
  }

  leftOut(title: string, reason: string): void {
    this.#end('left out', title, `${title}: left out, ${reason}`, performance.now());
  }

  #end(outcome: StepResult['outcome'], step: string, message: string, began: number): void {
    if (this.#muted) return;
    this.results.push({ step, outcome, seconds: Math.round(performance.now() - began) / 1000, message });
    const mark =
      outcome === 'ok'
        ? this.#paint('✓', 'green')
        : outcome === 'failed'
          ? this.#paint('✗', 'red')
          : this.#paint('-', 'yellow');
    this.#write(
      `${this.#o.live ? '\r\u001b[K' : ''}${this.#stamp()} ${mark} ${message.replaceAll('\n', `\n${INDENT}`)}\n`,
    );
  }

  #stamp(): string {
    return this.#paint(`[${this.seconds.toFixed(1).padStart(5)}s]`, 'dim');
  }

  #paint(text: string, style: keyof typeof SGR): string {
    return this.#o.color ? `\u001b[${SGR[style]}m${text}\u001b[0m` : text;
  }
}

/** A step did not hold; its line has been printed. */
export class StepFailed extends DesignatorError {
  constructor(title: string, cause: unknown) {
    super('TD_INTERNAL', `the step did not hold: ${title}`, {}, cause);
  }
}
