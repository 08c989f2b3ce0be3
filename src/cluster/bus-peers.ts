/**
 * The members of a cluster as one of them sees them: who is proven to be of now, and who is alive.
 *
 * A member's incarnation is believed when one of its status messages lists ours with a sequence that we sent within the
 * last seconds: no recording of earlier days can, and no clock of the day is needed. Within an incarnation every sequence
 * is believed once.
 */
import { ECHO_SECONDS, OwnSequences, SpentIncarnations } from '../flow/freshness.js';
import type { ClusterStatus, StatusEntry } from '../wire/cluster-status.js';
import type { BusChange, BusMember } from './bus.js';
import { ReplayWindow } from '../flow/replay-window.js';

/** Frames may overtake one another by so many. */
const WINDOW = 4096;
/** Silence of so many intervals ends a membership. */
const SILENT_INTERVALS = 3.5;
const UNPROVEN_LIMIT = 4;
const CHANGE_LIMIT = 512;
/** Another process with our number is believed to live for so long after its last message. */
const DUPLICATE_SECONDS = 10;

interface Unproven {
  readonly incarnation: number;
  sequence: number;
  heardAt: number;
}

class Peer {
  incarnation = 0;
  window = new ReplayWindow(0, WINDOW);
  alive = false;
  since = 0;
  heardAt = Number.NEGATIVE_INFINITY;
  hearsUsAt = Number.NEGATIVE_INFINITY;
  interval = 1;
  text = new Uint8Array(0);
  unproven: Unproven[] = [];

  constructor(readonly number: number) {}
}

export class BusPeers {
  readonly counters = { replayed: 0, unproven: 0, duplicateNumber: 0 };
  readonly #number: number;
  readonly #incarnation: number;
  readonly #peers = new Map<number, Peer>();
  readonly #spent = new SpentIncarnations();
  readonly #own = new OwnSequences();
  /** Of processes with our number that are not this one. */
  readonly #others = new SpentIncarnations();
  #duplicateAt = Number.NEGATIVE_INFINITY;
  #changes: BusChange[] = [];
  /** Somebody unproven was heard: it should soon hear that. */
  wanted = false;

  constructor(number: number, incarnation: number) {
    this.#number = number;
    this.#incarnation = incarnation;
  }

  /** A status of ours goes out. */
  sent(sequence: number, now: number): void {
    this.#own.sent(sequence, now);
  }

  /** A frame of another kind: its echo proves as much as that of the status before it, and for as long. */
  alsoSent(sequence: number): void {
    this.#own.alsoSent(sequence);
  }

  /** Does this header look as if it were of a member that is proven, and new? */
  expects(number: number, incarnation: number, sequence: number): boolean {
    const peer = this.#peers.get(number);
    return peer !== undefined && peer.incarnation === incarnation && peer.window.isNew(sequence);
  }

  /** A message with a right seal: may it be believed? `status`: what it says, if it is one. */
  receive(number: number, incarnation: number, sequence: number, status: ClusterStatus | null, now: number): boolean {
    if (number === this.#number) {
      if (incarnation !== this.#incarnation) this.#doubles(incarnation, sequence, now);
      return false;
    }
    const peer = this.#peer(number);
    if (peer.incarnation !== incarnation && !this.#isProven(peer, incarnation, sequence, status, now)) return false;
    if (!peer.window.take(sequence)) {
      this.counters.replayed++;
      return false;
    }
    peer.heardAt = now;
    if (status === null) return peer.alive;
    peer.interval = status.interval;
    peer.text = new Uint8Array(status.text);
    if (status.heard.some((entry) => this.#isEcho(entry, now))) peer.hearsUsAt = now;
    if (status.leaves && peer.alive) this.#left(peer, 'leaves');
    else if (!status.leaves && !peer.alive) {
      peer.alive = true;
      peer.since = now;
      this.#change({ kind: 'joined', number });
    }
    return peer.alive;
  }

  /** Another process uses our number. */
  isDuplicate(now: number): boolean {
    return now < this.#duplicateAt + DUPLICATE_SECONDS;
  }

  tick(now: number): void {
    for (const peer of this.#peers.values()) if (peer.alive && now >= this.#silentAt(peer)) this.#left(peer, 'silent');
  }

  get nextTime(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const peer of this.#peers.values()) if (peer.alive) next = Math.min(next, this.#silentAt(peer));
    return next;
  }

  changes(): BusChange[] {
    const changes = this.#changes;
    this.#changes = [];
    return changes;
  }

  *members(now: number): Generator<BusMember> {
    for (const peer of this.#peers.values()) {
      if (!peer.alive) continue;
      yield {
        number: peer.number,
        incarnation: peer.incarnation,
        age: now - peer.heardAt,
        since: now - peer.since,
        hearsUs: now - peer.hearsUsAt < SILENT_INTERVALS * peer.interval,
        text: peer.text,
      };
    }
  }

  /** At most `room` entries of what was heard lately. */
  heard(now: number, room: number): StatusEntry[] {
    const entries: StatusEntry[] = [];
    for (const peer of this.#peers.values()) {
      if (peer.incarnation !== 0 && now - peer.heardAt < 60)
        entries.push({ number: peer.number, incarnation: peer.incarnation, sequence: peer.window.highest });
      for (const other of peer.unproven)
        if (now - other.heardAt < ECHO_SECONDS)
          entries.unshift({ number: peer.number, incarnation: other.incarnation, sequence: other.sequence });
    }
    return entries.slice(0, room);
  }

  /**
   * A message of our number and another life. It need not be of now, so it counts once and for a while only: a recording of
   * a life before must not make the bus degraded for ever.
   */
  #doubles(incarnation: number, sequence: number, now: number): void {
    if (sequence <= this.#others.lastOf(incarnation)) {
      this.counters.replayed++;
      return;
    }
    this.#others.spend(incarnation, sequence);
    this.counters.duplicateNumber++;
    this.#duplicateAt = now;
  }

  #peer(number: number): Peer {
    let peer = this.#peers.get(number);
    if (peer === undefined) {
      peer = new Peer(number);
      this.#peers.set(number, peer);
    }
    return peer;
  }

  /** An incarnation that is not the proven one: does it prove itself now? */
  #isProven(peer: Peer, incarnation: number, sequence: number, status: ClusterStatus | null, now: number): boolean {
    let entry = peer.unproven.find((other) => other.incarnation === incarnation);
    if (sequence <= (entry?.sequence ?? this.#spent.lastOf(incarnation))) {
      this.counters.replayed++;
      return false;
    }
    if (entry === undefined) {
      entry = { incarnation, sequence, heardAt: now };
      peer.unproven.push(entry);
      if (peer.unproven.length > UNPROVEN_LIMIT) {
        const [oldest] = peer.unproven.splice(0, 1);
        this.#spent.spend(oldest.incarnation, oldest.sequence);
      }
    }
    const proven = status?.heard.some((heard) => this.#isEcho(heard, now)) ?? false;
    if (!proven) {
      entry.sequence = sequence;
      entry.heardAt = now;
      this.counters.unproven++;
      this.wanted = true;
      return false;
    }
    // Of one number there is one life at a time: the proof is of now, so the one before is over.
    if (peer.alive) this.#left(peer, 'restarted');
    if (peer.incarnation !== 0) this.#spent.spend(peer.incarnation, peer.window.highest);
    peer.unproven.splice(peer.unproven.indexOf(entry), 1);
    peer.incarnation = incarnation;
    // Nothing from before the proof is believed.
    peer.window = new ReplayWindow(sequence - 1, WINDOW);
    this.wanted = true;
    return true;
  }

  #left(peer: Peer, reason: 'leaves' | 'silent' | 'restarted'): void {
    peer.alive = false;
    this.#change({ kind: 'left', number: peer.number, reason });
  }

  #change(change: BusChange): void {
    if (this.#changes.length < CHANGE_LIMIT) this.#changes.push(change);
  }

  #silentAt(peer: Peer): number {
    return peer.heardAt + SILENT_INTERVALS * peer.interval;
  }

  #isEcho({ number, incarnation, sequence }: StatusEntry, now: number): boolean {
    if (number !== this.#number || incarnation !== this.#incarnation) return false;
    return this.#own.isRecent(sequence, now);
  }
}
