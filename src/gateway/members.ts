/**
 * The members of a group as one of them sees them: who is proven to be of now, who is alive, who hears whom.
 *
 * **Recordings.** No sequence of an incarnation counts twice, nor one far behind the highest. A new incarnation is
 * believed when one of its adverts lists our own incarnation with a sequence that we sent within the last seconds: no
 * recording of earlier days can do that, and no clock of the day is needed.
 *
 * **Silence.** An advert that is late by a quarter of its interval makes us ask, four times by default, and ever again a
 * quarter of an interval later; any message answers. Members also tell when they last heard each other, so that what one
 * of them missed is not taken for silence. With three losses (the default) a member is dead 2.25 intervals after its last
 * sign: a missed advert and two more losses in each direction, twice asked for.
 */
import { ECHO_SECONDS, OwnSequences, SpentIncarnations } from '../flow/freshness.js';
import type { Advert, HeardEntry } from '../wire/gateway-advert.js';
import type { GatewayHeader } from '../wire/gateway-message.js';
import { Peer, type Unproven } from './peer.js';

export interface MembersOptions {
  readonly number: number;
  readonly incarnation: number;
  readonly interval: number;
  readonly losses: number;
}

export interface MemberChange {
  readonly kind: 'up' | 'down';
  readonly peer: Peer;
}

/** Unproven incarnations remembered of each number. */
const UNPROVEN_LIMIT = 4;
const MISSED = 1.25;
const PER_LOSS = 0.5;
const PROBES_PER_LOSS = 2;
/** Intervals by which a turn must be late for what waits to be read first, and for how many that is. */
const LATE = 0.2;
const GRACE = 0.25;
/** Seconds after which one that only others hear is unreachable; and at least so many intervals. */
const UNREACHABLE = 1;
const UNREACHABLE_INTERVALS = 10;

/** Seconds from the last sign of life of a member until it is dead. */
export function detectionTime(interval: number, losses: number): number {
  return interval * (MISSED + (losses - 1) * PER_LOSS);
}

export class Members {
  readonly counters = { replayed: 0, unproven: 0, probes: 0 };
  readonly #options: MembersOptions;
  readonly #peers = new Map<number, Peer>();
  /** Last sequence of incarnations that are believed no more, the oldest first. */
  readonly #spent = new SpentIncarnations();
  readonly #own = new OwnSequences();
  #changes: MemberChange[] = [];
  /** Someone new was heard, who should soon hear that. */
  #wanted = false;
  #round = 0;
  /** No death before: what came while we were late must be read first. */
  #grace = Number.NEGATIVE_INFINITY;

  constructor(options: MembersOptions) {
    this.#options = options;
  }

  /** Own advert with this sequence goes out. */
  sent(sequence: number, now: number): void {
    this.#own.sent(sequence, now);
    this.#wanted = false;
  }

  /** Other messages have gone out, up to this sequence: it may be echoed as well. */
  alsoSent(sequence: number): void {
    this.#own.alsoSent(sequence);
  }

  /** After a standstill: nothing sent before proves anything, nobody is known to be alive or dead. */
  forget(now: number): void {
    this.#own.forget();
    for (const peer of this.#peers.values()) {
      if (peer.incarnation !== 0) this.#spent.spend(peer.incarnation, peer.sequence);
      if (peer.incarnation !== 0)
        peer.unproven.push({ incarnation: peer.incarnation, sequence: peer.sequence, heardAt: now });
      while (peer.unproven.length > UNPROVEN_LIMIT) peer.unproven.shift();
      peer.begin(0, 0);
      peer.alive = false;
      peer.direct = Number.NEGATIVE_INFINITY;
      peer.sign = Number.NEGATIVE_INFINITY;
      peer.heardUs = Number.NEGATIVE_INFINITY;
      peer.since = now;
    }
  }

  /**
   * A message with a right seal. The peer, when it is proven to be of now and not heard before; null: nothing in it may
   * be believed. `at`: when it arrived. `advert`: its body, when it is one.
   */
  receive(header: GatewayHeader, advert: Advert | null, at: number): Peer | null {
    const peer = this.#peer(header.sender);
    if (header.incarnation === peer.incarnation) {
      if (!peer.isNew(header.sequence)) {
        this.counters.replayed++;
        return null;
      }
      peer.take(header.sequence);
    } else if (!this.#believe(peer, header, advert, at)) return null;
    peer.direct = Math.max(peer.direct, at);
    peer.signAt(at);
    if (advert !== null) {
      // One that was overtaken by the next: a sign of life, and nothing more.
      if (header.sequence < peer.advertSequence) return null;
      peer.advertSequence = header.sequence;
      this.#read(peer, advert, at);
    }
    const gone = (advert ?? peer.advert)?.state === 'stopped';
    if (gone && peer.alive) this.#down(peer, 'stopped', at);
    else if (!gone && !peer.alive && peer.advert !== null) {
      peer.alive = true;
      peer.since = at;
      this.#changes.push({ kind: 'up', peer });
    }
    return peer;
  }

  /** Does a header look as if it were of a proven member, and new? */
  expects({ sender, incarnation, sequence }: GatewayHeader): boolean {
    const peer = this.#peers.get(sender);
    return peer !== undefined && peer.incarnation === incarnation && peer.isNew(sequence);
  }

  /** Must others soon hear that we heard them? */
  get wanted(): boolean {
    return this.#wanted;
  }

  /** Whom to ask whether it is there; the dead are in `changes`. `late`: seconds that this turn came later than due. */
  tick(now: number, late: number): Peer[] {
    const asked: Peer[] = [];
    // Once: where every turn is late nobody would ever be dead.
    if (late > this.#options.interval * LATE && now > this.#grace + this.#options.interval)
      this.#grace = now + this.#options.interval * GRACE;
    for (const peer of this.#peers.values()) {
      if (!peer.alive) continue;
      if (now >= this.#deadAt(peer) && now >= this.#grace) {
        this.#down(peer, this.#isSilent(peer, now) ? 'silent' : 'unreachable', now);
      } else if (now >= this.#probeAt(peer)) {
        // A sign that another member tells of may be old already: one question stands for all that were due before now.
        do peer.probes++;
        while (now >= this.#probeAt(peer));
        this.counters.probes++;
        asked.push(peer);
      }
    }
    return asked;
  }

  get nextTime(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const peer of this.#peers.values()) {
      if (!peer.alive) continue;
      next = Math.min(next, this.#probeAt(peer), Math.max(this.#deadAt(peer), this.#grace));
    }
    return next;
  }

  changes(): MemberChange[] {
    const changes = this.#changes;
    this.#changes = [];
    return changes;
  }

  get(number: number): Peer | undefined {
    return this.#peers.get(number);
  }

  all(): IterableIterator<Peer> {
    return this.#peers.values();
  }

  *alive(): Generator<Peer> {
    for (const peer of this.#peers.values()) if (peer.alive && peer.number !== this.#options.number) yield peer;
  }

  /** A living member with our own number: a fault of the configuration. */
  get duplicate(): Peer | null {
    const peer = this.#peers.get(this.#options.number);
    return peer?.alive === true ? peer : null;
  }

  /** Alive as others tell, though perhaps not heard here. */
  rumoured(peer: Peer, now: number): boolean {
    return peer.incarnation !== 0 && peer.absence !== 'stopped' && !this.#isSilent(peer, now);
  }

  /** Does it hear us, as its adverts tell? */
  hearsUs(peer: Peer, now: number): boolean {
    return now - peer.heardUs < 2 * this.#detection(peer);
  }

  /** Is anybody heard whose messages cannot be proven to be of now? It may be one who does not hear us. */
  doubtful(now: number): boolean {
    for (const peer of this.#peers.values())
      for (const { heardAt } of peer.unproven) if (now - heardAt < 3 * this.#options.interval) return true;
    return false;
  }

  /** What to list in an advert: at most `room` entries, the others next time. */
  heardList(now: number, room: number): HeardEntry[] {
    const entries: HeardEntry[] = [];
    for (const { number, incarnation, sequence, direct, unproven } of this.#peers.values()) {
      if (incarnation !== 0 && now - direct < 60) entries.push({ number, age: now - direct, incarnation, sequence });
      for (const other of unproven) {
        if (now - other.heardAt < ECHO_SECONDS)
          entries.push({ number, age: now - other.heardAt, incarnation: other.incarnation, sequence: other.sequence });
      }
    }
    if (entries.length <= room) return entries;
    const from = this.#round % entries.length;
    this.#round += room;
    return [...entries.slice(from), ...entries.slice(0, from)].slice(0, room);
  }

  #peer(number: number): Peer {
    const known = this.#peers.get(number);
    if (known !== undefined) return known;
    const peer = new Peer(number);
    this.#peers.set(number, peer);
    return peer;
  }

  /** An incarnation that is not the proven one: is it proven now? */
  #believe(peer: Peer, header: GatewayHeader, advert: Advert | null, at: number): boolean {
    const { incarnation, sequence } = header;
    let entry = peer.unproven.find((other) => other.incarnation === incarnation);
    const last = entry?.sequence ?? this.#spent.lastOf(incarnation);
    if (sequence <= last) {
      this.counters.replayed++;
      return false;
    }
    if (entry === undefined) {
      entry = { incarnation, sequence, heardAt: at } satisfies Unproven;
      peer.unproven.push(entry);
      if (peer.unproven.length > UNPROVEN_LIMIT) {
        const [oldest] = peer.unproven.splice(0, 1);
        this.#spent.spend(oldest.incarnation, oldest.sequence);
      }
    }
    entry.sequence = sequence;
    entry.heardAt = at;
    const proven = advert?.heard.some((heard) => this.#isEcho(heard, at)) ?? false;
    // Of two that are alive with one number the first one stays, until it is silent.
    if (!proven || peer.alive) {
      if (!proven) this.counters.unproven++;
      this.#wanted = true;
      return false;
    }
    if (peer.incarnation !== 0) this.#spent.spend(peer.incarnation, peer.sequence);
    peer.unproven.splice(peer.unproven.indexOf(entry), 1);
    peer.begin(incarnation, sequence);
    peer.absence = 'silent';
    this.#wanted = true;
    return true;
  }

  #read(peer: Peer, advert: Advert, at: number): void {
    peer.advert = advert;
    for (const heard of advert.heard) {
      if (heard.number === this.#options.number) {
        if (this.#isEcho(heard, at)) peer.heardUs = Math.max(peer.heardUs, at - heard.age);
        continue;
      }
      const other = this.#peers.get(heard.number);
      if (other === undefined || other.incarnation !== heard.incarnation || !(other.alive || other.incarnation !== 0))
        continue;
      if (heard.sequence >= other.sequence) other.signAt(at - heard.age);
    }
  }

  #isEcho(heard: HeardEntry, now: number): boolean {
    if (heard.number !== this.#options.number || heard.incarnation !== this.#options.incarnation) return false;
    return this.#own.isRecent(heard.sequence, now);
  }

  #down(peer: Peer, absence: Peer['absence'], now: number): void {
    peer.alive = false;
    peer.absence = absence;
    peer.since = now;
    this.#changes.push({ kind: 'down', peer });
  }

  #interval(peer: Peer): number {
    return peer.advert?.interval ?? this.#options.interval;
  }

  #detection(peer: Peer): number {
    return detectionTime(this.#interval(peer), this.#options.losses);
  }

  /** To nobody's knowledge has it been heard for the detection time. The sum is that of `#deadAt`, to the last bit. */
  #isSilent(peer: Peer, now: number): boolean {
    return now >= peer.sign + this.#detection(peer);
  }

  #deadAt(peer: Peer): number {
    const interval = this.#interval(peer);
    const unreachable = peer.direct + Math.max(UNREACHABLE, UNREACHABLE_INTERVALS * interval);
    return Math.min(peer.sign + this.#detection(peer), unreachable);
  }

  #probeAt(peer: Peer): number {
    const probes = (this.#options.losses - 1) * PROBES_PER_LOSS;
    if (peer.probes >= probes) return Number.POSITIVE_INFINITY;
    const interval = this.#interval(peer);
    return peer.sign + interval * (MISSED + (peer.probes * PER_LOSS) / PROBES_PER_LOSS);
  }
}
