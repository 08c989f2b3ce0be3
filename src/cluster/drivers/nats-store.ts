/**
 * What of a cluster must outlast a message: its members, for those who join late, and who of them does what only one may
 * do (a *singleton*), where seconds do not matter. In JetStream's key-value store, never one entry for a connection.
 *
 * A bucket's entries end by their age (Debian's nats-server 2.9 knows no age of a single key), so a member that dies
 * leaves, and its singletons become free, without anybody's doing.
 */
import type { KV } from '@nats-io/kv';
import type { NatsConnection } from '@nats-io/transport-node';
import { monotonicSeconds } from './carried-bus.js';

export interface NatsStoreOptions {
  readonly cluster: string;
  readonly number: number;
  /** Servers that keep each entry: 1, or 3 with as many servers. */
  readonly replicas?: number;
  /** Seconds until an entry that nobody renews is gone. */
  readonly memberSeconds?: number;
  readonly leaseSeconds?: number;
}

/** Parts of an entry's life after which it is renewed, and after which its holder trusts it no more. */
const RENEW = 1 / 3;
const TRUST = 2 / 3;
const MEMBER_LIMIT = 255;

export class NatsStore {
  readonly counters = { renewed: 0, failed: 0 };
  /** Its connection has ended: another store is to be opened. */
  isOver = false;
  readonly #members: KV;
  readonly #leases: KV;
  readonly #options: Required<NatsStoreOptions>;
  readonly #singletons = new Set<Singleton>();
  #timer: NodeJS.Timeout | null = null;
  #text: Uint8Array = new Uint8Array(0);
  #closed = false;

  private constructor(members: KV, leases: KV, options: Required<NatsStoreOptions>) {
    this.#members = members;
    this.#leases = leases;
    this.#options = options;
  }

  /** Errors: those of JetStream, when it is not on or has no leader now. */
  static async open(connection: NatsConnection, given: NatsStoreOptions): Promise<NatsStore> {
    const options = { replicas: 1, memberSeconds: 10, leaseSeconds: 3, ...given };
    const { Kvm } = await import('@nats-io/kv');
    const kvm = new Kvm(connection);
    const bucket = (name: string, seconds: number): Promise<KV> =>
      kvm.create(`td_${options.cluster}_${name}`, {
        ttl: seconds * 1000,
        storage: 'memory',
        replicas: options.replicas,
        history: 1,
      } as Parameters<typeof kvm.create>[1]);
    const members = await bucket('members', options.memberSeconds);
    const store = new NatsStore(members, await bucket('leases', options.leaseSeconds), options);
    void connection.closed().then(() => {
      store.isOver = true;
    });
    return store;
  }

  /** From now on this member is among `members`, with what it tells of itself. */
  async join(text: Uint8Array): Promise<void> {
    this.#text = text;
    await this.#put();
    this.#timer ??= setInterval(() => void this.#put(), this.#options.memberSeconds * 1000 * RENEW).unref();
  }

  /** Number and text of every member that has joined and renewed lately, this one among them. */
  async members(): Promise<Map<number, Uint8Array>> {
    const found = new Map<number, Uint8Array>();
    for await (const key of await this.#members.keys()) {
      const entry = await this.#members.get(key);
      const number = Number(key);
      if (entry?.operation === 'PUT' && number > 0 && number <= MEMBER_LIMIT) found.set(number, entry.value);
    }
    return found;
  }

  /** Tries for it as long as the store is open; `changed` hears when we have it and when no more. */
  singleton(name: string, changed: (held: boolean) => void): Singleton {
    const { number, leaseSeconds } = this.#options;
    const singleton = new Singleton(this.#leases, name, number, leaseSeconds, changed, () =>
      this.#singletons.delete(singleton),
    );
    this.#singletons.add(singleton);
    return singleton;
  }

  /** Leaves, and gives every singleton free. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#timer !== null) clearInterval(this.#timer);
    await Promise.all([...this.#singletons].map((singleton) => singleton.close()));
    await this.#members.delete(String(this.#options.number)).catch(() => undefined);
  }

  async #put(): Promise<void> {
    try {
      await this.#members.put(String(this.#options.number), this.#text);
      this.counters.renewed++;
    } catch {
      this.counters.failed++;
    }
  }
}

/** Something that one member at a time does. */
export class Singleton {
  /** Rises with every holder and renewal: what was done under a lower one is not of now. 0: not held. */
  revision = 0;
  readonly #text: Uint8Array;
  #renewedAt = Number.NEGATIVE_INFINITY;
  #told = false;
  #busy = false;
  #closed = false;
  readonly #timer: NodeJS.Timeout;

  constructor(
    readonly leases: KV,
    readonly name: string,
    number: number,
    readonly seconds: number,
    readonly changed: (held: boolean) => void,
    readonly closed: () => void = () => undefined,
  ) {
    this.#text = new TextEncoder().encode(String(number));
    this.#timer = setInterval(() => void this.#turn(), seconds * 1000 * (RENEW / 2)).unref();
    void this.#turn();
  }

  /** Held, and renewed so lately that nobody else can have it. */
  get isHeld(): boolean {
    return this.revision > 0 && monotonicSeconds() < this.#renewedAt + this.seconds * TRUST;
  }

  /** Gives it free, and tries no more. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.closed();
    clearInterval(this.#timer);
    const { revision } = this;
    this.revision = 0;
    this.#tell();
    if (revision > 0) await this.leases.delete(this.name, { previousSeq: revision }).catch(() => undefined);
  }

  async #turn(): Promise<void> {
    this.#tell();
    if (this.#busy || this.#closed) return;
    if (this.revision > 0 && monotonicSeconds() < this.#renewedAt + this.seconds * RENEW) return;
    this.#busy = true;
    // Counted from before the question: whenever it was answered, the entry lives longer than we trust it.
    const at = monotonicSeconds();
    try {
      this.revision =
        this.revision > 0
          ? await this.leases.update(this.name, this.#text, this.revision)
          : await this.leases.create(this.name, this.#text);
      this.#renewedAt = at;
      if (this.#closed) await this.leases.delete(this.name, { previousSeq: this.revision }).catch(() => undefined);
    } catch {
      // Another has it, or nobody answers: what we hold we hold until it is too old to be trusted.
      if (!this.isHeld) this.revision = 0;
    } finally {
      this.#busy = false;
      this.#tell();
    }
  }

  #tell(): void {
    const held = !this.#closed && this.isHeld;
    if (held === this.#told) return;
    this.#told = held;
    this.changed(held);
  }
}
