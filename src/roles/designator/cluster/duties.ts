/**
 * What only one member of a cluster does at a time, where seconds do not matter. With NATS a lease in its store; with the
 * other drivers the ready designator of the lowest number among those that are heard, once this one has been on the bus
 * for as long as it takes to hear of all.
 */
import type { BusMember } from '../../../cluster/bus.js';
import type { EventLog } from '../../../ops/events.js';
import { readMemberText } from '../../../wire/cluster-member.js';

export interface DutiesParts {
  readonly number: number;
  /** Seconds of the bus. */
  readonly now: () => number;
  readonly members: () => readonly BusMember[];
  /** This member can do what a designator does. */
  readonly ready: () => boolean;
  readonly events: EventLog;
  /** The store could not be opened: told once for each reason in a row. */
  readonly onFault?: (error: Error) => void;
}

/** Where leases are (NatsStore). */
export interface LeaseStore {
  /** Nothing can be had from it any more. */
  readonly isOver?: boolean;
  singleton(name: string, changed: (held: boolean) => void): Lease;
  close(): Promise<void>;
}

export interface Lease {
  readonly isHeld: boolean;
  close(): Promise<void>;
}

export interface Duty {
  readonly name: string;
  /** We do it, and nobody else. */
  readonly isHeld: boolean;
}

/** Longer than the silence after which a member has left. */
const HEARD_ALL_SECONDS = 4;
const STORE_RETRY_SECONDS = 1;
/** Who cannot do it for so long gives its lease free: another can. */
const UNABLE_SECONDS = 2;

class Held implements Duty {
  told = false;
  lease: Lease | null = null;

  constructor(
    readonly name: string,
    readonly look: (duty: Held) => boolean,
    readonly changed: (held: boolean) => void,
  ) {}

  get isHeld(): boolean {
    return this.look(this);
  }
}

export class Duties {
  readonly #parts: DutiesParts;
  readonly #duties: Held[] = [];
  #since = Number.POSITIVE_INFINITY;
  #store: LeaseStore | null = null;
  #open: (() => Promise<LeaseStore>) | null = null;
  #opening = false;
  #triedAt = Number.NEGATIVE_INFINITY;
  #closed = false;
  #fault = '';
  /** When this member could do it last. */
  #readyAt = Number.NEGATIVE_INFINITY;
  /** Times that the store could not be opened. */
  failures = 0;

  constructor(parts: DutiesParts) {
    this.#parts = parts;
  }

  /** The bus is there. `open`: its store, null when it has none. */
  start(open: (() => Promise<LeaseStore>) | null): void {
    this.#since = this.#parts.now();
    this.#open = open;
    this.#tryStore();
  }

  /** `changed` hears when we have it and when no more. */
  take(name: string, changed: (held: boolean) => void = () => undefined): Duty {
    const duty = new Held(name, (of) => this.#holds(of), changed);
    this.#duties.push(duty);
    this.#lease(duty);
    return duty;
  }

  /** Names of those that are held now. */
  held(): string[] {
    return this.#duties.filter(({ isHeld }) => isHeld).map(({ name }) => name);
  }

  /** Several times a second. */
  tick(): void {
    this.#tryStore();
    const { now, ready } = this.#parts;
    if (ready()) this.#readyAt = now();
    for (const duty of this.#duties) {
      this.#lease(duty);
      const held = duty.isHeld;
      if (held === duty.told) continue;
      duty.told = held;
      this.#parts.events.emit('cluster-duty', { duty: duty.name, held });
      duty.changed(held);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#store?.close();
  }

  #holds(duty: Held): boolean {
    const { now, ready, members, number } = this.#parts;
    if (this.#closed || !ready()) return false;
    if (this.#open !== null) return duty.lease?.isHeld ?? false;
    if (now() < this.#since + HEARD_ALL_SECONDS) return false;
    return !members().some((member) => {
      if (member.number >= number) return false;
      const { role, state, part } = readMemberText(member.text);
      return role === 'designator' && state === 'ready' && part !== 'nat';
    });
  }

  #tryStore(): void {
    const { now } = this.#parts;
    if (this.#store?.isOver === true) {
      void this.#store.close();
      this.#store = null;
      for (const duty of this.#duties) duty.lease = null;
    }
    if (this.#open === null || this.#store !== null || this.#opening || this.#closed) return;
    if (now() < this.#triedAt + STORE_RETRY_SECONDS) return;
    this.#triedAt = now();
    this.#opening = true;
    this.#open()
      .then((store) => {
        if (this.#closed) return store.close();
        this.#store = store;
        this.#fault = '';
        for (const duty of this.#duties) this.#lease(duty);
        return undefined;
      })
      // JetStream is not on, or has no leader now: it is asked again, and until then nobody here holds anything.
      .catch((error: Error) => {
        this.failures++;
        if (error.message !== this.#fault) this.#parts.onFault?.(error);
        this.#fault = error.message;
      })
      .finally(() => {
        this.#opening = false;
      });
  }

  /** Only who can do it tries for it. */
  #lease(duty: Held): void {
    if (this.#store === null || this.#closed) return;
    if (this.#parts.ready()) duty.lease ??= this.#store.singleton(duty.name, () => undefined);
    else if (duty.lease !== null && this.#parts.now() >= this.#readyAt + UNABLE_SECONDS) {
      void duty.lease.close();
      duty.lease = null;
    }
  }
}
