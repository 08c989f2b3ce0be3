/** A program that keeps running in a namespace: its output by lines, its end, signals. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { type Environment, LabError, labEnvironment } from './command.js';
import { waitFor } from './wait.js';

/** A daemon that talks more than this loses its oldest lines. */
const LINES_KEPT = 20_000;

export interface DaemonOptions {
  readonly env?: Environment;
  /** Standard input: closed unless 'pipe'. */
  readonly stdin?: 'ignore' | 'pipe';
}

export class Daemon {
  readonly lines: string[] = [];
  readonly child: ChildProcess;
  /** Exit status, or the signal that ended it. */
  readonly ended: Promise<number | string>;
  #end: number | string | null = null;

  constructor(
    readonly label: string,
    env: Environment,
    program: string,
    args: readonly string[],
    options: DaemonOptions = {},
  ) {
    // A process group of its own: Ctrl-C in the terminal is for the demo, which ends its daemons in order.
    this.child = spawn(program, [...args], {
      env: labEnvironment({ ...env, ...options.env }),
      stdio: [options.stdin ?? 'ignore', 'pipe', 'pipe'],
      detached: true,
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      if (stream === null) continue;
      createInterface({ input: stream }).on('line', (line) => {
        if (this.lines.push(line) > LINES_KEPT) this.lines.shift();
      });
    }
    this.ended = new Promise((resolve) => {
      const end = (how: number | string): void => {
        this.#end ??= how;
        resolve(this.#end);
      };
      this.child.on('error', (error) => {
        this.lines.push(error.message);
        end(error.message);
      });
      this.child.on('close', (status, signal) => end(status ?? signal ?? -1));
    });
    this.child.stdin?.on('error', () => {});
  }

  get pid(): number {
    return this.child.pid ?? -1;
  }

  get running(): boolean {
    return this.#end === null;
  }

  log(): string {
    return this.lines.join('\n');
  }

  /** The last lines, for messages. */
  tail(count = 15): string {
    return this.lines
      .slice(-count)
      .map((line) => `  ${this.label}: ${line}`)
      .join('\n');
  }

  count(pattern: RegExp): number {
    return this.lines.filter((line) => pattern.test(line)).length;
  }

  /** The first line that matches, from line `from` on; LabError when the program ends before. */
  waitForLine(pattern: RegExp, timeoutMs = 10_000, from = 0): Promise<string> {
    return waitFor(
      `${this.label} to say ${pattern}`,
      () => {
        const line = this.lines.slice(from).find((text) => pattern.test(text));
        if (line === undefined && !this.running) {
          throw new LabError(`${this.label} ended (${this.#end}) before it said ${pattern}\n${this.tail()}`);
        }
        return line;
      },
      timeoutMs,
      () => this.tail(),
    );
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** SIGTERM, then SIGKILL; resolves when the program has ended. */
  async stop(graceMs = 2000): Promise<number | string> {
    if (this.#end !== null) return this.#end;
    this.signal('SIGTERM');
    const late = setTimeout(() => this.signal('SIGKILL'), graceMs);
    const how = await this.ended;
    clearTimeout(late);
    return how;
  }

  async kill(): Promise<void> {
    if (this.#end === null) this.signal('SIGKILL');
    await this.ended;
  }
}
