/**
 * What operators have ordered about servers, wherever in the cluster: one register for each server's state and one for its
 * weight, of which the newest order wins at every member, in whatever order and however often they come. Pure: bytes and
 * seconds in, bytes and orders out.
 */
import type { OrderAction, ServerOrder } from '../wire/cluster-orders.js';
import { emitOrders, readOrders } from '../wire/cluster-orders.js';

export type OrderWhat = ServerOrder['what'];

export interface OrderBookOptions {
  readonly number: number;
  /**
   * Does it. `unknown`: no server of that name is here, `later`: it is not this member's to do now; both are tried again
   * by `retry`.
   */
  readonly apply: (server: string, what: OrderWhat, by: number) => 'done' | 'unknown' | 'later';
}

/** Servers of all members, with two registers each. */
const ORDER_LIMIT = 4096;
/** All that is known is told again so often, for those who missed it. */
const REPEAT_SECONDS = 10;
/** A stamp may be ahead of ours by no more: one that is would win for ever. */
const AHEAD_LIMIT = 366 * 86_400_000;

interface Entry {
  readonly order: ServerOrder;
  /** Seconds at which the deadline comes; null: there is none. */
  readonly deadline: number | null;
  applied: boolean;
}

export class OrderBook {
  readonly counters = { taken: 0, older: 0, unknown: 0, malformed: 0, full: 0, ahead: 0 };
  readonly #options: OrderBookOptions;
  readonly #entries = new Map<string, Entry>();
  #stamp = 0;
  #repeatAt = Number.NEGATIVE_INFINITY;
  #due = false;

  constructor(options: OrderBookOptions) {
    this.#options = options;
  }

  /** An order was given here; `applied`: and done. `clock`: Unix milliseconds, so that orders of a life before are older. */
  ordered(server: string, what: OrderWhat, now: number, clock: number, applied = true): void {
    this.#stamp = Math.max(this.#stamp + 1, Math.floor(clock));
    const order = { server, what, stamp: this.#stamp, by: this.#options.number };
    if (this.#keep(order, now, applied)) this.#due = true;
  }

  /** A message of a member. */
  receive(body: Uint8Array, now: number, clock: number): void {
    const orders = readOrders(body);
    if (orders === null) {
      this.counters.malformed++;
      return;
    }
    for (const order of orders) {
      const known = this.#entries.get(keyOf(order));
      if (known !== undefined && !isNewer(order, known.order)) {
        this.counters.older++;
        // Somebody has not heard of what we know.
        if (isNewer(known.order, order)) this.#due = true;
        continue;
      }
      if (order.stamp > Math.max(this.#stamp, Math.floor(clock)) + AHEAD_LIMIT) {
        this.counters.ahead++;
        continue;
      }
      this.#stamp = Math.max(this.#stamp, order.stamp);
      if (!this.#keep(order, now, false)) continue;
      this.counters.taken++;
      this.#try(this.#entries.get(keyOf(order)) as Entry, now);
    }
  }

  /** Other servers are configured, or other duties are ours: what was ordered before is done now. */
  retry(now: number): void {
    for (const entry of this.#entries.values()) if (!entry.applied) this.#try(entry, now);
  }

  /** A member has come: it is told at the next turn. */
  joined(): void {
    this.#due = true;
  }

  /** What is to be told now: at once after an order, all of it now and then. */
  turn(now: number): Uint8Array[] {
    if (this.#entries.size === 0 || (!this.#due && now < this.#repeatAt)) return [];
    this.#due = false;
    this.#repeatAt = now + REPEAT_SECONDS;
    return emitOrders([...this.#entries.values()].map((entry) => told(entry, now)));
  }

  get size(): number {
    return this.#entries.size;
  }

  #keep(order: ServerOrder, now: number, applied: boolean): boolean {
    const key = keyOf(order);
    if (!this.#entries.has(key) && this.#entries.size >= ORDER_LIMIT) {
      this.counters.full++;
      return false;
    }
    const seconds = 'weight' in order.what ? null : order.what.deadlineSeconds;
    this.#entries.set(key, { order, deadline: seconds === null ? null : now + seconds, applied });
    return true;
  }

  /** With what is left of its deadline. */
  #try(entry: Entry, now: number): void {
    const { server, what, by } = told(entry, now);
    const outcome = this.#options.apply(server, what, by);
    entry.applied = outcome === 'done';
    if (outcome === 'unknown') this.counters.unknown++;
  }
}

export const stateOrder = (action: OrderAction, deadlineSeconds: number | null = null): OrderWhat => ({
  action,
  deadlineSeconds,
});

const keyOf = ({ server, what }: ServerOrder): string => `${'weight' in what ? 'weight' : 'state'} ${server}`;

function isNewer(a: ServerOrder, b: ServerOrder): boolean {
  return a.stamp !== b.stamp ? a.stamp > b.stamp : a.by > b.by;
}

/** As it stands now: what is left of its deadline. */
function told({ order, deadline }: Entry, now: number): ServerOrder {
  if (deadline === null || 'weight' in order.what) return order;
  const deadlineSeconds = Math.max(0, Math.round((deadline - now) * 10) / 10);
  return { ...order, what: { action: order.what.action, deadlineSeconds } };
}
