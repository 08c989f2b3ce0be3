/** The product's own call generator, as a process that holds its calls until it is told to end. */
import type { GeneratorResults } from '../../src/roles/lac/generator/results.js';
import { LabError } from '../../src/demo/lab/command.js';
import type { Daemon } from '../../src/demo/lab/daemon.js';
import type { Namespace } from '../../src/demo/lab/namespace.js';

/** It ends by itself after so long, whatever becomes of the lab. */
const HELD_SECONDS = 600;
const END_MS = 20_000;

export interface GeneratorOptions {
  /** The words that start the program: Node and main.js. */
  readonly self: readonly [string, string];
  readonly lns: string;
  readonly tunnels: number;
  /** One call a tunnel unless told otherwise. */
  readonly sessions?: number;
  /** As `--traffic` takes it. */
  readonly traffic: string;
  readonly password: string;
  /** More words of the command line. */
  readonly more?: readonly string[];
}

export class LabGenerator {
  readonly daemon: Daemon;
  readonly #wanted: string;

  constructor(
    readonly namespace: Namespace,
    label: string,
    { self, lns, tunnels, sessions = tunnels, traffic, password, more = [] }: GeneratorOptions,
  ) {
    const words = ['lac', '--generate', '--json', '--lns', lns, '--host-name', label, '--password', password];
    const size = ['--tunnels', `${tunnels}`, '--sessions', `${sessions}`, '--seconds', `${HELD_SECONDS}`];
    this.#wanted = `tunnels ${tunnels}/${tunnels}, sessions ${sessions}/${sessions}`;
    const line = [self[1], ...words, ...size, '--traffic', traffic, ...more];
    this.daemon = namespace.start(label, self[0], line);
  }

  /** Resolves when all tunnels and calls are up and traffic has begun. LabError when some failed. */
  async held(timeoutMs = 30_000): Promise<void> {
    const line = await this.daemon.waitForLine(/hold: /, timeoutMs);
    if (line.endsWith(this.#wanted)) return;
    const { failures } = await this.end();
    throw new LabError(`${this.daemon.label}: ${line}, not ${this.#wanted}: ${JSON.stringify(failures)}`);
  }

  /** Its last line of progress: `hold: tunnels 10/10, sessions 10/10`, with `lost` where calls ended. */
  progress(): string {
    return this.daemon.lines.filter((line) => /^\w+: tunnels /.test(line)).at(-1) ?? '';
  }

  /** Ends the run; what it has to say of it. */
  async end(): Promise<GeneratorResults> {
    this.daemon.signal('SIGINT');
    const line = await this.daemon.waitForLine(/^\{"tunnels"/, END_MS);
    return JSON.parse(line) as GeneratorResults;
  }
}
