/** A bus over any carrier: a core, the carrier's frames, and the clock and timer that an engine has none of. */
import { randomBytes } from 'node:crypto';
import type { ClusterSubject } from '../../wire/cluster-bus.js';
import type { BusChange, BusHandler, BusMember, BusState, ClusterBus } from '../bus.js';
import { BusCore } from '../bus-core.js';

export interface BusOptions {
  readonly cluster: string;
  readonly number: number;
  readonly key: Uint8Array | null;
  /** Seconds between two status messages, 1 by default. */
  readonly interval?: number;
}

/** Brings frames to other members, whole, without promising that they arrive. */
export interface Carrier {
  /** `target` 0: to all. */
  send(target: number, frame: Uint8Array): void;
  /** null: it works. */
  readonly trouble: string | null;
  counters(): Readonly<Record<string, number>>;
  close(): Promise<void>;
}

/** Timers are not set for longer, so that nothing hangs on one. */
const LONGEST_MS = 1000;

export const monotonicSeconds = (): number => performance.now() / 1000;

export class CarriedBus implements ClusterBus {
  readonly number: number;
  readonly #core: BusCore;
  readonly #handlers = new Map<ClusterSubject, BusHandler>();
  readonly #changeListeners: ((change: BusChange) => void)[] = [];
  readonly #stateListeners: ((state: BusState) => void)[] = [];
  #carrier: Carrier | null = null;
  #timer: NodeJS.Timeout | null = null;
  #state: BusState = { state: 'degraded', reason: 'starting' };
  #closed = false;

  constructor(
    readonly driver: ClusterBus['driver'],
    options: BusOptions,
  ) {
    this.number = options.number;
    this.#core = new BusCore({ ...options, random: randomBytes(6) });
  }

  get incarnation(): number {
    return this.#core.incarnation;
  }

  /** The carrier is there: from now on members meet. */
  start(carrier: Carrier): this {
    this.#carrier = carrier;
    this.carrierChanged();
    this.#turn();
    return this;
  }

  /** A frame from the carrier. */
  received(frame: Uint8Array): void {
    if (this.#closed) return;
    const delivery = this.#core.open(frame, monotonicSeconds());
    if (delivery !== null) {
      this.#handlers.get(delivery.subject)?.(delivery.from, delivery.incarnation, delivery.body);
      return;
    }
    this.#turn();
  }

  /** Its trouble came or went. */
  carrierChanged(): void {
    if (this.#closed) return;
    const trouble = this.#core.isDuplicate(monotonicSeconds())
      ? `another member has number ${this.number}`
      : (this.#carrier?.trouble ?? (this.#carrier === null ? 'starting' : null));
    const state: BusState = trouble === null ? { state: 'up' } : { state: 'degraded', reason: trouble };
    const before = this.#state;
    if (before.state === state.state && (before.state === 'up' || before.reason === trouble)) return;
    this.#state = state;
    for (const listener of this.#stateListeners) listener(state);
  }

  get state(): BusState {
    return this.#state;
  }

  publish(subject: ClusterSubject, body: Uint8Array, target = 0): void {
    if (this.#closed) return;
    this.#carrier?.send(target, this.#core.close(subject, target, body));
  }

  subscribe(subject: ClusterSubject, handler: BusHandler): void {
    this.#handlers.set(subject, handler);
  }

  tell(text: Uint8Array): void {
    this.#core.tell(text);
    this.#turn();
  }

  members(): readonly BusMember[] {
    return this.#core.members(monotonicSeconds());
  }

  onChange(listener: (change: BusChange) => void): void {
    this.#changeListeners.push(listener);
  }

  onState(listener: (state: BusState) => void): void {
    this.#stateListeners.push(listener);
  }

  counters(): Readonly<Record<string, number>> {
    return { ...this.#core.counters, ...this.#core.peers.counters, ...this.#carrier?.counters() };
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#carrier?.send(0, this.#core.leave(monotonicSeconds()));
    this.#closed = true;
    await this.#carrier?.close();
  }

  #turn(): void {
    if (this.#closed || this.#carrier === null) return;
    const now = monotonicSeconds();
    const status = this.#core.tick(now);
    if (status !== null) this.#carrier.send(0, status);
    for (const change of this.#core.changes()) for (const listener of this.#changeListeners) listener(change);
    this.carrierChanged();
    if (this.#timer !== null) clearTimeout(this.#timer);
    const wait = Math.min(LONGEST_MS, Math.max(1, Math.ceil((this.#core.nextTime - monotonicSeconds()) * 1000)));
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#turn();
    }, wait);
    this.#timer.unref();
  }
}
