/**
 * One end of L2TPv2 with all its control connections, LNS or LAC or both: RFC 2661 §5 to §7. Bytes and time (seconds,
 * monotonic, given by the caller) in; bytes, events and `nextTime` out. It throws on no bytes of a peer.
 */
import { checkHeader, isControl } from '../../tunnels/l2tp/header.js';
import { malformedName } from '../../tunnels/l2tp/malformed.js';
import { buildMessage, type L2tpMessage } from '../../tunnels/l2tp/message.js';
import { HELLO, SCCRQ, STOPCCN } from '../../tunnels/l2tp/message-table.js';
import * as T from '../../tunnels/l2tp/avp-table.js';
import { ERROR_CODE, STOP_RESULT } from './codes.js';
import { ENDPOINT_COUNTERS } from './counters.js';
import { dial, receiveRequest, redial, startFault } from './connection.js';
import { DueQueue } from './due-queue.js';
import type { L2tpEvent } from './events.js';
import { bytesOf, numberOf, readControl, textOf } from './message-reader.js';
import type { Datagram, Peer } from './peer.js';
import { completeProfile, type FullTunnelProfile, type TunnelProfile } from './profile.js';
import { fullCycle } from './reliable-delivery.js';
import type { TunnelSnapshot } from './snapshot.js';
import { Ties } from './ties.js';
import { L2tpTunnel, type TunnelHost, type TunnelState } from './tunnel.js';

export interface EndpointLimits {
  /** Tunnels at a time, those that are ending included. Default 65,535. */
  readonly tunnels?: number;
  /** Tunnels that were requested and do not stand yet. Default 4,096. */
  readonly halfOpen?: number;
}

export interface EndpointOptions {
  readonly hostName: string;
  readonly vendorName?: string;
  readonly firmware?: number;
  /** Bytes that nobody can guess. */
  readonly random: (length: number) => Uint8Array;
  /** Tunnel ids that this end assigns, both included. Default 1 … 65535. */
  readonly tunnelIds?: readonly [low: number, high: number];
  readonly limits?: EndpointLimits;
  /** Vendors whose messages and AVPs the owner understands. */
  readonly vendors?: readonly number[];
  /**
   * Which of our sockets answers a peer that dials, where it is another than the one it came to: the global address of an
   * LNS that gets requests at a local one (document 001, FIG. 4). The tunnel lives there; refusals come from there too.
   */
  readonly answerFrom?: (from: Peer) => number;
  /** How to deal with a peer that dials (host name as it says) or whose tunnel is adopted; null: it is not authorised. */
  readonly profile: (peer: Peer, hostName: string | null) => TunnelProfile | null;
}

/** Why a tunnel could not be adopted. */
export type AdoptRefusal = 'id-in-use' | 'limit' | 'bad-snapshot' | 'not-authorised';

const ID_MAX = 0xffff;
/** Refusals that wait for `output`; what comes beyond them is not answered. */
const REFUSALS_LIMIT = 1024;
/** Seconds for which a packet may be on its way. */
const STRAY_LIFE = 5;
/** Seconds that a half-open tunnel has for a sign of life, however many others want its place. */
const PATIENCE = 3;

export class L2tpEndpoint {
  /** By the names of ENDPOINT_COUNTERS. */
  readonly counters: Record<string, number>;
  readonly #o: EndpointOptions;
  readonly #host: TunnelHost;
  readonly #vendors: ReadonlySet<number>;
  readonly #tunnelLimit: number;
  readonly #halfOpenLimit: number;
  #low: number;
  #high: number;
  #now = 0;
  /** All, those included that only answer repetitions. */
  readonly #all = new Map<number, L2tpTunnel>();
  readonly #tunnels = new Map<number, L2tpTunnel>();
  /** Of peers that dialled, by `requestKey`. */
  readonly #requests = new Map<string, L2tpTunnel>();
  readonly #ties = new Ties();
  #refusals: Datagram[] = [];
  readonly #due = new DueQueue<L2tpTunnel>();
  #touched: L2tpTunnel[] = [];
  #events: L2tpEvent[] = [];
  /** Of peers that dialled and have not connected yet, the oldest first. */
  readonly #halfOpen = new Set<L2tpTunnel>();

  constructor(options: EndpointOptions) {
    this.#o = options;
    this.counters = Object.fromEntries(ENDPOINT_COUNTERS.map(([name]) => [name, 0]));
    this.#vendors = new Set(options.vendors ?? []);
    [this.#low, this.#high] = options.tunnelIds ?? [1, ID_MAX];
    this.#tunnelLimit = options.limits?.tunnels ?? ID_MAX;
    this.#halfOpenLimit = options.limits?.halfOpen ?? 4096;
    this.#host = this.#makeHost();
  }

  /** By local id: those that are not closed. */
  get tunnels(): ReadonlyMap<number, L2tpTunnel> {
    return this.#tunnels;
  }

  /** A UDP payload. 'taken', or the name of the reason for which it was dropped. */
  receive(bytes: Uint8Array, from: Peer, now: number): string {
    this.#now = now;
    const word = this.#receive(bytes, from, now);
    if (word === 'taken') this.counters.received++;
    else this.counters[word]++;
    return word;
  }

  #receive(bytes: Uint8Array, from: Peer, now: number): string {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const checked = checkHeader(view, 0, bytes.byteLength);
    if (checked < 0) return malformedName(checked);
    if (!isControl(view, 0)) return 'not-control';
    const tunnelId = (bytes[4] << 8) | bytes[5];
    if (tunnelId === 0) return this.#receiveFirst(bytes, this.#answered(from), now);
    const tunnel = this.#all.get(tunnelId);
    return tunnel === undefined ? 'unknown-tunnel' : tunnel.receive(bytes, from, now);
  }

  /** Dials. Null: the limit of tunnels is reached. */
  open(to: Peer, profile: TunnelProfile, now: number): L2tpTunnel | null {
    this.#now = now;
    const tunnel = this.#newTunnel(to, true, completeProfile(profile), 'wait-reply');
    if (tunnel === null) return null;
    dial(tunnel);
    this.#ties.add(tunnel);
    return tunnel;
  }

  /**
   * Takes a tunnel that another process had: nothing is negotiated; a Hello finds out where the peer's numbers are.
   * `profile`: default is what the options say of this peer.
   */
  adopt(snapshot: TunnelSnapshot, peer: Peer, now: number, profile?: TunnelProfile): L2tpTunnel | AdoptRefusal {
    this.#now = now;
    const { localId, peerId, ns, nr } = snapshot;
    const numbers = [localId, peerId, ns, nr].every((n) => Number.isInteger(n) && n >= 0 && n <= ID_MAX);
    if (!numbers || localId === 0 || peerId === 0 || snapshot.pending.some((bytes) => bytes.length < 12)) {
      return 'bad-snapshot';
    }
    if (this.#all.has(localId)) return 'id-in-use';
    if (this.#tunnels.size >= this.#tunnelLimit) return 'limit';
    const wanted = profile ?? this.#o.profile(peer, snapshot.hostName);
    if (wanted === null) return 'not-authorised';
    const tunnel = new L2tpTunnel(this.#host, localId, peer, snapshot.ours, completeProfile(wanted), 'established');
    tunnel.peerId = peerId;
    tunnel.announced = true;
    tunnel.hostName = snapshot.hostName;
    tunnel.vendorName = snapshot.vendorName;
    tunnel.peerAvps = snapshot.peerAvps;
    tunnel.nextSerial = snapshot.nextSerial;
    tunnel.delivery.setPeerWindow(snapshot.peerWindow);
    tunnel.delivery.resume(snapshot);
    for (const session of snapshot.sessions) {
      if (typeof tunnel.adoptSession(session) === 'string') return 'bad-snapshot';
    }
    this.#all.set(localId, tunnel);
    this.#tunnels.set(localId, tunnel);
    tunnel.sendControl({ type: HELLO });
    this.counters.adopted++;
    return tunnel;
  }

  /** What is to be sent now. To be called after every turn and at `nextTime`. */
  output(now: number): Datagram[] {
    this.#now = now;
    const out = this.#refusals;
    this.#refusals = [];
    const touched = this.#touched;
    this.#touched = [];
    for (const tunnel of touched) tunnel.touched = false;
    for (const tunnel of touched) this.#turn(tunnel, now, out);
    for (let tunnel = this.#due.take(now); tunnel !== undefined; tunnel = this.#due.take(now)) {
      this.#turn(tunnel, now, out);
    }
    this.counters.sent += out.length;
    return out;
  }

  #turn(tunnel: L2tpTunnel, now: number, out: Datagram[]): void {
    if (this.#all.get(tunnel.localId) !== tunnel) return;
    tunnel.turn(now, out);
    if (this.#all.get(tunnel.localId) === tunnel) this.#due.set(tunnel, tunnel.nextTime);
  }

  /** What has happened since the last call. */
  events(): L2tpEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  /**
   * When the next turn is: `events` and `output`. −Infinity: now, for something waits (`output` may have made events);
   * Infinity: when something comes.
   */
  get nextTime(): number {
    const waits = this.#touched.length + this.#refusals.length + this.#events.length > 0;
    return waits ? Number.NEGATIVE_INFINITY : this.#due.nextTime;
  }

  /** Nothing waits for an acknowledgement: after `stop` of all tunnels, the process may end. */
  get quiet(): boolean {
    for (const tunnel of this.#tunnels.values()) if (tunnel.unacknowledged > 0) return false;
    return true;
  }

  /** Another range of tunnel ids for tunnels to come. */
  setTunnelIds(low: number, high: number): void {
    this.#low = low;
    this.#high = high;
  }

  // ── tunnels that begin ──────────────────────────────────────────────────────────────────────────────────────────────

  #newTunnel(peer: Peer, ours: boolean, profile: FullTunnelProfile, state: TunnelState): L2tpTunnel | null {
    // Closed ones that answer repetitions for a while do not count: whoever dials again at once finds room. Ids limit them.
    const localId = this.#tunnels.size >= this.#tunnelLimit ? 0 : this.#freeId();
    if (localId === 0) {
      this.counters['tunnel-limit']++;
      return null;
    }
    const tunnel = new L2tpTunnel(this.#host, localId, peer, ours, profile, state);
    this.#all.set(localId, tunnel);
    this.#tunnels.set(localId, tunnel);
    this.#host.touch(tunnel);
    return tunnel;
  }

  /** 0: all are in use. Begins anywhere, so that an id tells nothing of the next. */
  #freeId(): number {
    const span = this.#high - this.#low + 1;
    const dice = this.#o.random(2);
    const start = ((dice[0] << 8) | dice[1]) % span;
    for (let n = 0; n < span; n++) {
      const id = this.#low + ((start + n) % span);
      if (!this.#all.has(id)) return id;
    }
    return 0;
  }

  /** A peer that dials, as it is answered. */
  #answered(from: Peer): Peer {
    const socket = this.#o.answerFrom?.(from) ?? from.socket;
    return socket === from.socket ? from : { ...from, socket };
  }

  /** A message with tunnel id 0: an SCCRQ, or the StopCCN of who has sent one and not read our SCCRP. */
  #receiveFirst(bytes: Uint8Array, from: Peer, now: number): string {
    // The Host Name, by which the secret is found, is never hidden.
    const open = readControl(bytes, null, this.#vendors);
    if (typeof open === 'number') return malformedName(open);
    const { type, vendor } = open.message;
    if (vendor !== 0 || (type !== SCCRQ && type !== STOPCCN)) return 'tunnel-zero';
    const profile = this.#o.profile(from, textOf(open.message, T.AVP_HOST_NAME));
    const full = completeProfile(profile ?? {});
    const read = full.secret === null ? open : readControl(bytes, full.secret, this.#vendors);
    if (typeof read === 'number') return malformedName(read);
    const { message } = read;
    const peerId = numberOf(message, T.AVP_ASSIGNED_TUNNEL_ID);
    const key = `${from.address} ${from.port} ${peerId}`;
    const known = this.#requests.get(key);
    if (known !== undefined && (type === STOPCCN || isRepetition(known, bytes, now))) {
      return known.receive(bytes, from, now);
    }
    if (type === STOPCCN) return 'unknown-tunnel';
    if (peerId === 0) return 'l2tp-no-tunnel-id';
    if (message.ns !== 0) return 'bad-request';
    if (profile === null) return this.#refuse(message, from, peerId, STOP_RESULT.notAuthorized, 0, 'not-authorised');
    const fault = read.fault === null ? startFault(message) : { result: STOP_RESULT.error, ...read.fault };
    if (fault !== null)
      return this.#refuse(message, from, peerId, fault.result, fault.error, 'bad-request', fault.text);
    const tie = this.#ties.judge(from.address, bytesOf(message, T.AVP_TIE_BREAKER), key, now);
    if (tie.winner === 'ours') return 'tie-won';
    if (tie.winner === 'equal') {
      for (const tunnel of tie.tunnels) redial(tunnel);
      return 'tie-equal';
    }
    const room = this.#makeRoom(now);
    const tunnel = room ? this.#newTunnel(from, false, full, 'requested') : null;
    if (tunnel === null) {
      const limit = room ? 'tunnel-limit' : 'half-open-limit';
      return this.#refuse(message, from, peerId, STOP_RESULT.error, ERROR_CODE.resources, limit);
    }
    this.#halfOpen.add(tunnel);
    tunnel.request = bytes.slice();
    tunnel.requestKey = key;
    tunnel.replaces = known ?? null;
    this.#requests.set(key, tunnel);
    tunnel.delivery.receive(message.ns, message.nr, true, now);
    for (const loser of tie.tunnels) {
      this.counters['tie-lost']++;
      tunnel.inheritWaiting(loser);
      loser.close('tie', 0, 0, '');
    }
    receiveRequest(tunnel, message);
    return 'taken';
  }

  /**
   * Room for one more that is half open. Under a flood of requests from addresses that nobody answers at, the oldest that
   * has shown no sign of life gives way: whoever is really there has connected long before.
   */
  #makeRoom(now: number): boolean {
    if (this.#halfOpen.size < this.#halfOpenLimit) return true;
    const [oldest] = this.#halfOpen;
    if (oldest === undefined || now - oldest.requestedAt < PATIENCE || oldest.delivery.idle) return false;
    this.counters['half-open-dropped']++;
    oldest.close('silence', 0, 0, '');
    return true;
  }

  /**
   * Says no without keeping anything: asked again, it says it again. (An id is told that no tunnel has, as a StopCCN must
   * carry one.)
   */
  #refuse(m: L2tpMessage, to: Peer, tunnel: number, result: number, error: number, why: string, text = why): string {
    const value = { result, error, message: text };
    const avps = [
      { type: T.AVP_ASSIGNED_TUNNEL_ID, value: this.#freeId() || ID_MAX },
      { type: T.AVP_RESULT_CODE, value },
    ];
    const bytes = buildMessage({ type: STOPCCN, tunnel, ns: 0, nr: (m.ns + 1) & ID_MAX, avps });
    if (this.#refusals.length < REFUSALS_LIMIT) this.#refusals.push({ to, bytes });
    return why;
  }

  // ── for tunnels ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #makeHost(): TunnelHost {
    const now = (): number => this.#now;
    const { hostName, vendorName = '', firmware = 0, random } = this.#o;
    return {
      get now(): number {
        return now();
      },
      hostName,
      vendorName,
      firmware,
      vendors: this.#vendors,
      random,
      emit: (event) => {
        this.#events.push(event);
      },
      count: (name) => {
        this.counters[name]++;
      },
      touch: (tunnel) => {
        if (tunnel.touched) return;
        tunnel.touched = true;
        this.#touched.push(tunnel);
      },
      moved: (tunnel, from) => this.#moved(tunnel, from),
      gone: (tunnel) => this.#gone(tunnel),
    };
  }

  #moved(tunnel: L2tpTunnel, from: TunnelState): void {
    const { state } = tunnel;
    if (from === 'wait-reply') this.#ties.remove(tunnel);
    if (from === 'wait-connect' || (from === 'requested' && state !== 'wait-connect')) this.#halfOpen.delete(tunnel);
    if (state === 'established' && tunnel.replaces !== null) {
      // The peer gives the same id to a new tunnel, and has proved that it is the peer: it knows nothing of the old one.
      if (this.#all.get(tunnel.replaces.localId) === tunnel.replaces) tunnel.replaces.close('replaced', 0, 0, '');
      tunnel.replaces = null;
    }
    if (state === 'closed') this.#tunnels.delete(tunnel.localId);
  }

  #gone(tunnel: L2tpTunnel): void {
    if (this.#all.get(tunnel.localId) !== tunnel) return;
    this.#all.delete(tunnel.localId);
    this.#tunnels.delete(tunnel.localId);
    this.#due.remove(tunnel);
    if (this.#requests.get(tunnel.requestKey) === tunnel) this.#requests.delete(tunnel.requestKey);
  }
}

/**
 * The SCCRQ that made this tunnel, come again; the header is alike, since nothing had come before it. For as long as the
 * peer may repeat it; where the tunnel has ended, only for as long as a packet may have been on its way, since the peer is
 * free to dial again with the same id.
 */
function isRepetition(tunnel: L2tpTunnel, bytes: Uint8Array, now: number): boolean {
  const { request, state } = tunnel;
  if (request === null || request.length !== bytes.length) return false;
  const settingUp = state === 'requested' || state === 'wait-connect';
  const life = state === 'closed' ? (tunnel.stood ? 0 : STRAY_LIFE) : fullCycle();
  if (!settingUp && now - tunnel.requestedAt >= life) return false;
  for (let n = 0; n < bytes.length; n++) if (request[n] !== bytes[n]) return false;
  return true;
}
