/** Replication over a bus: messages to the engine as they come, its turns when they are due. */
import type { ClusterBus } from '../bus.js';
import type { Replication } from '../replication.js';
import { monotonicSeconds } from './carried-bus.js';

const LONGEST_MS = 500;

export class StateLink {
  #timer: NodeJS.Timeout | null = null;
  #soon = false;
  #closed = false;

  /** `beforeTurn`: feeds what has changed; `now` is the clock of the replication. */
  constructor(
    readonly bus: ClusterBus,
    readonly replication: Replication,
    readonly beforeTurn: (now: number) => void = () => undefined,
    readonly clock: () => number = monotonicSeconds,
  ) {
    bus.subscribe('state', (from, incarnation, body) => {
      replication.receive(from, incarnation, body, this.clock());
      this.soon();
    });
    bus.onChange(({ kind, number }) => {
      if (kind === 'left') replication.forget(number);
      else replication.greet();
      this.soon();
    });
    this.soon();
  }

  /** Something is to be told: a turn follows when all that waits on the socket has been read. */
  soon(): void {
    if (this.#soon || this.#closed) return;
    this.#soon = true;
    setImmediate(() => {
      this.#soon = false;
      this.#turn();
    });
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #turn(): void {
    if (this.#closed) return;
    const now = this.clock();
    this.beforeTurn(now);
    this.replication.turn(now, (target, body) => this.bus.publish('state', body, target));
    if (this.#timer !== null) clearTimeout(this.#timer);
    const wait = Math.min(LONGEST_MS, Math.max(1, Math.ceil((this.replication.nextTime - this.clock()) * 1000)));
    this.#timer = setTimeout(() => this.#turn(), wait);
    this.#timer.unref();
  }
}
