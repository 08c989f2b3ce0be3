/**
 * Members that meet at a cluster of NATS servers. Everything travels on core subjects, which go on while JetStream elects:
 *
 * `td.<cluster>.status.<number>` who is there, `td.<cluster>.all.<number>` to all, `td.<cluster>.to.<number>` to one.
 *
 * While no server can be reached the bus is degraded: what is published is dropped and counted, connecting goes on for ever,
 * and whoever uses the bus goes on with what it knows. The package is loaded when this driver is opened, not before.
 */
import type { NatsConnection } from '@nats-io/transport-node';
import { DesignatorError } from '../../errors.js';
import { CLUSTER_SUBJECTS } from '../../wire/cluster-bus.js';
import { type BusOptions, CarriedBus, type Carrier } from './carried-bus.js';

export interface NatsBusOptions extends BusOptions {
  /** `host:port` of any of its servers; the others are learnt. */
  readonly servers: readonly string[];
  readonly user?: string;
  readonly password?: string;
  readonly token?: string;
  /** Files of PEM. */
  readonly tls?: { readonly caFile?: string; readonly certFile?: string; readonly keyFile?: string };
}

/** Bytes that may wait for the server. */
const BACKLOG = 8 * 1024 * 1024;
const RECONNECT_MS = 250;
/** A server that answers nothing for two of these is left. */
const PING_MS = 2000;
const CONNECT_MS = 3000;
const SUBJECT_AT = 3;
const STATUS = CLUSTER_SUBJECTS.indexOf('status');
/** A token of a NATS subject. */
const NAME = /^[A-Za-z0-9_-]{1,64}$/;

class NatsCarrier implements Carrier {
  readonly #counters = { sendDropped: 0, sendErrors: 0, reconnects: 0 };
  readonly #prefix: string;
  #connection: NatsConnection | null = null;
  #trouble: string | null = 'no NATS server was reached yet';
  #waiting = 0;
  #flushing = false;
  #closed = false;
  readonly #waiters: ((connection: NatsConnection) => void)[] = [];

  constructor(
    readonly options: NatsBusOptions,
    readonly received: (frame: Uint8Array) => void,
    readonly changed: () => void,
  ) {
    this.#prefix = `td.${options.cluster}`;
  }

  get trouble(): string | null {
    return this.#trouble;
  }

  /** The connection, once there is one. */
  get connection(): Promise<NatsConnection> {
    if (this.#connection !== null) return Promise.resolve(this.#connection);
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  async connect(): Promise<void> {
    const { connect } = await import('@nats-io/transport-node');
    const { servers, user, password, token, tls, number } = this.options;
    while (!this.#closed) {
      try {
        const connection = await connect({
          servers: [...servers],
          name: `designator ${this.options.cluster} ${number}`,
          user,
          pass: password,
          token,
          tls,
          noEcho: true,
          maxReconnectAttempts: -1,
          reconnectTimeWait: RECONNECT_MS,
          pingInterval: PING_MS,
          maxPingOut: 2,
          timeout: CONNECT_MS,
        });
        if (this.#closed) return void connection.close();
        return this.#connected(connection);
      } catch (error) {
        this.#set(`no NATS server can be reached: ${error instanceof Error ? error.message : String(error)}`);
        await new Promise((resolve) => setTimeout(resolve, RECONNECT_MS).unref());
      }
    }
  }

  send(target: number, frame: Uint8Array): void {
    const connection = this.#connection;
    if (connection === null || this.#trouble !== null || this.#waiting > BACKLOG) {
      this.#counters.sendDropped++;
      return;
    }
    const { number } = this.options;
    const subject = frame[SUBJECT_AT] === STATUS ? `status.${number}` : target === 0 ? `all.${number}` : `to.${target}`;
    try {
      connection.publish(`${this.#prefix}.${subject}`, frame);
    } catch {
      this.#counters.sendErrors++;
      return;
    }
    this.#waiting += frame.length;
    if (this.#flushing) return;
    // The server's answer to a flush says that all before it has left.
    this.#flushing = true;
    const counted = this.#waiting;
    connection
      .flush()
      .catch(() => undefined)
      .finally(() => {
        this.#waiting = Math.max(0, this.#waiting - counted);
        this.#flushing = false;
      });
  }

  counters(): Readonly<Record<string, number>> {
    return this.#counters;
  }

  async close(): Promise<void> {
    this.#closed = true;
    const connection = this.#connection;
    if (connection === null) return;
    if (this.#trouble === null) await Promise.race([connection.flush(), later(300)]).catch(() => undefined);
    await Promise.race([connection.close(), later(1000)]).catch(() => undefined);
  }

  #connected(connection: NatsConnection): void {
    this.#connection = connection;
    const { number } = this.options;
    for (const subject of ['status.*', 'all.*', `to.${number}`])
      connection.subscribe(`${this.#prefix}.${subject}`, {
        callback: (error, message) => {
          if (error === null) this.received(message.data);
        },
      });
    void this.#watch(connection);
    this.#set(null);
    for (const waiter of this.#waiters.splice(0)) waiter(connection);
  }

  async #watch(connection: NatsConnection): Promise<void> {
    for await (const status of connection.status()) {
      if (status.type === 'disconnect' || status.type === 'staleConnection' || status.type === 'reconnecting') {
        this.#waiting = 0;
        this.#set('the NATS server is away');
      } else if (status.type === 'reconnect') {
        this.#counters.reconnects++;
        this.#set(null);
      } else if (status.type === 'error') this.#counters.sendErrors++;
    }
    if (this.#closed) return;
    // A server that does not know its users (yet) ends it for good, whatever was said of reconnecting.
    this.#connection = null;
    this.#set('the connection to NATS has ended');
    await this.connect();
  }

  #set(trouble: string | null): void {
    if (this.#trouble === trouble) return;
    this.#trouble = trouble;
    this.changed();
  }
}

const later = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms).unref());

export interface NatsBus extends CarriedBus {
  /** For the store (nats-store.ts): resolves with the first connection. */
  readonly connection: Promise<NatsConnection>;
}

/** Does not wait for a server: see `state`. Errors: TD_CONFIG a name that NATS cannot have, no servers. */
export function openNatsBus(options: NatsBusOptions): NatsBus {
  if (!NAME.test(options.cluster))
    throw new DesignatorError('TD_CONFIG', `cluster ${options.cluster}: with NATS only letters, digits, - and _`);
  if (options.servers.length === 0) throw new DesignatorError('TD_CONFIG', 'no NATS server is named');
  const bus = new CarriedBus('nats', options);
  const carrier = new NatsCarrier(
    options,
    (frame) => bus.received(frame),
    () => bus.carrierChanged(),
  );
  bus.start(carrier);
  void carrier.connect();
  return Object.defineProperty(bus, 'connection', { get: () => carrier.connection }) as NatsBus;
}
