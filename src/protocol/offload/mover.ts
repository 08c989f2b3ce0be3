/**
 * The LAC's part in a switchover (document 002, FIG. 2 and 3): holds what customers send, builds a tunnel to the peer
 * LNS, moves the sessions into it with the ids that they have at both ends, and lets the data flow again. Planned, when
 * the primary asks with an STPLRQ; unasked, when it leaves control messages unacknowledged.
 *
 * Tunnels and sessions are this end's ids. Time is in seconds.
 */
import { type MovedTunnel, OFFLOAD_AVP } from '../../tunnels/l2tp/offload-avps.js';
import { DENIAL, type SwitchoverRequest, type SwitchoverResponse } from '../../tunnels/l2tp/offload-messages.js';

/** What an LNS told of itself and its peer when the tunnel was built (FIG. 4). */
export interface PeerLns {
  readonly address: Uint8Array;
  /** 0: the port of L2TP. */
  readonly port: number;
  /** Generation of the LNS that told it. */
  readonly generation: number;
}

export interface SessionIds {
  readonly local: number;
  /** As the LNS knows it. */
  readonly peer: number;
}

/** What the mover lets happen. */
export interface MoverHost {
  sessions(tunnel: number): readonly SessionIds[];
  /** How the LNS knows this tunnel and where it is reached: what Moved Tunnel says. Null: no such tunnel. */
  identity(tunnel: number): { readonly address: Uint8Array; readonly lnsTunnel: number } | null;
  /** Keeps what goes into the tunnel, bounded; what comes out of it flows. */
  hold(tunnel: number, sessions: readonly number[]): void;
  /** Sends what was kept, in order: into this tunnel, which they are in now. */
  flow(tunnel: number, sessions: readonly number[]): void;
  /** Dials the peer LNS with the Moved Tunnel and session id AVPs; the local id, or null when it cannot. */
  dial(from: number, peer: PeerLns, moved: MovedTunnel, lnsSessions: readonly number[]): number | null;
  /** A tunnel to this LNS that was opened in advance is asked (MTRQ); false: there is none. */
  ask(peer: PeerLns, moved: MovedTunnel, lnsSessions: readonly number[]): number | null;
  /** Puts sessions into another tunnel; answers those that cannot be. */
  move(from: number, to: number, sessions: readonly number[]): readonly number[];
  /** Asks the LNS which of them it has (FSQ); the answer comes as `confirmed`. */
  query(tunnel: number, sessions: readonly number[]): void;
  /** They cannot go on. */
  end(tunnel: number, sessions: readonly number[], why: string): void;
  answer(tunnel: number, response: SwitchoverResponse): void;
  /** New calls for the LNS of this tunnel go to its peer. */
  redirect(tunnel: number, peer: PeerLns): void;
  /** Drops an empty tunnel to a silent LNS without a word. */
  forget(tunnel: number): void;
  /** Gives up dialling. */
  abandon(tunnel: number): void;
}

export interface MoverOptions {
  /** Seconds until a move that does not succeed is given up. Default 5. */
  readonly deadline?: number;
  /** Seconds between two attempts. Default 0.5. */
  readonly retry?: number;
  /** Seconds that the new LNS has to say which sessions it has, before data flows to it all the same. Default 2. */
  readonly confirm?: number;
  /** Seconds after a move in which the new LNS is not suspected. Default 3. */
  readonly grace?: number;
  /** Unacknowledged repetitions of one message after which the LNS is taken for dead. Default 3. */
  readonly suspectTries?: number;
  /** Moves at a time. Default 4,096. */
  readonly limit?: number;
  /** May this LNS be the peer? By default the one that the primary named when the tunnel was built, only. */
  readonly allowed?: (address: Uint8Array) => boolean;
}

export type MoverEvent =
  | {
      readonly type: 'begun';
      readonly tunnel: number;
      readonly planned: boolean;
      readonly sessions: number;
      readonly address: Uint8Array;
    }
  | {
      readonly type: 'moved';
      readonly tunnel: number;
      readonly to: number;
      readonly planned: boolean;
      readonly sessions: number;
      readonly seconds: number;
    }
  | { readonly type: 'failed'; readonly tunnel: number; readonly planned: boolean; readonly reason: string }
  /** The silent LNS spoke again before its peer had answered: nothing was moved. */
  | { readonly type: 'cancelled'; readonly tunnel: number };

interface Move {
  readonly from: number;
  readonly peer: PeerLns;
  readonly planned: boolean;
  /** All of the tunnel: it has no further use. */
  readonly whole: boolean;
  readonly sessions: readonly SessionIds[];
  readonly moved: MovedTunnel;
  readonly begunAt: number;
  to: number;
  /** In a tunnel that stood before. */
  asked: boolean;
  retryAt: number;
  reason: string;
}

/** Sessions that are in their new tunnel and wait for the LNS to say that it has them. */
interface Settling {
  readonly sessions: Set<number>;
  readonly until: number;
}

export class LacMover {
  readonly counters = { planned: 0, dead: 0, moved: 0, failed: 0, denied: 0, lostSessions: 0 };
  readonly #host: MoverHost;
  readonly #o: Required<Omit<MoverOptions, 'allowed'>> & Pick<MoverOptions, 'allowed'>;
  readonly #peers = new Map<number, PeerLns>();
  /** By the old tunnel. */
  readonly #moves = new Map<number, Move>();
  /** The new tunnel leads to the old one's move. */
  readonly #dialled = new Map<number, Move>();
  /** When a new tunnel's LNS may be suspected at the earliest. */
  readonly #graceUntil = new Map<number, number>();
  readonly #settling = new Map<number, Settling>();
  #events: MoverEvent[] = [];

  constructor(host: MoverHost, options: MoverOptions = {}) {
    this.#host = host;
    this.#o = { deadline: 5, retry: 0.5, confirm: 2, grace: 3, suspectTries: 3, limit: 4096, ...options };
  }

  get moving(): number {
    return this.#moves.size;
  }

  isMoving(tunnel: number): boolean {
    return this.#moves.has(tunnel);
  }

  /** The peer LNS of the one at the far end, when it told of one. */
  learn(tunnel: number, peer: PeerLns): void {
    this.#peers.set(tunnel, peer);
  }

  peerOf(tunnel: number): PeerLns | null {
    return this.#peers.get(tunnel) ?? null;
  }

  /** An STPLRQ has come. */
  requested(tunnel: number, request: SwitchoverRequest, now: number): void {
    const refusal = this.#judge(tunnel, request);
    if (refusal !== DENIAL.none) this.counters.denied++;
    const { address, port, generation } = request;
    const granted = refusal === DENIAL.none;
    this.#host.answer(tunnel, { ...request, granted, reason: refusal, message: '' });
    // The same request again, while its move is under way, is granted again and changes nothing.
    if (!granted || this.#moves.has(tunnel)) return;
    const peer: PeerLns = { address, port, generation };
    if (request.type === 'new') {
      this.#host.redirect(tunnel, peer);
      return;
    }
    const all = this.#host.sessions(tunnel);
    const wanted = new Set(request.sessions);
    const sessions = request.type === 'all' ? all : all.filter(({ peer: id }) => wanted.has(id));
    if (request.type === 'all') this.#host.redirect(tunnel, peer);
    if (sessions.length > 0) this.#begin(tunnel, peer, sessions, true, request.type === 'all', now);
  }

  #judge(tunnel: number, request: SwitchoverRequest): number {
    const known = this.#peers.get(tunnel);
    const named = known !== undefined && sameBytes(known.address, request.address);
    if (!named && this.#o.allowed?.(request.address) !== true) return DENIAL.wrongPeer;
    const move = this.#moves.get(tunnel);
    if (move !== undefined && !sameBytes(move.peer.address, request.address)) return DENIAL.busy;
    if (move === undefined && this.#moves.size >= this.#o.limit) return DENIAL.full;
    return DENIAL.none;
  }

  /** A message of ours has been sent so often and is not acknowledged. */
  suspect(tunnel: number, tries: number, now: number): void {
    const peer = this.#peers.get(tunnel);
    if (peer === undefined || tries < this.#o.suspectTries || this.#moves.has(tunnel)) return;
    // An LNS that is busy with what has just been moved to it is not dead.
    if (now < (this.#graceUntil.get(tunnel) ?? 0)) return;
    if (this.#moves.size >= this.#o.limit) return;
    const sessions = this.#host.sessions(tunnel);
    if (sessions.length === 0) return;
    this.#host.redirect(tunnel, peer);
    this.#begin(tunnel, peer, sessions, false, true, now);
  }

  /** The LNS has acknowledged after all. */
  heard(tunnel: number): void {
    const move = this.#moves.get(tunnel);
    if (move === undefined || move.planned) return;
    // Before the tunnel to the peer stands, that one serves nothing. What was asked for in a standing tunnel may be
    // granted already: then the peer has the higher generation, and the primary will let go.
    if (move.asked) return;
    const { to } = move;
    this.#finish(move);
    if (to !== 0) this.#host.abandon(to);
    this.#host.flow(
      tunnel,
      move.sessions.map(({ local }) => local),
    );
    this.#events.push({ type: 'cancelled', tunnel });
  }

  #begin(
    from: number,
    peer: PeerLns,
    sessions: readonly SessionIds[],
    planned: boolean,
    whole: boolean,
    now: number,
  ): void {
    const identity = this.#host.identity(from);
    if (identity === null) return;
    const { address, lnsTunnel } = identity;
    const moved: MovedTunnel = { generation: peer.generation, lnsTunnel, lacTunnel: from, address };
    const move: Move = {
      from,
      peer,
      planned,
      whole,
      sessions,
      moved,
      begunAt: now,
      to: 0,
      asked: false,
      retryAt: now,
      reason: '',
    };
    this.#moves.set(from, move);
    this.counters[planned ? 'planned' : 'dead']++;
    this.#host.hold(
      from,
      sessions.map(({ local }) => local),
    );
    this.#events.push({ type: 'begun', tunnel: from, planned, sessions: sessions.length, address: peer.address });
    this.#dial(move, now);
  }

  #dial(move: Move, now: number): void {
    const ids = move.whole ? [] : move.sessions.map(({ peer }) => peer);
    move.retryAt = Number.POSITIVE_INFINITY;
    const asked = this.#host.ask(move.peer, move.moved, ids);
    const to = asked ?? this.#host.dial(move.from, move.peer, move.moved, ids);
    move.asked = asked !== null;
    if (to === null) {
      move.retryAt = now + this.#o.retry;
      move.reason = 'no tunnel can be opened';
      return;
    }
    move.to = to;
    this.#dialled.set(to, move);
  }

  /** The tunnel to the peer LNS stands, or the peer has granted what was asked in one that stood. */
  ready(tunnel: number, now: number): void {
    const move = this.#dialled.get(tunnel);
    if (move === undefined) return;
    const ids = move.sessions.map(({ local }) => local);
    const failed = new Set(this.#host.move(move.from, tunnel, ids));
    const moved = failed.size === 0 ? ids : ids.filter((id) => !failed.has(id));
    // Data goes out when the LNS has said that the session is there: before, it might be too early for it.
    this.#settle(tunnel, moved, now);
    this.#host.query(tunnel, moved);
    if (failed.size > 0) this.#host.end(move.from, [...failed], 'the session could not be moved');
    this.#finish(move);
    this.counters.moved++;
    this.#graceUntil.set(tunnel, now + this.#o.grace);
    const { from, planned, begunAt } = move;
    const seconds = now - begunAt;
    this.#events.push({ type: 'moved', tunnel: from, to: tunnel, planned, sessions: moved.length, seconds });
    if (!planned && move.whole) {
      this.#peers.delete(from);
      this.#host.forget(from);
    }
  }

  /** The tunnel to the peer LNS did not come to stand, or the peer denied. */
  refused(tunnel: number, reason: string, now: number): boolean {
    const move = this.#dialled.get(tunnel);
    if (move === undefined) return false;
    this.#dialled.delete(tunnel);
    move.to = 0;
    move.reason = reason;
    move.retryAt = now + this.#o.retry;
    return true;
  }

  #settle(tunnel: number, sessions: readonly number[], now: number): void {
    const before = this.#settling.get(tunnel);
    const all = new Set([...(before?.sessions ?? []), ...sessions]);
    this.#settling.set(tunnel, { sessions: all, until: now + this.#o.confirm });
  }

  /** What FSR says: the LNS has these, and does not have those. */
  confirmed(tunnel: number, kept: readonly number[], lost: readonly number[]): void {
    const settling = this.#settling.get(tunnel);
    if (settling !== undefined) {
      const flowing = kept.filter((id) => settling.sessions.delete(id));
      for (const id of lost) settling.sessions.delete(id);
      if (settling.sessions.size === 0) this.#settling.delete(tunnel);
      if (flowing.length > 0) this.#host.flow(tunnel, flowing);
    }
    this.counters.lostSessions += lost.length;
    if (lost.length > 0) this.#host.end(tunnel, lost, 'the peer LNS does not know the session');
  }

  /** A tunnel is no more. What was to be moved out of it is still held and may yet be moved. */
  down(tunnel: number, reason: string, now: number): void {
    this.#peers.delete(tunnel);
    this.#settling.delete(tunnel);
    this.#graceUntil.delete(tunnel);
    if (this.refused(tunnel, reason, now)) return;
    const move = this.#moves.get(tunnel);
    if (move === undefined) return;
    this.#fail(move, reason);
  }

  #fail(move: Move, reason: string): void {
    this.#finish(move);
    this.counters.failed++;
    if (move.to !== 0) this.#host.abandon(move.to);
    // Planned: the primary goes on serving. Dead: if it is not, the end of its tunnel ends the sessions.
    this.#host.flow(
      move.from,
      move.sessions.map(({ local }) => local),
    );
    this.#events.push({ type: 'failed', tunnel: move.from, planned: move.planned, reason });
  }

  #finish(move: Move): void {
    this.#moves.delete(move.from);
    if (move.to !== 0) this.#dialled.delete(move.to);
  }

  run(now: number): void {
    for (const move of this.#moves.values()) {
      if (now >= move.begunAt + this.#o.deadline) this.#fail(move, move.reason || 'the peer LNS does not answer');
      else if (now >= move.retryAt) this.#dial(move, now);
    }
    for (const [tunnel, { sessions, until }] of this.#settling) {
      if (now < until) continue;
      this.#settling.delete(tunnel);
      this.#host.flow(tunnel, [...sessions]);
    }
  }

  get nextTime(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { begunAt, retryAt } of this.#moves.values()) next = Math.min(next, retryAt, begunAt + this.#o.deadline);
    return next;
  }

  events(): MoverEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }
}

/** AVPs of an SCCRQ that make it one for a moved tunnel. */
export const MOVE_AVPS: readonly number[] = [OFFLOAD_AVP.movedTunnel, OFFLOAD_AVP.sessionIds];

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
