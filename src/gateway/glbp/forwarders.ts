/**
 * The virtual forwarders of a GLBP group: at most four virtual MACs, each with an owner whom the active gateway gave its
 * number, and with one gateway that is active for it. The owner's priority is 167, everybody else's 135; the higher one
 * serves, after it the higher weight, after it the higher address. When the active one is silent for the hold time, the
 * others take over, the active gateway first (document 004, claims 8 and 24).
 */
import type { AddressWords } from '../../wire/address.js';
import { GLBP_FORWARDER_LIMIT, GLBP_STATE, type GlbpForwarder, glbpMac } from '../../wire/glbp.js';
import { readMac } from '../mac.js';
import { compareRank, type GlbpPeer } from './peers.js';

export const OWNER_PRIORITY = 167;
export const DEPUTY_PRIORITY = 135;

export interface ForwardersOptions {
  readonly group: number;
  readonly address: AddressWords;
  /** Seconds until a dead forwarder's MAC is given out no more, and until it is served no more. */
  redirect: number;
  timeout: number;
  /** Seconds that an owner waits before it takes its forwarder back. */
  preemptDelay: number;
  /** Seconds. */
  hold: number;
  hello: number;
}

export interface VirtualForwarder {
  readonly number: number;
  readonly mac: Uint8Array;
  /** This gateway owns it. */
  owned: boolean;
  /** Another gateway owns it. */
  owner: GlbpPeer | null;
  /** This gateway serves it. */
  serves: boolean;
  /** Another gateway serves it. */
  active: GlbpPeer | null;
  /** Weight of who serves it, as told. */
  weight: number;
  /** When the active one counts as dead. */
  until: number;
  /** When the owner was last known to live. */
  ownerHeard: number;
  /** When this gateway, its owner, takes it back; Infinity: it does not wait. */
  backAt: number;
  since: number;
}

export type ForwarderChange = 'took' | 'gave-up' | 'assigned' | 'forgotten';

export interface ChangeOf {
  readonly number: number;
  readonly mac: Uint8Array;
  readonly change: ForwarderChange;
}

export class GlbpForwarders {
  readonly #o: ForwardersOptions;
  readonly #all = new Map<number, VirtualForwarder>();
  /** When a forgotten number may be believed again from one who only stands in for its owner: he is about to forget it too. */
  readonly #buried = new Map<number, number>();
  #changes: ChangeOf[] = [];
  readonly counters = { foreignMac: 0, duplicateOwner: 0, exhausted: 0 };

  constructor(options: ForwardersOptions) {
    this.#o = options;
  }

  values(): readonly VirtualForwarder[] {
    return [...this.#all.values()].sort((a, b) => a.number - b.number);
  }

  get own(): VirtualForwarder | null {
    for (const forwarder of this.#all.values()) if (forwarder.owned) return forwarder;
    return null;
  }

  changes(): readonly ChangeOf[] {
    const changes = this.#changes;
    this.#changes = [];
    return changes;
  }

  /** May the active gateway name it in its answers? Somebody living serves it, and its owner is not dead for too long. */
  givenOut({ serves, active, until, ownerHeard }: VirtualForwarder, now: number): boolean {
    return (serves || (active !== null && now < until)) && now - ownerHeard < this.#o.redirect;
  }

  /** What this gateway tells of its forwarders: those that it serves, and its own when it cannot. */
  told(weight: number): GlbpForwarder[] {
    return this.values()
      .filter(({ serves, owned }) => serves || owned)
      .map(({ number, serves, owned, mac }) => ({
        number,
        state: serves ? GLBP_STATE.active : GLBP_STATE.listen,
        priority: owned ? OWNER_PRIORITY : DEPUTY_PRIORITY,
        weight,
        mac,
      }));
  }

  /** Another gateway tells of a forwarder. True: it should hear from this one now, since both want it. */
  heard(peer: GlbpPeer, told: GlbpForwarder, weight: number, now: number): boolean {
    if (!this.#isOurs(told)) {
      this.counters.foreignMac++;
      return false;
    }
    const buried = now < (this.#buried.get(told.number) ?? 0) && told.priority < OWNER_PRIORITY;
    if (buried && !this.#all.has(told.number)) return false;
    const forwarder = this.#all.get(told.number) ?? this.#make(told.number, now);
    if (told.priority >= OWNER_PRIORITY) this.#heardOwner(forwarder, peer, now);
    if (told.state !== GLBP_STATE.active) {
      // It cannot, or it goes: no reason to wait for the hold time.
      if (forwarder.active === peer) {
        forwarder.active = null;
        forwarder.until = now;
      }
      return false;
    }
    if (forwarder.serves) {
      const own = { priority: this.#strength(forwarder.owned, weight), address: this.#o.address };
      const theirs = { priority: told.priority * 256 + told.weight, address: peer.address };
      if (compareRank(theirs, own) < 0) return true;
      this.#giveUp(forwarder, now);
    }
    const before = forwarder.active;
    forwarder.active = peer;
    forwarder.weight = told.weight;
    forwarder.until = now + this.#o.hold;
    if (before !== peer) forwarder.since = now;
    if (!forwarder.owned) forwarder.backAt = Number.POSITIVE_INFINITY;
    else if (forwarder.backAt === Number.POSITIVE_INFINITY) forwarder.backAt = now + this.#o.preemptDelay;
    return false;
  }

  #strength(owned: boolean, weight: number): number {
    return (owned ? OWNER_PRIORITY : DEPUTY_PRIORITY) * 256 + weight;
  }

  #heardOwner(forwarder: VirtualForwarder, peer: GlbpPeer, now: number): void {
    if (forwarder.owned) {
      // Two active gateways on two halves of a segment have given one number twice: the lower address asks anew.
      this.counters.duplicateOwner++;
      if (compareRank({ priority: 0, address: peer.address }, { priority: 0, address: this.#o.address }) < 0) return;
      forwarder.owned = false;
    }
    forwarder.owner = peer;
    forwarder.ownerHeard = now;
  }

  #isOurs({ number, mac }: GlbpForwarder): boolean {
    if (number < 1 || number > GLBP_FORWARDER_LIMIT) return false;
    return readMac(mac) === readMac(glbpMac(this.#o.group, number));
  }

  #make(number: number, now: number): VirtualForwarder {
    const forwarder: VirtualForwarder = {
      number,
      mac: glbpMac(this.#o.group, number),
      owned: false,
      owner: null,
      serves: false,
      active: null,
      weight: 0,
      until: now + this.#o.hold,
      ownerHeard: now,
      backAt: Number.POSITIVE_INFINITY,
      since: now,
    };
    this.#all.set(number, forwarder);
    return forwarder;
  }

  /** The active gateway's part: the number that a gateway (null: this one) has, or gets now; 0 when none is left. */
  assign(to: GlbpPeer | null, now: number): number {
    for (const { number, owned, owner } of this.#all.values()) if (to === null ? owned : owner === to) return number;
    for (let number = 1; number <= GLBP_FORWARDER_LIMIT; number++) {
      const known = this.#all.get(number);
      if (known !== undefined && (known.owned || known.owner !== null)) continue;
      const forwarder = known ?? this.#make(number, now);
      forwarder.ownerHeard = now;
      if (to === null) this.#own(forwarder);
      else forwarder.owner = to;
      return number;
    }
    this.counters.exhausted++;
    return 0;
  }

  /** The active gateway has given this one a number. */
  assigned(told: GlbpForwarder, now: number): void {
    if (!this.#isOurs(told)) {
      this.counters.foreignMac++;
      return;
    }
    if (this.own !== null) return;
    this.#own(this.#all.get(told.number) ?? this.#make(told.number, now));
  }

  #own(forwarder: VirtualForwarder): void {
    forwarder.owned = true;
    forwarder.owner = null;
    this.#changed(forwarder, 'assigned');
  }

  /** When `tick` is due; as for `tick`. */
  nextTime(able: boolean, rank: number): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { serves, until, backAt, owned, ownerHeard, active } of this.#all.values()) {
      if (!owned) next = Math.min(next, ownerHeard + this.#o.timeout);
      if (active !== null) next = Math.min(next, until);
      else if (able && !serves) next = Math.min(next, owned ? 0 : until + this.#patience(rank));
      if (able && !serves) next = Math.min(next, backAt);
    }
    return next;
  }

  /** `rank`: 0 the active gateway, 1 the standby one, 2 and more any other, who lets those before it go first. */
  tick(able: boolean, rank: number, now: number): void {
    for (const forwarder of this.#all.values()) {
      const { owned, active, until } = forwarder;
      if (owned) forwarder.ownerHeard = now;
      else if (now - forwarder.ownerHeard >= this.#o.timeout) {
        this.#forget(forwarder, now);
        continue;
      }
      if (active !== null && now >= until) {
        forwarder.active = null;
        forwarder.until = now;
      }
      if (!able) {
        if (forwarder.serves) this.#giveUp(forwarder, now);
        forwarder.backAt = Number.POSITIVE_INFINITY;
        continue;
      }
      if (forwarder.serves) continue;
      const free = forwarder.active === null && (owned || now >= forwarder.until + this.#patience(rank));
      if (free || (owned && now >= forwarder.backAt)) this.#take(forwarder, now);
    }
  }

  #patience(rank: number): number {
    return (rank * this.#o.hello) / 4;
  }

  /** Gives up what it serves: it goes, or it cannot forward. */
  release(now: number): void {
    for (const forwarder of this.#all.values()) if (forwarder.serves) this.#giveUp(forwarder, now);
  }

  #take(forwarder: VirtualForwarder, now: number): void {
    forwarder.serves = true;
    forwarder.active = null;
    forwarder.backAt = Number.POSITIVE_INFINITY;
    forwarder.since = now;
    this.#changed(forwarder, 'took');
  }

  #giveUp(forwarder: VirtualForwarder, now: number): void {
    forwarder.serves = false;
    forwarder.since = now;
    forwarder.until = now + this.#o.hold;
    this.#changed(forwarder, 'gave-up');
  }

  #forget(forwarder: VirtualForwarder, now: number): void {
    if (forwarder.serves) this.#giveUp(forwarder, now);
    this.#all.delete(forwarder.number);
    this.#buried.set(forwarder.number, now + 2 * this.#o.hold);
    this.#changed(forwarder, 'forgotten');
  }

  #changed({ number, mac }: VirtualForwarder, change: ForwarderChange): void {
    this.#changes.push({ number, mac, change });
  }
}
