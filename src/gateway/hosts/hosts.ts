/**
 * The hosts of a gateway group as one member knows them: which forwarder each has, the same table at every member, the
 * selection at the master, and the moves that hosts are to be told of (document 004). No I/O and no clock.
 */
import type { AddressWords } from '../../wire/address.js';
import type { HostRecord, Position } from '../../wire/gateway-hosts.js';
import type { Mac } from '../mac.js';
import type { CommandResult, HostFilter, HostRow } from '../types.js';
import { type HostEntry, HOSTS_MAX, HostTable, recordOf, withAddress } from './host-table.js';
import { Planner } from './planner.js';
import { Replica } from './replica.js';
import { rendezvous } from './selection/rendezvous.js';
import { type Selection, selectionOf } from './selection/selection.js';
import type { Asked, ForwarderView, HostEvent, HostMessage, HostsOptions, HostsSettings, Move } from './types.js';
import { Views } from './views.js';

const BODY_LIMIT = 1400;
const MOVES_PER_SECOND = 400;
const RETURNS_PER_SECOND = 10;
/** A host that asked once, seconds ago, makes room for another when the table is full. */
const ONCE_KEPT = 60;
/** A host asks again within moments until it has its answer; only later is it a second sign of it. */
const AGAIN = 1;
/** The other members hear of a host that still asks after this part of the time after which it is forgotten. */
const PUBLISHED = 1 / 4;
/** An address takes the place of another of the same host at most once in so many seconds. */
const DISPLACED = 10;
/** Hosts forgotten in one turn at most, and seconds until the next such turn. */
const FORGOTTEN_AT_ONCE = 256;
const FORGOTTEN_EVERY = 0.05;
/** Seconds between two events about a table that is full. */
const FULL_EVENTS = 60;

export class Hosts {
  readonly number: number;
  readonly #limit: number;
  readonly #table = new HostTable();
  readonly #replica: Replica;
  readonly #views = new Views();
  readonly #planner: Planner;
  #settings: HostsSettings;
  #selection: Selection;
  #events: HostEvent[] = [];
  #fullSaid = Number.NEGATIVE_INFINITY;
  #forgetFrom = Number.NEGATIVE_INFINITY;
  readonly #counters = {
    asked: 0,
    askedKnown: 0,
    added: 0,
    forgotten: 0,
    replaced: 0,
    answeredUnstored: 0,
  };

  constructor(options: HostsOptions) {
    this.number = options.number;
    this.#settings = options;
    this.#limit = Math.min(HOSTS_MAX, options.hostLimit);
    this.#selection = selectionOf(options.algorithm);
    const bodyLimit = options.bodyLimit ?? BODY_LIMIT;
    this.#replica = new Replica(this.#table, { number: options.number, bodyLimit }, (forwarder) =>
      this.#selection.follow(forwarder),
    );
    this.#planner = new Planner(
      { table: this.#table, views: this.#views, put: (record, now) => this.#replica.put(record, now) },
      {
        movesPerSecond: options.movesPerSecond ?? MOVES_PER_SECOND,
        returnsPerSecond: options.returnsPerSecond ?? RETURNS_PER_SECOND,
      },
      (event) => this.#events.push(event),
    );
    this.#planner.configure(options, 0);
  }

  configure(settings: Partial<HostsSettings>, now: number): void {
    const before = this.#settings;
    this.#settings = { ...before, ...settings };
    if (this.#settings.algorithm !== before.algorithm) this.#selection = selectionOf(this.#settings.algorithm);
    this.#planner.configure(this.#settings, now);
    this.#update(now);
  }

  /** The forwarders, all of them, whenever something about one changes (loads: whenever they are reported). */
  setForwarders(list: readonly ForwarderView[], now: number): void {
    this.#views.set(list);
    this.#update(now);
  }

  /** Who is master as this member sees it; its own number: it takes the office now; 0: nobody. Idempotent. */
  follow(master: number, now: number): void {
    const wasMaster = this.#replica.isMaster;
    this.#replica.follow(master, now);
    const { isMaster } = this.#replica;
    if (wasMaster && !isMaster) this.#planner.clear();
    if (isMaster && !wasMaster)
      for (const { number, server } of this.#views.values()) {
        // Returns that the master before had begun.
        if (number === server) this.#planner.returned(number, now);
      }
  }

  /**
   * The forwarder that the reply to this host names; null when none is served. A known host keeps what it has while that
   * is given out. Members other than the master only know, they do not choose.
   */
  choose(host: Mac, about: Asked, now: number): number | null {
    const entry = this.#table.get(host);
    if (!this.#replica.isMaster)
      return entry !== undefined && this.#views.usable(entry.forwarder) ? entry.forwarder : null;
    this.#counters.asked++;
    if (entry !== undefined) return this.#chooseKnown(entry, about, now);
    // Whoever asks a gateway by unicast uses it already, although this table does not know: it goes on doing so.
    const used = about.uses !== undefined && this.#views.usable(about.uses) ? about.uses : 0;
    if (!about.turn) return used || this.#selection.peek(host, now) || this.#views.anyServed();
    if (this.#table.size >= this.#limit && !this.#makeRoom(now)) {
      // The same for every request of the host, although nobody remembers it.
      this.#counters.answeredUnstored++;
      return used || rendezvous(this.#views.candidates, host) || this.#views.anyServed();
    }
    const forwarder = used || this.#selection.take(host, now) || this.#views.anyServed();
    if (forwarder === null) return null;
    this.#counters.added++;
    const addresses = about.address === null ? [] : [about.address];
    this.#replica.put({ mac: host, forwarder, home: 0, confirmed: false, gone: false, addresses, age: 0 }, now);
    return forwarder;
  }

  /** The present forwarder of a host, 0 when it is not known or its forwarder is not served. */
  forwarderOf(host: Mac): number {
    const forwarder = this.#table.get(host)?.forwarder ?? 0;
    return this.#views.served(forwarder) ? forwarder : 0;
  }

  /** An address of a host that is known, seen otherwise than in a request. */
  learn(host: Mac, address: AddressWords, now: number): void {
    const entry = this.#table.get(host);
    if (entry === undefined || !this.#replica.isMaster) return;
    const addresses = this.#addressesWith(entry, address, now);
    if (addresses !== entry.addresses) this.#replica.put({ ...recordOf(entry, now), addresses }, now);
  }

  /** True while a successor fetches what another member knows and it does not: unknown hosts better wait (≤ 50 ms). */
  settling(now: number): boolean {
    return this.#replica.settling(now);
  }

  /** A body that another member, proven to be one, sent by `messages`. */
  receive(from: number, body: Uint8Array, now: number): void {
    this.#replica.receive(from, body, now);
    const completed = this.#replica.takeCompleted();
    if (completed !== null) this.#events.push({ kind: 'table-received', ...completed });
  }

  /** The position in another member's advert. */
  heard(from: number, position: Position, now: number): void {
    this.#replica.heard(from, position, now);
  }

  /** A member is dead or has left: what it knew is not asked for. */
  forget(member: number): void {
    this.#replica.forget(member);
  }

  /** What to send in this turn, before the replies that were chosen in it. */
  messages(now: number): HostMessage[] {
    return this.#replica.messages(now);
  }

  /** The changes of the last intervals for the master's advert, as a body that `receive` takes; empty: none. */
  recent(now: number): Uint8Array {
    return this.#replica.recent(now);
  }

  position(): Position {
    return this.#replica.position();
  }

  /** Does a member whose advert has this position have the table as it is here, but for changes under way? For a hand-over. */
  inSync(position: Position): boolean {
    return this.#replica.inSync(position);
  }

  /** Hosts to be told now, at most as many as the pace allows. Their entries are changed with it. */
  moves(now: number): Move[] {
    return this.#replica.isMaster ? this.#planner.moves(now) : [];
  }

  /** Gives a host (null: every host) to a forwarder. The hosts are told at the pace of moves. */
  move(host: Mac | null, to: number, now: number): CommandResult {
    if (!this.#replica.isMaster) return { ok: false, why: 'this gateway is not the master' };
    if (this.#views.get(to) === undefined) return { ok: false, why: `there is no gateway ${to}` };
    if (!this.#views.served(to)) return { ok: false, why: `nobody serves gateway ${to}` };
    if (host !== null && this.#table.get(host) === undefined) return { ok: false, why: 'the host is not known' };
    return { ok: true, hosts: this.#planner.command(host, to, now) };
  }

  /** Gives all hosts of a forwarder to others: its gateway has failed for good. Returns how many. */
  redistribute(number: number, now: number): number {
    return this.#replica.isMaster ? this.#planner.redistribute(number, now) : 0;
  }

  /** Gives all hosts of a forwarder to another, `to`, before the forwarder goes back to its owner. Returns how many. */
  vacate(number: number, to: number, now: number): number {
    return this.#replica.isMaster ? this.#planner.vacate(number, to, now) : 0;
  }

  /** Moves that are still to be made away from a forwarder. 0: done. */
  leaving(number: number): number {
    return this.#planner.leaving(number);
  }

  /** The owner of a forwarder serves it again: hosts that it lost come back as `return` says. Returns how many. */
  returned(number: number, now: number): number {
    return this.#replica.isMaster ? this.#planner.returned(number, now) : 0;
  }

  /** Traffic still comes for a forwarder that its hosts have left: they are told again, three times at most. */
  straggling(number: number, now: number): void {
    if (this.#replica.isMaster) this.#planner.straggling(number, now);
  }

  /** This gateway, or its clock, stood still or leapt for so many seconds: they count for no host's silence. */
  stoodStill(seconds: number): void {
    for (const entry of this.#table.values()) {
      entry.since += seconds;
      entry.seen += seconds;
      entry.published += seconds;
      entry.restUntil += seconds;
    }
  }

  tick(now: number): void {
    this.#replica.tick(now);
    if (!this.#replica.isMaster) return;
    this.#forgetIdle(now);
    if (this.#planner.rebalance(now)) this.#update(now);
  }

  /** When `tick` (or `moves`, or `messages`) is due. */
  get nextTime(): number {
    if (!this.#replica.isMaster) return this.#replica.nextTime;
    return Math.min(this.#replica.nextTime, this.#planner.nextTime, this.#nextForgotten());
  }

  rows(now: number, filter: HostFilter = {}): HostRow[] {
    const rows: HostRow[] = [];
    const limit = filter.limit ?? Number.POSITIVE_INFINITY;
    for (const entry of this.#table.values()) {
      if (rows.length >= limit) break;
      if (filter.forwarder !== undefined && entry.forwarder !== filter.forwarder) continue;
      if (filter.mac !== undefined && entry.mac !== filter.mac) continue;
      const { mac, addresses, forwarder, home, confirmed } = entry;
      const server = this.#views.get(forwarder)?.server ?? 0;
      const age = Math.max(0, now - entry.since);
      rows.push({ mac, addresses, forwarder, server, home, confirmed, age, idle: Math.max(0, now - entry.seen) });
    }
    return rows;
  }

  get size(): number {
    return this.#table.size;
  }

  /** Hosts of a forwarder. */
  countOf(number: number): number {
    return this.#table.countOf(number);
  }

  /** Part (0.25 … 1) of a forwarder's weight that counts for new hosts now: less while its gateway is busier than most. */
  factorOf(number: number): number {
    return this.#planner.factorOf(number);
  }

  counters(): Record<string, number> {
    return { ...this.#counters, ...this.#replica.counters, ...this.#planner.counters() };
  }

  events(): HostEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  /** The digest as it is when it is computed anew; it is always the one of `position`. */
  recomputedDigest(): readonly [number, number] {
    return this.#table.recomputed();
  }

  #chooseKnown(entry: HostEntry, about: Asked, now: number): number | null {
    this.#counters.askedKnown++;
    const keeps = this.#settings.sticky || !about.turn;
    const planned = this.#planner.targetOf(entry);
    let forwarder = entry.forwarder;
    // A reply tells the host as well as a move does, so a planned one is made now.
    if (planned !== 0) forwarder = planned;
    else if (!keeps) forwarder = this.#selection.take(entry.mac, now) || forwarder;
    else if (!this.#views.usable(forwarder)) forwarder = this.#planner.otherThan(entry) || forwarder;
    if (!this.#views.served(forwarder)) forwarder = this.#views.anyServed() ?? 0;
    if (forwarder === 0) return null;
    const known = this.#signOf(entry, about, now);
    if (forwarder !== entry.forwarder) this.#planner.toldByReply(entry, known, forwarder, now);
    else {
      entry.previous = 0;
      const due = now - entry.published > this.#settings.hostIdle * PUBLISHED;
      if (due || known.addresses !== entry.addresses || known.confirmed !== entry.confirmed)
        this.#replica.put(known, now);
    }
    this.#table.touch(entry, now);
    return forwarder;
  }

  /** The entry with what a request of the host adds to it. */
  #signOf(entry: HostEntry, about: Asked, now: number): HostRecord {
    const addresses = about.address === null ? entry.addresses : this.#addressesWith(entry, about.address, now);
    return { ...recordOf(entry, now), addresses, confirmed: entry.confirmed || now - entry.since >= AGAIN };
  }

  /** The same array when nothing is added. One that speaks for many addresses must not keep all members busy with it. */
  #addressesWith(entry: HostEntry, address: AddressWords, now: number): readonly AddressWords[] {
    const addresses = withAddress(entry.addresses, address) ?? entry.addresses;
    const displaces = addresses !== entry.addresses && addresses.length === entry.addresses.length;
    return displaces && now - entry.published < DISPLACED ? entry.addresses : addresses;
  }

  #update(now: number): void {
    this.#views.weigh((number) => this.#planner.factorOf(number));
    this.#selection.update(this.#views.candidates, now);
  }

  /** Forgets a host for another one; false when all that are there have more right to it. */
  #makeRoom(now: number): boolean {
    const once = this.#table.oldest(false);
    const often = this.#table.oldest(true);
    let given: HostEntry | undefined;
    if (once !== undefined && now - once.seen > ONCE_KEPT) given = once;
    else if (often !== undefined && now - often.seen > this.#settings.hostIdle * PUBLISHED) given = often;
    if (given === undefined) {
      if (now - this.#fullSaid >= FULL_EVENTS) {
        this.#fullSaid = now;
        this.#events.push({ kind: 'table-full', limit: this.#limit });
      }
      return false;
    }
    this.#counters.replaced++;
    this.#forget(given.mac, now);
    return true;
  }

  #forgetIdle(now: number): void {
    let left = FORGOTTEN_AT_ONCE;
    for (const confirmed of [false, true]) {
      for (; left > 0; left--) {
        const oldest = this.#table.oldest(confirmed);
        if (oldest === undefined || now - oldest.seen < this.#settings.hostIdle) break;
        this.#counters.forgotten++;
        this.#forget(oldest.mac, now);
      }
    }
    if (left === 0) this.#forgetFrom = now + FORGOTTEN_EVERY;
  }

  #forget(host: Mac, now: number): void {
    this.#planner.forget(host);
    this.#replica.remove(host, now);
  }

  #nextForgotten(): number {
    const once = this.#table.oldest(false)?.seen ?? Number.POSITIVE_INFINITY;
    const often = this.#table.oldest(true)?.seen ?? Number.POSITIVE_INFINITY;
    return Math.max(Math.min(once, often) + this.#settings.hostIdle, this.#forgetFrom);
  }
}
