/** Which hosts get another forwarder, why, and when they are told: redistribution, return, rebalancing, commands. */
import type { HostRecord } from '../../wire/gateway-hosts.js';
import type { Mac } from '../mac.js';
import { type HostEntry, type HostTable, recordOf } from './host-table.js';
import { MoveQueue, type Planned } from './moves.js';
import { type Carrier, Rebalancer } from './rebalance.js';
import { rendezvous } from './selection/rendezvous.js';
import type { HostEvent, HostsSettings, Move, MoveReason } from './types.js';
import type { Views } from './views.js';

/** Seconds that rebalancing leaves a host alone that it moved; twice as long each further time, up to REST_MAX. */
const REST = 600;
const REST_MAX = 14_400;
/** Hosts that have left a forwarder are told again because traffic still comes for it: seconds to the next time, and the last. */
const STRAGGLERS = [2, 10, Number.POSITIVE_INFINITY];
/** Seconds after a host's move before which traffic for its old forwarder says nothing: reports are of a while ago. */
const SETTLING = 2;

interface Source {
  readonly table: HostTable;
  readonly views: Views;
  readonly put: (record: HostRecord, now: number) => HostEntry | null;
}

export class Planner {
  readonly #table: HostTable;
  readonly #views: Views;
  readonly #put: Source['put'];
  readonly #queue: MoveQueue;
  readonly #rebalancer = new Rebalancer();
  readonly #report: (event: HostEvent) => void;
  #settings: Pick<HostsSettings, 'algorithm' | 'return' | 'rebalance'> = {
    algorithm: 'weighted',
    return: 'gradual',
    rebalance: null,
  };
  /** Runs of moves that an event will end: by the forwarder that they take hosts from, or, for returns, bring them to. */
  readonly #runs = new Map<string, { reason: MoveReason; forwarder: number; left: number; moved: number }>();
  readonly #straggling = new Map<number, { rounds: number; next: number }>();
  readonly #counters = {
    movesRedistribute: 0,
    movesVacate: 0,
    movesReturn: 0,
    movesRebalance: 0,
    movesCommand: 0,
    movesByReply: 0,
    movesWithoutTarget: 0,
    toldAgain: 0,
    stragglersTold: 0,
  };

  constructor(
    source: Source,
    pace: { movesPerSecond: number; returnsPerSecond: number },
    report: (event: HostEvent) => void,
  ) {
    this.#table = source.table;
    this.#views = source.views;
    this.#put = source.put;
    this.#queue = new MoveQueue(pace);
    this.#report = report;
  }

  configure(settings: Pick<HostsSettings, 'algorithm' | 'return' | 'rebalance'>, now: number): void {
    this.#settings = settings;
    this.#rebalancer.configure(settings.rebalance, now);
  }

  /** This member is not the master any more: what it had planned is the successor's to plan. */
  clear(): void {
    this.#queue.clear();
    this.#runs.clear();
    this.#straggling.clear();
  }

  factorOf(number: number): number {
    return this.#rebalancer.factorOf(number);
  }

  leaving(number: number): number {
    return this.#queue.leaving(number);
  }

  forget(host: Mac): void {
    const planned = this.#queue.get(host);
    if (planned !== undefined) this.#end(planned, false);
    this.#queue.delete(host);
  }

  command(host: Mac | null, to: number, now: number): number {
    const entry = host === null ? undefined : this.#table.get(host);
    const entries = host === null ? [...this.#table.values()] : entry === undefined ? [] : [entry];
    const hosts = entries.filter(({ forwarder }) => forwarder !== to);
    if (host !== null && hosts.length === 0) this.#queue.tellAgain(host);
    return this.#plan(hosts, { to, reason: 'command', forwarder: to }, now);
  }

  redistribute(number: number, now: number): number {
    return this.#plan(this.#having(number), { to: 0, reason: 'redistribute', forwarder: number }, now);
  }

  vacate(number: number, to: number, now: number): number {
    if (number === to) return 0;
    return this.#plan(this.#having(number), { to, reason: 'vacate', forwarder: number }, now);
  }

  returned(number: number, now: number): number {
    this.#straggling.delete(number);
    const mode = this.#settings.return;
    const hosts = [...this.#table.values()].filter((entry) => entry.home === number);
    if (mode === 'stay') return 0;
    const back = hosts.filter(({ forwarder }) => forwarder !== number);
    return this.#plan(back, { to: number, reason: 'return', forwarder: number, gradually: mode === 'gradual' }, now);
  }

  straggling(number: number, now: number): void {
    const state = this.#straggling.get(number) ?? { rounds: 0, next: Number.NEGATIVE_INFINITY };
    if (now < state.next || this.#queue.leaving(number) > 0 || this.#table.countOf(number) > 0) return;
    const hosts = [...this.#table.values()].filter((entry) => entry.forwarder !== number);
    const moved = hosts.filter((entry) => entry.previous === number);
    // Who moved them may have been another master, or they were told in a part of the network that was cut off: then
    // any host may be one, and to be told where it is does no harm to the others.
    const told = state.rounds === 0 && moved.length > 0 ? moved : hosts;
    for (const { mac } of told) this.#queue.tellAgain(mac);
    this.#counters.stragglersTold += told.length;
    this.#straggling.set(number, { rounds: state.rounds + 1, next: now + STRAGGLERS[state.rounds] });
  }

  /** Where a planned move would take the host; 0: none is planned, or it has no target. */
  targetOf(entry: HostEntry): number {
    const planned = this.#queue.get(entry.mac);
    // Gradually is how a return is meant: a request does not hasten it.
    if (planned === undefined || planned.from !== entry.forwarder || planned.reason === 'return') return 0;
    return this.#target(entry, planned);
  }

  /** A forwarder for a host that cannot keep its own; 0: there is none. */
  otherThan(entry: HostEntry): number {
    return this.#fewest(entry);
  }

  /** A reply names another forwarder than the host has: that is a move, of which the host is told already. */
  toldByReply(entry: HostEntry, known: HostRecord, forwarder: number, now: number): void {
    const planned = this.#queue.get(entry.mac);
    const reason = planned?.reason ?? (this.#views.usable(entry.forwarder) ? 'command' : 'redistribute');
    if (planned !== undefined) this.#end(planned, true);
    this.#queue.delete(entry.mac);
    this.#counters.movesByReply++;
    const home = this.#homeAfter(entry, reason);
    this.#put({ ...known, forwarder, home, age: 0 }, now);
  }

  moves(now: number): Move[] {
    const moves: Move[] = [];
    for (const planned of this.#queue.next(now)) {
      const move = this.#made(planned, now);
      if (move !== null) moves.push(move);
    }
    this.#tellAgain(this.#queue.repeats(now), 'repeat', moves);
    this.#tellAgain(this.#queue.again(now), 'straggler', moves);
    return moves;
  }

  /** Looks at the loads when it is time to. True: it did, and weights may have changed. */
  rebalance(now: number): boolean {
    if (now < this.#rebalancer.nextTime) return false;
    const carriers = this.#carriers();
    // While hosts are being moved the counts and loads are not what they will be.
    const shift = this.#queue.size > 0 ? null : this.#rebalancer.look(carriers, now);
    if (this.#queue.size > 0) this.#rebalancer.look([], now);
    if (shift === null) return true;
    const movable = this.#having(shift.from).filter((entry) => entry.restUntil <= now);
    // Hosts seen lately have traffic; the others would be moved for nothing.
    movable.sort((a, b) => b.seen - a.seen || a.mac - b.mac);
    const hosts = movable.slice(0, shift.hosts);
    for (const entry of hosts) {
      entry.rest = Math.min(REST_MAX, entry.rest === 0 ? REST : entry.rest * 2);
      entry.restUntil = now + entry.rest;
    }
    this.#rebalancer.shifted(shift, hosts.length, carriers);
    this.#plan(hosts, { to: shift.to, reason: 'rebalance', forwarder: shift.from }, now);
    return true;
  }

  get nextTime(): number {
    return Math.min(this.#queue.nextTime, this.#rebalancer.nextTime);
  }

  counters(): Record<string, number> {
    return {
      ...this.#counters,
      repeatsDropped: this.#queue.repeatsDropped,
      rebalanceReversals: this.#rebalancer.reversals,
    };
  }

  #having(number: number): HostEntry[] {
    return [...this.#table.values()].filter((entry) => entry.forwarder === number);
  }

  #plan(
    hosts: readonly HostEntry[],
    { to, reason, forwarder, gradually }: { to: number; reason: MoveReason; forwarder: number; gradually?: boolean },
    _now: number,
  ): number {
    let planned = 0;
    for (const { mac, forwarder: from } of hosts) {
      const before = this.#queue.get(mac);
      if (before !== undefined && before.reason === reason && before.to === to) continue;
      if (before !== undefined) this.#end(before, false);
      this.#queue.add({ host: mac, from, to, reason }, gradually);
      planned++;
    }
    if (planned === 0) return 0;
    const key = runKey(reason, forwarder);
    const run = this.#runs.get(key) ?? { reason, forwarder, left: 0, moved: 0 };
    run.left += planned;
    this.#runs.set(key, run);
    this.#report({ kind: 'moving', reason, forwarder, hosts: planned });
    return planned;
  }

  /** A planned move is made or given up. */
  #end(planned: Planned, isMade: boolean): void {
    const forwarder = planned.reason === 'return' || planned.reason === 'command' ? planned.to : planned.from;
    const key = runKey(planned.reason, forwarder);
    const run = this.#runs.get(key);
    if (run === undefined) return;
    run.left--;
    if (isMade) run.moved++;
    if (run.left > 0) return;
    this.#runs.delete(key);
    this.#report({ kind: 'moved', reason: run.reason, forwarder: run.forwarder, hosts: run.moved });
  }

  #made(planned: Planned, now: number): Move | null {
    const entry = this.#table.get(planned.host);
    const to = entry === undefined || entry.forwarder !== planned.from ? 0 : this.#target(entry, planned);
    if (entry === undefined || to === 0 || to === entry.forwarder) {
      if (entry !== undefined && to === 0) this.#counters.movesWithoutTarget++;
      this.#end(planned, false);
      return null;
    }
    const { reason, from } = planned;
    const home = this.#homeAfter(entry, reason);
    this.#put({ ...recordOf(entry, now), forwarder: to, home, age: 0 }, now);
    entry.previous = from;
    this.#straggling.set(from, { rounds: 0, next: now + SETTLING });
    this.#count(reason);
    this.#end(planned, true);
    this.#queue.told(entry.mac, now);
    return { host: entry.mac, addresses: entry.addresses, from, to, reason };
  }

  #tellAgain(hosts: readonly Mac[], reason: 'repeat' | 'straggler', moves: Move[]): void {
    for (const host of hosts) {
      const entry = this.#table.get(host);
      // One that has asked since knows where it belongs, and one that is to be moved will be told something else.
      if (entry === undefined || (reason === 'repeat' && entry.previous === 0) || this.#queue.get(host) !== undefined)
        continue;
      if (!this.#views.served(entry.forwarder)) continue;
      if (reason === 'repeat') this.#counters.toldAgain++;
      const { mac, addresses, forwarder, previous } = entry;
      moves.push({ host: mac, addresses, from: previous || forwarder, to: forwarder, reason });
    }
  }

  /** Who takes the host: who was named, or the candidate with the fewest hosts for its weight. */
  #target(entry: HostEntry, planned: Planned): number {
    if (planned.to !== 0) return this.#views.served(planned.to) ? planned.to : 0;
    return this.#fewest(entry);
  }

  #fewest(entry: HostEntry): number {
    const others = this.#views.candidates.filter(({ number }) => number !== entry.forwarder);
    if (this.#settings.algorithm === 'host') return rendezvous(others, entry.mac);
    let best = 0;
    let least = Number.POSITIVE_INFINITY;
    for (const { number, weight } of others) {
      const share = (this.#table.countOf(number) + 1) / (this.#settings.algorithm === 'round-robin' ? 1 : weight);
      if (share < least) {
        least = share;
        best = number;
      }
    }
    return best;
  }

  /** A host that lost its gateway by a failure goes back to it; by any other reason it is where it belongs. */
  #homeAfter(entry: HostEntry, reason: MoveReason): number {
    const failed = reason === 'redistribute' || reason === 'vacate';
    return failed && this.#settings.return !== 'stay' ? entry.home || entry.forwarder : 0;
  }

  #carriers(): Carrier[] {
    const carriers: Carrier[] = [];
    for (const { number, server, givenOut, weight, load } of this.#views.values()) {
      if (server !== number || !givenOut || weight <= 0) continue;
      carriers.push({ number, weight, load, hosts: this.#table.countOf(number) });
    }
    return carriers;
  }

  #count(reason: MoveReason): void {
    if (reason === 'redistribute') this.#counters.movesRedistribute++;
    else if (reason === 'vacate') this.#counters.movesVacate++;
    else if (reason === 'return') this.#counters.movesReturn++;
    else if (reason === 'rebalance') this.#counters.movesRebalance++;
    else if (reason === 'command') this.#counters.movesCommand++;
  }
}

function runKey(reason: MoveReason, forwarder: number): string {
  return `${reason} ${forwarder}`;
}
