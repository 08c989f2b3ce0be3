/**
 * The primary's side of state offload: tells the peer of every change, gathered over a moment, and of everything again
 * when the channel comes back, as far as digests differ. Keeps a fingerprint of what the peer has; the states themselves
 * are made when they are sent, so a thing that changes ten times while the channel is busy is sent once.
 */
import type { AvpInput } from '../../tunnels/l2tp/avp.js';
import { type BucketDigest, DIGESTS_PER_AVP, OFFLOAD_MESSAGE } from '../../tunnels/l2tp/offload-avps.js';
import {
  ACTION,
  DENIAL,
  entry,
  type OffloadEntry,
  type OffloadResponse,
  writeOffloadRequest,
} from '../../tunnels/l2tp/offload-messages.js';
import type { OffloadChannel } from './channel.js';
import { BUCKET_SESSIONS, type Fingerprint, fingerprint } from './state.js';
import { digestsOf } from './store.js';

/** A tunnel or session as it is now. */
export interface OffloadItem {
  readonly lacTunnel: number;
  readonly lacSession: number;
  readonly generation: number;
  readonly state: Uint8Array;
}

/** The LNS, as far as its state is to be told. */
export interface OffloadSubject {
  tunnels(): Iterable<number>;
  sessions(tunnel: number): Iterable<number>;
  /** Session 0 is the tunnel itself; null when there is no such thing any more. */
  describe(tunnel: number, session: number): OffloadItem | null;
  configuration(): Uint8Array;
}

export interface SourceOptions {
  readonly vendor: number;
  /** A message gets no further entry beyond this many bytes. Default 1,300: no IP fragments on Ethernet. */
  readonly messageBytes?: number;
  /** Messages without an answer. Default 64. */
  readonly outstanding?: number;
  /** States that one call of `run` makes at most, so that nothing else waits long. Default 512. */
  readonly perRun?: number;
  /** Seconds that a change waits for others. Default 0.02. */
  readonly gather?: number;
  /** Seconds between two refreshments of everything that has changed unnoticed (counters). Default 10. */
  readonly refresh?: number;
}

export interface SourceStatistics {
  entriesSent: number;
  messagesSent: number;
  granted: number;
  denied: number;
  syncs: number;
}

/** Nothing that is told again would be taken. */
const FOR_GOOD: readonly number[] = [DENIAL.version, DENIAL.notAllowed, DENIAL.idsOverlap];

interface Told extends Fingerprint {
  sessions: Map<number, Fingerprint>;
}

const WIDTH = 65_536;
/** Header and AVPs of an entry besides its state. */
const ENTRY_BYTES = 48;

export class OffloadSource {
  readonly statistics: SourceStatistics = { entriesSent: 0, messagesSent: 0, granted: 0, denied: 0, syncs: 0 };
  /** What the peer refuses for good, as long as this channel stands; 0: nothing. */
  refused = 0;
  readonly #o: Required<SourceOptions>;
  readonly #subject: OffloadSubject;
  #told = new Map<number, Told>();
  readonly #dirty = new Set<number>();
  readonly #outstanding = new Map<number, readonly OffloadEntry[]>();
  #sequence = 0;
  /** Entries that go before anything else: configuration and digests of a new channel. */
  #opening: OffloadEntry[] = [];
  #digestSequence = -1;
  #syncing = false;
  #gatherAt = Number.POSITIVE_INFINITY;
  #refreshAt = Number.POSITIVE_INFINITY;

  constructor(subject: OffloadSubject, options: SourceOptions) {
    this.#subject = subject;
    this.#o = { messageBytes: 1300, outstanding: 64, perRun: 512, gather: 0.02, refresh: 10, ...options };
  }

  /** The peer has everything, as far as is known. */
  get synchronised(): boolean {
    return !this.#syncing && this.#dirty.size === 0 && this.#outstanding.size === 0;
  }

  get waiting(): number {
    return this.#dirty.size;
  }

  /** Session 0: the tunnel. Also for what has ended. */
  changed(tunnel: number, session: number, now: number): void {
    this.#dirty.add(tunnel * WIDTH + session);
    this.#gatherAt = Math.min(this.#gatherAt, now + this.#o.gather);
  }

  /** A channel stands. `sameInstance`: the peer is the process that had the former states. */
  start(sameInstance: boolean, now: number): void {
    if (!sameInstance) this.#told.clear();
    this.#outstanding.clear();
    this.refused = 0;
    this.#syncing = true;
    this.#digestSequence = -1;
    this.#refreshAt = now + this.#o.refresh;
    this.#opening = [entry(ACTION.configuration, { state: this.#subject.configuration() })];
    const digests: BucketDigest[] = [];
    for (const [tunnel, told] of this.#told) digestsOf(tunnel, told, told.sessions, digests);
    for (let at = 0; at < digests.length; at += DIGESTS_PER_AVP)
      this.#opening.push(entry(ACTION.digest, { digests: digests.slice(at, at + DIGESTS_PER_AVP) }));
    this.#opening.push(entry(ACTION.digestEnd));
    this.#dirtyAll();
    this.#gatherAt = now;
  }

  #dirtyAll(): void {
    for (const tunnel of this.#subject.tunnels()) {
      this.#dirty.add(tunnel * WIDTH);
      for (const session of this.#subject.sessions(tunnel)) this.#dirty.add(tunnel * WIDTH + session);
    }
    // What the peer has and is no more.
    for (const [tunnel, told] of this.#told) {
      this.#dirty.add(tunnel * WIDTH);
      for (const session of told.sessions.keys()) this.#dirty.add(tunnel * WIDTH + session);
    }
  }

  /** Sends what is due. `generation`: that of this LNS. */
  run(channel: OffloadChannel, generation: number, now: number): void {
    if (this.refused !== 0) return;
    if (now >= this.#refreshAt) {
      this.#refreshAt = now + this.#o.refresh;
      this.#dirtyAll();
      this.#gatherAt = now;
    }
    let budget = this.#o.perRun;
    while (this.#opening.length > 0) {
      if (this.#outstanding.size >= this.#o.outstanding || budget-- === 0) return;
      if (!this.#send(channel, generation, [this.#opening[0]])) return;
      const [sent] = this.#opening.splice(0, 1);
      if (sent.action === ACTION.digestEnd) this.#digestSequence = this.#sequence;
    }
    // Which buckets differ is known with the answer to the digests: nothing else is to be said before.
    if (this.#digestSequence >= 0 || now < this.#gatherAt) return;
    while (this.#dirty.size > 0 && this.#outstanding.size < this.#o.outstanding && budget > 0) {
      const { entries, keys } = this.#gather(budget);
      budget -= Math.max(1, keys.length);
      if (entries.length > 0 && !this.#send(channel, generation, entries)) return;
      for (const key of keys) this.#dirty.delete(key);
      for (const sent of entries) this.#noteTold(sent);
    }
    this.#gatherAt = this.#dirty.size === 0 ? Number.POSITIVE_INFINITY : now;
    this.#finishSync();
  }

  #finishSync(): void {
    if (this.#syncing && this.#digestSequence < 0 && this.#opening.length === 0 && this.#dirty.size === 0) {
      this.#syncing = false;
      this.statistics.syncs++;
    }
  }

  /** One message full of entries, and the marks that are done with when it is sent. */
  #gather(budget: number): { entries: OffloadEntry[]; keys: number[] } {
    const entries: OffloadEntry[] = [];
    const keys: number[] = [];
    let room = this.#o.messageBytes;
    /** Tunnels that this very message tells of. */
    const told = new Set<number>();
    for (const key of this.#dirty) {
      if (keys.length >= budget) break;
      const tunnel = Math.floor(key / WIDTH);
      const session = key % WIDTH;
      const parts: OffloadEntry[] = [];
      if (session !== 0 && !this.#told.has(tunnel) && !told.has(tunnel)) {
        const parent = this.#entryOf(tunnel, 0);
        if (parent?.action === ACTION.add) parts.push(parent);
      }
      if (session !== 0 || !told.has(tunnel)) {
        const own = this.#entryOf(tunnel, session);
        if (own !== null) parts.push(own);
      }
      const size = parts.reduce((sum, part) => sum + ENTRY_BYTES + (part.state?.length ?? 0), 0);
      if (size > room && entries.length > 0) break;
      keys.push(key);
      entries.push(...parts);
      for (const part of parts) if (part.lnsSession === 0) told.add(tunnel);
      room -= size;
    }
    return { entries, keys };
  }

  /** null when the peer knows already. */
  #entryOf(tunnel: number, session: number): OffloadEntry | null {
    const item = this.#subject.describe(tunnel, session);
    const known = this.#told.get(tunnel);
    const before = session === 0 ? known : known?.sessions.get(session);
    if (item === null)
      return before === undefined ? null : entry(ACTION.remove, { lnsTunnel: tunnel, lnsSession: session });
    const { high, low } = fingerprint(item.state, this.#print);
    if (before !== undefined && before.high === high && before.low === low) return null;
    return entry(ACTION.add, {
      lnsTunnel: tunnel,
      lacTunnel: item.lacTunnel,
      lnsSession: session,
      lacSession: item.lacSession,
      generation: item.generation,
      state: item.state,
    });
  }
  readonly #print: Fingerprint = { high: 0, low: 0 };

  #noteTold({ action, lnsTunnel, lnsSession, state }: OffloadEntry): void {
    const known = this.#told.get(lnsTunnel);
    if (action === ACTION.remove) {
      if (lnsSession === 0) this.#told.delete(lnsTunnel);
      else known?.sessions.delete(lnsSession);
    } else if (state !== null) {
      const print = fingerprint(state);
      if (lnsSession === 0) this.#told.set(lnsTunnel, { ...print, sessions: known?.sessions ?? new Map() });
      else known?.sessions.set(lnsSession, print);
    }
  }

  #send(channel: OffloadChannel, generation: number, entries: readonly OffloadEntry[]): boolean {
    const sequence = (this.#sequence + 1) >>> 0;
    const avps: readonly AvpInput[] = writeOffloadRequest(this.#o.vendor, { sequence, generation, entries });
    if (!channel.send(OFFLOAD_MESSAGE.LSORQ, avps)) return false;
    this.#sequence = sequence;
    this.#outstanding.set(sequence, entries);
    this.statistics.messagesSent++;
    this.statistics.entriesSent += entries.length;
    return true;
  }

  /** An LSORS. False when it answers nothing of this source's. */
  answered(response: OffloadResponse, now: number): boolean {
    this.#markWanted(response.digests, now);
    const entries = this.#outstanding.get(response.sequence);
    if (entries === undefined) return response.sequence === 0 && response.digests.length > 0;
    this.#outstanding.delete(response.sequence);
    if (response.sequence === this.#digestSequence) {
      this.#digestSequence = -1;
      this.#gatherAt = Math.min(this.#gatherAt, now);
    }
    if (response.granted) this.statistics.granted++;
    else this.#denied(response, entries, now);
    this.#finishSync();
    return true;
  }

  #denied(response: OffloadResponse, entries: readonly OffloadEntry[], now: number): void {
    this.statistics.denied++;
    if (FOR_GOOD.includes(response.reason)) {
      this.refused = response.reason;
      return;
    }
    // What the peer does not have must not be believed to be there; with the next refreshment it is offered again.
    for (const { lnsTunnel, lnsSession } of entries) {
      if (lnsSession === 0) this.#told.delete(lnsTunnel);
      else this.#told.get(lnsTunnel)?.sessions.delete(lnsSession);
      if (response.reason === DENIAL.unknownTunnel) this.changed(lnsTunnel, lnsSession, now);
    }
    if (response.reason === DENIAL.unknownTunnel) for (const { lnsTunnel } of entries) this.#told.delete(lnsTunnel);
  }

  /** Buckets whose digests differ: the peer has nothing of them any more. */
  #markWanted(digests: readonly BucketDigest[], now: number): void {
    for (const { tunnel, bucket } of digests) {
      const told = this.#told.get(tunnel);
      if (told === undefined) continue;
      for (const session of told.sessions.keys()) {
        if (Math.floor(session / BUCKET_SESSIONS) !== bucket) continue;
        told.sessions.delete(session);
        this.changed(tunnel, session, now);
      }
      if (bucket === 0) {
        told.high = 0;
        told.low = 0;
        this.changed(tunnel, 0, now);
      }
    }
  }

  /** The channel is gone. */
  stop(): void {
    this.#outstanding.clear();
    this.#opening = [];
    this.#digestSequence = -1;
    this.#refreshAt = Number.POSITIVE_INFINITY;
  }

  get nextTime(): number {
    if (this.refused !== 0) return Number.POSITIVE_INFINITY;
    if (this.#opening.length > 0 && this.#outstanding.size < this.#o.outstanding) return 0;
    const blocked = this.#digestSequence >= 0 || this.#outstanding.size >= this.#o.outstanding;
    return Math.min(this.#refreshAt, blocked ? Number.POSITIVE_INFINITY : this.#gatherAt);
  }
}
