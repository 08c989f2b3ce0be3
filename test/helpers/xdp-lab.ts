/** What the tests of the XDP loader need: children in a namespace, and programs of their own. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Commands } from './xdp-loader-child.js';

const CHILD = resolve(import.meta.dirname, 'xdp-loader-child.ts');

/** One command, its words between single spaces. */
export const run = (command: string): string => {
  const [program, ...words] = command.split(' ');
  return execFileSync(program, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
};

/** A process in a namespace that does what it is told. */
export class Child {
  readonly #process: ChildProcess;
  private constructor(enter: string) {
    const [program, ...words] = [...enter.split(' '), process.execPath, '--import', 'tsx', CHILD];
    this.#process = spawn(program, words, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  }
  #answer(): Promise<unknown> {
    return new Promise((done, fail) => {
      const ended = (): void => fail(new Error('the process in the namespace has ended'));
      this.#process.once('exit', ended);
      this.#process.once('message', ({ result, error }: { result: unknown; error?: object }) => {
        this.#process.off('exit', ended);
        if (error === undefined) done(result);
        else fail(Object.assign(new Error(), error));
      });
    });
  }
  /** `enter`: the words that lead into the namespace. */
  static async start(enter: string): Promise<Child> {
    const child = new Child(enter);
    await child.#answer();
    return child;
  }
  do<Name extends keyof Commands>(
    name: Name,
    ...input: Parameters<Commands[Name]>
  ): Promise<Awaited<ReturnType<Commands[Name]>>> {
    const answer = this.#answer();
    this.#process.send({ name, input: input[0] });
    return answer as Promise<Awaited<ReturnType<Commands[Name]>>>;
  }
  async end(signal: 'SIGKILL' | 'SIGTERM' = 'SIGTERM'): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const gone = new Promise((done) => this.#process.once('exit', done));
    this.#process.kill(signal);
    await gone;
  }
}

/** A BPF program with clang. */
export function compileBpf(source: string, object: string, ...flags: string[]): void {
  const includes = readdirSync('/usr/include')
    .filter((name) => existsSync(`/usr/include/${name}/asm/types.h`))
    .map((name) => `-I/usr/include/${name}`);
  execFileSync('clang', ['-O2', '-target', 'bpf', '-mcpu=v3', ...includes, ...flags, '-c', source, '-o', object]);
}
