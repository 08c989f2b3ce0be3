/** Orders of operators about servers, told to all designators of the cluster and done here when they come from another. */
import { OrderBook, type OrderWhat, stateOrder } from '../../../cluster/order-book.js';
import { DesignatorError } from '../../../errors.js';
import type { CounterRow, ServerCommand } from '../../../ops/appliance.js';
import type { EventLog } from '../../../ops/events.js';
import { ORDER_ACTIONS } from '../../../wire/cluster-orders.js';
import type { ClusterDesk } from './cluster-desk.js';

export interface ServerOrdersParts {
  readonly desk: ClusterDesk;
  readonly events: EventLog;
  /** Does what another member's operator has ordered. Errors: TD_NOT_FOUND no such server is here. */
  readonly run: (command: ServerCommand) => void;
  /** Unix milliseconds. */
  readonly clock?: () => number;
}

export class ServerOrders {
  readonly book: OrderBook;
  readonly #parts: ServerOrdersParts;
  readonly #clock: () => number;

  constructor(parts: ServerOrdersParts) {
    this.#parts = parts;
    this.#clock = parts.clock ?? Date.now;
    const { desk } = parts;
    this.book = new OrderBook({ number: desk.number, apply: (server, what, by) => this.#apply(server, what, by) });
    desk.onNotice('orders', (_from, body) => this.book.receive(body, desk.now(), this.#clock()));
    desk.onChange(({ kind }) => {
      if (kind === 'joined') this.book.joined();
    });
  }

  /** Was ordered here, and done: the others are to do it too. */
  ordered({ action, names, weight, deadlineSeconds }: ServerCommand): void {
    const word = ORDER_ACTIONS.find((known) => known === action);
    const what =
      action === 'weight'
        ? { weight: weight ?? 0 }
        : word === undefined
          ? null
          : stateOrder(word, deadlineSeconds ?? null);
    if (what === null) return;
    for (const name of names) this.book.ordered(name, what, this.#parts.desk.now(), this.#clock());
    this.tick();
  }

  /** Several times a second. */
  tick(): void {
    const { desk } = this.#parts;
    for (const body of this.book.turn(desk.now())) desk.notify('orders', body);
  }

  counters(): CounterRow[] {
    const { counters } = this.book;
    const row = (counter: string, count: number, description: string): CounterRow => ({
      counter,
      count,
      level: false,
      description,
    });
    return [
      row('cluster-orders-taken', counters.taken, 'orders about servers that were given at another member'),
      row('cluster-orders-older', counters.older, 'such orders that a newer one stood against'),
      row('cluster-orders-unknown', counters.unknown, 'such orders about servers that are not configured here'),
      row(
        'cluster-orders-refused',
        counters.malformed + counters.full + counters.ahead,
        'messages with orders that cannot be read, are beyond what is kept, or are of a time far ahead',
      ),
    ];
  }

  #apply(server: string, what: OrderWhat, by: number): boolean {
    const { run, events, desk } = this.#parts;
    const command: ServerCommand =
      'weight' in what
        ? { action: 'weight', names: [server], weight: what.weight }
        : ({
            action: what.action,
            names: [server],
            ...(what.action !== 'drain' || what.deadlineSeconds === null
              ? {}
              : { deadlineSeconds: what.deadlineSeconds }),
          } as ServerCommand);
    try {
      run(command);
    } catch (error) {
      if (!(error instanceof DesignatorError)) throw error;
      desk.log.warn({ server, by, reason: error.message }, 'an order of another member cannot be done here');
      return false;
    }
    const { action, weight, deadlineSeconds } = command;
    events.emit('server-changed', { action, servers: server, weight, deadlineSeconds, member: by });
    desk.log.info({ action, server, weight, deadlineSeconds, member: by }, 'servers changed by another member’s order');
    return true;
  }
}
