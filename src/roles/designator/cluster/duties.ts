/**
 * What only one member of a cluster does at a time, where seconds do not matter. With NATS a lease in its store; with the
 * other drivers the ready designator of the lowest number among those that are heard, once this one has been on the bus
 * for as long as it takes to hear of all.
 */
import type { BusMember } from '../../../cluster/bus.js';
import type { NatsStore } from '../../../cluster/drivers/nats-store.js';
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
}

export interface Duty {
  readonly name: string;
  /** We do it, and nobody else. */
  readonly isHeld: boolean;
}

/** Longer than the silence after which a member has left. */
const HEARD_ALL_SECONDS = 4;
const STORE_RETRY_SECONDS = 1;

class Held implements Duty {
  told = false;
  lease: { readonly isHeld: boolean } | null = null;

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
  #store: NatsStore | null = null;
  #open: (() => Promise<NatsStore>) | null = null;
  #opening = false;
  #triedAt = Number.NEGATIVE_INFINITY;
  #closed = false;
  /** Times that the store could not be opened. */
  failures = 0;

  constructor(parts: DutiesParts) {
    this.#parts = parts;
  }

  /** The bus is there. `open`: its store, null when it has none. */
  start(open: (() => Promise<NatsStore>) | null): void {
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
    for (const duty of this.#duties) {
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
    if (this.#open === null || this.#store !== null || this.#opening || this.#closed) return;
    if (now() < this.#triedAt + STORE_RETRY_SECONDS) return;
    this.#triedAt = now();
    this.#opening = true;
    this.#open()
      .then((store) => {
        if (this.#closed) return store.close();
        this.#store = store;
        for (const duty of this.#duties) this.#lease(duty);
        return undefined;
      })
      // JetStream is not on, or has no leader now: it is asked again, and until then nobody here holds anything.
      .catch(() => void this.failures++)
      .finally(() => {
        this.#opening = false;
      });
  }

  #lease(duty: Held): void {
    if (this.#store !== null) duty.lease ??= this.#store.singleton(duty.name, () => undefined);
  }
}
