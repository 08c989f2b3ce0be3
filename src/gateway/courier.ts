/**
 * What a group sends in a turn, gathered, and sealed only when it leaves, in the order in which it leaves: the sequence
 * of messages must rise on the wire. First what changed in the host table, so that a successor knows it before a host
 * does; then the advert; then all the rest; last the numbers of virtual MACs that we used and others serve.
 */
import type { GatewayMessageType } from '../wire/gateway-message.js';
import { GATEWAY_BODY_LIMIT } from '../wire/gateway-message.js';
import {
  emitFrameBodies,
  emitOrder,
  emitTellBodies,
  type GatewayOrder,
  type TellEntry,
} from '../wire/gateway-orders.js';
import type { HostMessage } from './hosts/types.js';
import { type Mac, messagesMac } from './mac.js';
import type { Members } from './members.js';
import type { Seal } from './seal.js';

/** Frames of one turn at most: a turn that makes more has met a fault, which must not eat the memory. */
const LIMIT = 16_384;
/** Seconds between two messages that we have sent from a virtual MAC that another serves. */
const TAUGHT_EVERY = 0.005;
const NOTHING = new Uint8Array(0);

export class Courier {
  /** Frames that were left out, of which one that no member was there to take. */
  readonly counters = { overflow: 0, unreachable: 0 };
  /** How many adverts leave in this turn. */
  adverts = 0;
  readonly #seal: Seal;
  readonly #members: Members;
  readonly #everybody: Mac;
  #rest: (() => Uint8Array[])[] = [];
  #count = 0;
  #source: Mac = 0;
  readonly #emitted = new Map<number, Uint8Array[]>();
  readonly #told = new Map<number, TellEntry[]>();
  readonly #taught = new Map<number, number>();
  /** When each was last said to have been taught. */
  readonly #saidTaught = new Map<number, number>();

  constructor(seal: Seal, members: Members, group: number) {
    this.#seal = seal;
    this.#members = members;
    this.#everybody = messagesMac(group);
  }

  frame(frame: Uint8Array): void {
    this.#push(() => [frame]);
  }

  probe(to: number): void {
    this.#push(() => this.#message('probe', to, NOTHING));
  }

  /** A question of a host; the frame is copied. */
  hand(frame: Uint8Array, to: number): void {
    const copy = frame.slice(0, GATEWAY_BODY_LIMIT);
    this.#push(() => this.#message('hand', to, copy));
  }

  order(order: GatewayOrder, to: number): void {
    this.#push(() => this.#message('order', to, emitOrder(order)));
  }

  /** A frame that leaves at the port of another gateway. */
  emit(frame: Uint8Array, from: number): void {
    this.#gather(this.#emitted, from, frame);
  }

  /** A host that another gateway is to tell. */
  tell(entry: TellEntry, server: number): void {
    this.#gather(this.#told, server, entry);
  }

  /** We have sent from this forwarder's virtual MAC, which this gateway serves. */
  taught(forwarder: number, server: number): void {
    this.#taught.set(forwarder, server);
  }

  /** The frames of the turn. Messages come from `source`; `advert` makes the body of one with `room` for others' changes. */
  take(now: number, source: Mac, hostMessages: readonly HostMessage[], advert: () => Uint8Array): Uint8Array[] {
    this.#source = source;
    const frames: Uint8Array[] = [];
    for (const { to, body } of hostMessages) frames.push(...this.#message('hosts', to, body));
    for (; this.adverts > 0; this.adverts--) {
      frames.push(...this.#message('advert', 0, advert()));
      this.#members.sent(this.#seal.sequence, now);
    }
    for (const make of this.#rest) frames.push(...make());
    for (const [number, list] of this.#emitted)
      for (const body of emitFrameBodies(list, GATEWAY_BODY_LIMIT)) frames.push(...this.#message('emit', number, body));
    for (const [number, list] of this.#told)
      for (const body of emitTellBodies(list, GATEWAY_BODY_LIMIT)) frames.push(...this.#message('tell', number, body));
    frames.push(...this.#teach(now));
    this.#members.alsoSent(this.#seal.sequence);
    this.#clear();
    return frames;
  }

  /** When something is due that was put off; Infinity: nothing. */
  get nextTime(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const forwarder of this.#taught.keys())
      next = Math.min(next, (this.#saidTaught.get(forwarder) ?? Number.NEGATIVE_INFINITY) + TAUGHT_EVERY);
    return next;
  }

  /** Nothing can be sent: the turn's frames are lost. */
  drop(): void {
    this.#clear();
    this.#taught.clear();
  }

  #clear(): void {
    this.adverts = 0;
    this.#rest = [];
    this.#count = 0;
    this.#emitted.clear();
    this.#told.clear();
  }

  /** At once, and again at the end of a time in which more were sent: we stand in for the server meanwhile. */
  #teach(now: number): Uint8Array[] {
    const servers = new Set<number>();
    const due: number[] = [];
    for (const [forwarder, server] of this.#taught) {
      if (now < (this.#saidTaught.get(forwarder) ?? Number.NEGATIVE_INFINITY) + TAUGHT_EVERY) continue;
      this.#taught.delete(forwarder);
      this.#saidTaught.set(forwarder, now);
      servers.add(server);
      due.push(forwarder);
    }
    if (due.length === 0) return [];
    const [only] = servers;
    return this.#message('teach', servers.size === 1 ? only : 0, Uint8Array.from(due));
  }

  #message(type: GatewayMessageType, to: number, body: Uint8Array): Uint8Array[] {
    let destination = this.#everybody;
    if (to !== 0) {
      const mac = this.#members.get(to)?.advert?.mac;
      if (mac === undefined) {
        this.counters.unreachable++;
        return [];
      }
      destination = mac;
    }
    return [this.#seal.close(type, to, body, this.#source, destination)];
  }

  #push(make: () => Uint8Array[]): void {
    if (this.#room()) this.#rest.push(make);
  }

  #gather<T>(lists: Map<number, T[]>, number: number, item: T): void {
    if (!this.#room()) return;
    const list = lists.get(number);
    if (list === undefined) lists.set(number, [item]);
    else list.push(item);
  }

  #room(): boolean {
    if (this.#count < LIMIT) {
      this.#count++;
      return true;
    }
    this.counters.overflow++;
    return false;
  }
}
