/**
 * The main thread of an LNS or a LAC: one turn takes what the data path has handed up, lets the engines work, and sends
 * everything that they want to say in one native call. The engines never see a clock: every turn has one time.
 */
import type { L2tpEvent } from '../../protocol/l2tp/events.js';
import type { Datagram, Peer } from '../../protocol/l2tp/peer.js';

/** What came up from the data path; `from` only of what came by UDP. */
export interface LoopPunt {
  readonly kind: string;
  readonly slot: number;
  readonly bytes: Uint8Array;
  readonly from: Peer | null;
  readonly access: number;
}

/** The part of the data path that the loop needs. */
export interface LoopPlane {
  readonly batch: { datagram(to: Peer, bytes: Uint8Array): void; flush(): void };
  onPunt(listener: (punts: readonly LoopPunt[]) => void): void;
}

/** The part of the L2TP endpoint that the loop needs. */
export interface LoopEndpoint {
  receive(bytes: Uint8Array, from: Peer, now: number): string;
  events(): L2tpEvent[];
  output(now: number): Datagram[];
  readonly nextTime: number;
}

/** What makes the loop an LNS or a LAC. */
export interface LoopRole {
  /** Everything that is no L2TP control message. */
  punt(punt: LoopPunt, now: number): void;
  event(event: L2tpEvent, now: number): void;
  /** What is due; frames of sessions go into the plane's batch. Called in every turn, after the events. */
  run(now: number): void;
  /** When `run` has to be called next, at the latest. */
  readonly nextTime: number;
}

/** Acts produce events, which produce acts: a turn follows them so far, the rest waits for the next one. */
const ROUNDS = 64;
/** Timers of the event loop are no finer. */
const LEAST_MS = 1;
const LONGEST_MS = 60_000;

export class EndpointLoop {
  readonly #plane: LoopPlane;
  readonly #endpoint: LoopEndpoint;
  readonly #role: LoopRole;
  readonly #clock: () => number;
  readonly #onError: (error: unknown) => void;
  #timer: NodeJS.Timeout | null = null;
  #woken = false;
  #running = false;
  #stopped = false;
  /** Turns so far, and control messages that the endpoint did not take, by its word for the reason. */
  turns = 0;
  readonly refused = new Map<string, number>();

  /** `clock`: monotonic seconds. `onError`: a bug; the process is to end. */
  constructor(
    plane: LoopPlane,
    endpoint: LoopEndpoint,
    role: LoopRole,
    clock: () => number,
    onError: (error: unknown) => void,
  ) {
    this.#plane = plane;
    this.#endpoint = endpoint;
    this.#role = role;
    this.#clock = clock;
    this.#onError = onError;
  }

  now(): number {
    return this.#clock();
  }

  start(): void {
    this.#plane.onPunt((punts) => this.#guarded(() => this.#take(punts)));
    this.wake();
  }

  /** A turn soon: something outside of a turn has acted on an engine (an answer of RADIUS, a command). */
  wake(): void {
    if (this.#woken || this.#stopped) return;
    this.#woken = true;
    setImmediate(() => {
      this.#woken = false;
      if (!this.#stopped) this.#guarded(() => this.#settle());
    });
  }

  /** A turn now; for the last words of an orderly end. */
  flush(): void {
    if (!this.#running) this.#settle();
  }

  stop(): void {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #take(punts: readonly LoopPunt[]): void {
    if (this.#stopped) return;
    const now = this.#clock();
    for (const punt of punts) {
      if (punt.kind !== 'control') this.#role.punt(punt, now);
      else if (punt.from !== null) {
        const word = this.#endpoint.receive(punt.bytes, punt.from, now);
        if (word !== 'taken') this.refused.set(word, (this.refused.get(word) ?? 0) + 1);
      }
    }
    this.#settle();
  }

  #settle(): void {
    this.#running = true;
    this.turns++;
    const now = this.#clock();
    let rounds = 0;
    for (; rounds < ROUNDS; rounds++) {
      const events = this.#endpoint.events();
      for (const event of events) this.#role.event(event, now);
      this.#role.run(now);
      if (events.length === 0) break;
    }
    for (const { to, bytes } of this.#endpoint.output(now)) this.#plane.batch.datagram(to, bytes);
    this.#plane.batch.flush();
    this.#running = false;
    if (rounds === ROUNDS) this.wake();
    this.#arm();
  }

  #arm(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#stopped) return;
    const next = Math.min(this.#endpoint.nextTime, this.#role.nextTime);
    if (next === Number.POSITIVE_INFINITY) return;
    const wait = Math.min(LONGEST_MS, Math.max(LEAST_MS, Math.ceil((next - this.#clock()) * 1000)));
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#guarded(() => this.#settle());
    }, wait);
  }

  #guarded(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#onError(error);
    }
  }
}
