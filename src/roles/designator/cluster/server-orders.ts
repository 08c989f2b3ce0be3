/** Orders of operators about servers, told to all designators of the cluster and done here when they come from another. */
import { OrderBook, type OrderWhat, stateOrder } from '../../../cluster/order-book.js';
import { DesignatorError } from '../../../errors.js';
import { type CounterRow, counterRow, type ServerCommand } from '../../../ops/appliance.js';
import type { EventLog } from '../../../ops/events.js';
import { ORDER_ACTIONS } from '../../../wire/cluster-orders.js';
import { INACTIVATION_FACTS, type InactivationFact } from '../inactivation-keeper.js';
import type { ClusterDesk } from './cluster-desk.js';

export interface ServerOrdersParts {
  readonly desk: ClusterDesk;
  readonly events: EventLog;
  /** Does what another member's operator has ordered. Errors: TD_NOT_FOUND no such server is here. */
  readonly run: (command: ServerCommand) => void;
  /** What the member that inactivates servers has done: the same state here, without its commands. */
  readonly follow: (server: string, fact: InactivationFact) => boolean;
  /** Servers are inactivated and activated here: it is this member's duty. */
  readonly decides: () => boolean;
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
  ordered({ action, names, weight, deadlineSeconds }: ServerCommand, applied = true): void {
    const word = ORDER_ACTIONS.find((known) => known === action);
    const what =
      action === 'weight'
        ? { weight: weight ?? 0 }
        : word === undefined
          ? null
          : stateOrder(word, deadlineSeconds ?? null);
    if (what === null) return;
    for (const name of names) this.book.ordered(name, what, this.#parts.desk.now(), this.#clock(), applied);
    this.tick();
  }

  /** This member has inactivated a server, or brought it back: that is its state at all others from now on. */
  did(server: string, fact: InactivationFact): void {
    this.book.ordered(server, stateOrder(fact), this.#parts.desk.now(), this.#clock());
    this.tick();
  }

  /**
   * An operator's order that another member is to do, by its duty. True: it was told, and is not to be done here.
   */
  isElsewhere(command: ServerCommand): boolean {
    if (!isPower(command.action) || this.#parts.decides()) return false;
    this.ordered(command, false);
    return true;
  }

  /** Other servers are configured, or the duty is ours: what could not be done before is tried again. */
  retry(): void {
    this.book.retry(this.#parts.desk.now());
  }

  /** Several times a second. */
  tick(): void {
    const { desk } = this.#parts;
    for (const body of this.book.turn(desk.now())) desk.notify('orders', body);
  }

  counters(): CounterRow[] {
    const { counters } = this.book;
    return [
      counterRow('cluster-orders-taken', counters.taken, 'orders about servers that were given at another member'),
      counterRow('cluster-orders-older', counters.older, 'such orders that a newer one stood against'),
      counterRow('cluster-orders-unknown', counters.unknown, 'such orders about servers that are not configured here'),
      counterRow(
        'cluster-orders-refused',
        counters.malformed + counters.full + counters.ahead,
        'messages with orders that cannot be read, are beyond what is kept, or are of a time far ahead',
      ),
    ];
  }

  #apply(server: string, what: OrderWhat, by: number): 'done' | 'unknown' | 'later' {
    const { run, events, desk, follow, decides } = this.#parts;
    if (!('weight' in what)) {
      const { action } = what;
      if (isFact(action)) return follow(server, action) ? 'done' : 'unknown';
      if (isPower(action) && !decides()) return 'later';
    }
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
      return 'unknown';
    }
    const { action, weight, deadlineSeconds } = command;
    events.emit('server-changed', { action, servers: server, weight, deadlineSeconds, member: by });
    desk.log.info({ action, server, weight, deadlineSeconds, member: by }, 'servers changed by another member’s order');
    return 'done';
  }
}

function isPower(action: string): boolean {
  return action === 'activate' || action === 'inactivate';
}

function isFact(action: string): action is InactivationFact {
  return INACTIVATION_FACTS.some((fact) => fact === action);
}
