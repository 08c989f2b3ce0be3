/** Runs the command that powers a server off or on: no shell, a bounded time, a bounded memory of what it prints. */
import { type ChildProcess, spawn } from 'node:child_process';

/** Characters of its output that are kept for the log; the last ones, where errors stand. */
const OUTPUT_LIMIT = 2048;

export interface PowerFacts {
  readonly action: 'on' | 'off';
  readonly server: string;
  readonly address: string;
  readonly vip: string;
}

export interface PowerOutcome {
  /** null: it ended with status 0. */
  readonly fault: string | null;
  /** What it printed, both streams, at its end. */
  readonly output: string;
}

export class PowerCommands {
  readonly #running = new Set<ChildProcess>();

  /** Programs that are left in the background by one that has ended are not waited for. */
  run(argv: readonly string[], facts: PowerFacts, timeoutSeconds: number): Promise<PowerOutcome> {
    const [program, ...rest] = argv;
    const environment = {
      PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      DESIGNATOR_ACTION: facts.action,
      DESIGNATOR_SERVER: facts.server,
      DESIGNATOR_ADDRESS: facts.address,
      DESIGNATOR_VIP: facts.vip,
    };
    return new Promise((resolve) => {
      const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'pipe'], env: environment });
      this.#running.add(child);
      let output = '';
      let late = false;
      const timer = setTimeout(() => {
        late = true;
        child.kill('SIGKILL');
      }, timeoutSeconds * 1000);
      const read = (bytes: Buffer): void => {
        output = (output + bytes.toString('utf8')).slice(-OUTPUT_LIMIT);
      };
      child.stdout.on('data', read);
      child.stderr.on('data', read);
      const end = (fault: string | null): void => {
        if (!this.#running.delete(child)) return;
        clearTimeout(timer);
        // What it printed last may still be in the pipe.
        setImmediate(() => {
          child.stdout.destroy();
          child.stderr.destroy();
          resolve({ fault, output: output.trim() });
        });
      };
      child.on('error', (error: NodeJS.ErrnoException) => end(`cannot be run: ${error.code ?? error.message}`));
      child.on('exit', (status, signal) => {
        if (late) end(`took longer than ${timeoutSeconds} s`);
        else end(status === 0 ? null : signal === null ? `status ${status}` : `ended by ${signal}`);
      });
    });
  }

  /** Those that still run end now. */
  stop(): void {
    for (const child of this.#running) child.kill('SIGKILL');
  }
}
