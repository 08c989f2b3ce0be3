/**
 * One end of a PPP link: LCP, authentication, IPCP and IPv6CP (RFC 1661 §3). Bytes and time in, bytes and events out;
 * seconds, which never go backwards. Data packets are the caller's: the engine only says whether they may pass.
 */
import { PPP_CODE, PPP_PROTOCOL, pppControlEnd, pppU16, readPppHeader } from '../../wire/ppp.js';
import type { AuthResult } from './authentication.js';
import { type ControlHost, type ControlProtocol, type FinishReason, STATE } from './control-protocol.js';
import type { PppDiscard } from './counters.js';
import type { AuthenticateRequest, PppEndReason, PppParameters } from './events.js';
import { Identities } from './identities.js';
import { LayerHost } from './layer-host.js';
import { Lcp, requiredOf } from './lcp.js';
import { Networks } from './networks.js';
import type { AuthMethod, NetworkAssignment, PppOptions } from './options.js';
import { describeProxy, type ProxyAnswer, type ProxyLcp, proxiedAnswer } from './proxy.js';
import type { PppPhase, PppSnapshot, RefusedProtocol } from './snapshot.js';

export type { AuthResult } from './authentication.js';

/** What `receive` made of a frame. */
export type PppReceived = 'control' | 'ipv4' | 'ipv6' | 'discarded';

const NEVER = Number.POSITIVE_INFINITY;
/** The longest control packet that is looked at, bytes. */
const CONTROL_LIMIT = 2048;
/** How much of an unknown packet goes back with the Protocol-Reject. */
const REJECT_COPY_LIMIT = 256;
/** Protocol numbers that a peer may reject before the list is full. */
const REJECTED_LIMIT = 16;
const EMPTY = new Uint8Array(0);

export class PppLink extends LayerHost implements ControlHost {
  phase: PppPhase = 'dead';
  /** Free for the owner. */
  userData: unknown = null;
  readonly #lcp: Lcp;
  readonly #identities: Identities;
  readonly #networks: Networks;
  #ccp: RefusedProtocol = 'not-seen';
  #peerRejected: number[] = [];
  #authDeadline = NEVER;
  #networkDeadline = NEVER;
  #challengeAt = NEVER;
  #echoAt = NEVER;
  #echoes = 0;
  #endBy: 'us' | 'peer' = 'us';
  #endReason: PppEndReason = 'terminated';

  constructor(options: PppOptions) {
    super(options);
    this.#identities = new Identities(this, options);
    this.#networks = new Networks(this, options, this.resolved);
    this.#lcp = new Lcp(this, options);
    this.#lcp.onPeerEnd = this.#peerEnded;
  }

  readonly #peerEnded = (): void => this.#finish('peer', 'terminated');

  get parameters(): PppParameters {
    return { local: this.#lcp.local, peer: this.#lcp.peer, required: requiredOf(this.options) };
  }

  /** How the peer proved itself; '' and null when it did not. */
  get peerName(): string {
    return this.#identities.authenticator?.name ?? '';
  }

  get peerMethod(): AuthMethod | null {
    return this.#identities.authenticator?.method ?? null;
  }

  // --- life ---

  /** Begins LCP. */
  start(now: number): void {
    if (this.phase !== 'dead') return;
    this.phase = 'establish';
    this.#lcp.open(now);
    this.#lcp.lowerUp(now);
  }

  /**
   * Begins with what a LAC has negotiated (RFC 2661 §4.4.5). Where that does not satisfy our options, LCP begins anew,
   * and false is the answer. The owner hears of a proxied authentication as of any other.
   */
  startFromProxy(proxy: ProxyLcp, now: number): boolean {
    if (this.phase !== 'dead') return false;
    const { lastSent, lastReceived } = proxy;
    if (lastSent === undefined || lastReceived === undefined || !this.#lcp.takeProxy(lastSent, lastReceived)) {
      this.start(now);
      return false;
    }
    this.#lcpUp(proxiedAnswer(proxy, this.#lcp.local.auth), now);
    return true;
  }

  /** Ends the link in order: Terminate-Request, and `down` when it is answered or nobody answers. */
  terminate(now: number): void {
    this.#close('terminated', now);
  }

  #close(reason: PppEndReason, now: number): void {
    if (this.phase === 'terminate' || this.phase === 'ended') return;
    if (this.phase === 'dead') return this.#finish('us', reason);
    this.#endBy = 'us';
    this.#endReason = reason;
    this.phase = 'terminate';
    this.#stopTimers();
    this.#networks.drop(now);
    this.#lcp.close(now);
  }

  #stopTimers(): void {
    this.#authDeadline = NEVER;
    this.#networkDeadline = NEVER;
    this.#challengeAt = NEVER;
    this.#echoAt = NEVER;
  }

  #finish(by: 'us' | 'peer', reason: PppEndReason): void {
    if (this.phase === 'ended') return;
    this.phase = 'ended';
    this.#stopTimers();
    this.#lcp.deadline = NEVER;
    this.#networks.ipcp = null;
    this.#networks.ipv6cp = null;
    this.emit({ type: 'down', by, reason });
  }

  // --- time ---

  /** Frames to be sent now, each from FF 03 on; runs what is due. */
  output(now: number): Uint8Array[] {
    if (now >= this.#timers()) this.#run(now);
    return this.takeFrames();
  }

  /** When `output` has to be called, if nothing comes before; Infinity: never. */
  get nextTime(): number {
    return this.pending ? Number.NEGATIVE_INFINITY : this.#timers();
  }

  #timers(): number {
    const next = Math.min(
      this.#lcp.deadline,
      this.#authDeadline,
      this.#networkDeadline,
      this.#echoAt,
      this.#challengeAt,
    );
    return Math.min(next, this.#identities.deadline, this.#networks.deadline);
  }

  #run(now: number): void {
    this.#lcp.tick(now);
    if (this.phase === 'ended') return;
    if (!this.#identities.tick(now) || now >= this.#authDeadline) return this.#close('authentication-timeout', now);
    this.#networks.tick(now);
    if (now >= this.#networkDeadline) return this.#close('no-network', now);
    if (now >= this.#challengeAt) {
      this.#challengeAt = NEVER;
      this.#identities.authenticator?.begin(now);
      this.#authDeadline = now + this.resolved.timers.authenticate;
    }
    if (now >= this.#echoAt) this.#echo(now);
  }

  #echo(now: number): void {
    // A peer that does not answer will not answer a Terminate-Request either.
    if (this.#echoes >= this.resolved.echoFailures) {
      this.#networks.drop(now);
      return this.#finish('us', 'echo-lost');
    }
    this.#echoes++;
    this.#lcp.sendEcho();
    this.#echoAt = now + this.resolved.echoEvery;
  }

  /** Data came from the peer by another way than `receive`: it lives. */
  heard(now: number): void {
    this.#echoes = 0;
    if (this.#echoAt !== NEVER) this.#echoAt = now + this.resolved.echoEvery;
  }

  // --- frames ---

  /** A frame from FF 03 or from the protocol field on, whatever compression leaves of them. */
  receive(frame: Uint8Array, now: number): PppReceived {
    this.counters.framesIn++;
    const header = readPppHeader(frame);
    if (header < 0) return this.#discard('truncated');
    const protocol = header & 0xffff;
    const offset = header >>> 16;
    if (protocol === PPP_PROTOCOL.ipv4) return this.#networks.ipcp?.opened ? 'ipv4' : this.#discard('unexpected');
    if (protocol === PPP_PROTOCOL.ipv6) return this.#networks.ipv6cp?.opened ? 'ipv6' : this.#discard('unexpected');
    if (this.phase === 'dead') return this.#discard('unexpected');
    if (frame.length > CONTROL_LIMIT) return this.#discard('too-long');
    this.heard(now);
    if (protocol === PPP_PROTOCOL.lcp) return this.#receiveLcp(frame, offset, now);
    if (this.phase === 'ended') return this.#discard('after-end');
    if (protocol === PPP_PROTOCOL.pap || protocol === PPP_PROTOCOL.chap)
      return this.#receiveAuth(protocol, frame, offset, now);
    if (protocol === PPP_PROTOCOL.ipcp || protocol === PPP_PROTOCOL.ipv6cp) {
      return this.#receiveNetwork(protocol, frame, offset, now);
    }
    return this.#unknown(protocol, frame, offset);
  }

  #discard(reason: PppDiscard): 'discarded' {
    this.counters.discard(reason);
    return 'discarded';
  }

  /** Protocols are refused only where networks may be spoken of (RFC 1661 §3.5 and §5.7). */
  #unknown(protocol: number, frame: Uint8Array, offset: number): PppReceived {
    if (this.phase !== 'network') return this.#discard('unexpected');
    this.#rejectProtocol(protocol, frame.subarray(offset));
    return this.#discard('unknown-protocol');
  }

  #rejectProtocol(protocol: number, packet: Uint8Array): void {
    if (protocol === PPP_PROTOCOL.ccp) this.#ccp = 'rejected';
    this.counters.protocolRejectsSent++;
    const copy = packet.subarray(0, REJECT_COPY_LIMIT);
    const data = new Uint8Array(2 + copy.length);
    data[0] = protocol >> 8;
    data[1] = protocol;
    data.set(copy, 2);
    this.send(PPP_PROTOCOL.lcp, PPP_CODE.protocolReject, this.#lcp.takeId(), data);
  }

  #receiveLcp(frame: Uint8Array, offset: number, now: number): PppReceived {
    const end = pppControlEnd(frame, offset);
    if (end === 0) return this.#discard('truncated');
    const code = frame[offset];
    const id = frame[offset + 1];
    if (this.phase === 'ended') {
      // A peer that has not had our last acknowledgement asks again.
      if (code === PPP_CODE.terminateRequest) this.send(PPP_PROTOCOL.lcp, PPP_CODE.terminateAck, id, EMPTY);
      return this.#discard('after-end');
    }
    const body = frame.subarray(offset + 4, end);
    if (code === PPP_CODE.protocolReject) this.#protocolRejected(body, now);
    else if (!this.#lcp.receive(code, id, body, now) && !this.#lcp.receiveOther(code, id, body)) {
      this.#lcp.rejectCode(frame.subarray(offset, end));
    }
    return 'control';
  }

  #protocolRejected(body: Uint8Array, now: number): void {
    if (body.length < 2) return this.counters.discard('truncated');
    const protocol = pppU16(body, 0);
    if (this.#peerRejected.length < REJECTED_LIMIT && !this.#peerRejected.includes(protocol))
      this.#peerRejected.push(protocol);
    if (protocol === PPP_PROTOCOL.lcp) this.#lcp.rejected(now);
    else if (protocol === PPP_PROTOCOL.ipcp) this.#networks.ipcp?.rejected(now);
    else if (protocol === PPP_PROTOCOL.ipv6cp) this.#networks.ipv6cp?.rejected(now);
    else if (this.phase === 'authenticate' && this.#identities.speaks(protocol))
      this.#close('authentication-refused', now);
  }

  #receiveAuth(protocol: number, frame: Uint8Array, offset: number, now: number): PppReceived {
    const end = pppControlEnd(frame, offset);
    if (end === 0) return this.#discard('truncated');
    if (!this.#lcp.opened) return this.#discard('unexpected');
    const body = frame.subarray(offset + 4, end);
    const told = this.#identities.receive(protocol, frame[offset], frame[offset + 1], body, now);
    if (told === null) return this.#discard('unexpected');
    if (told === 'moved') this.#proverMoved(now);
    else if (told !== 'taken') this.#asked(told);
    return 'control';
  }

  #receiveNetwork(protocol: number, frame: Uint8Array, offset: number, now: number): PppReceived {
    const end = pppControlEnd(frame, offset);
    if (end === 0) return this.#discard('truncated');
    const layer = this.#networks.layer(protocol);
    if (layer === null && this.#waitsForNetworks && this.#networks.serves(protocol)) {
      if (frame[offset] !== PPP_CODE.configureRequest) return this.#discard('unexpected');
      this.#networks.hold(protocol, frame);
      return 'control';
    }
    if (this.phase !== 'network') return this.#discard('unexpected');
    if (layer === null) return this.#unknown(protocol, frame, offset);
    const body = frame.subarray(offset + 4, end);
    if (!layer.receive(frame[offset], frame[offset + 1], body, now)) layer.rejectCode(frame.subarray(offset, end));
    return 'control';
  }

  /** The peer may be ahead of us. */
  get #waitsForNetworks(): boolean {
    const { network } = this.options;
    if (this.phase === 'authenticate') return network !== 'none';
    return this.phase === 'network' && network === 'server' && this.#networks.assignment === null;
  }

  // --- authentication ---

  #lcpUp(proxied: ProxyAnswer | null, now: number): void {
    this.phase = 'authenticate';
    this.emit({ type: 'link-up', parameters: this.parameters });
    const { timers, echoEvery } = this.resolved;
    if (echoEvery > 0) this.#echoAt = now + echoEvery;
    const { local, peer } = this.#lcp;
    const identities = this.#identities;
    identities.prepare(proxied?.method ?? local.auth, peer.auth);
    if (identities.needed) this.#authDeadline = now + timers.authenticate;
    identities.prover?.begin(now);
    const { authenticator } = identities;
    if (authenticator === null) {
      if (this.options.network === 'none') this.emit({ type: 'proxy-ready', method: null, name: '' });
    } else if (proxied === null) authenticator.begin(now);
    else this.#asked(authenticator.take(proxied.id, proxied.name, proxied.challenge, proxied.response));
    this.#authenticationDone(now);
  }

  #asked(request: AuthenticateRequest): void {
    if (this.options.network !== 'none') return this.emit(request);
    this.#stopTimers();
    this.emit({ type: 'proxy-ready', method: request.method, name: request.name });
  }

  /** The owner's judgement of an `authenticate` event. */
  authenticated(result: AuthResult, now: number): void {
    const authenticator = this.#identities.authenticator;
    if (authenticator === null || authenticator.state !== 'asked') return;
    if (this.phase !== 'authenticate' && this.phase !== 'network') return;
    authenticator.judge(result);
    if (!result.ok) {
      this.counters.authenticationFailures++;
      return this.#close('authentication-failed', now);
    }
    if (this.phase === 'network') {
      this.#authDeadline = NEVER;
      this.#challengeLater(now);
    } else this.#authenticationDone(now);
  }

  #proverMoved(now: number): void {
    const state = this.#identities.prover?.state;
    if (state === 'failed' || state === 'deceived') {
      this.counters.authenticationFailures++;
      return this.#close(state === 'failed' ? 'authentication-failed' : 'authenticator-wrong', now);
    }
    if (this.phase === 'authenticate') this.#authenticationDone(now);
  }

  #challengeLater(now: number): void {
    const { challengeAgain } = this.resolved.timers;
    const method = this.#identities.authenticator?.method ?? 'pap';
    if (challengeAgain > 0 && method !== 'pap') this.#challengeAt = now + challengeAgain;
  }

  #authenticationDone(now: number): void {
    if (this.options.network === 'none' || !this.#identities.done) return;
    this.phase = 'network';
    this.#authDeadline = NEVER;
    this.#networkDeadline = now + this.resolved.timers.network;
    this.#challengeLater(now);
    this.emit({ type: 'up', parameters: this.parameters, method: this.peerMethod, name: this.peerName });
    if (this.options.network === 'client') this.#openNetworks({}, now);
    else if (this.#networks.assignment !== null) this.#openNetworks(this.#networks.assignment, now);
    else this.emit({ type: 'network-request' });
  }

  // --- networks ---

  /** Server: the addresses. Changing them on an open link negotiates them anew. */
  assign(assignment: NetworkAssignment, now: number): void {
    const { phase } = this;
    if (phase === 'terminate' || phase === 'ended' || this.options.network !== 'server') return;
    this.#networks.assignment = assignment;
    if (phase === 'network') this.#openNetworks(assignment, now);
  }

  #openNetworks(assignment: NetworkAssignment, now: number): void {
    for (const frame of this.#networks.open(assignment, now)) this.receive(frame, now);
  }

  // --- what the layers call ---

  layerUp(layer: ControlProtocol, now: number): void {
    if (layer === this.#lcp) return this.#lcpUp(null, now);
    this.#networkDeadline = NEVER;
    const { ipcp, ipv6cp } = this.#networks;
    if (layer === ipcp) {
      this.emit({ type: 'network-up', protocol: 'ipv4', local: ipcp.local, peer: ipcp.peer, dns: ipcp.dns });
    } else if (layer === ipv6cp) {
      this.emit({ type: 'network-up', protocol: 'ipv6', local: ipv6cp.local, peer: ipv6cp.peer });
    }
  }

  layerDown(layer: ControlProtocol, now: number): void {
    if (layer !== this.#lcp) {
      this.emit({ type: 'network-down', protocol: layer === this.#networks.ipcp ? 'ipv4' : 'ipv6' });
      if (this.phase === 'network' && !this.#networks.anyOpen) {
        this.#networkDeadline = now + this.resolved.timers.network;
      }
      return;
    }
    this.#networks.drop(now);
    if (layer.state !== STATE.reqSent) return;
    this.counters.renegotiations++;
    this.phase = 'establish';
    this.#stopTimers();
    this.#identities.clear();
    this.#networks.assignment = null;
    this.emit({ type: 'renegotiating' });
  }

  layerFinished(layer: ControlProtocol, reason: FinishReason, now: number): void {
    if (layer === this.#lcp) return this.#lcpFinished(reason);
    if (reason === 'closed' || this.phase !== 'network') return;
    if (!this.#networks.anyAlive(layer)) this.#close('no-network', now);
  }

  #lcpFinished(reason: FinishReason): void {
    if (reason === 'no-agreement') {
      this.#endBy = 'us';
      this.#endReason = this.#lcp.failure;
      this.phase = 'terminate';
      return this.#stopTimers();
    }
    if (reason === 'closed') return this.#finish(this.#endBy, this.#endReason);
    this.#finish('peer', reason === 'no-answer' ? 'no-answer' : 'protocol-error');
  }

  // --- hand-over ---

  /** What a LAC tells the LNS of this call; after `proxy-ready`. */
  proxy(): ProxyLcp {
    return describeProxy(this.#lcp, this.#identities.authenticator);
  }

  snapshot(): PppSnapshot {
    const { local, peer, sent, received, nextId } = this.#lcp;
    const auth = this.#identities.authenticator;
    return {
      phase: this.phase,
      lcp: {
        local: { ...local },
        peer: { ...peer },
        required: requiredOf(this.options),
        lastSent: sent,
        lastReceived: received,
        nextId,
      },
      auth: { method: auth?.method ?? null, name: auth?.name ?? '', id: auth?.id ?? 0 },
      ...this.#networks.snapshot(),
      ccp: this.#ccp,
      peerRejected: [...this.#peerRejected],
    };
  }

  /**
   * Goes on with a link that another process had. From phase 'network' on nothing is sent and no event but those of what
   * happens next comes; a link that was not that far begins anew.
   */
  static restore(snapshot: PppSnapshot, options: PppOptions, now: number): PppLink {
    const link = new PppLink(options);
    if (snapshot.phase === 'network') link.#resume(snapshot, now);
    else if (snapshot.phase === 'terminate' || snapshot.phase === 'ended') link.phase = 'ended';
    else link.start(now);
    return link;
  }

  #resume(snapshot: PppSnapshot, now: number): void {
    const { lcp, auth, ccp, peerRejected } = snapshot;
    this.phase = 'network';
    this.#lcp.restore(lcp.local, lcp.peer, lcp.lastSent, lcp.lastReceived);
    this.#lcp.nextId = lcp.nextId;
    if (auth.method !== null) {
      this.#identities.prepare(auth.method, null);
      this.#identities.authenticator?.restore(auth.name, auth.id);
      this.#challengeLater(now);
    }
    this.#ccp = ccp;
    this.#peerRejected = [...peerRejected];
    this.#networks.resume(snapshot, now);
    if (!this.#networks.anyOpen) this.#networkDeadline = now + this.resolved.timers.network;
    if (this.resolved.echoEvery > 0) this.#echoAt = now + this.resolved.echoEvery;
  }
}
