/**
 * Who is the active virtual gateway of a GLBP group: listen, speak, standby, active, the states of HSRP (RFC 2281 §5.3)
 * that GLBP has taken over. The active one answers ARP; the standby one succeeds it when it has been silent for the hold
 * time or says that it goes; who speaks wants to be standby.
 */
import type { AddressWords } from '../../wire/address.js';
import { GLBP_STATE, type GlbpHello, type GlbpState } from '../../wire/glbp.js';
import { compareRank, type GlbpPeer } from './peers.js';

export interface ElectionOptions {
  readonly address: AddressWords;
  priority: number;
  preempt: { readonly delay: number } | null;
  /** Seconds. */
  hold: number;
}

/** `speak`: something has changed that the others should hear now. */
export type ElectionOutcome = 'none' | 'speak';

export class GlbpElection {
  state: GlbpState = GLBP_STATE.listen;
  /** The active gateway, when it is another one. */
  active: GlbpPeer | null = null;
  standby: GlbpPeer | null = null;
  readonly #o: ElectionOptions;
  #activeUntil: number;
  #standbyUntil: number;
  #preemptAt = Number.POSITIVE_INFINITY;

  constructor(options: ElectionOptions, now: number) {
    this.#o = options;
    this.#activeUntil = now + options.hold;
    this.#standbyUntil = now + options.hold;
  }

  get nextTime(): number {
    const { active, standby } = GLBP_STATE;
    if (this.state === active) return Number.POSITIVE_INFINITY;
    const own = this.state === standby ? Number.POSITIVE_INFINITY : this.#standbyUntil;
    // Who speaks becomes standby before it may become active.
    return Math.min(this.state === GLBP_STATE.speak ? own : Math.min(own, this.#activeUntil), this.#preemptAt);
  }

  heard(peer: GlbpPeer, hello: GlbpHello, now: number): ElectionOutcome {
    const { hold } = this.#o;
    peer.state = hello.state;
    peer.priority = hello.priority;
    const better = compareRank(peer, this.#o) > 0;
    if (hello.state === GLBP_STATE.active) return this.#heardActive(peer, better, now);
    if (this.active === peer) {
      // It was active and says that it is no longer: no reason to wait for the hold time.
      this.active = null;
      this.#activeUntil = now;
      this.#preemptAt = Number.POSITIVE_INFINITY;
    }
    if (hello.state === GLBP_STATE.standby) {
      this.standby = peer;
      if (this.state === GLBP_STATE.active) return 'none';
      if (better) {
        this.#standbyUntil = now + hold;
        if (this.state !== GLBP_STATE.listen) this.#move(GLBP_STATE.listen, now);
        return 'none';
      }
      if (this.state === GLBP_STATE.standby) return 'speak';
      if (this.state === GLBP_STATE.listen) this.#move(GLBP_STATE.speak, now);
      return 'speak';
    }
    if (this.standby === peer) this.standby = null;
    if (hello.state === GLBP_STATE.speak && better) {
      if (this.state === GLBP_STATE.speak || this.state === GLBP_STATE.standby) this.#move(GLBP_STATE.listen, now);
      this.#standbyUntil = now + hold;
    }
    return 'none';
  }

  #heardActive(peer: GlbpPeer, better: boolean, now: number): ElectionOutcome {
    const { hold, preempt } = this.#o;
    if (this.standby === peer) this.standby = null;
    if (this.state === GLBP_STATE.active) {
      if (!better) return 'speak';
      this.#move(GLBP_STATE.speak, now);
    }
    this.active = peer;
    this.#activeUntil = now + hold;
    if (better || preempt === null) this.#preemptAt = Number.POSITIVE_INFINITY;
    else this.#preemptAt = Math.min(this.#preemptAt, now + preempt.delay);
    return 'none';
  }

  /** True: this gateway has changed its state. */
  tick(now: number): boolean {
    const before = this.state;
    // Another one's state that nobody has confirmed for the hold time is no state.
    if (this.active !== null && now >= this.#activeUntil) this.active = null;
    if (now >= this.#preemptAt && this.active !== null) this.#activeUntil = now;
    const { listen, speak, standby, active } = GLBP_STATE;
    const preempts = now >= this.#preemptAt;
    if (this.state !== active && preempts) this.#move(active, now);
    else if (this.state === listen && now >= Math.min(this.#activeUntil, this.#standbyUntil)) this.#move(speak, now);
    else if (this.state === speak && now >= this.#standbyUntil) this.#move(standby, now);
    if (this.state === standby && now >= this.#activeUntil) this.#move(active, now);
    return this.state !== before;
  }

  /** Gives up office and candidacy and begins again as a listener, which waits for twice the hold time before it wants an office. */
  resign(now: number): void {
    this.#move(GLBP_STATE.listen, now);
    this.#activeUntil = now + 2 * this.#o.hold;
    this.#standbyUntil = now + 2 * this.#o.hold;
  }

  #move(state: GlbpState, now: number): void {
    const { hold } = this.#o;
    this.state = state;
    this.#preemptAt = Number.POSITIVE_INFINITY;
    if (state === GLBP_STATE.active) this.active = null;
    if (state === GLBP_STATE.active || state === GLBP_STATE.standby) this.standby = null;
    if (state === GLBP_STATE.listen || state === GLBP_STATE.speak) this.#standbyUntil = now + hold;
    // A listener whom somebody better keeps from speaking still has to wait for that one to become active.
    if (state === GLBP_STATE.listen && now >= this.#activeUntil) this.#activeUntil = now + hold;
  }
}
