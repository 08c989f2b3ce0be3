/**
 * The tunnels of a LAC by where they lead: a call gets one that stands or is being dialled, or a new one. Remembers which
 * LNSs have failed, so that they come last for a while.
 */
import type { LacConfig } from '../../config/lac.js';
import type { L2tpEndpoint } from '../../protocol/l2tp/endpoint.js';
import type { TunnelProfile } from '../../protocol/l2tp/profile.js';
import type { L2tpTunnel, TunnelState } from '../../protocol/l2tp/tunnel.js';
import { STOP_RESULT } from '../../protocol/l2tp/codes.js';
import type { AvpInput } from '../../tunnels/l2tp/avp.js';
import { rendezvousOrder } from '../../flow/rendezvous.js';
import { AVP_CALLING_NUMBER } from '../../tunnels/l2tp/avp-table.js';
import { type LnsTarget, ofGroup, type TargetBook, type TargetOrder } from './targets.js';

/** What hangs on a tunnel. */
export interface TunnelNote {
  target: LnsTarget;
  readonly openedAt: number;
  /** No more calls: it ends, its LNS wants new ones elsewhere, or it is kept for a switchover. */
  closed: boolean;
  /** Kept open without calls, for a switchover. */
  standby: boolean;
  /** It leads to where its calls were moved. */
  moved: boolean;
}

interface Place {
  calls: number;
  failedUntil: number;
  reason: string;
  failures: number;
}

const QUEUE_LIMIT = 4096;
/** An LNS that has no room now. */
const BUSY_SECONDS = 5;
/** Places that are remembered; RADIUS may name any. */
const PLACE_LIMIT = 65_536;
const SWEEP_SECONDS = 1;
/** Letters of a number that is told: what an AVP carries, whatever they are. */
const NUMBER_LIMIT = 300;
const USABLE: readonly TunnelState[] = ['wait-reply', 'wait-connect', 'established'];

export class TunnelKeeper {
  #config: LacConfig;
  readonly #endpoint: L2tpEndpoint;
  readonly #socketFor: (address: string) => number;
  readonly #avps: () => readonly AvpInput[];
  readonly #byKey = new Map<string, Set<L2tpTunnel>>();
  readonly #places = new Map<string, Place>();
  /** Tunnels without calls, and since when. */
  readonly #idle = new Map<L2tpTunnel, number>();
  #sweepAt = Number.POSITIVE_INFINITY;
  /** Times that no tunnel could be dialled. */
  refused = 0;

  /** `socketFor`: index of the socket that an address is dialled from, −1: none of its family. */
  constructor(
    config: LacConfig,
    endpoint: L2tpEndpoint,
    socketFor: (address: string) => number,
    avps: () => readonly AvpInput[],
  ) {
    this.#config = config;
    this.#endpoint = endpoint;
    this.#socketFor = socketFor;
    this.#avps = avps;
  }

  /** For tunnels to come. */
  configure(config: LacConfig): void {
    this.#config = config;
  }

  /**
   * The order in which they are tried: by priority; within one the least calls for its weight first; those that have
   * failed lately after all others, in the same order. A call of a group (`Chooser.groupOf`) has in place of load what the
   * hash of its key says, the same at every LAC: addresses are what LNSs are known by everywhere.
   */
  sorted(order: TargetOrder, now: number, group: string | null = null): LnsTarget[] {
    const load = ({ place, weight }: LnsTarget): number => (this.#places.get(place)?.calls ?? 0) / weight;
    const all = order.flatMap((alike) =>
      group === null
        ? [...alike].sort((a, b) => load(a) - load(b))
        : rendezvousOrder(
            group,
            alike,
            ({ place }) => place,
            ({ weight }) => weight,
          ),
    );
    const isWell = ({ place }: LnsTarget): boolean => (this.#places.get(place)?.failedUntil ?? 0) <= now;
    return [...all.filter(isWell), ...all.filter((target) => !isWell(target))];
  }

  /**
   * A tunnel there with room for a call; null: none can be dialled. `group`: of the call, null none. Where groups have
   * tunnels of their own by number, the request says it, so that a designator before the LNSs can go by it, too.
   */
  take(lns: LnsTarget, now: number, group: string | null = null): L2tpTunnel | null {
    const { groupBy, tunnels } = this.#config;
    const isOwn = tunnels.perGroup && group !== null;
    const target = isOwn ? ofGroup(lns, group) : lns;
    for (const tunnel of this.#byKey.get(target.key) ?? []) {
      const note = tunnel.userData as TunnelNote;
      if (note.closed || !USABLE.includes(tunnel.state) || tunnel.sessions.size >= target.sessions) continue;
      this.#idle.delete(tunnel);
      return tunnel;
    }
    const isSaid = isOwn && groupBy === 'calling-number' && group.length <= NUMBER_LIMIT;
    return this.dial(target, target, isSaid ? [{ type: AVP_CALLING_NUMBER, value: group, mandatory: false }] : [], now);
  }

  /**
   * Dials `to` for calls of `target`. `moved`: its calls go to another LNS, which has a name of its own and, where the
   * configuration knows it, a secret of its own.
   */
  dial(
    target: LnsTarget,
    to: Pick<LnsTarget, 'address' | 'port'> & Partial<LnsTarget>,
    avps: readonly AvpInput[],
    now: number,
    moved = false,
  ): L2tpTunnel | null {
    const socket = this.#socketFor(to.address);
    const tunnel =
      socket < 0
        ? null
        : this.#endpoint.open(
            { address: to.address, port: to.port, socket },
            this.#profile({ ...target, ...to }, [...this.#avps(), ...avps]),
            now,
          );
    if (tunnel === null) {
      this.refused++;
      return null;
    }
    this.#enter(tunnel, target, now, moved);
    return tunnel;
  }

  /** An LNS dials: it may, when the configuration has its address; calls then use its tunnel. */
  accept(tunnel: L2tpTunnel, book: TargetBook, now: number): void {
    const target = book.ofAddress(tunnel.peer.address);
    if (target === null) return tunnel.refuse(STOP_RESULT.notAuthorized, 0, 'no LNS of this LAC');
    this.#enter(tunnel, target, now, false);
    tunnel.accept(this.#avps());
  }

  /** For a peer that dials; null: no LNS of ours. */
  profileOf(address: string, book: TargetBook): TunnelProfile | null {
    const target = book.ofAddress(address);
    return target === null ? null : this.#profile(target, []);
  }

  #enter(tunnel: L2tpTunnel, target: LnsTarget, now: number, moved: boolean): void {
    const note: TunnelNote = { target, openedAt: now, closed: false, standby: false, moved };
    tunnel.userData = note;
    this.#offer(tunnel, note);
  }

  #offer(tunnel: L2tpTunnel, note: TunnelNote): void {
    note.closed = false;
    const { key } = note.target;
    const known = this.#byKey.get(key);
    if (known === undefined) this.#byKey.set(key, new Set([tunnel]));
    else known.add(tunnel);
  }

  /** No more calls get into it; it ends when it has had none for the idle time. */
  retire(tunnel: L2tpTunnel): void {
    const note = tunnel.userData as TunnelNote | null;
    if (note === null) return;
    note.closed = true;
    const tunnels = this.#byKey.get(note.target.key);
    tunnels?.delete(tunnel);
    if (tunnels?.size === 0) this.#byKey.delete(note.target.key);
  }

  /** Keeps a tunnel open without calls, or makes an ordinary one of it. */
  keep(tunnel: L2tpTunnel, standby: boolean): void {
    const note = tunnel.userData as TunnelNote | null;
    if (note === null) return;
    note.standby = standby;
    if (standby) this.retire(tunnel);
    else this.#offer(tunnel, note);
  }

  #profile(target: LnsTarget, avps: readonly AvpInput[]): TunnelProfile {
    const { hello, longestWait, tries, window, setup } = this.#config.tunnels;
    const { switchover } = this.#config;
    // Whether the LNS has a peer is known later; an early repetition does no harm to others.
    const firstWait = Math.min(this.#config.tunnels.firstWait, switchover.enabled ? switchover.firstWait : 8);
    return {
      secret: target.secret,
      hide: target.hide,
      hostName: target.hostName,
      window,
      helloInterval: hello,
      reliable: { firstWait, longestWait, tries, queueLimit: QUEUE_LIMIT },
      setupTimeout: setup,
      sessionLimit: target.sessions,
      follow: target.follow,
      tieBreaker: false,
      avps,
    };
  }

  /** True when the LNS is who it should be; else the tunnel ends. */
  stands(tunnel: L2tpTunnel, now: number): boolean {
    const note = tunnel.userData as TunnelNote;
    const { serverName, place } = note.target;
    if (!note.moved && serverName !== null && serverName !== tunnel.hostName) {
      this.failed(note.target, `it calls itself ${tunnel.hostName}`, now);
      tunnel.stop(STOP_RESULT.notAuthorized, 0, 'another host name was expected');
      return false;
    }
    const known = this.#places.get(place);
    if (known !== undefined && !note.moved) known.failedUntil = 0;
    this.#watch(tunnel, now);
    return true;
  }

  gone(tunnel: L2tpTunnel): void {
    this.#idle.delete(tunnel);
    this.retire(tunnel);
  }

  failed(target: LnsTarget, reason: string, now: number, seconds = this.#config.tunnels.dead): void {
    const place = this.#place(target.place, now);
    place.failures++;
    place.reason = reason;
    place.failedUntil = Math.max(place.failedUntil, now + seconds);
  }

  /** The LNS refused a call for want of something: others first, for a moment. */
  busy(target: LnsTarget, reason: string, now: number): void {
    this.failed(target, reason, now, Math.min(BUSY_SECONDS, this.#config.tunnels.dead));
  }

  callBegins(target: LnsTarget, now: number): void {
    this.#place(target.place, now).calls++;
  }

  callEnds(target: LnsTarget, tunnel: L2tpTunnel, now: number): void {
    this.#place(target.place, now).calls--;
    this.#watch(tunnel, now);
  }

  #watch(tunnel: L2tpTunnel, now: number): void {
    if (tunnel.sessions.size > 0) return;
    this.#idle.set(tunnel, now);
    this.#sweepAt = Math.min(this.#sweepAt, now + this.#config.tunnels.idle);
  }

  get nextTime(): number {
    return this.#sweepAt;
  }

  /** Closes tunnels that nobody has used for the idle time. */
  run(now: number): void {
    if (now < this.#sweepAt) return;
    this.#sweepAt = Number.POSITIVE_INFINITY;
    const { idle } = this.#config.tunnels;
    for (const [tunnel, since] of this.#idle) {
      const note = tunnel.userData as TunnelNote | null;
      // A standby is looked at again when it has had calls.
      if (note === null || note.standby || tunnel.state !== 'established' || tunnel.sessions.size > 0)
        this.#idle.delete(tunnel);
      else if (since + idle > now) this.#sweepAt = Math.min(this.#sweepAt, since + idle);
      else {
        note.closed = true;
        tunnel.stop(STOP_RESULT.clear, 0, 'idle');
      }
    }
    if (this.#sweepAt < now + SWEEP_SECONDS) this.#sweepAt = now + SWEEP_SECONDS;
  }

  /** Where calls go to and how it went, for `show lns`. */
  places(): Iterable<[string, Readonly<Place>]> {
    return this.#places;
  }

  #place(name: string, now: number): Place {
    const known = this.#places.get(name);
    if (known !== undefined) return known;
    if (this.#places.size >= PLACE_LIMIT) {
      for (const [other, { calls, failedUntil }] of this.#places) {
        if (calls === 0 && failedUntil <= now) this.#places.delete(other);
      }
    }
    const place: Place = { calls: 0, failedUntil: 0, reason: '', failures: 0 };
    this.#places.set(name, place);
    return place;
  }
}
