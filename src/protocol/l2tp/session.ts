/**
 * A call in a tunnel, RFC 2661 §7.4: either side of an incoming or an outgoing call. What the owner may do with it is
 * here; what the peer's messages do to it is in calls.ts.
 */
import type { AvpFields, AvpInput } from '../../tunnels/l2tp/avp.js';
import { AVP_ACCM, AVP_CALL_ERRORS } from '../../tunnels/l2tp/avp-table.js';
import { ICCN, ICRP, ICRQ, OCCN, OCRP, OCRQ, SLI, WEN } from '../../tunnels/l2tp/message-table.js';
import { connectAvps, incomingCallAvps, outgoingCallAvps } from './attribute-codec.js';
import type { DisconnectCause } from './codes.js';
import type { CallErrors, SessionEnd } from './events.js';
import type { CallAttributes, ConnectAttributes, SessionAttributes } from './session-attributes.js';
import type { CallKind, SessionSnapshot } from './snapshot.js';
import type { L2tpTunnel } from './tunnel.js';

/**
 * `requested`: the peer asked, we have not answered. `wait-answer`: the LAC has the peer's word and `connect` is next (the
 * RFC's wait-cs-answer of an outgoing call).
 */
export type SessionState =
  | 'wait-tunnel'
  | 'requested'
  | 'wait-reply'
  | 'wait-answer'
  | 'wait-connect'
  | 'established'
  | 'closed';

const NO_AVPS: readonly AvpInput[] = [];

/** Fields are written by the engine alone; `userData` is the owner's. */
export class L2tpSession {
  /** Changes only when the call moves into another tunnel. */
  tunnel: L2tpTunnel;
  readonly localId: number;
  /** 0: not known yet. */
  peerId = 0;
  readonly kind: CallKind;
  /** We asked for the call. */
  readonly ours: boolean;
  state: SessionState;
  /** What either end has said of it so far. */
  attributes: SessionAttributes;
  /** The owner's; the engine never looks at it. */
  userData: unknown = undefined;
  /** Another process, or another tunnel, had it before. */
  adopted = false;
  /** Seconds: not to be established then ends it. */
  deadline = Number.POSITIVE_INFINITY;
  #avps: readonly AvpInput[];

  constructor(
    tunnel: L2tpTunnel,
    localId: number,
    kind: CallKind,
    ours: boolean,
    state: SessionState,
    attributes: SessionAttributes,
    avps: readonly AvpInput[] = NO_AVPS,
  ) {
    this.tunnel = tunnel;
    this.localId = localId;
    this.kind = kind;
    this.ours = ours;
    this.state = state;
    this.attributes = attributes;
    this.#avps = avps;
  }

  /** True at the end that has the bearer: whoever asks for an incoming call or is asked for an outgoing one. */
  get isLac(): boolean {
    return this.ours === (this.kind === 'incoming');
  }

  /** AVP 39 was in ICCN or OCCN: data messages of both directions have sequence numbers. */
  get sequencingRequired(): boolean {
    return this.attributes.sequencingRequired === true;
  }

  /** Sends ICRQ or OCRQ; the tunnel stands. Engine only. */
  request(): void {
    const { kind, attributes } = this;
    const serial = attributes.serial ?? 0;
    const avps = kind === 'incoming' ? incomingCallAvps(attributes, serial) : outgoingCallAvps(attributes, serial);
    this.state = 'wait-reply';
    this.tunnel.sendCall(kind === 'incoming' ? ICRQ : OCRQ, this, [this.tunnel.idOf(this), ...avps, ...this.#avps]);
    this.#avps = NO_AVPS;
  }

  /**
   * Answers a `call` (ICRP, OCRP). An incoming call is then connected by the peer, an outgoing one by us (`connect`).
   * Does nothing in another state than `requested`.
   */
  accept(attributes: CallAttributes = {}, avps: readonly AvpInput[] = NO_AVPS): void {
    if (this.state !== 'requested') return;
    const out: AvpInput[] = [this.tunnel.idOf(this)];
    if (this.kind === 'outgoing' && attributes.physicalChannel !== undefined) {
      out.push(...incomingCallAvps({ physicalChannel: attributes.physicalChannel }, 0).slice(1));
    }
    this.attributes = { ...this.attributes, ...attributes };
    this.state = this.kind === 'incoming' ? 'wait-connect' : 'wait-answer';
    this.tunnel.sendCall(this.kind === 'incoming' ? ICRP : OCRP, this, [...out, ...avps]);
  }

  /** Answers a `call` with a CDN; no event follows. Does nothing in another state than `requested`. */
  refuse(result: number, error = 0, message = '', cause?: DisconnectCause): void {
    if (this.state !== 'requested') return;
    this.tunnel.sendCdn(this, result, error, message, cause);
    this.tunnel.dropSession(this);
  }

  /**
   * The LAC's last word: ICCN after `call-answered`, OCCN after `accept`. session-up follows. Does nothing in another state
   * than `wait-answer`.
   */
  connect(attributes: ConnectAttributes, avps: readonly AvpInput[] = NO_AVPS): void {
    if (this.state !== 'wait-answer') return;
    const incoming = this.kind === 'incoming';
    this.attributes = { ...this.attributes, ...attributes };
    this.tunnel.sendCall(incoming ? ICCN : OCCN, this, [...connectAvps(attributes, incoming), ...avps]);
    this.establish();
  }

  /** Engine only. */
  establish(): void {
    this.state = 'established';
    this.deadline = Number.POSITIVE_INFINITY;
    this.tunnel.host.count('sessions-established');
    this.tunnel.host.emit({ type: 'session-up', session: this });
  }

  /** Ends it in any state: CDN where the peer can know of it, and session-down. */
  hangUp(result: number, error = 0, message = '', cause?: DisconnectCause): void {
    if (this.state === 'closed') return;
    if (this.state !== 'wait-tunnel') this.tunnel.sendCdn(this, result, error, message, cause);
    this.end('us', result, error, message, cause ?? null);
  }

  /** It has ended: session-down. Engine only. */
  end(by: SessionEnd, result: number, error: number, message: string, cause: DisconnectCause | null): void {
    if (this.state === 'closed') return;
    this.tunnel.dropSession(this);
    this.tunnel.host.emit({ type: 'session-down', session: this, by, result, error, message, cause });
  }

  /** Drops it without a word and without an event. */
  forget(): void {
    if (this.state !== 'closed') this.tunnel.dropSession(this);
  }

  /** Established: ACCMs for the LAC. False: not in this state, or too much waits to be sent. */
  sendSli(send: number, receive: number): boolean {
    const value: AvpFields = { send, receive };
    return this.state === 'established' && this.tunnel.sendCall(SLI, this, [{ type: AVP_ACCM, value }], false);
  }

  sendWen(errors: CallErrors): boolean {
    const value: AvpFields = { ...errors };
    return this.state === 'established' && this.tunnel.sendCall(WEN, this, [{ type: AVP_CALL_ERRORS, value }], false);
  }

  snapshot(): SessionSnapshot {
    const { localId, peerId, kind, ours, attributes } = this;
    return { localId, peerId, kind, ours, attributes };
  }
}
