/**
 * Who serves which virtual MAC. The master decides and its adverts say so; the others do what they are told, and keep
 * doing it while there is no master.
 *
 * An owner that is dead or cannot forward is stood in for at once, by the master or by the idlest (document 004, claims
 * 6, 8, 36). After `permanentAfter` its hosts are given to others (claims 7, 9) and its virtual MAC is given out no more,
 * which happens after `redirect` at the latest; it is served until `timeout`. When the owner is back, its hosts first move
 * to the stand-in's own virtual MAC, so that the virtual MAC goes back without a host; one that was away for a moment only
 * gets it back as it was. Each further absence within ten minutes makes the return later.
 */
import type { ForwarderEntry } from '../wire/gateway-advert.js';
import type { ForwarderState } from './types.js';

export interface ForwarderSettings {
  readonly takeover: 'master' | 'least-loaded';
  readonly permanentAfter: number;
  readonly redirect: number;
  readonly timeout: number;
  readonly return: 'gradual' | 'stay' | 'at-once';
  /** Seconds of absence that are no failure yet. */
  readonly moment: number;
}

/** What the master knows of the gateways and their hosts. */
export interface Surroundings {
  readonly self: number;
  /** Gateways that are alive and able, ourselves among them when we are. */
  readonly present: ReadonlySet<number>;
  /** Those of them that hear us, so that they can be told to stand in. */
  readonly reachable: ReadonlySet<number>;
  /** 0…1. */
  loadOf(number: number): number;
  hostsOf(forwarder: number): number;
  /** Moves still to be made away from a forwarder. */
  leaving(forwarder: number): number;
  redistribute(forwarder: number): number;
  vacate(forwarder: number, to: number): number;
  returned(forwarder: number): number;
}

export type ForwarderChange =
  | { readonly kind: 'served'; readonly number: number; readonly server: number; readonly before: number }
  | { readonly kind: 'permanent'; readonly number: number; readonly hosts: number }
  | { readonly kind: 'draining'; readonly number: number }
  | { readonly kind: 'vacating'; readonly number: number; readonly to: number; readonly hosts: number }
  | { readonly kind: 'damped'; readonly number: number; readonly seconds: number }
  | { readonly kind: 'forgotten'; readonly number: number };

export interface Row {
  readonly number: number;
  server: number;
  givenOut: boolean;
  permanent: boolean;
  /** Since when its owner is away; null: it is there. */
  awaySince: number | null;
  /** Since when this is so. */
  since: number;
  /** Its hosts are being moved to the stand-in since; null: they are not. */
  vacatingSince: number | null;
}

/** Seconds for which absences count as flapping, and the longest wait for them. */
const FLAP_WINDOW = 600;
const FLAP_FIRST = 5;
const FLAP_MAX = 300;
const FLAP_COUNT_LIMIT = 16;
/** Seconds after which a virtual MAC goes back though not every host could be told. */
const VACATE_LIMIT = 30;
/** Adverts tell an absence in seconds. */
const AWAY_STEP = 1;
/** Seconds between two looks whether they have been. */
const VACATE_LOOK = 0.05;

export class Forwarders {
  #settings: ForwarderSettings;
  readonly #rows = new Map<number, Row>();
  /** When the owner of each was lost, the latest last. */
  readonly #losses = new Map<number, number[]>();
  /** Until when a return is put off, of owners that are back. */
  readonly #damped = new Map<number, number>();
  #round = 0;

  constructor(settings: ForwarderSettings) {
    this.#settings = settings;
  }

  configure(settings: ForwarderSettings): void {
    this.#settings = settings;
  }

  rows(): IterableIterator<Row> {
    return this.#rows.values();
  }

  get(number: number): Row | undefined {
    return this.#rows.get(number);
  }

  /** Who serves it, as far as is known; 0: nobody. */
  serverOf(number: number): number {
    return this.#rows.get(number)?.server ?? 0;
  }

  stateOf(row: Row): ForwarderState {
    if (row.server === 0) return 'idle';
    if (!row.givenOut) return 'draining';
    return row.server === row.number ? 'active' : 'taken-over';
  }

  /** What the master's advert says. True when something is not as it was. */
  adopt(entries: readonly ForwarderEntry[], now: number): boolean {
    let changed = false;
    for (const { number, server, givenOut, permanent, away } of entries) {
      const awaySince = away === 0 ? null : now - away;
      const row = this.#rows.get(number);
      if (row === undefined) {
        this.#add(number, server, now, { givenOut, permanent, awaySince });
        changed = true;
        continue;
      }
      if (row.server !== server || row.givenOut !== givenOut || row.permanent !== permanent) {
        if (row.server !== server) row.since = now;
        changed = true;
      }
      row.server = server;
      row.givenOut = givenOut;
      row.permanent = permanent;
      // Told in whole seconds: what is known already is finer, unless it is of another absence.
      if (awaySince === null || row.awaySince === null || Math.abs(row.awaySince - awaySince) > AWAY_STEP)
        row.awaySince = awaySince;
      row.vacatingSince = null;
    }
    return changed;
  }

  /** For the master's advert: at most `room` rows, the others next time. */
  entries(now: number, room: number): ForwarderEntry[] {
    const entries = [...this.#rows.values()].map(({ number, server, givenOut, permanent, awaySince }) => ({
      number,
      server,
      givenOut,
      permanent,
      away: awaySince === null ? 0 : Math.max(1, Math.round(now - awaySince)),
    }));
    if (entries.length <= room) return entries;
    const from = this.#round % entries.length;
    this.#round += room;
    return [...entries.slice(from), ...entries.slice(0, from)].slice(0, room);
  }

  /** The master's turn. What has changed. */
  decide(now: number, around: Surroundings): ForwarderChange[] {
    const changes: ForwarderChange[] = [];
    for (const number of around.present) {
      if (this.#rows.has(number)) continue;
      this.#add(number, number, now, { givenOut: true, permanent: false, awaySince: null });
      changes.push({ kind: 'served', number, server: number, before: 0 });
      around.returned(number);
    }
    for (const row of [...this.#rows.values()]) {
      if (around.present.has(row.number)) this.#ownerThere(row, now, around, changes);
      else this.#ownerAway(row, now, around, changes);
    }
    return changes;
  }

  /** This member takes the office: what the master before had begun is gone on with. */
  resume(around: Surroundings): void {
    for (const { number, permanent } of this.#rows.values()) if (permanent) around.redistribute(number);
  }

  /** The owner will not come back soon: its hosts go to others now. Null: it is here, or unknown. */
  declareDead(number: number, now: number, around: Surroundings): ForwarderChange | null {
    const row = this.#rows.get(number);
    if (row === undefined || around.present.has(number) || row.permanent || row.server === 0) return null;
    return this.#fail(row, now, around);
  }

  /** This gateway, or its clock, stood still or leapt: nobody was away for these seconds. */
  stoodStill(seconds: number): void {
    for (const row of this.#rows.values()) {
      row.since += seconds;
      if (row.awaySince !== null) row.awaySince += seconds;
      row.vacatingSince = null;
    }
  }

  /** When `decide` has something to do without anything having happened. */
  nextTime(now: number): number {
    const { permanentAfter, redirect, timeout } = this.#settings;
    let next = Number.POSITIVE_INFINITY;
    for (const row of this.#rows.values()) {
      if (row.vacatingSince !== null) next = Math.min(next, now + VACATE_LOOK);
      if (row.awaySince === null || row.server === 0) continue;
      const until = this.#damped.get(row.number);
      if (until !== undefined) {
        // Its owner is back: nothing else happens to it until then.
        if (until > now) next = Math.min(next, until);
        continue;
      }
      // Without anybody to take its hosts it is tried again only when something happens.
      const failsAt = row.awaySince + permanentAfter;
      if (!row.permanent && failsAt > now) next = Math.min(next, failsAt);
      if (row.givenOut) next = Math.min(next, row.awaySince + redirect);
      next = Math.min(next, row.awaySince + timeout);
    }
    return next;
  }

  #ownerAway(row: Row, now: number, around: Surroundings, changes: ForwarderChange[]): void {
    const { number } = row;
    this.#damped.delete(number);
    if (row.server === 0) return;
    if (row.vacatingSince !== null) {
      row.vacatingSince = null;
      row.givenOut = !row.permanent;
    }
    if (row.awaySince === null) {
      row.awaySince = now;
      this.#lost(number, now);
    }
    if (row.server === number || !around.reachable.has(row.server))
      this.#serve(row, this.#standIn(around), now, changes);
    const away = now - row.awaySince;
    if (!row.permanent && away >= this.#settings.permanentAfter) {
      const change = this.#fail(row, now, around);
      if (change !== null) changes.push(change);
    }
    if (row.givenOut && away >= this.#settings.redirect) {
      row.givenOut = false;
      row.since = now;
      changes.push({ kind: 'draining', number });
    }
    if (away >= this.#settings.timeout) {
      // The row stays, so that the others hear of it and let the virtual MAC go as well.
      row.server = 0;
      row.givenOut = false;
      row.since = now;
      changes.push({ kind: 'forgotten', number });
    }
  }

  #ownerThere(row: Row, now: number, around: Surroundings, changes: ForwarderChange[]): void {
    const { number } = row;
    if (row.server === number) {
      row.awaySince = null;
      row.permanent = false;
      row.givenOut = true;
      return;
    }
    // Whoever stood in is gone: nobody serves it better than its owner now.
    if (!around.reachable.has(row.server)) return this.#giveBack(row, now, around, changes);
    const away = row.awaySince === null ? 0 : now - row.awaySince;
    if (this.#isDamped(number, now, changes)) return;
    const atOnce = this.#settings.return === 'at-once' || (away < this.#settings.moment && !row.permanent);
    if (atOnce || this.#isEmpty(row, now, around)) return this.#giveBack(row, now, around, changes);
    if (row.vacatingSince !== null) return;
    // The hosts move to a virtual MAC of the gateway that serves them already, so nothing changes for their packets.
    const to = this.#rows.get(row.server);
    if (to === undefined || to.server !== to.number) return this.#giveBack(row, now, around, changes);
    row.vacatingSince = now;
    row.givenOut = false;
    changes.push({ kind: 'vacating', number, to: to.number, hosts: around.vacate(number, to.number) });
  }

  #isEmpty(row: Row, now: number, around: Surroundings): boolean {
    if (row.vacatingSince === null) return around.hostsOf(row.number) === 0;
    return around.leaving(row.number) === 0 || now - row.vacatingSince >= VACATE_LIMIT;
  }

  #giveBack(row: Row, now: number, around: Surroundings, changes: ForwarderChange[]): void {
    row.awaySince = null;
    row.permanent = false;
    row.givenOut = true;
    row.vacatingSince = null;
    this.#damped.delete(row.number);
    this.#serve(row, row.number, now, changes);
    around.returned(row.number);
  }

  #fail(row: Row, now: number, around: Surroundings): ForwarderChange | null {
    // Nobody else is there to take its hosts: they stay with whoever stands in.
    const other = [...this.#rows.values()].some(
      ({ number, server, givenOut }) => number !== row.number && givenOut && around.present.has(server),
    );
    if (!other) return null;
    row.permanent = true;
    row.givenOut = false;
    row.since = now;
    return { kind: 'permanent', number: row.number, hosts: around.redistribute(row.number) };
  }

  #serve(row: Row, server: number, now: number, changes: ForwarderChange[]): void {
    if (row.server === server) return;
    changes.push({ kind: 'served', number: row.number, server, before: row.server });
    row.server = server;
    row.since = now;
  }

  /** Who stands in for one that is away. When nobody is able to, we do what we can. */
  #standIn(around: Surroundings): number {
    if (this.#settings.takeover === 'master' && around.reachable.has(around.self)) return around.self;
    let best = 0;
    for (const number of around.reachable) {
      if (best === 0 || this.#burden(number, around) < this.#burden(best, around)) best = number;
    }
    return best === 0 ? around.self : best;
  }

  /** Load first; of two alike the one that serves fewer. */
  #burden(number: number, around: Surroundings): number {
    let served = 0;
    for (const { server } of this.#rows.values()) if (server === number) served++;
    return around.loadOf(number) + served * 0.01 + number * 1e-6;
  }

  #lost(number: number, now: number): void {
    const losses = (this.#losses.get(number) ?? []).filter((at) => now - at < FLAP_WINDOW);
    losses.push(now);
    this.#losses.set(number, losses.slice(-FLAP_COUNT_LIMIT));
  }

  #isDamped(number: number, now: number, changes: ForwarderChange[]): boolean {
    let until = this.#damped.get(number);
    if (until === undefined) {
      const losses = (this.#losses.get(number) ?? []).filter((at) => now - at < FLAP_WINDOW).length;
      const seconds = losses < 2 ? 0 : Math.min(FLAP_MAX, FLAP_FIRST * 2 ** (losses - 2));
      until = now + seconds;
      this.#damped.set(number, until);
      if (seconds > 0) changes.push({ kind: 'damped', number, seconds });
    }
    return now < until;
  }

  #add(
    number: number,
    server: number,
    now: number,
    what: { givenOut: boolean; permanent: boolean; awaySince: number | null },
  ): void {
    this.#rows.set(number, { number, server, since: now, vacatingSince: null, ...what });
  }
}
