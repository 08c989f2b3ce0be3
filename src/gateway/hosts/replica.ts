/**
 * The same host table at every member. The master numbers every change within its term of office and tells all members
 * in the turn in which it makes it; a member that follows applies them in order. A message of changes says what the table
 * was like before it, and every advert what it is like now, so whoever lacks something knows it, and one whose table is
 * the same anyway takes up a new master's numbering without a transfer. Who lacks something sends the digests of its
 * buckets and gets those that differ.
 *
 * Offices end in ways that leave several versions of the truth: the last change reached some members only, or two parts
 * of a network had a master each. Then the younger choice counts, host by host: a new master fetches what a member knows
 * beyond its own table (`pull`), and a member that must give up an entry for a master's older one offers it to the master.
 */
import {
  BUCKETS,
  CHANGES_HEADER,
  covers,
  encodeChanges,
  encodeRecord,
  encodeRequest,
  type HostRecord,
  type Position,
  readHostsBody,
} from '../../wire/gateway-hosts.js';
import type { Mac } from '../mac.js';
import { EarlyChanges } from './early-changes.js';
import { type HostEntry, type HostTable, recordOf } from './host-table.js';
import { type Answer, answerOf, offersOf } from './parts.js';
import type { HostMessage } from './types.js';

/** Seconds: a change that came too early waits so long for those before it, until they are asked for. */
const REORDERING = 0.02;
const RETRY = 0.1;
const RETRY_MAX = 1;
/** A successor waits so long for what it fetches. */
const SETTLING = 0.05;
/** Positions heard longer ago say nothing. */
const HEARD = 3;
/** The changes of so many seconds, and so many bytes at most, are said again in adverts. */
const RECENT = 0.35;
const RECENT_BYTES = 1000;
const RECENT_LIMIT = 256;
const VERSION_LIMIT = 0xffffffff;
/** More terms than there ever are; but a member that is out of its mind may claim the last one. */
const COUNTER_LIMIT = 0xffffff;
/** Changes that may be under way to a member that is otherwise in step. */
const UNDER_WAY = 256;
/** An entry is younger than another when it is so many seconds younger: messages take time. */
const YOUNGER = 0.05;
/** A host is offered to a master so many times: offers may be lost. */
const OFFERS = 3;
const EMPTY = new Uint8Array(0);

interface Change {
  readonly base: Position;
  readonly record: Uint8Array;
  readonly at: number;
}

/** The master gave this forwarder to a host that it did not know before. */
export type Given = (forwarder: number, now: number) => void;

export class Replica {
  readonly counters = {
    changesMade: 0,
    changesApplied: 0,
    changesRepeated: 0,
    changesEarly: 0,
    changesUnexpected: 0,
    tableRequestsSent: 0,
    tableRequestsAnswered: 0,
    tablePartsReceived: 0,
    tablePartsStale: 0,
    tablePartsUnexpected: 0,
    offered: 0,
    merged: 0,
    messagesMalformed: 0,
    pendingDropped: 0,
    tableOverflow: 0,
  };
  readonly #table: HostTable;
  readonly #number: number;
  readonly #bodyLimit: number;
  readonly #given: Given;
  #term = 0;
  #version = 0;
  /** Highest counter of a term heard of. */
  #highest = 0;
  #master = 0;
  #unsent: Change[] = [];
  #recent: Change[] = [];
  readonly #early = new EarlyChanges();
  readonly #heard = new Map<number, { position: Position; at: number }>();
  /** Members that asked for what differs in this turn, and the digests of what they have. */
  readonly #asked = new Map<number, Uint32Array>();
  readonly #offers: HostRecord[] = [];
  /** How often each host was offered to this master. */
  readonly #offered = new Map<Mac, number>();
  /** When the next table request is due; Infinity: nothing lacks. */
  #requestAt = Number.POSITIVE_INFINITY;
  #retry = RETRY;
  /** A successor's source, until when. */
  #source = 0;
  #settleUntil = 0;
  /** Hosts that came by parts since the table was last in step, and who sent them. */
  #received = 0;
  #completed: { from: number; hosts: number } | null = null;

  constructor(table: HostTable, options: { number: number; bodyLimit: number }, given: Given) {
    this.#table = table;
    this.#number = options.number;
    this.#bodyLimit = options.bodyLimit;
    this.#given = given;
  }

  get isMaster(): boolean {
    return this.#master === this.#number;
  }

  position(): Position {
    const { digest, size } = this.#table;
    return { term: this.#term, version: this.#version, digest, count: size };
  }

  /** Whose changes are taken from now on. Its own number: this member takes the office; 0: nobody's. */
  follow(master: number, now: number): void {
    if (master === this.#master) return;
    const before = this.#master;
    this.#master = master;
    this.#source = 0;
    this.#requestAt = Number.POSITIVE_INFINITY;
    this.#retry = RETRY;
    if (master !== this.#number) {
      this.#unsent = [];
      this.#recent = [];
      this.#offers.length = 0;
      this.#offered.clear();
      const heard = this.#heard.get(master);
      if (heard !== undefined && now - heard.at <= HEARD) this.#compare(heard.position, now);
      return;
    }
    const old = this.position();
    // What came early is better known than not, even if something before it is lost.
    for (const record of this.#early.takeAll()) this.#apply(record, now);
    this.#begin();
    this.#pullFrom(this.#mostAdvanced(old, before, now), now);
  }

  /** True while a successor fetches what another member knows beyond its table. */
  settling(now: number): boolean {
    return this.#source !== 0 && now < this.#settleUntil;
  }

  /** A member is gone: what it last said about its table does not matter any more. */
  forget(member: number): void {
    this.#heard.delete(member);
    this.#asked.delete(member);
    if (this.#source === member) this.#source = 0;
  }

  /** Master: enters or changes a host and numbers the change. Null when the table has no room at all. */
  put(record: HostRecord, now: number): HostEntry | null {
    const base = this.position();
    const entry = this.#table.put(record, now, now - record.age);
    if (entry === null) this.counters.tableOverflow++;
    else this.#numberChange(base, record, now);
    return entry;
  }

  /** Master: forgets a host. */
  remove(mac: Mac, now: number): void {
    const base = this.position();
    if (!this.#table.remove(mac)) return;
    this.#numberChange(base, { mac, forwarder: 0, home: 0, confirmed: false, gone: true, addresses: [], age: 0 }, now);
  }

  /** Does the member that stands there have this table, but for changes that are under way? */
  inSync(position: Position): boolean {
    const mine = this.position();
    if (sameTable(position, mine)) return true;
    return position.term === mine.term && mine.version - position.version <= UNDER_WAY;
  }

  heard(from: number, position: Position, now: number): void {
    this.#heard.set(from, { position, at: now });
    this.#highest = Math.max(this.#highest, position.term >>> 8);
    // Somebody has followed a later master than this one: what it numbers from now on must count as later still.
    if (this.isMaster && position.term > this.#term) this.#begin();
    if (from === this.#master) this.#compare(position, now);
  }

  receive(from: number, body: Uint8Array, now: number): void {
    const message = readHostsBody(body);
    if (message === null) {
      this.counters.messagesMalformed++;
      return;
    }
    switch (message.kind) {
      case 'changes':
        if (from === this.#master) this.#changes(message.base, message.records, now);
        else this.counters.changesUnexpected++;
        break;
      case 'request':
        this.#asked.set(from, message.digests);
        break;
      case 'part':
        this.counters.tablePartsReceived++;
        if (from === this.#source) this.#pulled(message, now);
        else if (from === this.#master) this.#replaced(from, message, now);
        else this.counters.tablePartsUnexpected++;
        break;
      case 'offer':
        if (this.isMaster) this.#merge(message.records, now);
        break;
    }
  }

  /** What is to be sent now: changes first, then answers, which presume them. */
  messages(now: number): HostMessage[] {
    const messages: HostMessage[] = [];
    for (let at = 0; at < this.#unsent.length; ) {
      const end = this.#fitting(this.#unsent, at, this.#bodyLimit);
      messages.push({ to: 0, body: encoded(this.#unsent, at, end) });
      at = end;
    }
    if (this.#unsent.length > 0) this.#unsent = [];
    for (const [member, digests] of this.#asked) {
      this.counters.tableRequestsAnswered++;
      const answer: Answer = { position: this.position(), digests, bodyLimit: this.#bodyLimit, now };
      for (const body of answerOf(this.#table, answer)) messages.push({ to: member, body });
    }
    this.#asked.clear();
    if (this.#offers.length > 0) {
      for (const body of offersOf(this.#offers, this.#bodyLimit)) messages.push({ to: this.#master, body });
      this.counters.offered += this.#offers.length;
      this.#offers.length = 0;
    }
    if (now >= this.#requestAt) {
      const to = this.isMaster ? this.#source : this.#master;
      if (to === 0) this.#requestAt = Number.POSITIVE_INFINITY;
      else {
        this.counters.tableRequestsSent++;
        messages.push({ to, body: encodeRequest(this.position(), this.#table.digests) });
        this.#requestAt = now + this.#retry;
        this.#retry = Math.min(RETRY_MAX, this.#retry * 2);
      }
    }
    return messages;
  }

  /** The last changes once more, as many as fit; empty: none. */
  recent(now: number): Uint8Array {
    if (!this.isMaster) return EMPTY;
    this.#recent = this.#recent.filter((change) => now - change.at <= RECENT);
    let from = this.#recent.length;
    let room = Math.min(RECENT_BYTES, this.#bodyLimit) - CHANGES_HEADER;
    while (from > 0 && this.#recent[from - 1].record.length <= room) {
      from--;
      room -= this.#recent[from].record.length;
    }
    return from === this.#recent.length ? EMPTY : encoded(this.#recent, from, this.#recent.length);
  }

  tick(now: number): void {
    if (this.#source !== 0 && now >= this.#settleUntil) this.#source = 0;
  }

  /** When `messages` or `tick` has something to do. */
  get nextTime(): number {
    if (this.#unsent.length > 0 || this.#asked.size > 0 || this.#offers.length > 0) return Number.NEGATIVE_INFINITY;
    return Math.min(this.#requestAt, this.#source === 0 ? Number.POSITIVE_INFINITY : this.#settleUntil);
  }

  /** Whose table has come whole since the last call, and how many hosts of it. */
  takeCompleted(): { from: number; hosts: number } | null {
    const completed = this.#completed;
    this.#completed = null;
    return completed;
  }

  /** A term of its own, above all that were heard of. */
  #begin(): void {
    this.#highest = Math.min(COUNTER_LIMIT, Math.max(this.#highest, this.#term >>> 8) + 1);
    this.#term = this.#highest * 256 + this.#number;
    this.#version = 0;
    this.#recent = [];
    this.#unsent = [];
  }

  #numberChange(base: Position, record: HostRecord, now: number): void {
    this.counters.changesMade++;
    // A term has numbers for 2³² changes: more than it lasts, but not more than nobody ever makes.
    if (this.#version === VERSION_LIMIT) {
      this.#begin();
      return;
    }
    this.#version++;
    const change = { base, record: encodeRecord(record, false), at: now };
    this.#unsent.push(change);
    this.#recent.push(change);
    if (this.#recent.length > RECENT_LIMIT) this.#recent.splice(0, RECENT_LIMIT / 2);
  }

  /** Where a body ends that begins with the change at `from`. */
  #fitting(changes: readonly Change[], from: number, limit: number): number {
    let room = limit - CHANGES_HEADER;
    let end = from;
    while (end < changes.length && (end === from || changes[end].record.length <= room))
      room -= changes[end++].record.length;
    return end;
  }

  #changes(base: Position, records: readonly HostRecord[], now: number): void {
    this.#highest = Math.max(this.#highest, base.term >>> 8);
    if (base.term < this.#term) {
      this.counters.changesUnexpected++;
      return;
    }
    if (base.term > this.#term || base.version > this.#version) {
      if (sameTable(base, this.position())) this.#stand(base, now);
    }
    for (let i = 0; i < records.length; i++) {
      const version = base.version + 1 + i;
      if (base.term === this.#term && version <= this.#version) this.counters.changesRepeated++;
      else if (base.term === this.#term && version === this.#version + 1) {
        this.#apply(records[i], now);
        this.#version = version;
      } else this.#keep(base.term, version, records[i]);
    }
    this.#drain(now);
    if (this.#early.size > 0) this.#lack(now + REORDERING);
  }

  #keep(term: number, version: number, record: HostRecord): void {
    const kept = this.#early.keep(term, version, record);
    if (kept === 'known') this.counters.changesRepeated++;
    else if (kept === 'full') this.counters.pendingDropped++;
    else this.counters.changesEarly++;
  }

  /** Applies what came early and is due now, and drops what is no news any more. */
  #drain(now: number): void {
    if (this.#early.size === 0) return;
    this.#early.reached(this.#term, this.#version);
    for (;;) {
      const record = this.#early.take(this.#term, this.#version + 1);
      if (record === undefined) break;
      this.#apply(record, now);
      this.#version++;
    }
    if (this.#early.size === 0) this.#requestAt = Number.POSITIVE_INFINITY;
  }

  #apply(record: HostRecord, now: number): void {
    this.counters.changesApplied++;
    if (record.gone) {
      this.#table.remove(record.mac);
      return;
    }
    const isNew = this.#table.get(record.mac) === undefined;
    const entry = this.#table.put(record, now, now - record.age);
    if (entry === null) {
      this.counters.tableOverflow++;
      return;
    }
    this.#table.touch(entry, now);
    if (isNew) this.#given(record.forwarder, now);
  }

  /** The table is the one that stands there. */
  #stand(position: Position, now: number): void {
    this.#term = position.term;
    this.#version = position.version;
    this.#requestAt = Number.POSITIVE_INFINITY;
    this.#retry = RETRY;
    this.#offered.clear();
    this.#drain(now);
  }

  /** The master's table against this one. */
  #compare(position: Position, now: number): void {
    if (this.isMaster || position.term < this.#term) return;
    const sameTerm = position.term === this.#term;
    if (sameTerm && position.version < this.#version) return;
    if (sameTable(position, this.position())) this.#stand(position, now);
    else this.#lack(now + REORDERING);
  }

  #lack(at: number): void {
    if (this.#requestAt === Number.POSITIVE_INFINITY) this.#requestAt = at;
  }

  /** The member whose table is the furthest beyond this one; 0: none is. */
  #mostAdvanced(old: Position, before: number, now: number): number {
    let best = 0;
    let most = old;
    for (const [member, { position, at }] of this.#heard) {
      // The master before is gone; whoever was not heard lately may be gone too.
      if (member === before || member === this.#number || now - at > 1) continue;
      if (position.term < most.term || (position.term === most.term && position.version <= most.version)) continue;
      if (sameTable(position, old)) continue;
      best = member;
      most = position;
    }
    return best;
  }

  #pullFrom(member: number, now: number): void {
    this.#source = member;
    if (member === 0) return;
    this.#settleUntil = now + SETTLING;
    this.#requestAt = now;
    this.#retry = RETRY;
  }

  #pulled(part: { last: boolean; more: boolean; records: readonly HostRecord[] }, now: number): void {
    this.#merge(part.records, now);
    if (!part.last) return;
    if (part.more) this.#requestAt = now;
    else {
      this.#source = 0;
      this.#requestAt = Number.POSITIVE_INFINITY;
    }
  }

  #merge(records: readonly HostRecord[], now: number): void {
    for (const record of records) {
      if (record.gone) continue;
      const mine = this.#table.get(record.mac);
      if (mine !== undefined && (mine.forwarder === record.forwarder || now - record.age <= mine.since + YOUNGER))
        continue;
      if (this.put(record, now) !== null) this.counters.merged++;
    }
  }

  /** What the master has in some buckets takes the place of what this member has there. */
  #replaced(
    from: number,
    part: Extract<NonNullable<ReturnType<typeof readHostsBody>>, { kind: 'part' }>,
    now: number,
  ): void {
    const { position, buckets, first, final } = part;
    const crossing = position.term !== this.#term;
    if (position.term < this.#term || (!crossing && position.version < this.#version)) {
      this.counters.tablePartsStale++;
      return;
    }
    const theirs = new Map(part.records.map((record) => [record.mac, record]));
    for (const mine of this.#coveredBy(buckets)) {
      if (mine.mac < first || mine.mac > final) continue;
      const record = theirs.get(mine.mac);
      const younger = record === undefined || now - record.age < mine.since - YOUNGER;
      // What is offered is kept until the master has it: it may be the only one of its kind.
      if (crossing && younger && record?.forwarder !== mine.forwarder && this.#offer(mine, now))
        theirs.delete(mine.mac);
      else if (record === undefined) this.#table.remove(mine.mac);
    }
    for (const record of theirs.values()) {
      if (record.gone) continue;
      if (this.#table.put(record, now, now - record.age) === null) this.counters.tableOverflow++;
      this.#received++;
    }
    if (sameTable(position, this.position())) {
      this.#completed = { from, hosts: this.#received };
      this.#received = 0;
      this.#stand(position, now);
    } else if (part.last) this.#requestAt = part.more ? now : now + RETRY / 2;
  }

  /** False: the master was offered the host often enough and does not want it. */
  #offer(entry: HostEntry, now: number): boolean {
    const times = this.#offered.get(entry.mac) ?? 0;
    if (times >= OFFERS) return false;
    this.#offered.set(entry.mac, times + 1);
    this.#offers.push(recordOf(entry, now));
    return true;
  }

  #coveredBy(buckets: Uint8Array): HostEntry[] {
    const entries: HostEntry[] = [];
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      if (covers(buckets, bucket)) for (const entry of this.#table.bucket(bucket)) entries.push(entry);
    }
    return entries;
  }
}

function sameTable(a: Position, b: Position): boolean {
  return a.count === b.count && a.digest[0] === b.digest[0] && a.digest[1] === b.digest[1];
}

function encoded(changes: readonly Change[], from: number, end: number): Uint8Array {
  return encodeChanges(
    changes[from].base,
    changes.slice(from, end).map((change) => change.record),
  );
}
