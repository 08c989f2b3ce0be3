/**
 * Who is master: the living member with the highest priority, then the highest own address (document 004, claims 4, 36).
 *
 * A master goes on until it ends, leaves, or hands over; a better member is let in by the master's own decision, so that
 * nobody answers twice. Of two masters that hear each other the lower steps down at the first advert of the other. One
 * that hears a master by whom it is not heard steps down too: the other could not.
 */
import type { Advert } from '../wire/gateway-advert.js';
import type { AddressWords } from '../wire/address.js';
import { detectionTime, type Members } from './members.js';
import type { Mac } from './mac.js';
import type { Peer } from './peer.js';
import type { MemberState } from './types.js';

/** What decides between members. */
export interface Standing {
  readonly number: number;
  /** One that cannot forward, or has resigned, is elected when there is nobody else. */
  readonly able: boolean;
  readonly resigned: boolean;
  readonly priority: number;
  readonly address: AddressWords | null;
}

export interface ElectionOptions {
  readonly number: number;
  readonly interval: number;
  readonly losses: number;
  /** MAC of the own port: decides between two members that have the same number. */
  readonly mac: Mac;
}

/** What a turn of the election comes to: the state has changed already. */
export type ElectionStep =
  | { readonly kind: 'took'; readonly after: number }
  | { readonly kind: 'yielded'; readonly to: number; readonly why: 'lower' | 'unheard' | 'duplicate' }
  | { readonly kind: 'handed-over'; readonly to: number }
  | { readonly kind: 'follows'; readonly master: number }
  | { readonly kind: 'lost'; readonly master: number }
  | { readonly kind: 'ready' }
  | { readonly kind: 'rival'; readonly number: number }
  | { readonly kind: 'listens'; readonly why: 'unheard' | 'duplicate' };

/** A member that resigned may be better than others again after so many seconds. */
const RESIGNED = 60;
/** Of an interval: how long each better member that died at the same time is waited for. */
const SKEW = 1 / 32;
const SKEW_MAX = 1 / 4;
/** Intervals for which a rival that does not hear us may be about to. */
const UNHEARD = 2.5;

/** Is `a` to be master rather than `b`? */
export function better(a: Standing, b: Standing): boolean {
  if (a.able !== b.able) return a.able;
  if (a.resigned !== b.resigned) return b.resigned;
  if (a.priority !== b.priority) return a.priority > b.priority;
  for (let i = 0; i < 4; i++) {
    const difference = (a.address?.[i] ?? 0) - (b.address?.[i] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return a.number > b.number;
}

export function standingOf(number: number, advert: Advert): Standing {
  const { able, priority, address, state } = advert;
  return { number, able, priority, address, resigned: state === 'resigned' };
}

export class Election {
  state: MemberState = 'listen';
  /** Whom this member takes for master; 0: nobody. Of one that has just left the office: its heir. */
  master = 0;
  since: number;
  readonly #options: ElectionOptions;
  #listenUntil: number;
  /** Somebody else was named as heir, and has time until then; Infinity: nobody is expected. */
  #expectUntil = Number.POSITIVE_INFINITY;
  /** Nobody is master since. */
  #emptySince: number;
  /** Just after listening: others may be about to be ready as well. */
  #readyUntil = Number.NEGATIVE_INFINITY;
  #resignedAt = Number.NEGATIVE_INFINITY;
  /** A better member, ready for the office, since. */
  #challenger = 0;
  #challengedAt = 0;
  /** A rival master that we heard first at. */
  #rival = 0;
  #rivalAt = 0;
  #takeAt = Number.POSITIVE_INFINITY;
  #told: 'unheard' | 'duplicate' | null = null;

  constructor(options: ElectionOptions, now: number) {
    this.#options = options;
    this.since = now;
    this.#emptySince = now;
    this.#listenUntil = now + this.listening;
  }

  /** Seconds for which one listens before it may be elected. */
  get listening(): number {
    return detectionTime(this.#options.interval, this.#options.losses) + 2 * this.#options.interval;
  }

  /** From the beginning: after a standstill, or when the link is back. */
  restart(now: number): void {
    this.#enter('listen', now);
    this.master = 0;
    this.#listenUntil = now + this.listening;
    this.#emptySince = now;
    this.#forgetRivals();
  }

  /** Leaves the office and does not want it back for a while. False: there is nobody else. */
  resign(members: Members, now: number): boolean {
    const heir = this.#best(members, null);
    if (heir === null) return false;
    const wasMaster = this.state === 'master';
    this.#resignedAt = now;
    this.#enter('resigned', now);
    if (wasMaster) this.#leaveTo(heir.number, now);
    return true;
  }

  stop(members: Members, now: number): void {
    const heir = this.#best(members, null);
    if (this.state === 'master') this.master = heir?.number ?? 0;
    this.#enter('stopped', now);
  }

  /** To be called after everything that may have changed something. One step at a time; null: nothing to do. */
  turn(
    now: number,
    self: Standing,
    members: Members,
    preempt: { readonly delay: number } | null,
    inSync: (advert: Advert) => boolean,
  ): ElectionStep | null {
    if (this.state !== 'stopped' && this.state !== 'listen' && this.#isDuplicate(self, members)) {
      this.restart(now);
      this.#told = 'duplicate';
      return { kind: 'yielded', to: 0, why: 'duplicate' };
    }
    switch (this.state) {
      case 'stopped':
        return null;
      case 'listen':
        return this.#listen(now, self, members);
      case 'master':
        return this.#hold(now, self, members) ?? this.#consider(now, self, members, preempt, inSync);
      case 'resigned':
        if (now >= this.#resignedAt + RESIGNED) this.#enter('backup', now);
        return this.#wait(now, self, members);
      case 'backup':
        return this.#wait(now, self, members);
    }
  }

  get nextTime(): number {
    if (this.state === 'listen') return this.#listenUntil;
    if (this.state === 'stopped') return Number.POSITIVE_INFINITY;
    if (this.state === 'master') return this.#challenger === 0 ? Number.POSITIVE_INFINITY : this.#challengedAt;
    return Math.min(this.#takeAt, this.#expectUntil);
  }

  /** Of two members with one number one stays: who is past listening, then the higher address, then the higher MAC. */
  #isDuplicate(self: Standing, members: Members): boolean {
    const other = members.duplicate?.advert ?? null;
    if (other === null) return false;
    const listening = this.state === 'listen';
    if (listening !== (other.state === 'listen')) return listening;
    for (let i = 0; i < 4; i++) {
      const difference = (self.address?.[i] ?? 0) - (other.address?.[i] ?? 0);
      if (difference !== 0) return difference < 0;
    }
    return this.#options.mac < other.mac;
  }

  #listen(now: number, self: Standing, members: Members): ElectionStep | null {
    if (now < this.#listenUntil) return null;
    const why = this.#isDuplicate(self, members) ? 'duplicate' : members.doubtful(now) ? 'unheard' : null;
    if (why === null) {
      this.#told = null;
      this.#enter('backup', now);
      this.#emptySince = now;
      this.#readyUntil = now + 2 * this.#options.interval;
      return { kind: 'ready' };
    }
    this.#listenUntil = now + this.#options.interval;
    if (this.#told === why) return null;
    this.#told = why;
    return { kind: 'listens', why };
  }

  /** A master looks for rivals. */
  #hold(now: number, self: Standing, members: Members): ElectionStep | null {
    let rival: Peer | null = null;
    for (const peer of members.alive()) {
      if (peer.advert?.state !== 'master') continue;
      if (better(standingOf(peer.number, peer.advert), self)) return this.#yield(peer.number, 'lower', now);
      rival = peer;
    }
    if (rival === null) {
      this.#rival = 0;
      return null;
    }
    if (this.#rival !== rival.number) {
      this.#rival = rival.number;
      this.#rivalAt = now;
      return { kind: 'rival', number: rival.number };
    }
    const heard = members.hearsUs(rival, now) || !this.#hearsAnybody(rival, members);
    if (heard || now - this.#rivalAt < UNHEARD * this.#options.interval) return null;
    return this.#yield(rival.number, 'unheard', now);
  }

  /** One that hears nobody at all is deaf: leaving the office to it would leave nobody who answers. */
  #hearsAnybody(peer: Peer, members: Members): boolean {
    let others = 0;
    for (const other of members.alive()) if (other !== peer) others++;
    if (others === 0) return true;
    return peer.advert?.heard.some(({ age }) => age < this.#detection) ?? false;
  }

  #yield(to: number, why: 'lower' | 'unheard', now: number): ElectionStep {
    this.#enter('backup', now);
    this.master = to;
    this.#forgetRivals();
    return { kind: 'yielded', to, why };
  }

  /** A master looks whether a better member is there for the office. */
  #consider(
    now: number,
    self: Standing,
    members: Members,
    preempt: { readonly delay: number } | null,
    inSync: (advert: Advert) => boolean,
  ): ElectionStep | null {
    const follows = (peer: Peer): boolean =>
      peer.advert?.state === 'backup' && peer.advert.master === this.#options.number && members.hearsUs(peer, now);
    const ready = (peer: Peer): boolean => follows(peer) && peer.advert !== null && inSync(peer.advert);
    const best = self.able ? this.#best(members, self) : this.#relief(members, self, follows, ready);
    if (best === null || (self.able && (preempt === null || !ready(best)))) {
      this.#challenger = 0;
      return null;
    }
    // One that cannot forward makes room at once for one that can.
    const delay = self.able ? (preempt?.delay ?? 0) : 0;
    if (this.#challenger !== best.number) {
      this.#challenger = best.number;
      this.#challengedAt = now + delay;
    }
    this.#challengedAt = Math.min(this.#challengedAt, now + delay);
    if (now < this.#challengedAt) return null;
    this.#enter('backup', now);
    this.#leaveTo(best.number, now);
    return { kind: 'handed-over', to: best.number };
  }

  /** For one that cannot forward: the best that has the whole table, or the best that will fetch it from us. */
  #relief(
    members: Members,
    self: Standing,
    follows: (peer: Peer) => boolean,
    ready: (peer: Peer) => boolean,
  ): Peer | null {
    const able = (peer: Peer): boolean => peer.advert?.able === true;
    return (
      this.#best(members, self, false, (peer) => able(peer) && ready(peer)) ??
      this.#best(members, self, false, (peer) => able(peer) && follows(peer))
    );
  }

  #leaveTo(heir: number, now: number): void {
    this.master = heir;
    this.#expectUntil = now + this.#detection;
    this.#emptySince = now;
    this.#forgetRivals();
  }

  /** One that is not master: whom does it follow, or is it to be master? */
  #wait(now: number, self: Standing, members: Members): ElectionStep | null {
    const acting = this.#acting(members);
    if (acting !== null) {
      this.#takeAt = Number.POSITIVE_INFINITY;
      this.#expectUntil = Number.POSITIVE_INFINITY;
      if (this.master === acting.number) return null;
      this.master = acting.number;
      return { kind: 'follows', master: acting.number };
    }
    if (this.master !== 0) {
      const peer = members.get(this.master);
      // Named as heir, and not in office yet: until then.
      if (this.#expects(now) && peer?.alive === true) return null;
      if (peer !== undefined && peer.advert?.state === 'master' && members.rumoured(peer, now)) return null;
      return this.#lose(now, peer, members);
    }
    if (this.#expects(now)) return null;
    if (this.#best(members, self) !== null) {
      this.#takeAt = Number.POSITIVE_INFINITY;
      return null;
    }
    // Who starts together with a better one lets it finish listening.
    const together = now < this.#readyUntil && this.#best(members, self, true) !== null;
    this.#takeAt = together ? this.#readyUntil : this.#emptySince + this.#skew(now, self, members);
    return now >= this.#takeAt ? this.#take(now) : null;
  }

  #expects(now: number): boolean {
    if (now >= this.#expectUntil) this.#expectUntil = Number.POSITIVE_INFINITY;
    return this.#expectUntil !== Number.POSITIVE_INFINITY;
  }

  /** The master is dead, or has left. */
  #lose(now: number, peer: Peer | undefined, members: Members): ElectionStep {
    const master = this.master;
    this.master = 0;
    this.#emptySince = now;
    this.#expectUntil = Number.POSITIVE_INFINITY;
    const heir = peer?.advert != null && peer.advert.state !== 'master' ? peer.advert.master : 0;
    if (heir === this.#options.number) return this.#take(now, master);
    if (heir !== 0 && members.get(heir)?.alive === true) this.#expectUntil = now + this.#detection;
    return { kind: 'lost', master };
  }

  #take(now: number, after = 0): ElectionStep {
    this.#enter('master', now);
    this.master = this.#options.number;
    this.#takeAt = Number.POSITIVE_INFINITY;
    this.#forgetRivals();
    return { kind: 'took', after };
  }

  #acting(members: Members): Peer | null {
    let best: Peer | null = null;
    for (const peer of members.alive()) {
      if (peer.advert?.state !== 'master') continue;
      if (best?.advert == null || better(standingOf(peer.number, peer.advert), standingOf(best.number, best.advert)))
        best = peer;
    }
    return best;
  }

  /** The best other member that may be elected and is better than `than`. */
  #best(
    members: Members,
    than: Standing | null,
    listening = false,
    suits: (peer: Peer) => boolean = () => true,
  ): Peer | null {
    let best: Peer | null = null;
    let standing = than;
    for (const peer of members.alive()) {
      if (peer.advert === null || peer.advert.state === 'stopped') continue;
      if ((peer.advert.state === 'listen' && !listening) || !suits(peer)) continue;
      const its = standingOf(peer.number, peer.advert);
      if (standing !== null && !better(its, standing)) continue;
      best = peer;
      standing = its;
    }
    return best;
  }

  /** Better members that died just now may only have been missed: they get a moment each. */
  #skew(now: number, self: Standing, members: Members): number {
    const { interval } = this.#options;
    let missed = 0;
    for (const peer of members.all()) {
      if (peer.alive || peer.advert === null || peer.absence === 'stopped' || peer.advert.state === 'master') continue;
      if (now - peer.since < 2 * interval && better(standingOf(peer.number, peer.advert), self)) missed++;
    }
    return Math.min(missed * SKEW, SKEW_MAX) * interval;
  }

  get #detection(): number {
    return detectionTime(this.#options.interval, this.#options.losses);
  }

  #enter(state: MemberState, now: number): void {
    this.state = state;
    this.since = now;
  }

  #forgetRivals(): void {
    this.#challenger = 0;
    this.#rival = 0;
    this.#takeAt = Number.POSITIVE_INFINITY;
  }
}
