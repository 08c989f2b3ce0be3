/**
 * A bus without its carrier: seals and opens frames, knows the members, says when the next status is due. Frames in and
 * out, time as seconds that the caller gives.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import {
  CLUSTER_TAG_LENGTH,
  type ClusterHeader,
  type ClusterSubject,
  clusterHash,
  CLUSTER_HEADER_LENGTH,
  emitClusterFrame,
  readClusterHeader,
} from '../wire/cluster-bus.js';
import { emitClusterStatus, readClusterStatus, STATUS_ENTRY_LIMIT, STATUS_TEXT_LIMIT } from '../wire/cluster-status.js';
import type { BusChange, BusMember } from './bus.js';
import { BusPeers } from './bus-peers.js';

export interface BusCoreOptions {
  /** Name of the cluster: others' frames are not ours. */
  readonly cluster: string;
  /** 1 … 255, each at one member only. */
  readonly number: number;
  /** null: whoever can reach the carrier may speak. */
  readonly key: Uint8Array | null;
  /** 6 bytes for the incarnation. */
  readonly random: Uint8Array;
  /** Seconds between two status messages. */
  readonly interval?: number;
}

export interface Delivery {
  readonly subject: ClusterSubject;
  readonly from: number;
  readonly incarnation: number;
  /** A view of the frame. */
  readonly body: Uint8Array;
}

/** Frames that are forged, a second, after which only those are checked that look like a proven member's next. */
const FORGED_LIMIT = 500;
/** Seconds between two status messages that are sent because somebody waits for one. */
const HURRY = 0.02;
const TWO_24 = 2 ** 24;

export class BusCore {
  readonly incarnation: number;
  readonly counters = {
    sent: 0,
    received: 0,
    malformed: 0,
    version: 0,
    otherCluster: 0,
    otherTarget: 0,
    forged: 0,
    flood: 0,
    badStatus: 0,
  };
  readonly peers: BusPeers;
  readonly #options: BusCoreOptions;
  readonly #cluster: number;
  readonly #interval: number;
  #sequence = 0;
  #text: Uint8Array = new Uint8Array(0);
  #statusAt = Number.NEGATIVE_INFINITY;
  #lastStatus = Number.NEGATIVE_INFINITY;
  #second = 0;
  #forged = 0;
  #leaves = false;

  constructor(options: BusCoreOptions) {
    const [a, b, c, d, e, f] = options.random;
    // 0 is nobody's.
    this.incarnation = Math.max(1, ((a << 16) | (b << 8) | c) * TWO_24 + ((d << 16) | (e << 8) | f));
    this.#options = options;
    this.#cluster = clusterHash(options.cluster);
    this.#interval = options.interval ?? 1;
    this.peers = new BusPeers(options.number, this.incarnation);
  }

  /** A sealed frame. `target` 0: to all. Errors: RangeError, the body is too long. */
  close(subject: ClusterSubject, target: number, body: Uint8Array): Uint8Array {
    const { key, number } = this.#options;
    const header: ClusterHeader = {
      subject,
      cluster: this.#cluster,
      sender: number,
      target,
      incarnation: this.incarnation,
      sequence: ++this.#sequence,
    };
    const frame = emitClusterFrame(header, body, key !== null);
    if (key !== null) {
      const end = frame.length - CLUSTER_TAG_LENGTH;
      frame.set(tagOf(key, frame.subarray(0, end)), end);
    }
    // Others echo the highest sequence that they have heard, which seldom is a status's where there is much to tell.
    if (subject !== 'status') this.peers.alsoSent(this.#sequence);
    this.counters.sent++;
    return frame;
  }

  /** What a frame from anybody brings, or null: nothing that may be believed, or nothing for the users of the bus. */
  open(frame: Uint8Array, now: number): Delivery | null {
    const { key, number } = this.#options;
    const { counters } = this;
    counters.received++;
    const read = readClusterHeader(frame, key !== null);
    if (typeof read === 'string') {
      counters[read]++;
      return null;
    }
    const { header, end } = read;
    if (header.cluster !== this.#cluster) {
      counters.otherCluster++;
      return null;
    }
    if (header.target !== 0 && header.target !== number) {
      counters.otherTarget++;
      return null;
    }
    // What we hear of ourselves, through a carrier that knows no difference, costs nothing more.
    if (header.sender === number && header.incarnation === this.incarnation) return null;
    if (key !== null && !this.#isSealed(frame, end, key, header, now)) return null;
    const body = frame.subarray(CLUSTER_HEADER_LENGTH, end);
    const status = header.subject === 'status' ? readClusterStatus(body) : null;
    if (header.subject === 'status' && status === null) {
      counters.badStatus++;
      return null;
    }
    const { sender, incarnation, sequence, subject } = header;
    if (!this.peers.receive(sender, incarnation, sequence, status, now) || status !== null) return null;
    return { subject, from: sender, incarnation, body };
  }

  /** The status message that is due now, or null. */
  tick(now: number): Uint8Array | null {
    this.peers.tick(now);
    if (this.#leaves || now < this.nextStatus) return null;
    return this.#status(now, false);
  }

  /** The last frame of this life. */
  leave(now: number): Uint8Array {
    this.#leaves = true;
    return this.#status(now, true);
  }

  get nextTime(): number {
    return Math.min(this.nextStatus, this.peers.nextTime);
  }

  get nextStatus(): number {
    return this.peers.wanted ? Math.min(this.#statusAt, this.#lastStatus + HURRY) : this.#statusAt;
  }

  /** Errors: RangeError, more than STATUS_TEXT_LIMIT bytes. */
  tell(text: Uint8Array): void {
    if (text.length > STATUS_TEXT_LIMIT) throw new RangeError(`a status of ${text.length} bytes is too long`);
    this.#text = text.slice();
    this.#statusAt = Math.min(this.#statusAt, this.#lastStatus + this.#interval / 5);
  }

  members(now: number): BusMember[] {
    return [...this.peers.members(now)].sort((a, b) => a.number - b.number);
  }

  changes(): BusChange[] {
    return this.peers.changes();
  }

  /** Another process uses our number, or did so a moment ago. */
  isDuplicate(now: number): boolean {
    return this.peers.isDuplicate(now);
  }

  #status(now: number, leaves: boolean): Uint8Array {
    const body = emitClusterStatus({
      leaves,
      interval: this.#interval,
      heard: this.peers.heard(now, STATUS_ENTRY_LIMIT),
      text: this.#text,
    });
    const frame = this.close('status', 0, body);
    this.peers.sent(this.#sequence, now);
    this.peers.wanted = false;
    this.#lastStatus = now;
    this.#statusAt = now + this.#interval;
    return frame;
  }

  #isSealed(frame: Uint8Array, end: number, key: Uint8Array, header: ClusterHeader, now: number): boolean {
    if (Math.floor(now) !== this.#second) {
      this.#second = Math.floor(now);
      this.#forged = 0;
    }
    if (this.#forged >= FORGED_LIMIT && !this.peers.expects(header.sender, header.incarnation, header.sequence)) {
      this.counters.flood++;
      return false;
    }
    if (timingSafeEqual(tagOf(key, frame.subarray(0, end)), frame.subarray(end, end + CLUSTER_TAG_LENGTH))) return true;
    this.#forged++;
    this.counters.forged++;
    return false;
  }
}

function tagOf(key: Uint8Array, bytes: Uint8Array): Uint8Array {
  return createHmac('sha256', key).update(bytes).digest().subarray(0, CLUSTER_TAG_LENGTH);
}
