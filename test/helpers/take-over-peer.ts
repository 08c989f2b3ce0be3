/** A server's end of take-over in a namespace: the real thing in a child process, asked from here. */
import { type ChildProcess, spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { labEnvironment } from '../../src/demo/lab/command.js';
import type { Namespace } from '../../src/demo/lab/namespace.js';

const CHILD = resolve(import.meta.dirname, 'take-over-child.mjs');

export class TakeOverPeer {
  readonly #child: ChildProcess;
  readonly #waiting: ((answer: unknown) => void)[] = [];

  private constructor(namespace: Namespace, settings: object) {
    const words = ['netns', 'exec', namespace.name, process.execPath, CHILD, JSON.stringify(settings)];
    this.#child = spawn('ip', words, { env: labEnvironment(namespace.env), stdio: ['pipe', 'pipe', 'inherit'] });
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on('line', (line) =>
      this.#waiting.shift()?.(JSON.parse(line)),
    );
  }

  /** `settings`: the `takeOver` section as it is written. */
  static async start(namespace: Namespace, settings: object): Promise<TakeOverPeer> {
    const peer = new TakeOverPeer(namespace, settings);
    await peer.#answer();
    return peer;
  }

  async call<T>(method: string, ...words: unknown[]): Promise<T> {
    const answer = this.#answer();
    this.#child.stdin?.write(`${JSON.stringify([method, ...words])}\n`);
    return answer as Promise<T>;
  }

  /** The host as it was. */
  async stop(): Promise<void> {
    const ended = new Promise((done) => this.#child.once('close', done));
    this.#child.stdin?.end();
    await ended;
  }

  #answer(): Promise<unknown> {
    return new Promise((done, fail) => {
      this.#waiting.push(done);
      this.#child.once('close', (code) => fail(new Error(`take-over child ended: ${code}`)));
    });
  }
}
