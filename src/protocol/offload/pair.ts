/**
 * One LNS and its peer: each is primary for its own tunnels and keeps the other's state (document 002). This engine
 * joins a source and a store over one channel and decides who serves a tunnel when both might: the higher generation.
 *
 * Every process has an *instance* (eight random bytes) and a *generation* (a number that grows with every start). A
 * tunnel has the generation of the LNS that made it; who takes it over serves it under the next one and *claims* it.
 * Whoever hears a claim that is higher than its own lets the tunnel go without a word to the client; a lower one is
 * denied with the higher number, and then the claimer lets go.
 */
import type { Avp } from '../../tunnels/l2tp/avp.js';
import {
  type BucketDigest,
  DIGESTS_PER_AVP,
  OFFLOAD_MESSAGE,
  OFFLOAD_VERSION,
} from '../../tunnels/l2tp/offload-avps.js';
import {
  ACTION,
  DENIAL,
  type Denial,
  denialName,
  entry,
  type OffloadEntry,
  type OffloadRequest,
  type OffloadResponse,
  readOffloadRequest,
  readOffloadResponse,
  writeOffloadRequest,
  writeOffloadResponse,
} from '../../tunnels/l2tp/offload-messages.js';
import { instanceText, type OffloadChannel, type PeerHello } from './channel.js';
import { checkState } from './state.js';
import { OffloadSource, type OffloadSubject, type SourceOptions } from './source.js';
import { OffloadStore, type StoredTunnel, type StoreLimits } from './store.js';

export interface PairOptions extends SourceOptions {
  readonly instance: Uint8Array;
  /** At the start of this process; at least 1. */
  readonly generation: number;
  readonly limits?: StoreLimits;
  /** May the two be peers, as far as the other one's configuration tells? 0: they may. */
  readonly judge?: (configuration: Uint8Array) => Denial;
}

export type PairEvent =
  | { readonly type: 'connected'; readonly instance: string; readonly generation: number }
  /** Everything that this LNS serves has been told to the peer. */
  | { readonly type: 'synchronised' }
  /** The peer does not speak this version; its state is not to be had. */
  | { readonly type: 'version'; readonly version: number }
  /** Another process answers at the peer: what the former one served is without a server. */
  | { readonly type: 'restarted' }
  /** The channel broke without a farewell. */
  | { readonly type: 'lost' }
  /** The peer serves these now, this LNS has to let them go silently; no sessions: the whole tunnel. */
  | {
      readonly type: 'claimed';
      readonly tunnel: number;
      readonly sessions: readonly number[];
      readonly generation: number;
    }
  /** The peer serves tunnels of a former process of this LNS: their ids are taken. */
  | { readonly type: 'held'; readonly tunnel: number; readonly generation: number }
  /** Our claim was too low: the tunnel that was taken (its id at the peer) has to be let go silently. */
  | { readonly type: 'fenced'; readonly tunnel: number; readonly generation: number }
  /** The peer asks this LNS to serve a tunnel that the store has. */
  | { readonly type: 'hand-over'; readonly tunnel: number }
  /** Its answer to our asking. */
  | { readonly type: 'hand-over-denied'; readonly tunnel: number; readonly reason: string }
  /** The peer does not keep our state, and why. */
  | { readonly type: 'denied'; readonly reason: string; readonly message: string };

export interface PairCounters {
  malformed: number;
  fenced: number;
  full: number;
  answersLost: number;
}

interface Claim {
  readonly instance: Uint8Array;
  readonly tunnel: number;
  readonly generation: number;
  /** Empty: all. */
  readonly sessions: readonly number[];
}

const QUEUE_MAX = 8192;
const IDS_PER_ENTRY = 400;

interface Waiting {
  readonly type: number;
  readonly response?: OffloadResponse;
  readonly entries?: readonly OffloadEntry[];
}

export class OffloadPair {
  readonly counters: PairCounters = { malformed: 0, fenced: 0, full: 0, answersLost: 0 };
  readonly source: OffloadSource;
  store: OffloadStore;
  /** What a former process of the peer served; waits to be taken. */
  former: OffloadStore | null = null;
  formerInstance: Uint8Array | null = null;
  readonly #o: PairOptions;
  #channel: OffloadChannel | null = null;
  #peer: PeerHello | null = null;
  readonly #events: PairEvent[] = [];
  readonly #queue: Waiting[] = [];
  #told: BucketDigest[] = [];
  #wasSynchronised = false;
  #sequence = 0;
  /** Why nothing of this peer is kept. */
  #unfit: Denial = DENIAL.none;
  /** What this LNS has taken of the peer: by instance and the peer's tunnel id. */
  readonly #claims = new Map<string, Claim>();
  /** Some sessions of a tunnel that goes on at the peer: claimed until it has acknowledged. */
  #partial: Claim[] = [];
  /** Generations of tunnels that are not of this LNS's own making, by the id that they have here. */
  readonly #generations = new Map<number, number>();
  readonly #asked = new Map<number, readonly OffloadEntry[]>();

  constructor(subject: OffloadSubject, options: PairOptions) {
    this.#o = options;
    this.source = new OffloadSource(subject, options);
    this.store = new OffloadStore(options.limits);
  }

  get connected(): boolean {
    return this.#channel !== null;
  }

  get peer(): PeerHello | null {
    return this.#peer;
  }

  get generation(): number {
    return this.#o.generation;
  }

  get hello(): PeerHello {
    return { version: OFFLOAD_VERSION, instance: this.#o.instance, generation: this.#o.generation };
  }

  /** Under which generation this LNS serves a tunnel of its own. */
  generationOf(tunnel: number): number {
    return this.#generations.get(tunnel) ?? this.#o.generation;
  }

  setGeneration(tunnel: number, generation: number): void {
    this.#generations.set(tunnel, generation);
  }

  /** A tunnel of this LNS has ended or changed. */
  changed(tunnel: number, session: number, now: number): void {
    this.source.changed(tunnel, session, now);
  }

  ended(tunnel: number, now: number): void {
    this.#generations.delete(tunnel);
    this.source.changed(tunnel, 0, now);
  }

  connect(channel: OffloadChannel, hello: PeerHello, now: number): void {
    const before = this.#peer;
    const same = before !== null && sameBytes(before.instance, hello.instance);
    this.#channel = channel;
    this.#peer = hello;
    this.#queue.length = 0;
    this.#told = [];
    this.#asked.clear();
    this.#unfit = DENIAL.none;
    if (hello.version !== OFFLOAD_VERSION) {
      this.source.refused = DENIAL.version;
      this.#events.push({ type: 'version', version: hello.version });
      return;
    }
    if (before !== null && !same) this.#peerRestarted(before);
    this.#events.push({ type: 'connected', instance: instanceText(hello.instance), generation: hello.generation });
    this.#wasSynchronised = false;
    this.source.start(same, now);
    this.#claimAgain();
  }

  #peerRestarted(before: PeerHello): void {
    // Two restarts in a row: what the first left behind has been taken by now, or never will be.
    if (this.store.tunnels.size > 0 || this.former === null) {
      this.former = this.store;
      this.formerInstance = before.instance;
    }
    this.store = new OffloadStore(this.#o.limits);
    this.#events.push({ type: 'restarted' });
  }

  /** `farewell`: the peer has said that it ends; else it is lost. */
  disconnect(farewell: boolean): void {
    if (this.#channel === null) return;
    this.#channel = null;
    this.#queue.length = 0;
    this.#asked.clear();
    this.source.stop();
    if (!farewell) this.#events.push({ type: 'lost' });
  }

  /** An LSORQ or LSORS of the peer. */
  receive(type: number, avps: readonly Avp[], now: number): void {
    if (this.#channel === null) return;
    if (type === OFFLOAD_MESSAGE.LSORQ) {
      const request = readOffloadRequest(this.#o.vendor, avps);
      if (request === null) this.counters.malformed++;
      else this.#requested(request);
    } else if (type === OFFLOAD_MESSAGE.LSORS) {
      const response = readOffloadResponse(this.#o.vendor, avps);
      if (response === null) this.counters.malformed++;
      else this.#answered(response, now);
    } else this.counters.malformed++;
  }

  #requested(request: OffloadRequest): void {
    let reason: Denial = DENIAL.none;
    let tunnel = 0;
    let generation = 0;
    let last: BucketDigest[] = [];
    const peer = this.#peer as PeerHello;
    if (peer.version !== OFFLOAD_VERSION) reason = DENIAL.version;
    else
      for (const part of request.entries) {
        const judged = this.#act(part, request.generation);
        if (part.action === ACTION.digestEnd) last = this.#wanted();
        if (judged.reason === DENIAL.none || reason !== DENIAL.none) continue;
        reason = judged.reason;
        tunnel = part.lnsTunnel;
        generation = judged.generation;
      }
    if (reason === DENIAL.full) this.counters.full++;
    if (reason === DENIAL.fenced) this.counters.fenced++;
    this.#answer({
      sequence: request.sequence,
      granted: reason === DENIAL.none,
      reason,
      message: reason === DENIAL.none ? '' : denialName(reason),
      generation,
      lnsTunnel: tunnel,
      digests: last,
    });
  }

  /** The buckets that the peer has to send again; all but the last part are answered at once. */
  #wanted(): BucketDigest[] {
    const wanted = this.store.compare(this.#told);
    this.#told = [];
    while (wanted.length > DIGESTS_PER_AVP) {
      const digests = wanted.splice(0, DIGESTS_PER_AVP);
      this.#answer({ sequence: 0, granted: true, reason: 0, message: '', generation: 0, lnsTunnel: 0, digests });
    }
    return wanted;
  }

  #act(part: OffloadEntry, messageGeneration: number): { reason: Denial; generation: number } {
    const verdict = (reason: Denial, generation = 0): { reason: Denial; generation: number } => ({
      reason,
      generation,
    });
    switch (part.action) {
      case ACTION.add: {
        if (this.#unfit !== DENIAL.none) return verdict(this.#unfit);
        const claim = this.#claims.get(claimKey((this.#peer as PeerHello).instance, part.lnsTunnel));
        const offered = part.generation === 0 ? messageGeneration : part.generation;
        if (claim !== undefined && claim.sessions.length === 0 && claim.generation >= offered) {
          // Our claim is on its way or was lost with a channel: said again, it makes the other side let go.
          this.#claim([claim]);
          return verdict(DENIAL.fenced, claim.generation);
        }
        // Sent before the peer heard of our claim: it would come back to life when the rest of its tunnel is taken.
        if (this.#isTaken(part.lnsTunnel, part.lnsSession)) return verdict(DENIAL.none);
        return verdict(this.store.add(part, messageGeneration));
      }
      case ACTION.remove:
        this.store.remove(part.lnsTunnel, part.lnsSession);
        return verdict(DENIAL.none);
      case ACTION.configuration: {
        const fault = part.state === null ? 'malformed' : checkState('configuration', part.state);
        if (fault !== null) return verdict(fault === 'version' ? DENIAL.version : DENIAL.malformed);
        this.store.configuration = (part.state as Uint8Array).slice();
        this.#unfit = this.#o.judge?.(this.store.configuration) ?? DENIAL.none;
        return verdict(this.#unfit);
      }
      case ACTION.digest:
        if (this.#told.length > 2 * QUEUE_MAX * 8) return verdict(DENIAL.full);
        for (const digest of part.digests) this.#told.push(digest);
        return verdict(DENIAL.none);
      case ACTION.claim:
        return this.#claimedByPeer(part);
      case ACTION.handOver:
        if (!this.store.tunnels.has(part.lnsTunnel)) return verdict(DENIAL.unknownTunnel);
        this.#events.push({ type: 'hand-over', tunnel: part.lnsTunnel });
        return verdict(DENIAL.none);
      default:
        return verdict(DENIAL.none);
    }
  }

  #isTaken(lnsTunnel: number, lnsSession: number): boolean {
    return (
      lnsSession !== 0 &&
      this.#partial.length > 0 &&
      this.#partial.some(({ tunnel, sessions }) => tunnel === lnsTunnel && sessions.includes(lnsSession))
    );
  }

  #claimedByPeer(part: OffloadEntry): { reason: Denial; generation: number } {
    if (part.instance !== null && !sameBytes(part.instance, this.#o.instance)) {
      this.#events.push({ type: 'held', tunnel: part.lnsTunnel, generation: part.generation });
      return { reason: DENIAL.none, generation: 0 };
    }
    const own = this.generationOf(part.lnsTunnel);
    if (part.generation <= own) return { reason: DENIAL.fenced, generation: own };
    const { lnsTunnel: tunnel, sessions, generation } = part;
    this.#events.push({ type: 'claimed', tunnel, sessions, generation });
    return { reason: DENIAL.none, generation: 0 };
  }

  #answered(response: OffloadResponse, now: number): void {
    const asked = this.#asked.get(response.sequence);
    if (asked !== undefined) {
      this.#asked.delete(response.sequence);
      this.#settlePartial(asked);
      if (!response.granted) this.#refusedAsking(asked, response);
      return;
    }
    this.source.answered(response, now);
    if (!response.granted && response.reason !== DENIAL.unknownTunnel)
      this.#events.push({ type: 'denied', reason: denialName(response.reason), message: response.message });
  }

  /** Granted or denied: in both cases the peer has heard of it. */
  #settlePartial(asked: readonly OffloadEntry[]): void {
    for (const { action, lnsTunnel, sessions } of asked) {
      if (action !== ACTION.claim || sessions.length === 0) continue;
      const settled = new Set(sessions);
      this.#partial = this.#partial.filter(
        ({ tunnel, sessions: ids }) => tunnel !== lnsTunnel || !ids.every((id) => settled.has(id)),
      );
    }
  }

  #refusedAsking(asked: readonly OffloadEntry[], response: OffloadResponse): void {
    for (const { action, lnsTunnel, instance } of asked) {
      if (lnsTunnel !== response.lnsTunnel) continue;
      if (action === ACTION.handOver)
        this.#events.push({ type: 'hand-over-denied', tunnel: lnsTunnel, reason: denialName(response.reason) });
      else if (response.reason === DENIAL.fenced && instance !== null) {
        this.#claims.delete(claimKey(instance, lnsTunnel));
        this.#events.push({ type: 'fenced', tunnel: lnsTunnel, generation: response.generation });
      }
    }
  }

  /**
   * Takes a tunnel of the peer out of the store, or some of its sessions: from now on this LNS serves them. The caller
   * knows it by a local id that `setGeneration` may be told. Null when there is no such state.
   */
  take(lnsTunnel: number, sessions: readonly number[] = []): (StoredTunnel & { takenGeneration: number }) | null {
    const current = this.store.tunnels.has(lnsTunnel);
    const store = current ? this.store : this.former;
    const instance = current ? this.#peer?.instance : this.formerInstance;
    const stored = store?.tunnels.get(lnsTunnel);
    if (store === null || stored === undefined || instance === undefined || instance === null) return null;
    const generation = stored.generation + 1;
    const taken = new Map(
      sessions.length === 0 ? stored.sessions : [...stored.sessions].filter(([id]) => sessions.includes(id)),
    );
    if (sessions.length === 0) store.remove(lnsTunnel, 0);
    else for (const id of taken.keys()) store.remove(lnsTunnel, id);
    const claims: Claim[] = [];
    if (sessions.length === 0) claims.push({ instance, tunnel: lnsTunnel, generation, sessions: [] });
    for (let at = 0; at < sessions.length; at += IDS_PER_ENTRY)
      claims.push({ instance, tunnel: lnsTunnel, generation, sessions: sessions.slice(at, at + IDS_PER_ENTRY) });
    if (sessions.length === 0) this.#claims.set(claimKey(instance, lnsTunnel), claims[0]);
    else this.#partial.push(...claims);
    this.#claim(claims);
    return { ...stored, sessions: taken, takenGeneration: generation };
  }

  /** A tunnel that was taken has ended here: its id is free again for the peer. */
  release(instance: string, lnsTunnel: number): void {
    this.#claims.delete(`${instance}/${lnsTunnel}`);
  }

  /** The instance whose tunnel this would be if it were taken now. */
  holderOf(lnsTunnel: number): string | null {
    if (this.store.tunnels.has(lnsTunnel)) return this.#peer === null ? null : instanceText(this.#peer.instance);
    return this.former?.tunnels.has(lnsTunnel) === true ? instanceText(this.formerInstance as Uint8Array) : null;
  }

  /** Asks the peer to serve a tunnel of this LNS that it has the state of. */
  handOver(tunnels: readonly number[]): void {
    // One message each: an answer names one tunnel only.
    for (const lnsTunnel of tunnels) this.#enqueue([entry(ACTION.handOver, { lnsTunnel })]);
  }

  #claim(claims: Iterable<Claim>): void {
    for (const { instance, tunnel: lnsTunnel, generation, sessions } of claims) {
      this.#enqueue([entry(ACTION.claim, { instance, lnsTunnel, generation, sessions })]);
    }
  }

  #claimAgain(): void {
    this.#claim(this.#claims.values());
    this.#claim(this.#partial);
  }

  #enqueue(entries: readonly OffloadEntry[]): void {
    if (this.#channel === null) return;
    if (this.#queue.length < QUEUE_MAX) this.#queue.push({ type: OFFLOAD_MESSAGE.LSORQ, entries });
    else this.counters.answersLost++;
  }

  #answer(response: OffloadResponse): void {
    if (this.#queue.length < QUEUE_MAX) this.#queue.push({ type: OFFLOAD_MESSAGE.LSORS, response });
    else this.counters.answersLost++;
  }

  /** Sends what is due; to be called after everything else of a turn and at `nextTime`. */
  run(now: number): void {
    const channel = this.#channel;
    if (channel === null) return;
    let sent = 0;
    for (const waiting of this.#queue) {
      if (!this.#flush(channel, waiting)) break;
      sent++;
    }
    this.#queue.splice(0, sent);
    if (this.#queue.length === 0) this.source.run(channel, this.#o.generation, now);
    if (this.source.synchronised && !this.#wasSynchronised && this.source.refused === 0)
      this.#events.push({ type: 'synchronised' });
    this.#wasSynchronised = this.#wasSynchronised || this.source.synchronised;
  }

  #flush(channel: OffloadChannel, { response, entries }: Waiting): boolean {
    const { vendor, generation } = this.#o;
    if (response !== undefined) return channel.send(OFFLOAD_MESSAGE.LSORS, writeOffloadResponse(vendor, response));
    // Apart from the source's numbers, which count from 1: an answer must not be taken for another's.
    const sequence = (0x8000_0000 | (this.#sequence + 1)) >>> 0;
    const message = { sequence, generation, entries: entries as readonly OffloadEntry[] };
    if (!channel.send(OFFLOAD_MESSAGE.LSORQ, writeOffloadRequest(vendor, message))) return false;
    this.#sequence = (this.#sequence + 1) & 0x7fff_ffff;
    this.#asked.set(sequence, message.entries);
    return true;
  }

  /** What has happened since the last call. */
  events(): PairEvent[] {
    return this.#events.splice(0);
  }

  get nextTime(): number {
    if (this.#channel === null) return Number.POSITIVE_INFINITY;
    return this.#queue.length > 0 ? 0 : this.source.nextTime;
  }
}

const claimKey = (instance: Uint8Array, tunnel: number): string => `${instanceText(instance)}/${tunnel}`;

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
