/**
 * Supervises the shards: a piscina pool of endless tasks, one thread each. Soft stop by a word in shared memory; a
 * crash restarts the shard in place, its table and counters intact; a shard without a heartbeat is fatal, because two
 * threads must never write for one owner (DESIGN §8).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { Piscina } from 'piscina';
import type { ShardMessage, ShardNotice } from '../dataplane/plan.js';
import { CONTROL, SHARD_STATE, SHARD_STATE_NAMES } from './control.js';
import type { ShardTask } from './shard-task.js';
import { keepHeapsQuiet } from './urgency.js';

/** `Task`, `Notice` and `Message`: what a thread is started with, says and hears. */
export interface ShardPoolOptions<Task extends PoolTask = ShardTask, Notice = ShardNotice> {
  readonly shards: number;
  /** Everything but the plan, which is asked for anew at every start. */
  readonly task: (shard: number) => Task;
  readonly onNotice: (shard: number, notice: Notice) => void;
  /** Before a crashed shard is started again: free what it held. */
  readonly onCrash: (shard: number, error: Error, restarts: number) => void;
  /** The process cannot go on: too many crashes, or a thread that hangs in native code. */
  readonly onFatal: (shard: number, error: Error) => void;
  /** Wakes a shard out of poll. */
  readonly wake: (shard: number) => void;
  /** No heartbeat for so long is a wedge. */
  readonly wedgedMs?: number;
  readonly maxRestarts?: number;
  readonly restartWindowMs?: number;
  readonly graceMs?: number;
  /** The module that a thread runs; the shard's own by default. */
  readonly filename?: string;
}

/** Whatever else a task has. */
export interface PoolTask {
  readonly control: Int32Array;
}

interface Slot {
  readonly shard: number;
  readonly control: Int32Array;
  mailbox: MessagePort | null;
  readonly kill: AbortController;
  restarts: number[];
  restartsTotal: number;
  beat: number;
  beatAt: number;
  done: Promise<void>;
}

export interface ShardStatus {
  readonly shard: number;
  readonly state: string;
  readonly restarts: number;
  readonly heartbeatAgeSeconds: number;
}

const RESTART_DELAY_MS = 50;
const RESTART_DELAY_MAX_MS = 2000;

export class ShardPool<Task extends PoolTask = ShardTask, Notice = ShardNotice, Message = ShardMessage> {
  readonly #o: Required<ShardPoolOptions<Task, Notice>>;
  readonly #pool: Piscina;
  readonly #slots: Slot[] = [];
  #watchdog: NodeJS.Timeout | null = null;
  #stopping = false;

  constructor(options: ShardPoolOptions<Task, Notice>) {
    const entry = new URL(import.meta.url.endsWith('.ts') ? './shard-entry.ts' : './shard-entry.js', import.meta.url);
    const filename = options.filename ?? fileURLToPath(entry);
    this.#o = { wedgedMs: 5000, maxRestarts: 5, restartWindowMs: 60_000, graceMs: 3000, ...options, filename };
    keepHeapsQuiet();
    this.#pool = new Piscina({
      filename,
      minThreads: options.shards,
      maxThreads: options.shards,
      concurrentTasksPerWorker: 1,
      maxQueue: options.shards,
      atomics: 'disabled',
      recordTiming: false,
      trackUnmanagedFds: false,
    });
    // An error outside any task would end the process without a listener; the task's own promise says the rest.
    this.#pool.on('error', () => {});
  }

  start(): void {
    for (let shard = 0; shard < this.#o.shards; shard++) {
      const slot: Slot = {
        shard,
        control: this.#o.task(shard).control,
        mailbox: null,
        kill: new AbortController(),
        restarts: [],
        restartsTotal: 0,
        beat: -1,
        beatAt: performance.now(),
        done: Promise.resolve(),
      };
      this.#slots.push(slot);
      slot.done = this.#supervise(slot);
    }
    this.#watchdog = setInterval(() => this.#checkHeartbeats(), 250);
  }

  async #supervise(slot: Slot): Promise<void> {
    for (;;) {
      const { port1, port2 } = new MessageChannel();
      slot.mailbox = port1;
      slot.beatAt = performance.now();
      port1.on('message', (notice: Notice) => this.#o.onNotice(slot.shard, notice));
      port1.unref();
      Atomics.store(slot.control, CONTROL.state, SHARD_STATE.starting);
      Atomics.add(slot.control, CONTROL.generation, 1);
      try {
        await this.#pool.run(
          { ...this.#o.task(slot.shard), mailbox: port2 },
          { transferList: [port2], signal: slot.kill.signal },
        );
        return;
      } catch (error) {
        Atomics.store(slot.control, CONTROL.state, SHARD_STATE.failed);
        if (this.#stopping) return;
        const now = performance.now();
        slot.restarts = [...slot.restarts.filter((at) => now - at < this.#o.restartWindowMs), now];
        slot.restartsTotal++;
        this.#o.onCrash(slot.shard, error as Error, slot.restartsTotal);
        if (slot.restarts.length > this.#o.maxRestarts) {
          this.#o.onFatal(slot.shard, error as Error);
          return;
        }
        await sleep(Math.min(RESTART_DELAY_MS * 2 ** (slot.restarts.length - 1), RESTART_DELAY_MAX_MS));
      } finally {
        port1.close();
        slot.mailbox = null;
      }
    }
  }

  #checkHeartbeats(): void {
    const now = performance.now();
    for (const slot of this.#slots) {
      const beat = Atomics.load(slot.control, CONTROL.heartbeat);
      if (beat !== slot.beat || Atomics.load(slot.control, CONTROL.state) !== SHARD_STATE.running) {
        slot.beat = beat;
        slot.beatAt = now;
      } else if (now - slot.beatAt > this.#o.wedgedMs && !this.#stopping) {
        this.#o.onFatal(
          slot.shard,
          new Error(`shard ${slot.shard} has made no turn for ${Math.round(now - slot.beatAt)} ms`),
        );
      }
    }
  }

  /** Sends to one shard; false when it is not running (it gets the present plan when it starts). */
  message(shard: number, message: Message): boolean {
    const slot = this.#slots[shard];
    if (slot?.mailbox == null) return false;
    slot.mailbox.postMessage(message);
    Atomics.store(slot.control, CONTROL.mail, 1);
    this.#o.wake(shard);
    return true;
  }

  broadcast(message: Message): void {
    for (const slot of this.#slots) this.message(slot.shard, message);
  }

  status(): ShardStatus[] {
    const now = performance.now();
    return this.#slots.map((slot) => ({
      shard: slot.shard,
      state: SHARD_STATE_NAMES[Atomics.load(slot.control, CONTROL.state)] ?? 'unknown',
      restarts: slot.restartsTotal,
      heartbeatAgeSeconds: Math.round(now - slot.beatAt) / 1000,
    }));
  }

  /** Soft stop; threads that do not end within the grace period are terminated. */
  async stop(): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    if (this.#watchdog !== null) clearInterval(this.#watchdog);
    for (const slot of this.#slots) {
      Atomics.store(slot.control, CONTROL.stop, 1);
      this.#o.wake(slot.shard);
    }
    const all = Promise.all(this.#slots.map((slot) => slot.done));
    const late = setTimeout(() => {
      for (const slot of this.#slots) slot.kill.abort();
    }, this.#o.graceMs);
    await all;
    clearTimeout(late);
    await Promise.race([this.#pool.destroy(), sleep(1000, undefined, { ref: false })]);
  }
}
