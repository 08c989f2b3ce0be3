/**
 * A control connection with its calls, RFC 2661 §5 and §7.2; either end. What the peer's messages do to it is in
 * connection.ts (set-up and end), calls.ts and failover.ts; here are its state, its time and what its owner may do.
 */
import type { Avp, AvpInput } from '../../tunnels/l2tp/avp.js';
import { AVP_ASSIGNED_SESSION_ID, AVP_ASSIGNED_TUNNEL_ID, AVP_RESULT_CODE } from '../../tunnels/l2tp/avp-table.js';
import type { L2tpMessage, L2tpMessageInput } from '../../tunnels/l2tp/message.js';
import { CDN, HELLO, STOPCCN } from '../../tunnels/l2tp/message-table.js';
import { causeAvps } from './attribute-codec.js';
import { CallSet } from './call-set.js';
import { CALL_RESULT, type DisconnectCause, STOP_RESULT } from './codes.js';
import { acceptRequest, answersRequest, receiveMessage } from './connection.js';
import type { Due } from './due-queue.js';
import type { L2tpEvent, TunnelEnd } from './events.js';
import { sendQueries } from './failover.js';
import { writeControl } from './message-writer.js';
import { type Datagram, type Peer, samePlace } from './peer.js';
import type { FullTunnelProfile } from './profile.js';
import { fullCycle, ReliableDelivery } from './reliable-delivery.js';
import { L2tpSession, type SessionState } from './session.js';
import type { CallAttributes, SessionAttributes } from './session-attributes.js';
import type { CallKind, SessionSnapshot, TunnelSnapshot } from './snapshot.js';

/** `requested`: a peer dialled, we have not answered; `wait-reply`, `wait-connect`: wait-ctl-reply, wait-ctl-conn of the RFC. */
export type TunnelState = 'requested' | 'wait-reply' | 'wait-connect' | 'established' | 'closing' | 'closed';

/** A message of a vendor's own (RFC 2661 §4.4.1), M = 0. */
export interface VendorMessage {
  readonly vendor: number;
  readonly type: number;
  readonly avps?: readonly AvpInput[];
  /** Session that it is about: its id of the peer goes into the header. */
  readonly session?: L2tpSession;
}

/** Why a session could not be put into a tunnel. */
export type SessionRefusal = 'id-in-use' | 'limit' | 'state';

/** What a tunnel needs of its endpoint. */
export interface TunnelHost {
  readonly now: number;
  readonly hostName: string;
  readonly vendorName: string;
  readonly firmware: number;
  readonly vendors: ReadonlySet<number>;
  random(length: number): Uint8Array;
  emit(event: L2tpEvent): void;
  count(name: string): void;
  /** Something was queued or a time has changed: the tunnel wants a turn. */
  touch(tunnel: L2tpTunnel): void;
  /** It has left its state: half-open, dialling or standing. */
  moved(tunnel: L2tpTunnel, from: TunnelState): void;
  /** It is to be forgotten. */
  gone(tunnel: L2tpTunnel): void;
}

const NO_AVPS: readonly AvpInput[] = [];
const ID_MAX = 0xffff;
/** Text of an AVP beyond this is cut: a StopCCN fits any path. */
const MESSAGE_LIMIT = 200;

/** Fields are written by the engine alone; `userData` is the owner's. */
export class L2tpTunnel implements Due {
  readonly localId: number;
  /** 0: not known yet. */
  peerId = 0;
  state: TunnelState;
  peer: Peer;
  /** We dialled. */
  readonly ours: boolean;
  /** The peer's. */
  hostName = '';
  vendorName = '';
  readonly profile: FullTunnelProfile;
  /** All AVPs of the peer's SCCRQ or SCCRP that were understood, hidden ones in the clear. */
  peerAvps: readonly Avp[] = [];
  /** The owner's; the engine never looks at it. */
  userData: unknown = undefined;

  // From here on for the engine only.
  readonly host: TunnelHost;
  delivery: ReliableDelivery;
  dueAt = 0;
  duePlace = -1;
  touched = false;
  /** The owner has heard of it. */
  announced: boolean;
  tie: Uint8Array | null = null;
  challenge: Uint8Array | null = null;
  peerChallenge: Uint8Array | null = null;
  /** The SCCRQ, by which a repetition is known, and when it came. */
  request: Uint8Array | null = null;
  requestedAt: number;
  /** It was established once. */
  stood = false;
  /** Address, port and tunnel id of who dialled, as the endpoint looks it up. */
  requestKey = '';
  /** An older tunnel to which the peer gave the same id. */
  replaces: L2tpTunnel | null = null;
  nextSerial = 1;
  readonly #calls = new CallSet();
  /** Queries that wait for `answerQueries` (failover.ts); null: they are answered as they come. */
  queries: L2tpMessage[] | null = null;
  #deadline: number;
  #lastHeard: number;
  #suspectTries = 0;

  constructor(
    host: TunnelHost,
    localId: number,
    peer: Peer,
    ours: boolean,
    profile: FullTunnelProfile,
    state: TunnelState,
  ) {
    this.host = host;
    this.localId = localId;
    this.peer = peer;
    this.ours = ours;
    this.profile = profile;
    this.state = state;
    this.announced = ours;
    this.delivery = this.#newDelivery();
    this.requestedAt = host.now;
    this.#lastHeard = host.now;
    this.#deadline = host.now + profile.setupTimeout;
  }

  #newDelivery(): ReliableDelivery {
    return new ReliableDelivery(this.profile.reliable, this.profile.window);
  }

  /** By local id. */
  get sessions(): ReadonlyMap<number, L2tpSession> {
    return this.#calls.byId;
  }

  // ── for the owner ───────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Answers a tunnel-request (SCCRP) with further AVPs; `socket`: from this one of our sockets (floating port, RFC 2661
   * §8.1). Does nothing in another state than `requested`.
   */
  accept(avps: readonly AvpInput[] = NO_AVPS, socket = this.peer.socket): void {
    if (this.state !== 'requested') return;
    if (socket !== this.peer.socket) this.peer = { ...this.peer, socket };
    acceptRequest(this, avps);
  }

  /** Answers a tunnel-request with a StopCCN; no event follows. Does nothing in another state than `requested`. */
  refuse(result: number, error = 0, message = ''): void {
    if (this.state !== 'requested') return;
    this.announced = false;
    this.stop(result, error, message);
  }

  /** Ends it with a StopCCN: session-down for each call and tunnel-down follow at once. */
  stop(result: number = STOP_RESULT.clear, error = 0, message = ''): void {
    this.stopBy('us', result, error, message);
  }

  /** Drops it and its calls without a word and without an event. */
  forget(): void {
    for (const session of this.sessions.values()) session.state = 'closed';
    this.#calls.clear();
    this.setState('closed');
    this.host.gone(this);
  }

  /** Asks for a call; where the tunnel does not stand yet, as soon as it does. Null: a limit is reached, or it has ended. */
  call(kind: CallKind, attributes: CallAttributes = {}, avps: readonly AvpInput[] = NO_AVPS): L2tpSession | null {
    if (this.state === 'closing' || this.state === 'closed' || this.delivery.full) return null;
    const serial = attributes.serial ?? this.nextSerial;
    const session = this.newSession(kind, true, 'wait-tunnel', { ...attributes, serial }, avps);
    if (session === null) return null;
    this.nextSerial = (this.nextSerial % ID_MAX) + 1;
    if (this.state === 'established') session.request();
    return session;
  }

  /** Puts an established call here that was in another tunnel of the same two parties, with the ids of both ends. */
  adoptSession(snapshot: SessionSnapshot): L2tpSession | SessionRefusal {
    const { localId, peerId, kind, ours, attributes } = snapshot;
    const refusal = this.#refusal(localId, peerId);
    if (refusal !== null) return refusal;
    const session = new L2tpSession(this, localId, kind, ours, 'established', attributes);
    session.peerId = peerId;
    session.adopted = true;
    this.#calls.add(session);
    return session;
  }

  /** The same for a call of this endpoint: the object stays, only its tunnel changes. No message, no event. */
  moveHere(session: L2tpSession): true | SessionRefusal {
    if (session.state !== 'established') return 'state';
    if (session.tunnel === this) return true;
    const refusal = this.#refusal(session.localId, session.peerId);
    if (refusal !== null) return refusal;
    session.tunnel.dropSession(session);
    session.state = 'established';
    session.tunnel = this;
    this.#calls.add(session);
    return true;
  }

  #refusal(localId: number, peerId: number): SessionRefusal | null {
    if (this.state !== 'established' || !isId(localId) || !isId(peerId)) return 'state';
    if (this.sessions.has(localId) || this.#calls.byPeerId(peerId) !== undefined) return 'id-in-use';
    return this.sessions.size >= this.profile.sessionLimit ? 'limit' : null;
  }

  /** True where the peer's SCCRQ or SCCRP had an AVP of this vendor: it understands its messages. */
  speaks(vendor: number): boolean {
    return this.peerAvps.some((avp) => avp.vendor === vendor);
  }

  /** False: the peer does not speak it, the tunnel does not stand, or too much waits to be sent. */
  sendVendor({ vendor, type, avps = NO_AVPS, session }: VendorMessage): boolean {
    if (this.state !== 'established' || !this.speaks(vendor)) return false;
    return this.sendControl({ vendor, type, mandatory: false, avps, session: session?.peerId ?? 0 }, false);
  }

  /** Asks which of these sessions stand with the peer (FSQ, RFC 4951), in as many messages as it takes. */
  sendFsq(sessions: Iterable<L2tpSession>): boolean {
    return this.state === 'established' && sendQueries(this, sessions);
  }

  /** Asks for a sign of life now; a message that waits for its acknowledgement does as well. */
  sendHello(): boolean {
    if (this.state !== 'established') return false;
    return !this.delivery.idle || this.sendControl({ type: HELLO }, false);
  }

  /** Data came at this time: no Hello is needed for a while. */
  heard(now: number): void {
    if (now > this.#lastHeard) this.#lastHeard = now;
  }

  /** Number of our next message, and of the peer's. */
  get ns(): number {
    return this.delivery.ns;
  }

  get nr(): number {
    return this.delivery.nr;
  }

  /** Messages that wait for an acknowledgement or to be sent. */
  get unacknowledged(): number {
    return this.delivery.count;
  }

  /** Calls that are not established are not in it. */
  snapshot(withCalls = true): TunnelSnapshot {
    const { localId, peerId, peer, ours, hostName, vendorName, peerAvps, nextSerial, delivery } = this;
    const sessions: SessionSnapshot[] = [];
    for (const session of withCalls ? this.sessions.values() : []) {
      if (session.state === 'established') sessions.push(session.snapshot());
    }
    const rest = { peerWindow: delivery.peerWindow, hostName, vendorName, peerAvps, nextSerial, sessions };
    return { localId, peerId, peer, ours, ...delivery.state(), ...rest };
  }

  // ── for the engine ──────────────────────────────────────────────────────────────────────────────────────────────────

  setState(state: TunnelState): void {
    const from = this.state;
    if (from === state) return;
    this.state = state;
    this.host.moved(this, from);
  }

  /** Queues a message of the tunnel or of a call. `must`: whatever waits already. False: it is not queued. */
  sendControl(message: L2tpMessageInput, must = true): boolean {
    const { host } = this;
    if (!must && this.delivery.full) {
      host.count('queue-full');
      return false;
    }
    const bytes = writeControl(message, this.profile, (length) => host.random(length));
    if (bytes === null) {
      host.count('unsendable');
      return false;
    }
    this.delivery.send(bytes, true);
    host.touch(this);
    return true;
  }

  sendCall(type: number, session: L2tpSession, avps: readonly AvpInput[], must = true): boolean {
    return this.sendControl({ type, session: session.peerId, avps }, must);
  }

  sendCdn(session: L2tpSession, result: number, error: number, message: string, cause?: DisconnectCause): void {
    const avps = [resultAvp(result, error, message), this.idOf(session), ...causeAvps(cause)];
    this.sendCall(CDN, session, avps);
  }

  /** Refuses a call for which there is no session. */
  rejectCall(peerId: number, result: number, error: number, message: string): void {
    this.host.count('calls-refused');
    const avps = [resultAvp(result, error, message), { type: AVP_ASSIGNED_SESSION_ID, value: 0 }];
    this.sendControl({ type: CDN, session: peerId, avps });
  }

  idOf({ localId }: L2tpSession): AvpInput {
    return { type: AVP_ASSIGNED_SESSION_ID, value: localId };
  }

  byPeerId(peerId: number): L2tpSession | undefined {
    return this.#calls.byPeerId(peerId);
  }

  setPeerId(session: L2tpSession, peerId: number): void {
    this.#calls.setPeerId(session, peerId);
  }

  /** Null: as many as may be are there. */
  newSession(
    kind: CallKind,
    ours: boolean,
    state: SessionState,
    attributes: SessionAttributes,
    avps: readonly AvpInput[] = NO_AVPS,
  ): L2tpSession | null {
    if (this.sessions.size >= Math.min(this.profile.sessionLimit, ID_MAX)) {
      this.host.count('session-limit');
      return null;
    }
    const dice = this.host.random(2);
    const id = this.#calls.freeId((dice[0] << 8) | dice[1]);
    const session = new L2tpSession(this, id, kind, ours, state, attributes, avps);
    session.deadline = this.host.now + this.profile.setupTimeout;
    this.#calls.add(session);
    this.host.touch(this);
    return session;
  }

  /** No message, no event. */
  dropSession(session: L2tpSession): void {
    session.state = 'closed';
    this.#calls.remove(session);
  }

  /** The tunnel that lost a tie gives its waiting calls to the one that won. */
  inheritWaiting(from: L2tpTunnel): void {
    for (const session of from.sessions.values()) {
      session.tunnel = this;
      this.#calls.add(session);
    }
    from.#calls.clear();
    this.nextSerial = from.nextSerial;
    this.userData ??= from.userData;
  }

  /** Dials anew: after a tie in which nobody won. */
  restart(): void {
    this.delivery = this.#newDelivery();
  }

  /** It stands: calls that have waited for it are asked for. */
  establish(): void {
    this.stood = true;
    this.setState('established');
    this.host.count('tunnels-established');
    this.host.emit({ type: 'tunnel-up', tunnel: this });
    for (const session of this.sessions.values()) if (session.state === 'wait-tunnel') session.request();
  }

  stopBy(by: TunnelEnd, result: number, error: number, message: string): void {
    if (this.state === 'closing' || this.state === 'closed') return;
    const unsaid = this.ours && this.state === 'wait-reply' && this.delivery.ns === 0;
    this.#endCalls(result, error, message);
    this.delivery.discardWaiting();
    if (unsaid) {
      this.#tellDown(by, result, error, message);
      return this.forget();
    }
    this.sendStop(result, error, message);
    this.setState('closing');
    this.#tellDown(by, result, error, message);
  }

  sendStop(result: number, error: number, message: string): void {
    const avps = [{ type: AVP_ASSIGNED_TUNNEL_ID, value: this.localId }, resultAvp(result, error, message)];
    this.sendControl({ type: STOPCCN, avps });
  }

  /** The peer has ended it, or nobody is there: nothing more is sent but acknowledgements. */
  close(by: TunnelEnd, result: number, error: number, message: string): void {
    const before = this.state;
    if (before === 'closed') return;
    if (before !== 'closing') this.#endCalls(result, error, message);
    this.#calls.clear();
    this.delivery.silence();
    this.setState('closed');
    // A whole cycle of the peer's repetitions is still answered (RFC 2661 §5.7).
    this.#deadline = this.host.now + fullCycle(this.profile.reliable);
    if (before !== 'closing') this.#tellDown(by, result, error, message);
    if (by === 'silence' || by === 'replaced') this.host.gone(this);
    else this.host.touch(this);
  }

  #tellDown(by: TunnelEnd, result: number, error: number, message: string): void {
    this.host.count(`tunnels-ended-${by}`);
    if (this.announced) this.host.emit({ type: 'tunnel-down', tunnel: this, by, result, error, message });
    this.announced = false;
  }

  #endCalls(result: number, error: number, message: string): void {
    for (const session of [...this.sessions.values()]) session.end('tunnel', result, error, message, null);
  }

  /** A control message that names this tunnel. */
  receive(bytes: Uint8Array, from: Peer, now: number): string {
    const hasBody = ((bytes[2] << 8) | bytes[3]) > 12;
    const type = hasBody && bytes.length >= 20 ? (bytes[18] << 8) | bytes[19] : -1;
    if (!samePlace(from, this.peer)) {
      if (this.state !== 'wait-reply' || !this.profile.follow) return 'wrong-peer';
      if (!answersRequest(this, type, bytes)) return 'foreign-answer';
    }
    // A peer that asks without acknowledging what it is answered is heard no further than that.
    if (hasBody && this.delivery.full) return 'queue-full';
    const ns = (bytes[8] << 8) | bytes[9];
    const nr = (bytes[10] << 8) | bytes[11];
    const received = this.delivery.receive(ns, nr, hasBody, now);
    this.#lastHeard = now;
    this.host.touch(this);
    if (this.#suspectTries > 0 && this.delivery.tries < this.#suspectTries) {
      this.#suspectTries = 0;
      if (this.announced) this.host.emit({ type: 'heard', tunnel: this });
    }
    if (received === 'new') {
      receiveMessage(this, bytes, from);
      this.#drainHeld(from, now);
    } else if (received === 'early') this.host.count(this.delivery.hold(ns, bytes, now) ? 'early' : 'early-dropped');
    else if (received === 'repeated') this.host.count('repeated');
    if (this.state === 'closing' && this.delivery.idle) this.close('us', 0, 0, '');
    return 'taken';
  }

  #drainHeld(from: Peer, now: number): void {
    for (let held = this.delivery.next(now); held !== undefined; held = this.delivery.next(now)) {
      receiveMessage(this, held, from);
    }
  }

  /** What is due at this time: expiries, a Hello, messages. */
  turn(now: number, out: Datagram[]): void {
    if (this.state === 'closed' && now >= this.#deadline) return this.host.gone(this);
    this.#drainHeld(this.peer, now);
    if (this.#settingUp && now >= this.#deadline) this.stopBy('timeout', STOP_RESULT.clear, 0, 'not set up in time');
    this.#expireCalls(now);
    if (this.#helloAt <= now) this.sendHello();
    const messages: Uint8Array[] = [];
    this.delivery.output(now, this.peerId, messages);
    for (const bytes of messages) out.push({ to: this.peer, bytes });
    if (this.delivery.failed) return this.close('silence', 0, 0, '');
    const { tries } = this.delivery;
    if (tries < 2 || tries === this.#suspectTries || this.state === 'closing') return;
    if (this.#suspectTries === 0) this.host.count('suspected');
    this.#suspectTries = tries;
    if (this.announced) this.host.emit({ type: 'suspect', tunnel: this, tries });
  }

  #expireCalls(now: number): void {
    for (const session of this.#calls.expired(now)) {
      if (session.state !== 'wait-tunnel') this.sendCdn(session, CALL_RESULT.timeout, 0, 'not set up in time');
      session.end('timeout', CALL_RESULT.timeout, 0, 'not set up in time', null);
    }
  }

  get #settingUp(): boolean {
    return this.state === 'requested' || this.state === 'wait-reply' || this.state === 'wait-connect';
  }

  get #helloAt(): number {
    if (this.state !== 'established' || this.profile.helloInterval <= 0) return Number.POSITIVE_INFINITY;
    return this.delivery.idle ? this.#lastHeard + this.profile.helloInterval : Number.POSITIVE_INFINITY;
  }

  /** When `turn` has to be called next. */
  get nextTime(): number {
    const own = this.#settingUp || this.state === 'closed' ? this.#deadline : Number.POSITIVE_INFINITY;
    return Math.min(this.delivery.nextTime, own, this.#calls.nextTime, this.#helloAt);
  }
}

function isId(id: number): boolean {
  return Number.isInteger(id) && id > 0 && id <= ID_MAX;
}

function resultAvp(result: number, error: number, message: string): AvpInput {
  const value: Record<string, number | string> = { result };
  if (error !== 0 || message !== '') value.error = error;
  if (message !== '') value.message = message.slice(0, MESSAGE_LIMIT);
  return { type: AVP_RESULT_CODE, value };
}
