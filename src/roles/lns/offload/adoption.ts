/**
 * Serves what another LNS had: tunnels that a LAC brings along (document 002, FIG. 2 and 3), and tunnels that are taken
 * unchanged, because their LAC knows nothing of all this, with the network's help.
 */
import type { Logger } from '../../../ops/log.js';
import { CALL_RESULT } from '../../../protocol/l2tp/codes.js';
import { answerQueries, deferQueries } from '../../../protocol/l2tp/failover.js';
import type { L2tpSession } from '../../../protocol/l2tp/session.js';
import type { L2tpTunnel } from '../../../protocol/l2tp/tunnel.js';
import type { OffloadPair } from '../../../protocol/offload/pair.js';
import type { StoredSession, StoredTunnel } from '../../../protocol/offload/store.js';
import type { MovedTunnel } from '../../../tunnels/l2tp/offload-avps.js';
import type { AddressWords } from '../../../wire/address.js';
import type { OffloadHost } from '../offload-face.js';
import { readSession, readTunnel } from './snapshots.js';

/** Where a tunnel came from: the instance of the LNS that had it, and the id that it had there. */
export interface Origin {
  readonly instance: string;
  readonly tunnel: number;
  /** It kept its ids: the network was told to bring its packets here. */
  readonly unchanged: boolean;
}

export interface AdoptionCounters {
  tunnelsMoved: number;
  tunnelsTaken: number;
  sessionsTaken: number;
  /** States that could not be read or did not fit. */
  sessionsFailed: number;
  tunnelsFailed: number;
  movesRefused: number;
  /** Sessions that the LAC did not name after a move. */
  sessionsUnconfirmed: number;
}

type Address = { readonly words: AddressWords; readonly length: number };

/** A LAC that has moved a tunnel says which sessions it has (FSQ); those that it does not name are let go after this. */
const CONFIRM_SECONDS = 10;

interface Moved {
  readonly moved: MovedTunnel;
  readonly sessions: readonly number[];
}

export class Adoption {
  readonly counters: AdoptionCounters = {
    tunnelsMoved: 0,
    tunnelsTaken: 0,
    sessionsTaken: 0,
    sessionsFailed: 0,
    tunnelsFailed: 0,
    movesRefused: 0,
    sessionsUnconfirmed: 0,
  };
  /** By the id that the tunnel has here. */
  readonly origins = new Map<number, Origin>();
  /** Subscribers that have come since this was last looked at: the network must learn of them. */
  arrived: Address[] = [];
  readonly #host: OffloadHost;
  readonly #pair: OffloadPair;
  readonly #logger: Logger;
  readonly #coming = new Map<L2tpTunnel, Moved>();
  readonly #unconfirmed = new Map<L2tpTunnel, { readonly sessions: Set<number>; readonly until: number }>();

  constructor(host: OffloadHost, pair: OffloadPair, logger: Logger) {
    this.#host = host;
    this.#pair = pair;
    this.#logger = logger;
  }

  /** A LAC dials and says which tunnel it brings. Null: it may; else why not. */
  judge(tunnel: L2tpTunnel, moved: MovedTunnel, sessions: readonly number[]): string | null {
    const refusal = this.#refusal(tunnel, moved, this.#storedOf(moved.lnsTunnel));
    if (refusal !== null) {
      this.counters.movesRefused++;
      this.#logger.warn({ peer: tunnel.peer.address, tunnel: moved.lnsTunnel, reason: refusal }, 'a move is refused');
      return refusal;
    }
    this.#coming.set(tunnel, { moved, sessions });
    // The LAC asks for its sessions with the very next message; they are put there when the tunnel's event is heard.
    deferQueries(tunnel);
    return null;
  }

  #refusal(tunnel: L2tpTunnel, moved: MovedTunnel, stored: StoredTunnel | null): string | null {
    if (stored === null) return 'its state is not here';
    if (stored.lacTunnel !== moved.lacTunnel) return 'the LAC had it under another id';
    if (moved.generation > stored.generation) return 'the LAC knows a newer one';
    const read = readTunnel(stored);
    if (typeof read === 'string') return `its state is not readable: ${read}`;
    // Whoever knows two ids must not get a customer's sessions.
    if (read.snapshot.peer.address !== tunnel.peer.address && read.snapshot.hostName !== tunnel.hostName)
      return 'it belongs to another LAC';
    return null;
  }

  isComing(tunnel: L2tpTunnel): boolean {
    return this.#coming.has(tunnel);
  }

  /** Under which generation the tunnel is, or will be, served here. */
  generationOf(tunnel: L2tpTunnel): number {
    const coming = this.#coming.get(tunnel);
    if (coming === undefined) return this.#pair.generationOf(tunnel.localId);
    return (this.#storedOf(coming.moved.lnsTunnel)?.generation ?? 0) + 1;
  }

  #storedOf(lnsTunnel: number): StoredTunnel | null {
    return this.#pair.store.tunnels.get(lnsTunnel) ?? this.#pair.former?.tunnels.get(lnsTunnel) ?? null;
  }

  /** The tunnel stands: its sessions are here from now on. */
  arrive(tunnel: L2tpTunnel, now: number): number {
    const coming = this.#coming.get(tunnel);
    if (coming === undefined) return 0;
    this.#coming.delete(tunnel);
    const count = this.#arriveFrom(coming, tunnel, now);
    answerQueries(tunnel);
    return count;
  }

  #arriveFrom({ moved, sessions }: Moved, tunnel: L2tpTunnel, now: number): number {
    const instance = this.#pair.holderOf(moved.lnsTunnel);
    const taken = this.#pair.take(moved.lnsTunnel, sessions);
    if (taken === null || instance === null) {
      // Between its request and now another one has brought the same.
      this.counters.tunnelsFailed++;
      return 0;
    }
    this.#pair.setGeneration(tunnel.localId, taken.takenGeneration);
    this.origins.set(tunnel.localId, { instance, tunnel: moved.lnsTunnel, unchanged: false });
    this.counters.tunnelsMoved++;
    this.#pair.changed(tunnel.localId, 0, now);
    const restored = this.#restore(tunnel, taken.sessions, false, now);
    this.#unconfirmed.set(tunnel, { sessions: new Set(restored), until: now + CONFIRM_SECONDS });
    return restored.length;
  }

  #restore(
    tunnel: L2tpTunnel,
    sessions: ReadonlyMap<number, StoredSession>,
    silent: boolean,
    now: number,
  ): readonly number[] {
    const restored: number[] = [];
    for (const [id, stored] of sessions) {
      const failure = this.#restoreOne(tunnel, stored, silent);
      if (failure === null) {
        restored.push(id);
        this.#pair.changed(tunnel.localId, id, now);
        continue;
      }
      this.counters.sessionsFailed++;
      this.#logger.warn({ tunnel: tunnel.localId, session: id, reason: failure }, 'a session could not be taken over');
    }
    this.counters.sessionsTaken += restored.length;
    return restored;
  }

  #restoreOne(tunnel: L2tpTunnel, stored: StoredSession, silent: boolean): string | null {
    const read = readSession(stored);
    if (typeof read === 'string') return read;
    const session = tunnel.adoptSession(read.snapshot);
    if (typeof session === 'string') return session;
    const failure = this.#host.restoreSession(session, read.data as never, { silent });
    if (failure === null) {
      for (const address of read.addresses) this.arrived.push(address);
      return null;
    }
    // An adopted tunnel's client believes in the session: it has to be told.
    if (silent) session.hangUp(CALL_RESULT.lostCarrier, 0, 'the session could not be taken over');
    else session.forget();
    return failure;
  }

  /** Takes a tunnel as it is, with the ids and numbers that it had. Null, or why not. `socketFor`: by the client's address. */
  take(lnsTunnel: number, socketFor: (client: string) => number, now: number): string | null {
    const stored = this.#storedOf(lnsTunnel);
    const instance = this.#pair.holderOf(lnsTunnel);
    if (stored === null || instance === null) return 'its state is not here';
    const read = readTunnel(stored);
    if (typeof read === 'string') return this.#failed(lnsTunnel, read);
    const { snapshot } = read;
    const peer = { address: snapshot.peer.address, port: snapshot.peer.port, socket: socketFor(snapshot.peer.address) };
    const tunnel = this.#host.endpoint.adopt(snapshot, peer, now);
    if (typeof tunnel === 'string')
      return this.#failed(lnsTunnel, tunnel === 'id-in-use' ? 'id-in-use: the ids of both LNSs overlap' : tunnel);
    const taken = this.#pair.take(lnsTunnel);
    if (taken === null) {
      tunnel.forget();
      return this.#failed(lnsTunnel, 'its state is not here');
    }
    this.#pair.setGeneration(tunnel.localId, taken.takenGeneration);
    this.origins.set(tunnel.localId, { instance, tunnel: lnsTunnel, unchanged: true });
    this.counters.tunnelsTaken++;
    this.#pair.changed(tunnel.localId, 0, now);
    this.#restore(tunnel, taken.sessions, true, now);
    return null;
  }

  #failed(tunnel: number, reason: string): string {
    this.counters.tunnelsFailed++;
    this.#logger.warn({ tunnel, reason }, 'a tunnel could not be taken over');
    return reason;
  }

  /** An FSQ of the LAC names these; with the last of them the rest of the moved tunnel is known to be gone. */
  confirmed(tunnel: L2tpTunnel, sessions: readonly L2tpSession[]): void {
    const waiting = this.#unconfirmed.get(tunnel);
    if (waiting === undefined) return;
    for (const { localId } of sessions) waiting.sessions.delete(localId);
    if (waiting.sessions.size === 0) this.#unconfirmed.delete(tunnel);
  }

  run(now: number): void {
    for (const [tunnel, { sessions, until }] of this.#unconfirmed) {
      if (now < until) continue;
      this.#unconfirmed.delete(tunnel);
      for (const id of sessions) {
        const session = tunnel.sessions.get(id);
        if (session === undefined) continue;
        this.counters.sessionsUnconfirmed++;
        session.hangUp(CALL_RESULT.lostCarrier, 0, 'the LAC does not know the session');
      }
    }
  }

  get nextTime(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { until } of this.#unconfirmed.values()) next = Math.min(next, until);
    return next;
  }

  /** A tunnel is no more. */
  ended(tunnel: L2tpTunnel): void {
    this.#coming.delete(tunnel);
    this.#unconfirmed.delete(tunnel);
    const origin = this.origins.get(tunnel.localId);
    if (origin === undefined) return;
    this.origins.delete(tunnel.localId);
    this.#pair.release(origin.instance, origin.tunnel);
  }
}
