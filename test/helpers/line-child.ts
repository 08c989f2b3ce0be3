/** A script in a network namespace that reads `[method, …arguments]` as JSON lines and answers each with one line. */
import { type ChildProcess, spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { labEnvironment } from '../../src/demo/lab/command.js';
import type { Namespace } from '../../src/demo/lab/namespace.js';

export class LineChild {
  readonly #child: ChildProcess;
  readonly #waiting: { done: (answer: unknown) => void; fail: (why: Error) => void }[] = [];

  private constructor(namespace: Namespace, script: string, words: readonly string[]) {
    const path = resolve(import.meta.dirname, script);
    const line = ['netns', 'exec', namespace.name, process.execPath, path, ...words];
    this.#child = spawn('ip', line, { env: labEnvironment(namespace.env), stdio: ['pipe', 'pipe', 'inherit'] });
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on('line', (text) =>
      this.#waiting.shift()?.done(JSON.parse(text)),
    );
    this.#child.once('close', (code) => {
      for (const { fail } of this.#waiting.splice(0)) fail(new Error(`the child in the namespace ended: ${code}`));
    });
  }

  /** `script`: a file beside this one. */
  static async start(namespace: Namespace, script: string, words: readonly string[]): Promise<LineChild> {
    const child = new LineChild(namespace, script, words);
    await child.#answer();
    return child;
  }

  async call<T>(method: string, ...words: unknown[]): Promise<T> {
    const answer = this.#answer();
    this.#child.stdin?.write(`${JSON.stringify([method, ...words])}\n`);
    return answer as Promise<T>;
  }

  async stop(): Promise<void> {
    const ended = new Promise((done) => this.#child.once('close', done));
    this.#child.stdin?.end();
    await ended;
  }

  #answer(): Promise<unknown> {
    return new Promise((done, fail) => {
      this.#waiting.push({ done, fail });
    });
  }
}
