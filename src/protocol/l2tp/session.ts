/** A call in a tunnel, RFC 2661 §7.4: either side of an incoming or an outgoing call. */
import type { AvpInput } from '../../tunnels/l2tp/avp.js';
import type { DisconnectCause } from './codes.js';
import type { CallErrors } from './events.js';
import type { CallAttributes, ConnectAttributes, SessionAttributes } from './session-attributes.js';
import type { CallKind, SessionSnapshot } from './snapshot.js';
import type { L2tpTunnel } from './tunnel.js';

/**
 * `requested`: the peer asked, we have not answered. wait-answer is the RFC's wait-cs-answer (LAC of an outgoing call).
 */
export type SessionState =
  | 'wait-tunnel'
  | 'requested'
  | 'wait-reply'
  | 'wait-answer'
  | 'wait-connect'
  | 'established'
  | 'closed';

export declare class L2tpSession {
  /** Changes only when the call moves into another tunnel. */
  readonly tunnel: L2tpTunnel;
  readonly localId: number;
  /** 0: not known yet. */
  readonly peerId: number;
  readonly kind: CallKind;
  /** We asked for the call. */
  readonly ours: boolean;
  readonly state: SessionState;
  /** What either end has said of it so far. */
  readonly attributes: SessionAttributes;
  /** The owner's; the engine never looks at it. */
  userData: unknown;

  /** Answers a `call` (ICRP, OCRP). An incoming call is then connected by the peer, an outgoing one by us (`connect`). */
  accept(attributes?: CallAttributes, avps?: readonly AvpInput[]): void;
  /** Answers a `call` with a CDN. */
  refuse(result: number, error?: number, message?: string, cause?: DisconnectCause): void;
  /** The LAC's last word: ICCN after `call-answered`, OCCN after `accept`. session-up follows. */
  connect(attributes: ConnectAttributes, avps?: readonly AvpInput[]): void;
  /** Ends it in any state: CDN where the peer knows of it, and session-down. */
  hangUp(result: number, error?: number, message?: string, cause?: DisconnectCause): void;
  /** Drops it without a word and without an event. */
  forget(): void;
  /** Established: ACCMs for the LAC. False: not in this state, or too much waits to be sent. */
  sendSli(send: number, receive: number): boolean;
  sendWen(errors: CallErrors): boolean;
  /** AVP 39 was in ICCN or OCCN: data messages of both directions have sequence numbers. */
  get sequencingRequired(): boolean;
  snapshot(): SessionSnapshot;
}
