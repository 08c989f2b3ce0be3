/** A far end of the benchmark, seen from the benchmark: a process in the client's or the server's namespace. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lab } from '#designator/demo/lab/lab.js';
import type { Namespace } from '#designator/demo/lab/namespace.js';
import type { EndAnswer, EndOrder, SendOrder, SendResult } from './end-protocol.js';
import type { FrameSet } from './frames.js';

export interface FarEndOptions {
  readonly lab: Lab;
  readonly namespace: Namespace;
  readonly device: string;
  readonly label: string;
  readonly cpu: number;
  /** Counts by an XDP program, and sends the kernel's own frames; else AF_PACKET and the device's counters. */
  readonly xdp: boolean;
}

export class FarEnd {
  readonly #options: FarEndOptions;
  readonly #child: ChildProcess;
  readonly #answers: string[] = [];
  #waiting: ((line: string) => void) | null = null;
  #loaded: FrameSet | null = null;
  #loadedLive = false;
  /** Rejects when the process ends; one listener for its whole life. */
  readonly #ended: Promise<never>;

  private constructor(options: FarEndOptions) {
    this.#options = options;
    const { namespace, device, label, cpu, xdp } = options;
    const script = path.join(import.meta.dirname, 'end-child.js');
    this.#child = spawn(
      'ip',
      [
        ...['netns', 'exec', namespace.name, 'taskset', '-c', String(cpu)],
        ...[process.execPath, script, device, xdp ? 'xdp' : 'host'],
      ],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
    this.#ended = new Promise((_, reject) => {
      this.#child.once('close', () => reject(new Error(`far end ${label} has ended`)));
    });
    this.#ended.catch(() => {}); // an end that nobody waits for is no error
    if (this.#child.stdout === null) throw new Error('no output of the far end');
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      if (this.#waiting === null) this.#answers.push(line);
      else this.#waiting(line);
    });
  }

  /** Resolves when it counts. */
  static async start(options: FarEndOptions): Promise<FarEnd> {
    const end = new FarEnd(options);
    await end.#answer();
    return end;
  }

  get xdp(): boolean {
    return this.#options.xdp;
  }

  /** Both directions at once: frames of `second` may leave by this end's source. */
  async join(second: FarEnd): Promise<void> {
    const { map } = await this.#ask({ wires: true });
    if (map !== undefined) await second.#ask({ join: map });
  }

  async #answer(): Promise<EndAnswer> {
    const line =
      this.#answers.shift() ??
      (await Promise.race([
        new Promise<string>((resolve) => {
          this.#waiting = resolve;
        }),
        this.#ended,
      ]));
    this.#waiting = null;
    const answer = JSON.parse(line) as EndAnswer;
    if (answer.error !== undefined) throw new Error(`far end ${this.#options.label}: ${answer.error}`);
    return answer;
  }

  #ask(order: EndOrder): Promise<EndAnswer> {
    this.#child.stdin?.write(`${JSON.stringify(order)}\n`);
    return this.#answer();
  }

  /**
   * `live`: to be sent by the kernel itself; only frames whose head is 64 bytes. Else by AF_PACKET. A set of both
   * directions can only be sent live, and only by the end that has joined the other one.
   */
  async load(set: FrameSet, live = false): Promise<void> {
    if (this.#loaded === set && this.#loadedLive === live) return;
    const file = path.join(this.#options.lab.folder, `${this.#options.label}.frames`);
    writeFileSync(file, set.frames);
    if (set.tail !== undefined) writeFileSync(file, set.tail, { flag: 'a' });
    await this.#ask({
      load: { file, headLength: set.frameLength, count: set.frames.length / set.frameLength, live, both: set.both },
    });
    this.#loaded = set;
    this.#loadedLive = live;
  }

  async send(order: SendOrder): Promise<SendResult> {
    const { sent = 0, seconds = 0 } = await this.#ask({ send: order });
    return { sent, seconds };
  }

  /** Frames that have arrived here since it was started. */
  async arrived(): Promise<number> {
    const { namespace, device, xdp } = this.#options;
    if (xdp) return (await this.#ask({ count: true })).packets ?? 0;
    return Number(await namespace.run('cat', [`/sys/class/net/${device}/statistics/rx_packets`]));
  }

  async startLatency(): Promise<void> {
    await this.#ask({ latency: 'start' });
  }

  /** Least nanoseconds of a bucket, and frames in it. */
  async endLatency(): Promise<[number, number][]> {
    return (await this.#ask({ latency: 'end' })).histogram ?? [];
  }

  /** From now on it is looked every millisecond whether something has arrived; only while this end sends nothing itself. */
  async startSilence(): Promise<void> {
    await this.#ask({ silence: 'start' });
  }

  /** The longest time without any frame since then, in milliseconds. */
  async endSilence(): Promise<number> {
    return (await this.#ask({ silence: 'end' })).silence ?? 0;
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const ended = once(this.#child, 'close');
    this.#child.stdin?.end();
    await Promise.race([ended, sleep(2000)]);
    this.#child.kill('SIGKILL');
  }
}
